//! A client and a server at the two ends of a veth pair exchange 64 bytes to and fro. How long does
//! a round trip take, and how much processor time, if the server's poller looks at the device by
//! itself before it sleeps? The client blocks in read(2).
//!
//! The pair is asked to receive by queues of its own (GRO, and no TSO at the other end), which a
//! veth has otherwise only with XDP, and the loopback interface never has.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use corepoll::{Acceptor, BusyPoll, Placement, Reactor, Running};

use crate::{Echo, network, quantile};

/// How long a poller looks at the device before it sleeps.
const TIME: Duration = Duration::from_micros(50);

/// Requests in a row, before it is the other server's turn.
const REQUESTS: usize = 500;

/// Starts a server, with busy polling or without, on the processor `place` if there is one.
fn serve(busy_poll: Option<BusyPoll>, place: Option<usize>) -> io::Result<(Running, u16)> {
    let mut builder = Reactor::builder().pollers(1);
    if let Some(how) = busy_poll {
        builder = builder.busy_poll(how);
    }
    if let Some(processor) = place {
        builder = builder.placement(Placement::Cores(vec![processor]));
    }
    let reactor = builder.build()?;
    let acceptor = Acceptor::new("0.0.0.0:0").nodelay(true);
    let listening = acceptor.listen(&reactor.handle(), || Echo)?;
    Ok((reactor.start()?, listening.local_addr()?.port()))
}

/// Asks each of the servers in turn. Returns the times of the round trips in microseconds, with
/// the processor time of this process that all of them took.
fn play(servers: [SocketAddr; 2], rounds: usize) -> io::Result<Vec<(Vec<f64>, Duration)>> {
    let connect = |server| {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        Ok((stream, (Vec::new(), Duration::ZERO)))
    };
    let mut games = servers.into_iter().map(connect).collect::<io::Result<Vec<_>>>()?;
    for _ in 0..rounds {
        for (stream, (times, used)) in &mut games {
            let before = network::processor_time();
            for _ in 0..REQUESTS {
                let mut bytes = [7; 64];
                let start = Instant::now();
                stream.write_all(&bytes)?;
                stream.read_exact(&mut bytes)?;
                times.push(start.elapsed().as_secs_f64() * 1e6);
            }
            *used += network::processor_time() - before;
        }
    }
    Ok(games.into_iter().map(|(_, result)| result).collect())
}

/// Where the client is, and whom it asks.
struct Client {
    /// What the line is called.
    name: &'static str,
    /// The processor that it stays on.
    place: Option<usize>,
    /// The ports of the server that sleeps at once and of the one that polls.
    ports: [u16; 2],
    rounds: usize,
}

impl Client {
    /// Plays in a network of its own, at the other end of a veth pair.
    fn run(self, tell: &Sender<i32>, go: &Receiver<()>) -> io::Result<()> {
        network::enter_network()?;
        let _ = tell.send(network::thread_number());
        go.recv().map_err(io::Error::other)?;
        network::configure_far_end()?;
        self.place.map_or(Ok(()), network::stay_on)?;
        let servers = self.ports.map(|port| {
            format!("{}:{port}", network::NEAR).parse().expect("an address and a port")
        });
        for (kind, (mut times, used)) in play(servers, self.rounds)?.into_iter().enumerate() {
            let kind = ["sleeps at once", "polls for 50 us"][kind];
            let used = used.as_secs_f64() * 1e6 / times.len() as f64;
            let [half, most] = [0.5, 0.99].map(|share| quantile(&mut times, share));
            println!("{:<34}{kind:<18}{half:>12.1}{most:>12.1}{used:>14.1}", self.name);
        }
        Ok(())
    }
}

/// Measures with the server and the client at these places.
fn line(name: &'static str, places: [Option<usize>; 2], rounds: usize) -> io::Result<()> {
    let [server, place] = places;
    let (quiet, busy) = (serve(None, server)?, serve(Some(BusyPoll::new(TIME)), server)?);
    let client = Client { name, place, ports: [quiet.1, busy.1], rounds };
    let (tell, told) = channel();
    let (start, go) = channel();
    let client = thread::spawn(move || client.run(&tell, &go));
    let before = network::tcp_counter("BusyPollRxPackets");
    // An error of the client ends the channel.
    if let Ok(thread) = told.recv() {
        network::make_pair(thread)?;
        let _ = start.send(());
    }
    client.join().expect("it doesn't panic")?;
    let taken = network::tcp_counter("BusyPollRxPackets") - before;
    println!("{:<34}{taken} packets were taken from the device by a poller", "");
    for (running, _) in [quiet, busy] {
        running.handle().shutdown(Duration::ZERO);
        running.join()?;
    }
    // Unless it has ended with the client's network.
    let _ = network::ip("link del near");
    Ok(())
}

pub fn ask(is_test: bool) -> io::Result<()> {
    println!(
        "{:<34}{:<18}{:>12}{:>12}{:>14}",
        "busy_poll", "", "median, us", "99 %, us", "CPU, us each"
    );
    let rounds = if is_test { 1 } else { 40 };
    if let [one, other, ..] = network::processors()[..] {
        line("each on a processor of its own", [Some(one), Some(other)], rounds)?;
    }
    line("where the scheduler puts them", [None; 2], rounds)
}

//! Two clients on two processors connect, ask a thousand times, and connect anew, while two pollers
//! are placed on the same processors. How long does a round trip take, and how much processor time,
//! if the kernel chooses the poller of the client's processor? On loopback a packet is handled on
//! the processor that has sent it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use corepoll::{Acceptor, Balance, Placement, Reactor};

use crate::{Echo, network, quantile};

/// Requests over one connection.
const REQUESTS: usize = 1000;

/// Asks `server` from the processor `place`, and returns the times of the round trips.
fn client(server: SocketAddr, place: usize) -> io::Result<Vec<f64>> {
    network::stay_on(place)?;
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    let mut times = Vec::with_capacity(REQUESTS);
    let mut bytes = [7; 64];
    for _ in 0..REQUESTS {
        let start = Instant::now();
        stream.write_all(&bytes)?;
        stream.read_exact(&mut bytes)?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(times)
}

pub fn ask(is_test: bool) -> io::Result<()> {
    let [one, other, ..] = network::processors()[..] else {
        return Err(io::Error::other("it needs two processors"));
    };
    // The other way round than their numbers, so that steer_by_cpu would not do.
    let placement = Placement::Cores(vec![other, one]);
    let reactor = Reactor::builder().placement(placement).build()?;
    let listen = |steer| {
        let acceptor = Acceptor::new("127.0.0.1:0").reuse_port(true).balance(Balance::Local);
        let acceptor = acceptor.nodelay(true).steer_by_placement(steer);
        acceptor.listen(&reactor.handle(), || Echo)?.local_addr()
    };
    let servers = [listen(false)?, listen(true)?];
    let running = reactor.start()?;
    println!(
        "{:<34}{:<18}{:>12}{:>12}{:>14}",
        "placement", "", "median, us", "99 %, us", "CPU, us each"
    );
    let mut times = [const { Vec::new() }; 2];
    let mut used = [Duration::ZERO; 2];
    for round in 0..if is_test { 2 } else { 100 } {
        let kind = round % 2;
        let before = network::processor_time();
        let clients = [one, other].map(|place| thread::spawn(move || client(servers[kind], place)));
        for client in clients {
            times[kind].extend(client.join().expect("it doesn't panic")?);
        }
        used[kind] += network::processor_time() - before;
    }
    for (kind, name) in ["by the hash", "by placement"].into_iter().enumerate() {
        let used = used[kind].as_secs_f64() * 1e6 / times[kind].len() as f64;
        let [half, most] = [0.5, 0.99].map(|share| quantile(&mut times[kind], share));
        println!(
            "{:<34}{name:<18}{half:>12.1}{most:>12.1}{used:>14.1}",
            "two clients, two pollers"
        );
    }
    running.handle().shutdown(Duration::ZERO);
    running.join().map(drop)
}

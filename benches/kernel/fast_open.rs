//! A client connects, sends a request, and waits for the answer; then it begins anew. How long does
//! that take, and how much processor time of both sides?

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use corepoll::net::{ConnectOptions, TcpStream};
use corepoll::{Acceptor, Reactor, block_on};
use futures::{AsyncReadExt, AsyncWriteExt};

use crate::{Echo, network, quantile};

/// How long a packet takes from one side to the other, beside none on the loopback interface.
const DELAY: Duration = Duration::from_millis(5);

/// Connects, asks and takes the answer.
async fn exchange(server: SocketAddr, fast_open: bool) -> io::Result<()> {
    let options = ConnectOptions::new().fast_open(fast_open).nodelay(true);
    let mut stream = TcpStream::connect_with(server, options).await?;
    let mut bytes = [7; 64];
    stream.write_all(&bytes).await?;
    stream.read_exact(&mut bytes).await
}

/// Measures `rounds` exchanges of each kind, and prints their line.
fn line(what: &str, server: SocketAddr, rounds: usize) -> io::Result<()> {
    let mut times = [const { Vec::new() }; 2];
    let mut used = [Duration::ZERO; 2];
    block_on(async {
        // For the cookie.
        exchange(server, true).await?;
        for round in 0..2 * rounds {
            let kind = round % 2;
            let (start, before) = (Instant::now(), network::processor_time());
            exchange(server, kind == 1).await?;
            times[kind].push(start.elapsed().as_secs_f64() * 1e3);
            used[kind] += network::processor_time() - before;
        }
        io::Result::Ok(())
    })?;
    for (kind, name) in ["handshake first", "fast open"].into_iter().enumerate() {
        let used = used[kind].as_secs_f64() * 1e6 / rounds as f64;
        let [half, most] = [0.5, 0.99].map(|share| quantile(&mut times[kind], share));
        println!("{what:<28}{name:<18}{half:>12.3}{most:>12.3}{used:>14.1}");
    }
    Ok(())
}

pub fn ask(is_test: bool) -> io::Result<()> {
    network::make_wire(DELAY)?;
    std::fs::write("/proc/sys/net/ipv4/tcp_fastopen", "3")?;
    let reactor = Reactor::builder().pollers(1).build()?;
    let acceptor = Acceptor::new("0.0.0.0:0").fast_open(128).nodelay(true);
    let listening = acceptor.listen(&reactor.handle(), || Echo)?;
    let port = listening.local_addr()?.port();
    let running = reactor.start()?;
    println!(
        "{:<28}{:<18}{:>12}{:>12}{:>14}",
        "fast_open", "", "median, ms", "99 %, ms", "CPU, us each"
    );
    let far = format!("{}:{port}", network::FAR).parse().map_err(io::Error::other)?;
    line("10 ms to and fro", far, if is_test { 1 } else { 200 })?;
    line("loopback", ([127, 0, 0, 1], port).into(), if is_test { 1 } else { 5000 })?;
    running.handle().shutdown(Duration::ZERO);
    running.join().map(drop)
}

//! A corepoll poller inside of a tokio runtime, on one thread: for a program that lives in tokio and
//! wants some of its sockets here.
//!
//! ```text
//! cargo run --example embed_tokio
//! ```
//!
//! A `LocalPoller` has no thread. Its descriptor is readable whenever it wants a turn, so tokio watches
//! that one descriptor. Here the poller serves an echo and a task of tokio's is its client; both end
//! after a few requests.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::Parser;
use corepoll::{LocalPoller, net, time};
use futures::future::{Either, select};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local};

fn main() -> ExitCode {
    let Err(error) = run(Options::parse()) else { return ExitCode::SUCCESS };
    eprintln!("embed_tokio: {error}");
    ExitCode::FAILURE
}

fn run(Options { addr, requests }: Options) -> io::Result<()> {
    let (stop, mut signals) = (Arc::new(Notify::new()), Signals::new([SIGINT, SIGTERM])?);
    let stopped = stop.clone();
    thread::spawn(move || {
        signals.forever().next();
        stop.notify_one();
    });

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // The poller stays on this thread, and so do the tasks that use it: that is what a LocalSet is for.
    LocalSet::new().block_on(&runtime, async {
        match select(pin!(serve_and_ask(addr, requests)), pin!(stopped.notified())).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => Ok(()), // dropping the poller drops everything in it
        }
    })
}

/// A future of tokio's.
async fn serve_and_ask(addr: SocketAddr, requests: u32) -> io::Result<()> {
    let listener = std::net::TcpListener::bind(addr)?;
    let addr = listener.local_addr()?;
    println!("listening on {addr}");

    let poller = LocalPoller::new()?;
    let server = poller.spawn_local(serve(listener));
    let driver = spawn_local(drive(poller));
    spawn_local(ask(addr, requests)).await??;
    let answered = server.await??; // a task of corepoll's, awaited by a task of tokio's
    println!("the poller has answered {answered} requests");
    driver.abort();
    Ok(())
}

/// Gives the poller a turn whenever it wants one.
async fn drive(poller: LocalPoller) -> io::Result<()> {
    #[allow(deprecated)] // Its successor is unsafe; a poller keeps its descriptor open.
    let mut watched = AsyncFd::with_interest(poller, Interest::READABLE)?;
    loop {
        let mut ready = watched.readable_mut().await?;
        ready.get_inner_mut().turn(Some(Duration::ZERO))?; // never waits: tokio does that
        // A poller that has something left to do makes a new edge, which tokio sees after this.
        ready.clear_ready();
    }
}

/// The server, a task of the poller's: one connection. Returns the number of its requests.
async fn serve(listener: std::net::TcpListener) -> io::Result<u32> {
    use futures::AsyncWriteExt;

    let (stream, _peer) = net::TcpListener::from_std(listener)?.accept().await?;
    let mut answered = 0;
    loop {
        let chunk = stream.read_chunk().await?;
        if chunk.is_empty() {
            return Ok(answered);
        }
        time::sleep(Duration::from_millis(2)).await; // the poller's timers have their part in it
        (&stream).write_all(&chunk).await?;
        answered += 1;
    }
}

/// The client, a task of tokio's.
async fn ask(addr: SocketAddr, requests: u32) -> io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let mut stream = tokio::net::TcpStream::connect(addr).await?;
    for number in 0..requests {
        let request = format!("request {number}");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = vec![0; request.len()];
        stream.read_exact(&mut answer).await?;
        println!("tokio asked, corepoll answered: {}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}

/// A corepoll poller inside of a tokio runtime, as an echo server
#[derive(Parser)]
struct Options {
    /// The address to listen on; port 0 takes a free port
    #[arg(long, default_value = "127.0.0.1:0")]
    addr: SocketAddr,
    /// The number of requests that tokio's client makes before both end
    #[arg(long, default_value = "3", allow_negative_numbers = true)]
    requests: u32,
}

//! A TCP proxy: passes every connection on to one upstream address.
//!
//! ```text
//! cargo run --example proxy                               # to an echo server of its own
//! cargo run --example proxy -- --upstream 127.0.0.1:8000
//! ```
//!
//! Bytes go from socket to socket by splice(2) and never come to user space; `--copy` reads and writes
//! them, to compare. Either way the end of one direction is passed on while the other one goes on (a
//! half-close), and a side that reads slowly makes the other side wait.
//!
//! After a signal nothing more is accepted. What is open goes on until both sides have ended or the
//! grace is over: a proxy cannot know what its connections are in the middle of.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::{self, available_parallelism};
use std::time::{Duration, Instant};

use clap::Parser;
use corepoll::{Deadlines, Reactor, io::relay, net::TcpStream, shutdown_requested, time};
use futures::AsyncWriteExt;
use futures::future::{Either, select};
use futures::io::{BufReader, copy_buf};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

// Counts of all pollers. They change a few times a connection, so sharing them costs little.
static OPEN: AtomicU64 = AtomicU64::new(0);
static TOTAL: AtomicU64 = AtomicU64::new(0);
/// Connections whose upstream could not be reached.
static REFUSED: AtomicU64 = AtomicU64::new(0);
/// Bytes to the upstream and back from it, of connections that have ended without an error.
static UP: AtomicU64 = AtomicU64::new(0);
static DOWN: AtomicU64 = AtomicU64::new(0);

fn main() -> ExitCode {
    let Err(error) = run(Options::parse()) else { return ExitCode::SUCCESS };
    eprintln!("proxy: {error}");
    ExitCode::FAILURE
}

fn run(options: Options) -> io::Result<()> {
    let reactor = Reactor::builder().pollers(options.pollers.get()).build()?;
    let handle = reactor.handle();

    // The first signal gives the connections five seconds to end, a second one no time at all.
    let (stop, mut signals) = (reactor.handle(), Signals::new([SIGINT, SIGTERM])?);
    thread::spawn(move || {
        for (_signal, grace) in signals.forever().zip([Duration::from_secs(5), Duration::ZERO]) {
            stop.shutdown(grace);
        }
    });

    let upstream = match options.upstream {
        Some(upstream) => upstream,
        None => handle.serve("127.0.0.1:0", |stream, _peer| echo(stream))?.local_addr()?,
    };
    let listening = handle.serve(options.addr, move |client, _peer| async move {
        TOTAL.fetch_add(1, Relaxed);
        OPEN.fetch_add(1, Relaxed);
        // An error ends this connection, and concerns no other.
        if let Ok((up, down)) = pass_on(client, upstream, options).await {
            UP.fetch_add(up, Relaxed);
            DOWN.fetch_add(down, Relaxed);
        }
        OPEN.fetch_sub(1, Relaxed);
    })?;
    println!("listening on {}", listening.local_addr()?);
    drop(handle.pollers()[0].spawn_on(print_counts)); // one poller prints for all
    reactor.run()
}

/// Passes on one connection from its beginning to its end. Returns the bytes of each direction.
async fn pass_on(client: TcpStream, to: SocketAddr, options: Options) -> io::Result<(u64, u64)> {
    let connect_timeout = Duration::from_millis(options.connect_timeout);
    let connecting = pin!(TcpStream::connect_timeout(to, connect_timeout));
    let upstream = match select(connecting, pin!(shutdown_requested())).await {
        Either::Left((upstream, _)) => upstream.inspect_err(|error| {
            REFUSED.fetch_add(1, Relaxed);
            eprintln!("proxy: {error}");
        })?,
        // Nothing has been passed on yet, so nothing is lost.
        Either::Right(_) => return Ok((0, 0)),
    };
    for stream in [&client, &upstream] {
        // Whether to wait for more before sending is the sender's choice, and it has made it.
        stream.set_nodelay(true)?;
        // A side that has vanished, or that neither sends nor ends, would hold both for ever.
        let idle = Some(Duration::from_millis(options.idle_timeout));
        stream.set_deadlines(Deadlines { idle, ..Deadlines::default() });
    }
    if options.copy {
        return futures::try_join!(copy(&client, &upstream), copy(&upstream, &client));
    }
    let relayed = relay(client, upstream).await?;
    Ok((relayed.a_to_b, relayed.b_to_a))
}

/// Copies one direction, and passes its end on.
async fn copy(from: &TcpStream, mut to: &TcpStream) -> io::Result<u64> {
    let length = copy_buf(BufReader::with_capacity(64 * 1024, from), &mut to).await?;
    to.close().await?;
    Ok(length)
}

/// The upstream of its own: sends back what it is sent.
async fn echo(stream: TcpStream) -> io::Result<u64> {
    stream.set_nodelay(true)?;
    copy(&stream, &stream).await
}

/// Prints the counts every second until the shutdown.
async fn print_counts() {
    let second = Duration::from_secs(1);
    let mut ticks = time::interval_at(Instant::now() + second, second);
    let mut shutdown = pin!(shutdown_requested());
    while let Either::Left(_) = select(pin!(ticks.tick()), &mut shutdown).await {
        let [open, total, refused, up, down] =
            [&OPEN, &TOTAL, &REFUSED, &UP, &DOWN].map(|count| count.load(Relaxed));
        println!("open {open} total {total} refused {refused} up {up} down {down}");
    }
}

/// Passes TCP connections on, and prints a line of statistics every second
#[derive(Clone, Copy, Parser)]
struct Options {
    /// The address to listen on; port 0 takes a free port
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// The number of pollers, each a thread; by default one for each processor
    #[arg(long, default_value_t = available_parallelism().unwrap_or(NonZeroUsize::MIN))]
    pollers: NonZeroUsize,
    /// Where connections go [default: an echo server of its own]
    #[arg(long)]
    upstream: Option<SocketAddr>,
    /// The milliseconds that the upstream may take to accept a connection
    #[arg(long, value_name = "MS", default_value = "5000", allow_negative_numbers = true)]
    connect_timeout: u64,
    /// The milliseconds without a byte in either direction after which a connection is closed
    #[arg(long, value_name = "MS", default_value = "300000", allow_negative_numbers = true)]
    idle_timeout: u64,
    /// Copies through user space instead of splice(2)
    #[arg(long)]
    copy: bool,
}

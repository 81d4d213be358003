//! A TCP proxy: every connection is passed on to one upstream address.
//!
//! ```text
//! cargo run --release --example proxy -- --upstream 127.0.0.1:8000
//! ```
//!
//! Bytes go by splice(2) from socket to socket, without coming to user space; with `--copy` they are
//! read and written, to compare. Either way the end of one direction is passed on and the other one
//! goes on (a half-close), and a side that reads slowly makes the other one wait. A connection on which
//! nothing moves for `--idle-timeout` is closed: a side that has vanished, or that neither reads nor
//! ends, would hold it for ever.
//!
//! Without `--upstream` it starts an echo server of its own, so that there is something to try.
//!
//! After a signal nothing more is accepted. What is open goes on until both sides have ended, or the
//! grace is over: a proxy can't know what its connections are in the middle of.

mod common;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use common::{Arguments, Own};
use corepoll::io::relay;
use corepoll::net::TcpStream;
use corepoll::{Deadlines, Listening, ReactorHandle, shutdown_requested, time};
use futures::io::BufReader;
use futures::{AsyncWriteExt, FutureExt};

/// How many milliseconds the upstream may take to accept a connection, unless told otherwise.
const CONNECT_TIMEOUT_MS: u64 = 5000;

/// How many milliseconds nothing may move on a connection, unless told otherwise.
const IDLE_TIMEOUT_MS: u64 = 5 * 60 * 1000;

/// How often the statistics are printed.
const EVERY: Duration = Duration::from_secs(1);

/// What `--copy` reads at a time.
const COPY_BUFFER: usize = 64 * 1024;

/// Counts of all pollers. They are changed a few times a connection, so they may be shared.
#[derive(Debug, Default)]
struct Statistics {
    open: AtomicU64,
    total: AtomicU64,
    /// The upstream could not be reached.
    refused: AtomicU64,
    /// Bytes from clients to the upstream, of connections that have ended in peace.
    up: AtomicU64,
    /// And back.
    down: AtomicU64,
}

impl Statistics {
    fn line(&self) -> String {
        let [open, total, refused, up, down] =
            [&self.open, &self.total, &self.refused, &self.up, &self.down]
                .map(|count| count.load(Relaxed));
        format!("open {open} total {total} refused {refused} up {up} down {down}\n")
    }
}

/// A connection that is open until this is dropped, however its task ends.
struct Open<'a>(&'a Statistics);

impl<'a> Open<'a> {
    fn new(statistics: &'a Statistics) -> Open<'a> {
        statistics.open.fetch_add(1, Relaxed);
        statistics.total.fetch_add(1, Relaxed);
        Open(statistics)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

/// Passes on one connection, from its beginning to its end.
async fn serve(client: TcpStream, to: Arc<To>) -> io::Result<()> {
    let _open = Open::new(&to.statistics);
    let mut connecting = pin!(TcpStream::connect_timeout(to.upstream, to.connect_timeout).fuse());
    let upstream = futures::select_biased! {
        upstream = connecting => upstream,
        // Nothing has been passed on yet: there is nothing to lose.
        () = shutdown_requested().fuse() => return Ok(()),
    };
    let upstream = upstream.inspect_err(|error| {
        to.statistics.refused.fetch_add(1, Relaxed);
        eprintln!("proxy: {}: {error}", to.upstream);
    })?;
    // Small pieces go on at once: whether to wait for more is the sender's choice, and it has made it.
    client.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    let deadlines = Deadlines { idle: Some(to.idle_timeout), ..Deadlines::default() };
    client.set_deadlines(deadlines);
    upstream.set_deadlines(deadlines);
    let (up, down) = if to.by_copy {
        futures::try_join!(copy(&client, &upstream), copy(&upstream, &client))?
    } else {
        let relayed = relay(client, upstream).await?;
        (relayed.a_to_b, relayed.b_to_a)
    };
    to.statistics.up.fetch_add(up, Relaxed);
    to.statistics.down.fetch_add(down, Relaxed);
    Ok(())
}

/// Copies one direction, and passes its end on.
async fn copy(from: &TcpStream, mut to: &TcpStream) -> io::Result<u64> {
    let length =
        futures::io::copy_buf(BufReader::with_capacity(COPY_BUFFER, from), &mut to).await?;
    to.close().await?;
    Ok(length)
}

/// Prints a line of statistics every second, until the shutdown.
async fn print_statistics(to: Arc<To>) {
    // The first tick of an interval comes at once, and there is nothing to tell yet.
    let mut ticks = time::interval_at(Instant::now() + EVERY, EVERY);
    let mut shutdown = pin!(shutdown_requested().fuse());
    loop {
        futures::select_biased! {
            () = shutdown => return,
            _tick = pin!(ticks.tick().fuse()) => {}
        }
        if common::print(&to.statistics.line()).is_err() {
            // Nobody reads. That is no reason to stop.
            return;
        }
    }
}

/// The upstream that is started by default: sends back what it is sent.
async fn echo(stream: TcpStream) -> io::Result<u64> {
    stream.set_nodelay(true)?;
    copy(&stream, &stream).await
}

/// Where connections go, and how.
#[derive(Debug)]
struct To {
    upstream: SocketAddr,
    connect_timeout: Duration,
    idle_timeout: Duration,
    by_copy: bool,
    statistics: Statistics,
}

fn main() -> ExitCode {
    let own = [
        Own {
            name: "upstream",
            value: Some("ADDR"),
            help: "Where connections go [default: an echo server of its own]",
        },
        Own {
            name: "connect-timeout",
            value: Some("MS"),
            help: "Milliseconds to reach the upstream in [default: 5000]",
        },
        Own {
            name: "idle-timeout",
            value: Some("MS"),
            help: "Milliseconds without a byte after which a connection ends [default: 300000]",
        },
        Own { name: "copy", value: None, help: "Copy through user space instead of splice(2)" },
    ];
    let about = "Passes TCP connections on, and prints a line of statistics a second.";
    common::run("proxy", about, &own, false, listen)
}

/// Opens the listener, and the upstream's if none is given.
fn listen(reactor: &ReactorHandle, arguments: &Arguments) -> io::Result<Listening> {
    let upstream = match arguments.value("upstream") {
        Some(address) => common::resolve("upstream", address)?,
        None => reactor.serve("127.0.0.1:0", |stream, _peer| echo(stream))?.local_addr()?,
    };
    let connect_timeout = arguments.number("connect-timeout")?.unwrap_or(CONNECT_TIMEOUT_MS);
    let idle_timeout = arguments.number("idle-timeout")?.unwrap_or(IDLE_TIMEOUT_MS);
    let to = Arc::new(To {
        upstream,
        connect_timeout: Duration::from_millis(connect_timeout),
        idle_timeout: Duration::from_millis(idle_timeout),
        by_copy: arguments.has("copy"),
        statistics: Statistics::default(),
    });
    let printed = to.clone();
    // One poller prints for all.
    drop(reactor.pollers()[0].spawn_on(move || print_statistics(printed)));
    reactor.serve(arguments.address, move |stream, _peer| serve(stream, to.clone()))
}

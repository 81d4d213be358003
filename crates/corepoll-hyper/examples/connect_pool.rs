//! A gateway: answers HTTP with what an upstream says, over connections that a `ConnectPool` keeps.
//!
//! ```text
//! cargo run -p corepoll-hyper --example connect_pool
//! curl http://127.0.0.1:8080/hello
//! curl http://127.0.0.1:8080/stats
//! ```
//!
//! HTTP is spoken by hyper, through `Server`. The upstream answers each line with a line; by default it is an echo server
//! that this program starts for itself. A request takes a connection out of its poller's pool, sends the
//! path as a line, answers with the line that comes back, and returns the connection. So a few
//! connections are enough for many clients. No lock is needed: each poller has a pool of its own.

use std::io;
use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::process::ExitCode;
use std::thread::{self, available_parallelism};
use std::time::Duration;

use clap::Parser;
use corepoll::net::TcpStream;
use corepoll::signal::Signal;
use corepoll::{ConnectPool, Reactor, shutdown_requested, spawn_local, time, with_local};
use corepoll_hyper::Server;
use futures::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::ALLOW;
use hyper::{Method, Request, Response, StatusCode, service::service_fn};

fn main() -> ExitCode {
    let Err(error) = run(Options::parse()) else { return ExitCode::SUCCESS };
    eprintln!("connect_pool: {error}");
    ExitCode::FAILURE
}

fn run(Options { addr, pollers, upstream, patience }: Options) -> io::Result<()> {
    let reactor = Reactor::builder().pollers(pollers.get()).build()?;
    let handle = reactor.handle();

    // The first signal gives the connections five seconds to end, a second one no time at all.
    let (stop, mut signals) = (reactor.handle(), Signal::new([libc::SIGINT, libc::SIGTERM])?);
    thread::spawn(move || {
        corepoll::block_on(async {
            for grace in [Duration::from_secs(5), Duration::ZERO] {
                let _ = signals.recv().await;
                stop.shutdown(grace);
            }
        });
    });

    let upstream = match upstream {
        Some(upstream) => upstream,
        None => handle.serve("127.0.0.1:0", |stream, _peer| echo(stream))?.local_addr()?,
    };
    // A broadcast runs once on every poller, before that poller serves anything.
    handle.broadcast(move || {
        let pool = ConnectPool::builder(upstream)
            .min_idle(2)
            .max_live(8) // a request that needs one more waits for its turn
            .connect_timeout(Duration::from_secs(2))
            .build();
        with_local(|own: &mut Pool| *own = Some(pool));
        // With its last handle a pool closes what is idle: the upstream learns of the shutdown at once.
        drop(spawn_local(async {
            shutdown_requested().await;
            drop(with_local(Pool::take));
        }));
    });
    let patience = Duration::from_millis(patience.get());
    let listening = Server::new()
        .header_timeout(patience)
        .write_timeout(patience)
        .max_header_size(8 * 1024)
        .serve(&handle, addr, service_fn(answer))?;
    println!("listening on {}", listening.local_addr()?);
    reactor.run()
}

/// The pool of a poller, in that poller's cache.
type Pool = Option<ConnectPool>;

/// Answers one request.
async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    let response = Response::builder();
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let response = response.status(StatusCode::METHOD_NOT_ALLOWED).header(ALLOW, "GET, HEAD");
        return response.body(Full::default());
    }
    let Some(pool) = with_local(|pool: &mut Pool| pool.clone()) else {
        return response.status(StatusCode::SERVICE_UNAVAILABLE).body(Full::default());
    };
    let path = request.uri().path();
    if path == "/stats" {
        let (idle, live, waiting) = (pool.idle(), pool.live(), pool.waiting());
        return response.body(format!("idle {idle} live {live} waiting {waiting}\n").into());
    }
    match time::timeout(Duration::from_secs(5), ask(&pool, path)).await {
        Ok(Ok(line)) => response.body(line.into()),
        Ok(Err(error)) => {
            response.status(StatusCode::BAD_GATEWAY).body(format!("{error}\n").into())
        }
        Err(_elapsed) => response.status(StatusCode::GATEWAY_TIMEOUT).body(Full::default()),
    }
}

/// Sends a line to the upstream, and returns the line that comes back.
///
/// The connection is released when the whole answer has been read. If this future ends earlier, by an
/// error or because it is dropped at the timeout, the connection is closed with it: otherwise the next
/// request would read the rest of this answer.
async fn ask(pool: &ConnectPool, line: &str) -> io::Result<Vec<u8>> {
    let mut stream = pool.get().await?;
    stream.write_all(format!("{line}\n").as_bytes()).await?;
    let mut answer = Vec::new();
    BufReader::new((&*stream).take(16 * 1024)).read_until(b'\n', &mut answer).await?;
    if !answer.ends_with(b"\n") {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    stream.release();
    Ok(answer)
}

/// The upstream of its own: sends back what it is sent.
async fn echo(stream: TcpStream) -> io::Result<u64> {
    futures::io::copy(&stream, &mut &stream).await
}

/// Answers HTTP with what an upstream says, over pooled connections
#[derive(Parser)]
struct Options {
    /// The address to listen on; port 0 takes a free port
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// The number of pollers, each a thread; by default one for each processor
    #[arg(long, default_value_t = available_parallelism().unwrap_or(NonZeroUsize::MIN))]
    pollers: NonZeroUsize,
    /// What to ask, a line for a line [default: an echo server of its own]
    #[arg(long)]
    upstream: Option<SocketAddr>,
    /// The milliseconds that a client may take for a request, and to read some of what it is sent
    #[arg(long, value_name = "MS", default_value = "60000")]
    patience: NonZeroU64,
}

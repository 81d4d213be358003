//! A front that asks an upstream over connections which it keeps: a `ConnectPool` on each poller.
//!
//! ```text
//! cargo run --release --example connect_pool
//! curl http://127.0.0.1:8080/hello
//! curl http://127.0.0.1:8080/stats
//! ```
//!
//! The upstream answers each line with a line. Without `--upstream` it is an echo server that this
//! program starts for itself. A request takes a connection out of the pool of its poller, sends the path
//! as a line, and answers with the line that comes back; then the connection goes back. So a few
//! connections are enough for many clients, none is made while a client waits for it, and no lock is
//! needed, as nothing of a pool is shared between threads.

mod common;
#[path = "techempower/http/request/mod.rs"]
mod request;

use std::io;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use common::{Arguments, Own, close_lingering};
use corepoll::net::TcpStream;
use corepoll::{
    ConnectPool, Listening, ReactorHandle, shutdown_requested, spawn_local, time, with_local,
};
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};
use request::{Refusal, Request, Requests};

/// How many connections a poller keeps ready.
const MIN_IDLE: usize = 2;

/// How many connections a poller may have. A request that needs one more waits for its turn.
const MAX_LIVE: usize = 8;

/// How long the upstream may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a request may take in all, the wait for a connection included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest line of an upstream's answer.
const LONGEST: usize = 16 * 1024;

/// The pool of this poller, in its cache; made by the first request.
#[derive(Default)]
struct Upstream(Option<ConnectPool>);

/// A handle to this poller's pool.
fn pool(address: &str) -> ConnectPool {
    if let Some(pool) = with_local(|upstream: &mut Upstream| upstream.0.clone()) {
        return pool;
    }
    let pool = ConnectPool::builder(address)
        .min_idle(MIN_IDLE)
        .max_live(MAX_LIVE)
        .connect_timeout(CONNECT_TIMEOUT)
        .build();
    with_local(|upstream: &mut Upstream| upstream.0 = Some(pool.clone()));
    // With its last handle a pool closes what is idle: the upstream need not wait for that.
    drop(spawn_local(async {
        shutdown_requested().await;
        drop(with_local(|upstream: &mut Upstream| upstream.0.take()));
    }));
    pool
}

/// Serves one connection: requests one after the other.
async fn serve(stream: TcpStream, upstream: String, patience: Duration) -> io::Result<()> {
    let mut shutdown = pin!(shutdown_requested().fuse());
    let mut requests = Requests::default();
    loop {
        let request = {
            let reading = next_request(&stream, &mut requests);
            let mut reading = pin!(time::timeout(patience, reading).fuse());
            futures::select_biased! {
                request = reading => request,
                () = shutdown => Ok(Ok(None)),
            }
        };
        let request = match request {
            Ok(request) => request?,
            // However it comes in, byte by byte or not at all: it has had its time.
            Err(_elapsed) => requests.is_amid().then_some(Err(Refusal::TimedOut)),
        };
        let (answer, is_last) = match request {
            Some(Ok(request)) => (answer(&request, &upstream).await, request.is_last()),
            Some(Err(refusal)) => (refusal.answer(), true),
            None => return close_lingering(&stream).await,
        };
        time::timeout(patience, (&stream).write_all(&answer)).await??;
        if is_last {
            return close_lingering(&stream).await;
        }
    }
}

/// The next request, or why there is none that can be read; `None` at the end.
async fn next_request(
    stream: &TcpStream,
    requests: &mut Requests,
) -> io::Result<Option<Result<Request, Refusal>>> {
    loop {
        if let Some(request) = requests.pop().transpose() {
            return Ok(Some(request));
        }
        let chunk = stream.read_chunk().await?;
        if chunk.is_empty() {
            return Ok(None);
        }
        requests.feed(&chunk);
    }
}

/// The whole answer to a request.
async fn answer(request: &Request, upstream: &str) -> Vec<u8> {
    let path = match request.path() {
        Ok(path) => path,
        Err(answer) => return answer,
    };
    let pool = pool(upstream);
    if path == "/stats" {
        let counts = (pool.idle(), pool.live(), pool.waiting());
        let content = format!("idle {} live {} waiting {}\n", counts.0, counts.1, counts.2);
        return request.answer("200 OK", content.as_bytes());
    }
    match time::timeout(REQUEST_TIMEOUT, ask(&pool, path)).await {
        Ok(Ok(line)) => request.answer("200 OK", &line),
        Ok(Err(error)) => request.answer("502 Bad Gateway", format!("{error}\n").as_bytes()),
        Err(_elapsed) => request.answer("504 Gateway Timeout", b""),
    }
}

/// Sends a line to the upstream and reads one.
///
/// The connection goes back when the whole answer has been read. If this future ends before that, by an
/// error or because it is dropped at the timeout, the connection is closed with it: otherwise the next
/// request would get the rest of this answer.
async fn ask(pool: &ConnectPool, line: &str) -> io::Result<Vec<u8>> {
    let mut stream = pool.get().await?;
    stream.write_all(format!("{line}\n").as_bytes()).await?;
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    while answer.last() != Some(&b'\n') {
        match stream.read(&mut piece).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => answer.extend_from_slice(&piece[..length]),
        }
        if answer.len() > LONGEST {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the upstream's line is too long",
            ));
        }
    }
    stream.release();
    Ok(answer)
}

/// The upstream that is started by default: sends back what it is sent.
async fn echo(stream: TcpStream) -> io::Result<u64> {
    futures::io::copy(&stream, &mut &stream).await
}

fn main() -> ExitCode {
    let upstream = Own {
        name: "upstream",
        value: Some("ADDR"),
        help: "Whom to ask, a line for a line [default: an echo server of its own]",
    };
    let about = "Answers HTTP with what an upstream says, over pooled connections.";
    common::run("connect_pool", about, &[upstream], false, listen)
}

/// Opens the listener, and the upstream's if none is given.
fn listen(reactor: &ReactorHandle, arguments: &Arguments) -> io::Result<Listening> {
    let upstream = match arguments.value("upstream") {
        Some(path) if path.starts_with("unix:") => path.to_owned(),
        // A name is looked up here: later it would hold a poller up.
        Some(address) => common::resolve("upstream", address)?.to_string(),
        None => {
            let own = reactor.serve("127.0.0.1:0", |stream, _peer| echo(stream))?;
            own.local_addr()?.to_string()
        }
    };
    let patience = arguments.patience;
    reactor.serve(arguments.address, move |stream, _peer| serve(stream, upstream.clone(), patience))
}

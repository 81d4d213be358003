//! The load that speaks HTTP/2: an exact number of requests, each checked to its last byte.
//!
//! It is a program of tokio and h2, with nothing of the servers' code under test. For HTTP/1 the load of
//! all other servers will do, and for TLS corepoll-load.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{self, SendRequest};
use http::{Request, StatusCode};
use lexopt::prelude::*;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::service;
use crate::args::{Error, failure};
use crate::load::{say, wait_for_line};
use crate::sys;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

const HELP: &str = "\
h2-load --addr ADDR --requests N [options]
  --addr ADDR       the server to ask
  --requests N      exactly how many requests to measure
  --warmup N        requests before those; default 0
  --connections N   default 4
  --streams N       on a connection at once; default 16
  --cpu N           keep the process on one CPU
  --stepwise        print \"ready\" after the warm-up and wait for a line before the measured
                    requests; wait for another before the connections are closed";

/// What the arguments ask for.
#[derive(Debug, Default)]
struct Options {
    addr: Option<SocketAddr>,
    requests: u64,
    warmup: u64,
    connections: Option<usize>,
    streams: Option<usize>,
    stepwise: bool,
}

/// Asks by the arguments of a command line.
pub fn main(parser: lexopt::Parser) -> Result<(), Error> {
    let Some(options) = read_options(parser)? else {
        println!("{HELP}");
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(&options))
}

/// None when the arguments ask for help.
fn read_options(mut parser: lexopt::Parser) -> Result<Option<Options>, Error> {
    let mut options = Options::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("addr") => options.addr = Some(parser.value()?.parse()?),
            Long("requests") => options.requests = parser.value()?.parse()?,
            Long("warmup") => options.warmup = parser.value()?.parse()?,
            Long("connections") => options.connections = Some(parser.value()?.parse()?),
            Long("streams") => options.streams = Some(parser.value()?.parse()?),
            Long("cpu") => sys::pin_to(parser.value()?.parse()?)?,
            Long("stepwise") => options.stepwise = true,
            Long("help") => return Ok(None),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Some(options))
}

async fn run(options: &Options) -> Result<(), Error> {
    let mut askers = connect(options).await?;
    ask(&mut askers, options.warmup).await?;
    if options.stepwise {
        say("ready")?;
        wait_for_line()?;
    }
    let begin = Instant::now();
    ask(&mut askers, options.requests).await?;
    let seconds = begin.elapsed().as_secs_f64();
    let rate = options.requests as f64 / seconds;
    say(&format!("requests {} seconds {seconds:.6} per_second {rate:.0}", options.requests))?;
    if options.stepwise {
        wait_for_line()?;
    }
    Ok(())
}

/// Opens all connections. Returns what asks for a stream on them, each for one at a time.
async fn connect(options: &Options) -> Result<Vec<SendRequest<Bytes>>, Error> {
    let addr = options.addr.ok_or_else(|| failure("--addr is missing; see --help"))?;
    let mut askers = Vec::new();
    for _ in 0..options.connections.unwrap_or(4) {
        let stream = TcpStream::connect(addr).await?;
        let (requests, connection) = client::handshake(stream).await?;
        // What ends it fails the requests too.
        tokio::spawn(connection);
        askers.extend((0..options.streams.unwrap_or(16)).map(|_| requests.clone()));
    }
    Ok(askers)
}

/// Asks exactly `requests` times, all askers at once, and returns when all are answered.
async fn ask(askers: &mut Vec<SendRequest<Bytes>>, requests: u64) -> Result<(), Error> {
    let unsent = Arc::new(AtomicU64::new(requests));
    let tasks: Vec<_> =
        askers.drain(..).map(|asker| tokio::spawn(ask_on(asker, unsent.clone()))).collect();
    for task in tasks {
        askers.push(task.await??);
    }
    Ok(())
}

/// Asks as long as there is something to ask.
async fn ask_on(
    mut asker: SendRequest<Bytes>,
    unsent: Arc<AtomicU64>,
) -> Result<SendRequest<Bytes>, Error> {
    let take = || {
        let less_one = |unsent: u64| unsent.checked_sub(1);
        unsent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less_one).is_ok()
    };
    while take() {
        timeout(PATIENCE, ask_once(&mut asker)).await.map_err(|_| failure("no answer"))??;
    }
    Ok(asker)
}

/// Asks once, and checks the answer.
async fn ask_once(requests: &mut SendRequest<Bytes>) -> Result<(), Error> {
    let request = Request::get("http://localhost/plaintext").body(())?;
    std::future::poll_fn(|cx| requests.poll_ready(cx)).await?;
    let (response, _) = requests.send_request(request, true)?;
    let response = response.await?;
    if response.status() != StatusCode::OK {
        return Err(failure(format!("not the answer that was asked for: {}", response.status())));
    }
    let mut body = response.into_body();
    let mut text = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        text.extend_from_slice(&piece);
        body.flow_control().release_capacity(piece.len())?;
    }
    if text == service::TEXT.as_bytes() { Ok(()) } else { Err(failure("not the text")) }
}

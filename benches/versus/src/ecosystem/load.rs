//! The loads that speak HTTP/2 and TLS: an exact number of requests, each checked to its last byte.
//!
//! They are programs of tokio, h2 and tokio-rustls, with nothing of the servers' code under test. For
//! HTTP/1 the load of all other servers will do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{self, SendRequest};
use http::{Request, StatusCode};
use lexopt::prelude::*;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{service, tls};
use crate::args::{Error, failure};
use crate::load::{say, wait_for_line};
use crate::sys;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is said over TLS.
const ECHO: [u8; 64] = [b'x'; 64];

const HELP: &str = "\
web-load --addr ADDR --protocol h2|tls --requests N [options]
  --addr ADDR       the server to ask
  --protocol NAME   h2, or an echo of 64 bytes over tls
  --requests N      exactly how many requests to measure
  --warmup N        requests before those; default 0
  --connections N   default 4 for h2, 64 for tls
  --streams N       of h2, on a connection at once; default 16
  --cpu N           keep the process on one CPU
  --stepwise        print \"ready\" after the warm-up and wait for a line before the measured
                    requests; wait for another before the connections are closed";

/// What the arguments ask for.
#[derive(Debug, Default)]
struct Options {
    addr: Option<SocketAddr>,
    protocol: String,
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
            Long("protocol") => options.protocol = parser.value()?.string()?,
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

/// Something that asks again when it is answered: a stream of HTTP/2, or a connection.
enum Asker {
    H2(SendRequest<Bytes>),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Opens all connections.
async fn connect(options: &Options) -> Result<Vec<Asker>, Error> {
    let addr = options.addr.ok_or_else(|| failure("--addr is missing; see --help"))?;
    let mut askers = Vec::new();
    match options.protocol.as_str() {
        "h2" => {
            for _ in 0..options.connections.unwrap_or(4) {
                let stream = TcpStream::connect(addr).await?;
                let (requests, connection) = client::handshake(stream).await?;
                // What ends it fails the requests too.
                tokio::spawn(connection);
                let streams = (0..options.streams.unwrap_or(16)).map(|_| requests.clone());
                askers.extend(streams.map(Asker::H2));
            }
        }
        "tls" => {
            let connector = TlsConnector::from(tls::client()?);
            for _ in 0..options.connections.unwrap_or(64) {
                let stream = TcpStream::connect(addr).await?;
                let stream = connector.connect(ServerName::try_from(tls::NAME)?, stream).await?;
                askers.push(Asker::Tls(Box::new(stream)));
            }
        }
        other => return Err(failure(format!("no protocol {other:?}: h2 or tls"))),
    }
    Ok(askers)
}

/// Asks exactly `requests` times, all askers at once, and returns when all are answered.
async fn ask(askers: &mut Vec<Asker>, requests: u64) -> Result<(), Error> {
    let unsent = Arc::new(AtomicU64::new(requests));
    let tasks: Vec<_> =
        askers.drain(..).map(|asker| tokio::spawn(ask_on(asker, unsent.clone()))).collect();
    for task in tasks {
        askers.push(task.await??);
    }
    Ok(())
}

/// Asks as long as there is something to ask.
async fn ask_on(mut asker: Asker, unsent: Arc<AtomicU64>) -> Result<Asker, Error> {
    let take = || {
        let less_one = |unsent: u64| unsent.checked_sub(1);
        unsent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less_one).is_ok()
    };
    while take() {
        timeout(PATIENCE, asker.ask()).await.map_err(|_| failure("no answer"))??;
    }
    Ok(asker)
}

impl Asker {
    /// Asks once, and checks the answer.
    async fn ask(&mut self) -> Result<(), Error> {
        match self {
            Asker::H2(requests) => ask_h2(requests).await,
            Asker::Tls(stream) => ask_tls(stream).await,
        }
    }
}

async fn ask_h2(requests: &mut SendRequest<Bytes>) -> Result<(), Error> {
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

async fn ask_tls(stream: &mut TlsStream<TcpStream>) -> Result<(), Error> {
    stream.write_all(&ECHO).await?;
    stream.flush().await?;
    let mut answer = [0; ECHO.len()];
    stream.read_exact(&mut answer).await?;
    if answer == ECHO { Ok(()) } else { Err(failure("the echo differs from what was sent")) }
}

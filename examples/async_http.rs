//! HTTP whose requests are answered by worker threads, for work that would hold a poller up.
//!
//! ```text
//! cargo run --example async_http
//! curl http://127.0.0.1:8080/sleep/500 http://127.0.0.1:8080/quick
//! ```
//!
//! A task serves each connection. It gives a request to the workers with the sender of a oneshot channel,
//! and awaits the answer; meanwhile its poller serves others. The next request of the connection is
//! read after that. So answers come in the order of the requests, a client that asks for much has one
//! worker at a time, and one that does not read its answers is not read from either.

use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, available_parallelism};
use std::time::Duration;
use std::{io, pin::pin};

use clap::Parser;
use corepoll::{Deadlines, Reactor, net::TcpStream, shutdown_requested, time};
use futures::AsyncWriteExt;
use futures::channel::oneshot;
use futures::future::{Either, select};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The longest head of a request.
const LONGEST_HEAD: usize = 8 * 1024;

fn main() -> ExitCode {
    let Err(error) = run(Options::parse()) else { return ExitCode::SUCCESS };
    eprintln!("async_http: {error}");
    ExitCode::FAILURE
}

fn run(Options { addr, pollers, workers, patience }: Options) -> io::Result<()> {
    let patience = Duration::from_millis(patience.get());
    let reactor = Reactor::builder().pollers(pollers.get()).build()?;

    // The first signal gives the connections five seconds to end, a second one no time at all.
    let (stop, mut signals) = (reactor.handle(), Signals::new([SIGINT, SIGTERM])?);
    thread::spawn(move || {
        for (_signal, grace) in signals.forever().zip([Duration::from_secs(5), Duration::ZERO]) {
            stop.shutdown(grace);
        }
    });

    let (queue, jobs) = mpsc::channel::<Job>();
    let jobs = Arc::new(Mutex::new(jobs));
    for number in 0..workers.get() {
        let jobs = jobs.clone();
        let worker = move || {
            let next = || jobs.lock().expect("no worker panics").recv();
            while let Ok(Job { path, answer }) = next() {
                let _ = answer.send(work(&path)); // wakes the task, unless it has ended
            }
        };
        thread::Builder::new().name(format!("worker {number}")).spawn(worker)?;
    }

    let begin = move |stream, _peer| serve(stream, queue.clone(), patience);
    let listening = reactor.handle().serve(addr, begin)?;
    println!("listening on {}", listening.local_addr()?);
    reactor.run()
}

/// What a worker gets.
struct Job {
    path: String,
    answer: oneshot::Sender<String>,
}

/// The work: here it is to sleep, in place of a database or of much arithmetic.
fn work(path: &str) -> String {
    if let Some(Ok(millis)) = path.strip_prefix("/sleep/").map(str::parse) {
        thread::sleep(Duration::from_millis(millis).min(Duration::from_secs(10)));
    }
    format!("{path} by {}\n", thread::current().name().unwrap_or_default())
}

/// Serves one connection.
async fn serve(
    mut stream: TcpStream,
    queue: mpsc::Sender<Job>,
    patience: Duration,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_deadlines(Deadlines { write: Some(patience), ..Deadlines::default() });
    let mut input = Vec::new();
    let mut shutdown = pin!(shutdown_requested());
    loop {
        let reading = pin!(time::timeout(patience, read_request(&stream, &mut input)));
        let request = match select(reading, &mut shutdown).await {
            Either::Left((Ok(request), _)) => request?,
            Either::Left((Err(_elapsed), _)) => Some(Request::refused("408 Request Timeout")),
            Either::Right(_) => None,
        };
        let Some(request) = request else { break };
        let (status, content) = match request.path {
            Ok(path) => {
                let (answer, answered) = oneshot::channel();
                queue.send(Job { path, answer }).expect("the workers wait for jobs");
                ("200 OK", answered.await.expect("no worker panics"))
            }
            Err(status) => (status, String::new()),
        };
        let close = if request.is_last { "Connection: close\r\n" } else { "" };
        let length = content.len();
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{close}\r\n");
        let content = if request.is_head { "" } else { &content };
        (&stream).write_all((head + content).as_bytes()).await?;
        if request.is_last {
            break;
        }
    }
    // Closing a socket that holds unread bytes resets the connection, which destroys an answer on its
    // way (RFC 9112, section 9.6). So what the client still sends is read, for a while.
    stream.close().await?;
    let rest = async { while stream.read_chunk().await.is_ok_and(|chunk| !chunk.is_empty()) {} };
    let _ = time::timeout(Duration::from_secs(2), rest).await;
    Ok(())
}

/// Takes the next request out of `input`, and reads until it is whole. Returns `None` at the end.
async fn read_request(stream: &TcpStream, input: &mut Vec<u8>) -> io::Result<Option<Request>> {
    loop {
        if let Some(request) = Request::parse(input) {
            input.drain(..request.length);
            return Ok(Some(request));
        }
        let chunk = stream.read_chunk().await?;
        if chunk.is_empty() {
            return Ok(None);
        }
        input.extend_from_slice(&chunk);
    }
}

/// A request, as far as this server looks at it.
struct Request {
    length: usize,
    /// What is asked for, or the status that refuses it.
    path: Result<String, &'static str>,
    is_head: bool,
    /// The connection ends after the answer.
    is_last: bool,
}

impl Request {
    fn refused(status: &'static str) -> Request {
        Request { length: 0, path: Err(status), is_head: false, is_last: true }
    }

    /// Parses the request that `bytes` begin with. Returns `None` if it is not whole.
    fn parse(bytes: &[u8]) -> Option<Request> {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut fields);
        let length = match request.parse(bytes) {
            Ok(httparse::Status::Complete(length)) if length <= LONGEST_HEAD => length,
            Ok(httparse::Status::Partial) if bytes.len() < LONGEST_HEAD => return None,
            Ok(_) => return Some(Request::refused("431 Request Header Fields Too Large")),
            Err(_) => return Some(Request::refused("400 Bad Request")),
        };
        let has = |name: &str, is: fn(&[u8]) -> bool| {
            let mut named = request.headers.iter().filter(|it| it.name.eq_ignore_ascii_case(name));
            named.any(|field| is(field.value))
        };
        // Bodies are not read, and without the end of one the next request cannot be found.
        if has("Content-Length", |length| length != b"0") || has("Transfer-Encoding", |_| true) {
            return Some(Request::refused("413 Content Too Large"));
        }
        let closes = has("Connection", |option| option.eq_ignore_ascii_case(b"close"));
        let path = match request.method {
            Some("GET" | "HEAD") => Ok(request.path.unwrap_or_default().to_owned()),
            _ => Err("405 Method Not Allowed\r\nAllow: GET, HEAD"),
        };
        let is_head = request.method == Some("HEAD");
        Some(Request { length, path, is_head, is_last: closes || request.version == Some(0) })
    }
}

/// Answers HTTP by worker threads; /sleep/N takes N milliseconds
#[derive(Parser)]
struct Options {
    /// The address to listen on; port 0 takes a free port
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// The number of pollers, each a thread; by default one for each processor
    #[arg(long, default_value_t = available_parallelism().unwrap_or(NonZeroUsize::MIN))]
    pollers: NonZeroUsize,
    /// The number of threads that answer
    #[arg(long, default_value = "4")]
    workers: NonZeroUsize,
    /// The milliseconds that a client may take for a request, and to read some of what it is sent
    #[arg(long, value_name = "MS", default_value = "60000")]
    patience: NonZeroU64,
}

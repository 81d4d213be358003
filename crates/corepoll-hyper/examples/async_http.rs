//! HTTP whose requests are answered by worker threads, for work that would hold a poller up.
//!
//! ```text
//! cargo run -p corepoll-hyper --example async_http
//! curl http://127.0.0.1:8080/sleep/500 http://127.0.0.1:8080/quick
//! ```
//!
//! A request goes to the workers with the sender of a oneshot channel, and its future awaits the answer;
//! meanwhile the poller serves others. By HTTP/1 the next request of a connection is read after that. So
//! answers come in the order of the requests, a client that asks for much has one worker at a time, and one
//! that does not read its answers is not read from either.

use std::io;
use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, available_parallelism};
use std::time::Duration;

use clap::Parser;
use corepoll::{Reactor, signal::Signal};
use corepoll_hyper::Server;
use futures::channel::oneshot;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, header::ALLOW, service::service_fn};

fn main() -> ExitCode {
    let Err(error) = run(Options::parse()) else { return ExitCode::SUCCESS };
    eprintln!("async_http: {error}");
    ExitCode::FAILURE
}

fn run(Options { addr, pollers, workers, patience }: Options) -> io::Result<()> {
    let patience = Duration::from_millis(patience.get());
    let reactor = Reactor::builder().pollers(pollers.get()).build()?;
    let queue = start_workers(workers)?;

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

    let listening = Server::new()
        .header_timeout(patience)
        .write_timeout(patience)
        .max_header_size(8 * 1024)
        .http2(|http2| {
            http2.max_concurrent_streams(1); // as by HTTP/1
        })
        .serve(
            &reactor.handle(),
            addr,
            service_fn(move |request| answer(queue.clone(), request)),
        )?;
    println!("listening on {}", listening.local_addr()?);
    reactor.run()
}

/// What a worker gets.
struct Job {
    path: String,
    answer: oneshot::Sender<String>,
}

/// Starts the workers. They end when nothing can send them jobs any more.
fn start_workers(workers: NonZeroUsize) -> io::Result<mpsc::Sender<Job>> {
    let (queue, jobs) = mpsc::channel::<Job>();
    let jobs = Arc::new(Mutex::new(jobs));
    for number in 0..workers.get() {
        let jobs = jobs.clone();
        let worker = move || {
            let next = || jobs.lock().expect("no worker panics").recv();
            while let Ok(Job { path, answer }) = next() {
                let _ = answer.send(work(&path)); // wakes the future, unless it has ended
            }
        };
        thread::Builder::new().name(format!("worker {number}")).spawn(worker)?;
    }
    Ok(queue)
}

/// The work: here it is to sleep, in place of a database or of much arithmetic.
fn work(path: &str) -> String {
    if let Some(Ok(millis)) = path.strip_prefix("/sleep/").map(str::parse) {
        thread::sleep(Duration::from_millis(millis).min(Duration::from_secs(10)));
    }
    format!("{path} by {}\n", thread::current().name().unwrap_or_default())
}

/// Answers one request.
async fn answer(
    queue: mpsc::Sender<Job>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let refusal = Response::builder().status(405).header(ALLOW, "GET, HEAD");
        return refusal.body(Full::default());
    }
    let (answer, answered) = oneshot::channel();
    let path = request.uri().path().to_owned();
    queue.send(Job { path, answer }).expect("the workers wait for jobs");
    let content = answered.await.expect("no worker panics");
    Ok(Response::new(content.into()))
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

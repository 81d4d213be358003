//! How long does a busy task delay its neighbours? corepoll's poller and tokio's current-thread
//! runtime are measured in turn, in one run.
//!
//! ```sh
//! cargo bench --bench fairness
//! ```
//!
//! Absolute times say little on a shared machine: compare the two columns.

mod corepoll;
mod tokio;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long the neighbour computes in each poll.
const COMPUTING: Duration = Duration::from_millis(1);

/// What the sleep and the timeout ask for.
const SLEEP: Duration = Duration::from_millis(5);
const TIMEOUT: Duration = Duration::from_millis(50);

/// Between two requests of the echo.
const PAUSE: Duration = Duration::from_millis(2);

/// The sizes by which the flooded task reads.
const SIZES: [usize; 4] = [16, 256, 4096, 65536];

/// One of the two, as functions that run to their end on the calling thread.
struct Runtime {
    name: &'static str,
    /// A sleep of [`SLEEP`] beside a task that computes and yields: how long it took.
    sleep: fn() -> Duration,
    /// A timeout of [`TIMEOUT`] around a socket that sends to itself and is always ready.
    timeout: fn() -> Duration,
    /// Reads the first connection by so many bytes, and echoes the second by 4, until both end.
    serve: fn(TcpStream, usize, TcpStream),
}

const RUNTIMES: [Runtime; 2] = [corepoll::RUNTIME, tokio::RUNTIME];

fn main() {
    // `cargo bench -- --test` asks whether it runs.
    let is_test = std::env::args().any(|argument| argument == "--test");
    let rounds = if is_test { 1 } else { 10 };
    let requests = if is_test { 10 } else { 150 };
    let names = RUNTIMES.map(|runtime| runtime.name);
    println!("{:<44}{:>16}{:>16}", "median / 99th of a hundred, ms", names[0], names[1]);
    row("sleep of 5 ms beside polls of 1 ms", rounds, |runtime| vec![(runtime.sleep)()]);
    row("timeout of 50 ms around ready datagrams", rounds, |runtime| vec![(runtime.timeout)()]);
    for size in SIZES {
        let what = format!("echo beside a flood that is read by {size}");
        row(&what, rounds.min(4), |runtime| flooded_echo(runtime, size, requests));
    }
}

/// Measures both in turn, and prints what came out.
fn row(what: &str, rounds: usize, measure: impl Fn(&Runtime) -> Vec<Duration>) {
    let mut times = RUNTIMES.map(|_| Vec::new());
    for _ in 0..rounds {
        for (runtime, times) in RUNTIMES.iter().zip(&mut times) {
            times.extend(measure(runtime));
        }
    }
    let cells = times.map(|mut times| {
        times.sort();
        let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
        format!("{:.2} / {:.2}", milliseconds(at(50)), milliseconds(at(99)))
    });
    println!("{what:<44}{:>16}{:>16}", cells[0], cells[1]);
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The times of echoes on one connection, while another one is flooded.
fn flooded_echo(runtime: &Runtime, size: usize, requests: usize) -> Vec<Duration> {
    let ((flooded, source), (echoing, mut client)) = (pair(), pair());
    let is_over = Arc::new(AtomicBool::new(false));
    let flooding = thread::spawn({
        let is_over = is_over.clone();
        move || flood(source, &is_over)
    });
    let (ask, asked) = mpsc::channel();
    let asking = thread::spawn(move || {
        let mut times = Vec::new();
        for _ in 0..requests {
            thread::sleep(PAUSE);
            let start = Instant::now();
            client.write_all(b"ping").expect("it is read");
            client.read_exact(&mut [0; 4]).expect("it is answered");
            times.push(start.elapsed());
        }
        is_over.store(true, Ordering::Relaxed);
        drop(client);
        ask.send(times).expect("the main thread waits");
    });
    (runtime.serve)(flooded, size, echoing);
    asking.join().expect("it has its answers");
    flooding.join().expect("it only writes");
    asked.recv().expect("they were sent")
}

/// Writes as fast as it is read.
fn flood(mut source: TcpStream, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) && source.write_all(&[7; 65536]).is_ok() {}
}

/// Two ends of a connection.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let addr: SocketAddr = listener.local_addr().expect("it is bound");
    let near = TcpStream::connect(addr).expect("it listens");
    let (far, _) = listener.accept().expect("one has connected");
    for end in [&near, &far] {
        end.set_nodelay(true).expect("a TCP socket");
    }
    (near, far)
}

/// Computes for as long as a neighbour of the sleep does.
fn compute() {
    let start = Instant::now();
    while start.elapsed() < COMPUTING {
        std::hint::spin_loop();
    }
}

//! A counter that three hosts keep, with a planted fault, and the simulation that finds it.
//!
//! ```text
//! cargo run --features sim --example replicated_counter
//! cargo run --features sim --example replicated_counter -- --seed 7 --trace
//! cargo run --features sim --example replicated_counter -- --mended
//! ```
//!
//! A client adds some times at host `one`, which passes each addition on to `two` and `three`. A
//! request that is not answered, as its connection was reset, is sent again. But it may have been
//! counted: only the answer was lost. So a host counts it twice, now and then. The mended counter
//! knows the numbers of the requests that it has counted.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use clap::Parser;
use corepoll::net::{TcpListener, TcpStream};
use corepoll::sim::{self, Failure, Faults, Simulation};
use corepoll::{spawn_local, time};
use futures::io::BufReader;
use futures::{AsyncBufReadExt, AsyncWriteExt};

/// The hosts. The first one is asked, and passes on what it is told.
const HOSTS: [&str; 3] = ["one", "two", "three"];

/// What a host has counted.
#[derive(Default)]
struct Counter {
    value: u64,
    /// The numbers of the requests that were counted, if the counter is mended.
    known: BTreeSet<String>,
}

impl Counter {
    fn add(&mut self, request: &str, mended: bool) {
        if !mended || self.known.insert(request.to_owned()) {
            self.value += 1;
        }
    }
}

/// Serves the counter of a host.
async fn serve(host: &'static str, mended: bool) -> io::Result<()> {
    let counter = Rc::new(RefCell::new(Counter::default()));
    let listener = TcpListener::bind("0.0.0.0:700").await?;
    loop {
        let (stream, _peer) = listener.accept().await?;
        let counter = counter.clone();
        spawn_local(async move {
            let mut lines = BufReader::new(&stream);
            let mut line = String::new();
            while lines.read_line(&mut line).await? > 0 {
                let value = answer(host, line.trim_end(), &counter, mended).await;
                (&stream).write_all(format!("{value}\n").as_bytes()).await?;
                line.clear();
            }
            io::Result::Ok(())
        });
    }
}

/// Does what a request says, and returns the value of the counter.
async fn answer(host: &str, request: &str, counter: &RefCell<Counter>, mended: bool) -> u64 {
    if let Some(number) = request.strip_prefix("add ") {
        counter.borrow_mut().add(number, mended);
        sim::control().note(format!("counts {number}: {}", counter.borrow().value));
        for other in HOSTS.iter().filter(|_| host == HOSTS[0]).skip(1) {
            ask(other, request).await;
        }
    }
    counter.borrow().value
}

/// Asks a host until it answers.
async fn ask(host: &str, request: &str) -> String {
    loop {
        match time::timeout(Duration::from_secs(5), ask_once(host, request)).await {
            Ok(Ok(answer)) => return answer,
            Ok(Err(_)) | Err(_) => time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn ask_once(host: &str, request: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect((host, 700)).await?;
    stream.write_all(format!("{request}\n").as_bytes()).await?;
    let mut answer = String::new();
    match BufReader::new(&mut stream).read_line(&mut answer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(answer.trim_end().to_owned()),
    }
}

/// Adds some times, and asks all hosts what they have counted.
async fn client(additions: u64) -> io::Result<()> {
    for number in 1..=additions {
        ask(HOSTS[0], &format!("add {number}")).await;
    }
    for host in HOSTS {
        let value = ask(host, "value").await;
        if value != additions.to_string() {
            return Err(io::Error::other(format!("{host} has counted {value} of {additions}")));
        }
    }
    Ok(())
}

/// The test: whatever the network does, all hosts count the same in the end.
fn test(sim: &mut Simulation, mended: bool, additions: u64) -> Result<(), Failure> {
    for host in HOSTS {
        sim.host(host, move || serve(host, mended));
    }
    sim.client("client", client(additions));
    sim.run()
}

/// What the network does.
fn faults() -> Faults {
    let (ms, seconds) = (Duration::from_millis, Duration::from_secs);
    let faults = Faults::default().latency(ms(1)..ms(50)).drop(0.01).reset(0.01).short_io(0.1);
    faults.partition("one", "three", seconds(1)..seconds(3)).slow(
        "one",
        "two",
        ms(100)..ms(300),
        seconds(2)..seconds(4),
    )
}

fn main() -> ExitCode {
    let Options { seeds, seed, mended, additions, trace, svg } = Options::parse();
    let (seed, faults) = match seed {
        Some(seed) => (seed, faults()),
        None => match sim::search(0..seeds, faults(), |sim| test(sim, mended, additions)) {
            Ok(()) => {
                println!("{seeds} seeds, and no failure");
                return ExitCode::SUCCESS;
            }
            Err(found) => {
                println!("found by seed {}: {found}", found.first_seed);
                (found.failure.seed, found.faults)
            }
        },
    };
    // The same seed and the same faults: the same run.
    let mut sim = Simulation::new(seed);
    sim.keep_trace();
    sim.faults(faults);
    match test(&mut sim, mended, additions) {
        Ok(()) => println!("seed {seed}: no failure"),
        Err(failure) => println!("replayed: {failure}"),
    }
    if trace {
        sim.trace().iter().for_each(|line| println!("{line}"));
    }
    match svg.map(|path| std::fs::write(path, sim.trace_svg())) {
        Some(Err(error)) => {
            eprintln!("replicated_counter: {error}");
            ExitCode::FAILURE
        }
        Some(Ok(())) | None => ExitCode::SUCCESS,
    }
}

/// Lets a simulation find a fault of a replicated counter.
#[derive(Parser)]
struct Options {
    /// How many seeds are tried.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// Run by this seed alone, with all faults.
    #[arg(long)]
    seed: Option<u64>,
    /// Let the counter know what it has counted.
    #[arg(long)]
    mended: bool,
    /// How often the client adds.
    #[arg(long, default_value_t = 10)]
    additions: u64,
    /// Print the trace of the last run.
    #[arg(long)]
    trace: bool,
    /// Write a picture of the last run to this file.
    #[arg(long)]
    svg: Option<PathBuf>,
}

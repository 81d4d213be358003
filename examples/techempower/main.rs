//! An HTTP server for the `/plaintext` and `/json` tests of the TechEmpower framework benchmarks.
//!
//! ```text
//! cargo run --release --example techempower
//! curl -i http://127.0.0.1:8080/json
//! ```
//!
//! The same HTTP code is driven by a handler for each connection or by a task for each: `--api`
//! chooses. It is written by hand because the benchmark counts every instruction; a server of your own
//! is better off with a library, such as hyper, with corepoll-hyper.
//!
//! - `http/`: HTTP/1.1 without any I/O, bytes in and bytes out.
//! - `handler.rs` and `task.rs`: the two ways to drive it.
//! - `poller_cache.rs`: what the connections of a poller share, without a lock.

mod handler;
mod http;
mod lingering;
mod poller_cache;
mod task;

use std::io;
use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::process::ExitCode;
use std::thread::{self, available_parallelism};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use corepoll::{Acceptor, Reactor, spawn_local};
use handler::HttpHandler;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

fn main() -> ExitCode {
    let Err(error) = run(Options::parse()) else { return ExitCode::SUCCESS };
    eprintln!("techempower: {error}");
    ExitCode::FAILURE
}

fn run(Options { addr, pollers, api, patience, grace }: Options) -> io::Result<()> {
    let patience = Duration::from_millis(patience.get());
    let reactor = Reactor::builder().pollers(pollers.get()).build()?;
    let handle = reactor.handle();

    // The first signal gives the connections some time to end, a second one no time at all.
    let (stop, mut signals) = (reactor.handle(), Signals::new([SIGINT, SIGTERM])?);
    let graces = [Duration::from_millis(grace), Duration::ZERO];
    thread::spawn(move || {
        for (_signal, grace) in signals.forever().zip(graces) {
            stop.shutdown(grace);
        }
    });

    // A task on each poller keeps its Date field fresh. It ends by itself at the shutdown.
    handle.broadcast(|| drop(spawn_local(poller_cache::keep_date_fresh())));

    let acceptor = Acceptor::new(addr);
    let listening = match api {
        Api::Handler => acceptor.listen(&handle, move || HttpHandler::new(patience))?,
        Api::Async => {
            acceptor.serve(&handle, move |stream, _peer| task::serve(stream, patience))?
        }
    };
    println!("listening on {}", listening.local_addr()?);
    reactor.run()
}

/// Answers GET and HEAD of /plaintext and /json by the TechEmpower rules
#[derive(Parser)]
struct Options {
    /// The address to listen on; port 0 takes a free port
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// The number of pollers, each a thread; by default one for each processor
    #[arg(long, default_value_t = available_parallelism().unwrap_or(NonZeroUsize::MIN))]
    pollers: NonZeroUsize,
    /// What serves a connection
    #[arg(long, default_value = "handler")]
    api: Api,
    /// The milliseconds that a client may take to have a request answered
    #[arg(long, value_name = "MS", default_value = "60000")]
    patience: NonZeroU64,
    /// The milliseconds that requests under way may take to end after the first signal
    #[arg(long, value_name = "MS", default_value = "5000")]
    grace: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Api {
    Handler,
    Async,
}

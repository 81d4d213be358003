//! Which poller serves? Each has a listener of its own on one port (SO_REUSEPORT, socket(7)), and the
//! answer to an HTTP request names the poller that gives it.
//!
//! ```text
//! cargo run --example reuseport -- --pollers 4
//! for n in 1 2 3 4 5 6 7 8; do curl http://127.0.0.1:8080/; done
//! ```
//!
//! The kernel chooses the listener by a hash of the addresses and ports, so a few connections may well
//! come to the same poller. With `--balance least` (the library's default) each goes to the poller that
//! has the fewest, and with `--balance turn` to the next one.

use std::io;
use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, available_parallelism};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use corepoll::{Acceptor, Action, Balance, EvContext, EvHandler, Reactor, TimerId, with_local};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The longest head of a request that is read.
const LONGEST_HEAD: usize = 8 * 1024;

fn main() -> ExitCode {
    let Err(error) = run(Options::parse()) else { return ExitCode::SUCCESS };
    eprintln!("reuseport: {error}");
    ExitCode::FAILURE
}

fn run(Options { addr, pollers, balance, patience }: Options) -> io::Result<()> {
    let patience = Duration::from_millis(patience.get());
    let reactor = Reactor::builder().pollers(pollers.get()).build()?;
    let handle = reactor.handle();

    // The first signal gives the connections five seconds to end, a second one no time at all.
    let (stop, mut signals) = (reactor.handle(), Signals::new([SIGINT, SIGTERM])?);
    thread::spawn(move || {
        for (_signal, grace) in signals.forever().zip([Duration::from_secs(5), Duration::ZERO]) {
            stop.shutdown(grace);
        }
    });

    // A broadcast runs once on every poller, before that poller serves anything: each takes a number.
    let next = Arc::new(AtomicUsize::new(0));
    handle.broadcast(move || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        with_local(|facts: &mut Facts| facts.number = number);
    });

    let listening = Acceptor::new(addr)
        .reuse_port(true)
        .balance(match balance {
            How::Kernel => Balance::Local,
            How::Least => Balance::LeastLoaded,
            How::Turn => Balance::RoundRobin,
        })
        .listen(&handle, move || WhichPoller { patience, head: Vec::new() })?;
    println!("listening on {}", listening.local_addr()?);
    reactor.run()
}

/// What a poller knows about itself. Each poller has its own value of this type, which only its thread
/// touches: no lock, and no atomic.
#[derive(Default)]
struct Facts {
    number: usize,
    answered: u64,
}

/// A connection: one request, one answer, and then the end.
struct WhichPoller {
    patience: Duration,
    /// What has come of the request's head.
    head: Vec<u8>,
}

impl EvHandler for WhichPoller {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_timer(self.patience);
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let chunk = cx.read()?;
        self.head.extend_from_slice(&chunk);
        let mut fields = [httparse::EMPTY_HEADER; 64];
        match httparse::Request::new(&mut fields).parse(&self.head) {
            Ok(httparse::Status::Complete(_)) => {}
            // A head may come in any number of pieces.
            Ok(_) if !chunk.is_empty() && self.head.len() < LONGEST_HEAD => {
                return Ok(Action::Keep);
            }
            _ => return Ok(Action::Close),
        }
        let answer = cx.with_local(|facts: &mut Facts| {
            facts.answered += 1;
            format!("poller {}, answer {}\n", facts.number, facts.answered)
        });
        let length = answer.len();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        cx.write((head + &answer).as_bytes())?;
        Ok(Action::Close)
    }

    fn on_timeout(&mut self, _: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        Ok(Action::Close) // the client has not asked in time
    }
}

/// Answers HTTP with the number of the poller that serves
#[derive(Parser)]
struct Options {
    /// The address to listen on; port 0 takes a free port
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// The number of pollers, each a thread; by default one for each processor
    #[arg(long, default_value_t = available_parallelism().unwrap_or(NonZeroUsize::MIN))]
    pollers: NonZeroUsize,
    /// Which poller gets a connection
    #[arg(long, default_value = "kernel")]
    balance: How,
    /// The milliseconds that a client may take to ask
    #[arg(long, value_name = "MS", default_value = "60000")]
    patience: NonZeroU64,
}

#[derive(Clone, Copy, ValueEnum)]
enum How {
    /// The one whose listener the kernel has chosen
    Kernel,
    /// The one that has the fewest connections
    Least,
    /// The next one
    Turn,
}

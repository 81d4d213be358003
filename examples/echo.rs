//! An echo server: sends back every byte that it is sent, until the peer ends its side.
//!
//! ```text
//! cargo run --example echo                      # a handler for each connection
//! cargo run --example echo -- --api async       # a task for each connection
//! nc 127.0.0.1 8080                             # type a line; end with Ctrl-D
//! ```
//!
//! Both APIs do the same here. A peer that sends without reading is held back, a peer that has ended
//! its side gets the rest of its bytes, and a connection on which nothing moves is closed.

use std::num::{NonZeroU64, NonZeroUsize};
use std::thread::{self, available_parallelism};
use std::{io, net::SocketAddr, pin::pin, process::ExitCode, time::Duration};

use clap::{Parser, ValueEnum};
use corepoll::{Acceptor, Action, Deadlines, EvContext, EvHandler, Interest, Reactor};
use corepoll::{net::TcpStream, shutdown_requested};
use futures::{AsyncWriteExt, future::Either, future::select};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

fn main() -> ExitCode {
    let Err(error) = run(Options::parse()) else { return ExitCode::SUCCESS };
    eprintln!("echo: {error}");
    ExitCode::FAILURE
}

fn run(Options { addr, pollers, api, patience }: Options) -> io::Result<()> {
    let reactor = Reactor::builder().pollers(pollers.get()).build()?;
    let handle = reactor.handle();

    // The first signal gives the connections five seconds to end, a second one no time at all.
    let (stop, mut signals) = (reactor.handle(), Signals::new([SIGINT, SIGTERM])?);
    thread::spawn(move || {
        for (_signal, grace) in signals.forever().zip([Duration::from_secs(5), Duration::ZERO]) {
            stop.shutdown(grace);
        }
    });

    let idle = Some(Duration::from_millis(patience.get()));
    let deadlines = Deadlines { idle, ..Deadlines::default() };
    let acceptor = Acceptor::new(addr);
    let listening = match api {
        Api::Handler => acceptor.listen(&handle, move || Echo(deadlines))?,
        Api::Async => acceptor.serve(&handle, move |stream, _peer| echo(stream, deadlines))?,
    };
    println!("listening on {}", listening.local_addr()?);
    reactor.run()
}

/// The callback API: a value for each connection. Its poller calls it.
struct Echo(Deadlines);

impl EvHandler for Echo {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_deadlines(self.0)?;
        cx.set_watermarks(64 * 1024, 256 * 1024); // bytes of queued output: low and high
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let chunk = cx.read()?; // the poller's own buffer, lent: nothing is copied
        if chunk.is_empty() {
            return Ok(Action::Close); // the peer has ended its side: sends the rest, then ends ours
        }
        cx.write(&chunk)?; // sends at once, and queues what the kernel does not take
        Ok(Action::Keep)
    }

    fn on_write_high(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_interest(Interest::NONE)?; // the peer does not read, so it is not read from either
        Ok(Action::Keep)
    }

    fn on_write_low(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_interest(Interest::READABLE)?;
        Ok(Action::Keep)
    }
}

/// The async API: a future for each connection. Its poller polls it.
async fn echo(mut stream: TcpStream, deadlines: Deadlines) -> io::Result<()> {
    stream.set_deadlines(deadlines);
    let mut shutdown = pin!(shutdown_requested()); // ends the wait for a peer that is idle
    while let Either::Left((chunk, _)) = select(stream.read_chunk(), &mut shutdown).await {
        let chunk = chunk?;
        if chunk.is_empty() {
            break;
        }
        (&stream).write_all(&chunk).await?; // waits for the peer: nothing is read meanwhile
    }
    stream.close().await
}

/// Sends back every byte that it is sent
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
    /// The milliseconds without a byte after which a connection is closed
    #[arg(long, value_name = "MS", default_value = "60000")]
    patience: NonZeroU64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Api {
    Handler,
    Async,
}

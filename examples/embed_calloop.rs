//! A corepoll poller inside of a calloop event loop, on one thread: for a desktop program that wants
//! sockets and futures beside its windows.
//!
//! ```text
//! cargo run --example embed_calloop
//! ```
//!
//! A `LocalPoller` has no thread. Its descriptor is readable whenever it wants a turn, so calloop watches
//! that one descriptor. Here the poller serves an echo, calloop has a timer of its own, and a thread is
//! the client; all end after a few requests.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use calloop::generic::Generic;
use calloop::timer::{TimeoutAction, Timer};
use calloop::{EventLoop, Interest, Mode, PostAction};
use clap::Parser;
use corepoll::{LocalPoller, net, time};
use futures::{AsyncWriteExt, FutureExt};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// What calloop's callbacks share.
struct Program {
    poller: LocalPoller,
    /// The ticks of calloop's timer so far.
    ticks: u32,
}

fn main() -> ExitCode {
    let Err(error) = run(Options::parse()) else { return ExitCode::SUCCESS };
    eprintln!("embed_calloop: {error}");
    ExitCode::FAILURE
}

fn run(Options { addr, requests }: Options) -> io::Result<()> {
    let mut event_loop: EventLoop<'_, Program> = EventLoop::try_new()?;
    let mut program = Program { poller: LocalPoller::new()?, ticks: 0 };

    // The poller: a copy of its descriptor, which stands for the same epoll instance.
    let watched = program.poller.as_fd().try_clone_to_owned()?;
    let source = Generic::new(watched, Interest::READ, Mode::Level);
    let turn = |_, _: &mut _, program: &mut Program| {
        program.poller.turn(Some(Duration::ZERO))?; // never waits: calloop does that
        Ok(PostAction::Continue)
    };
    event_loop.handle().insert_source(source, turn).map_err(|error| error.error)?;

    // Something of calloop's own beside it.
    let millisecond = Duration::from_millis(1);
    let tick = move |_, (): &mut (), program: &mut Program| {
        program.ticks += 1;
        TimeoutAction::ToDuration(millisecond)
    };
    let timer = Timer::from_duration(millisecond);
    event_loop.handle().insert_source(timer, tick).map_err(|error| error.error)?;

    let (is_asked_to_end, mut signals) =
        (Arc::new(AtomicBool::new(false)), Signals::new([SIGINT, SIGTERM])?);
    let (ask_to_end, wake) = (is_asked_to_end.clone(), event_loop.get_signal());
    thread::spawn(move || {
        signals.forever().next();
        ask_to_end.store(true, Ordering::Relaxed);
        wake.wakeup();
    });

    let listener = std::net::TcpListener::bind(addr)?;
    let addr = listener.local_addr()?;
    println!("listening on {addr}");
    let server = program.poller.spawn_local(serve(listener));
    let client = thread::spawn(move || ask(addr, requests));

    let stop = event_loop.get_signal();
    event_loop.run(None, &mut program, |_program| {
        // Not stopped by the thread above, as `run` forgets a stop that came before it.
        if server.is_finished() || is_asked_to_end.load(Ordering::Relaxed) {
            stop.stop();
        }
    })?;
    // There is no output if a signal came first.
    if let Some(answered) = server.now_or_never() {
        client.join().expect("the client does not panic")?;
        let (answered, ticks) = (answered??, program.ticks);
        println!("the poller has answered {answered} requests; calloop has ticked {ticks} times");
    }
    Ok(())
}

/// The server, a task of the poller's: one connection. Returns the number of its requests.
async fn serve(listener: std::net::TcpListener) -> io::Result<u32> {
    let (stream, _peer) = net::TcpListener::from_std(listener)?.accept().await?;
    let mut answered = 0;
    loop {
        let chunk = stream.read_chunk().await?;
        if chunk.is_empty() {
            return Ok(answered);
        }
        time::sleep(Duration::from_millis(2)).await; // the poller's timers have their part in it
        (&stream).write_all(&chunk).await?;
        answered += 1;
    }
}

/// The client, on a thread.
fn ask(addr: SocketAddr, requests: u32) -> io::Result<()> {
    let mut stream = TcpStream::connect(addr)?;
    for number in 0..requests {
        let request = format!("request {number}");
        stream.write_all(request.as_bytes())?;
        let mut answer = vec![0; request.len()];
        stream.read_exact(&mut answer)?;
        println!("the thread asked, corepoll answered: {}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}

/// A corepoll poller inside of a calloop event loop, as an echo server
#[derive(Parser)]
struct Options {
    /// The address to listen on; port 0 takes a free port
    #[arg(long, default_value = "127.0.0.1:0")]
    addr: SocketAddr,
    /// The number of requests that the client makes before all end
    #[arg(long, default_value = "3", allow_negative_numbers = true)]
    requests: u32,
}

//! A corepoll poller inside of a calloop event loop, on one thread: as in a desktop program that
//! wants sockets and futures beside its windows.
//!
//! The poller serves an echo, calloop has a timer of its own, and a thread is the client. All end
//! after a few requests.

mod common;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use calloop::generic::Generic;
use calloop::timer::{TimeoutAction, Timer};
use calloop::{EventLoop, Interest, Mode, PostAction};
use common::{Arguments, Own};
use corepoll::net::TcpListener;
use corepoll::{LocalPoller, time};
use futures::{AsyncWriteExt, FutureExt};

/// How many requests there are unless told otherwise.
const REQUESTS: u32 = 3;

/// How long the client waits for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// What calloop's callbacks share.
struct Program {
    poller: LocalPoller,
    /// Ticks of calloop's own timer.
    ticks: u32,
}

fn main() -> ExitCode {
    let requests = Own {
        name: "requests",
        value: Some("N"),
        help: "How many requests the client makes before all end [default: 3]",
    };
    let about = "A corepoll poller inside of a calloop event loop, as an echo server.";
    common::run_embedded("embed_calloop", about, &[requests], run)
}

/// The event loop, until the client has what it wants or a signal comes.
fn run(arguments: &Arguments) -> io::Result<()> {
    let requests = arguments.number("requests")?.unwrap_or(REQUESTS);
    let mut event_loop: EventLoop<'_, Program> = EventLoop::try_new()?;
    let mut program = Program { poller: LocalPoller::new()?, ticks: 0 };

    // The poller: another descriptor that is the same epoll instance, watched by level.
    let watched = program.poller.as_fd().try_clone_to_owned()?;
    let source = Generic::new(watched, Interest::READ, Mode::Level);
    let turn = |_, _: &mut _, program: &mut Program| {
        program.poller.turn(Some(Duration::ZERO)).map(|()| PostAction::Continue)
    };
    event_loop.handle().insert_source(source, turn).map_err(|error| error.error)?;

    // Something of calloop's own beside it.
    let beat = Duration::from_millis(1);
    let tick = move |_, (): &mut (), program: &mut Program| {
        program.ticks += 1;
        TimeoutAction::ToDuration(beat)
    };
    let timer = Timer::from_duration(beat);
    event_loop.handle().insert_source(timer, tick).map_err(|error| error.error)?;

    let server = program.poller.spawn_local(serve(arguments.address, requests));
    let (stop, stop_at_signal) = (event_loop.get_signal(), event_loop.get_signal());
    common::on_signal(move || {
        stop_at_signal.stop();
        stop_at_signal.wakeup();
    })?;
    event_loop.run(None, &mut program, |_| {
        if server.is_finished() {
            stop.stop();
        }
    })?;
    // None: a signal came first.
    if let Some(answered) = server.now_or_never() {
        let (answered, ticks) = (answered??, program.ticks);
        common::print(&format!(
            "the poller has answered {answered} requests; calloop has ticked {ticks}\n"
        ))?;
    }
    Ok(())
}

/// The server, in the poller: one connection.
async fn serve(address: SocketAddr, requests: u32) -> io::Result<u32> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    common::announce(address)?;
    let client = thread::spawn(move || ask(address, requests));
    let (stream, _) = listener.accept().await?;
    let mut answered = 0;
    loop {
        let chunk = stream.read_chunk().await?;
        if chunk.is_empty() {
            break;
        }
        // Answers a little later, so that the poller's timers have their part in it.
        time::sleep(Duration::from_millis(2)).await;
        (&stream).write_all(&chunk).await?;
        answered += 1;
    }
    client.join().map_err(|_| io::Error::other("the client panicked"))??;
    Ok(answered)
}

/// The client, on a thread.
fn ask(address: SocketAddr, requests: u32) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    for n in 0..requests {
        let request = format!("request {n}");
        stream.write_all(request.as_bytes())?;
        let mut answer = vec![0; request.len()];
        stream.read_exact(&mut answer)?;
        assert_eq!(answer, request.as_bytes(), "an echo says the same");
        common::print(&format!(
            "the thread asked, corepoll answered: {}\n",
            String::from_utf8_lossy(&answer)
        ))?;
    }
    Ok(())
}

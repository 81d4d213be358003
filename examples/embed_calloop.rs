//! A corepoll poller inside of a calloop event loop, on one thread: as in a desktop program that
//! wants sockets and futures beside its windows.
//!
//! The poller serves an echo, calloop has a timer of its own, and a thread is the client. All end
//! after a few requests.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use calloop::generic::Generic;
use calloop::timer::{TimeoutAction, Timer};
use calloop::{EventLoop, Interest, Mode, PostAction};
use corepoll::net::TcpListener;
use corepoll::{JoinHandle, LocalPoller, time};

const HELP: &str = "\
A corepoll poller inside of a calloop event loop, as an echo server

Usage: embed_calloop [--addr ADDRESS] [--requests N]

  --addr ADDRESS   where the poller listens [default: 127.0.0.1:0]
  --requests N     how many requests the client makes before all end [default: 3]
  --help           this text";

/// How long the client waits for anything.
const PATIENCE: Duration = Duration::from_secs(20);

struct Options {
    addr: SocketAddr,
    requests: u32,
}

/// What calloop's callbacks share.
struct Program {
    poller: LocalPoller,
    /// Ticks of calloop's own timer.
    ticks: u32,
}

fn main() -> io::Result<()> {
    let Some(options) = options().map_err(io::Error::other)? else { return Ok(()) };
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

    let server = program.poller.spawn_local(serve(options));
    let stop = event_loop.get_signal();
    event_loop.run(None, &mut program, |_| {
        if server.is_finished() {
            stop.stop();
        }
    })?;
    let answered = finished(server)?;
    println!("the poller has answered {answered} requests; calloop has ticked {}", program.ticks);
    Ok(())
}

/// The output of a task that has ended.
fn finished(task: JoinHandle<io::Result<u32>>) -> io::Result<u32> {
    futures::FutureExt::now_or_never(task).expect("it is finished")?
}

/// The server, in the poller: one connection.
async fn serve(options: Options) -> io::Result<u32> {
    let listener = TcpListener::bind(options.addr).await?;
    let addr = listener.local_addr()?;
    println!("listening on {addr}");
    let client = thread::spawn(move || ask(addr, options.requests));
    let (stream, _) = listener.accept().await?;
    let mut answered = 0;
    loop {
        let chunk = stream.read_chunk().await?;
        if chunk.is_empty() {
            break;
        }
        // Answers a little later, so that the poller's timers have their part in it.
        time::sleep(Duration::from_millis(2)).await;
        futures::AsyncWriteExt::write_all(&mut &stream, &chunk).await?;
        answered += 1;
    }
    client.join().map_err(|_| io::Error::other("the client panicked"))??;
    Ok(answered)
}

/// The client, on a thread.
fn ask(addr: SocketAddr, requests: u32) -> io::Result<()> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    for n in 0..requests {
        let request = format!("request {n}");
        stream.write_all(request.as_bytes())?;
        let mut answer = vec![0; request.len()];
        stream.read_exact(&mut answer)?;
        assert_eq!(answer, request.as_bytes(), "an echo says the same");
        println!("the thread asked, corepoll answered: {}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}

/// What the command line says; none, if it only asks for help.
fn options() -> Result<Option<Options>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut options = Options { addr: ([127, 0, 0, 1], 0).into(), requests: 3 };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("addr") => options.addr = parser.value()?.parse()?,
            Long("requests") => options.requests = parser.value()?.parse()?,
            Long("help") | Short('h') => {
                println!("{HELP}");
                return Ok(None);
            }
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(options))
}

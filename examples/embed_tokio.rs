//! A corepoll poller inside of a tokio runtime, on one thread: tokio watches one descriptor, and
//! gives the poller a turn whenever it is readable.
//!
//! The poller serves an echo; a task of tokio's is the client. Both end after a few requests.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use corepoll::net::TcpListener;
use corepoll::{LocalPoller, spawn_local, time};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

const HELP: &str = "\
A corepoll poller inside of a tokio current-thread runtime, as an echo server

Usage: embed_tokio [--addr ADDRESS] [--requests N]

  --addr ADDRESS   where the poller listens [default: 127.0.0.1:0]
  --requests N     how many requests tokio's client makes before both end [default: 3]
  --help           this text";

struct Options {
    addr: SocketAddr,
    requests: u32,
}

fn main() -> io::Result<()> {
    let Some(options) = options().map_err(io::Error::other)? else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, run(options))
}

/// Everything: a future of tokio's.
async fn run(options: Options) -> io::Result<()> {
    let poller = LocalPoller::new()?;
    let (tell, hear) = tokio::sync::oneshot::channel();
    let server = poller.spawn_local(serve(options.addr, tell));
    let driver = tokio::task::spawn_local(drive(poller));
    if let Ok(addr) = hear.await {
        println!("listening on {addr}");
        tokio::task::spawn_local(ask(addr, options.requests)).await??;
    }
    // A corepoll task, awaited by a tokio task.
    let answered = server.await??;
    driver.abort();
    println!("the poller has answered {answered} requests");
    Ok(())
}

/// Gives the poller a turn whenever it wants one.
async fn drive(poller: LocalPoller) -> io::Result<()> {
    #[allow(deprecated)] // Its successor is unsafe; a poller keeps its descriptor open.
    let mut watched = AsyncFd::with_interest(poller, Interest::READABLE)?;
    loop {
        let mut ready = watched.readable_mut().await?;
        ready.get_inner_mut().turn(Some(Duration::ZERO))?;
        // A poller that has something left to do makes a new edge, which tokio sees after this.
        ready.clear_ready();
    }
}

/// The server, in the poller: one connection, with a corepoll timer at work beside it.
async fn serve(
    addr: SocketAddr,
    tell: tokio::sync::oneshot::Sender<SocketAddr>,
) -> io::Result<u32> {
    let listener = TcpListener::bind(addr).await?;
    let _ = tell.send(listener.local_addr()?);
    let (stream, _) = listener.accept().await?;
    let ticker = spawn_local(async {
        let mut interval = time::interval(Duration::from_millis(1));
        loop {
            interval.tick().await;
        }
    });
    let mut answered = 0;
    loop {
        let chunk = stream.read_chunk().await?;
        if chunk.is_empty() {
            ticker.abort();
            return Ok(answered);
        }
        // Answers a little later, so that the poller's timers have their part in it.
        time::sleep(Duration::from_millis(2)).await;
        futures::AsyncWriteExt::write_all(&mut &stream, &chunk).await?;
        answered += 1;
    }
}

/// The client, in tokio.
async fn ask(addr: SocketAddr, requests: u32) -> io::Result<()> {
    let stream = tokio::net::TcpStream::connect(addr).await?;
    for n in 0..requests {
        let request = format!("request {n}");
        stream.writable().await?;
        stream.try_write(request.as_bytes())?;
        let mut answer = vec![0; request.len()];
        let mut length = 0;
        while length < answer.len() {
            stream.readable().await?;
            match stream.try_read(&mut answer[length..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => length += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        assert_eq!(answer, request.as_bytes(), "an echo says the same");
        println!("tokio asked, corepoll answered: {}", String::from_utf8_lossy(&answer));
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

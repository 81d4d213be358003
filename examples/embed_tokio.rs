//! A corepoll poller inside of a tokio runtime, on one thread: tokio watches one descriptor, and
//! gives the poller a turn whenever it is readable.
//!
//! The poller serves an echo; a task of tokio's is the client. Both end after a few requests.

mod common;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use common::{Arguments, Own};
use corepoll::net::TcpListener;
use corepoll::{LocalPoller, spawn_local, time};
use futures::AsyncWriteExt;
use futures::future::{Either, select};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

/// How many requests there are unless told otherwise.
const REQUESTS: u32 = 3;

fn main() -> ExitCode {
    let requests = Own {
        name: "requests",
        value: Some("N"),
        help: "How many requests tokio's client makes before both end [default: 3]",
    };
    let about = "A corepoll poller inside of a tokio current-thread runtime, as an echo server.";
    common::run_embedded("embed_tokio", about, &[requests], run)
}

/// The runtime, until the client has what it wants or a signal comes.
fn run(arguments: &Arguments) -> io::Result<()> {
    let requests = arguments.number("requests")?.unwrap_or(REQUESTS);
    let signal = Arc::new(Notify::new());
    let notified = signal.clone();
    common::on_signal(move || signal.notify_one())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let program = pin!(serve_and_ask(arguments.address, requests));
        match select(program, pin!(notified.notified())).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => Ok(()),
        }
    })
}

/// Everything: a future of tokio's.
async fn serve_and_ask(address: SocketAddr, requests: u32) -> io::Result<()> {
    let poller = LocalPoller::new()?;
    let (tell, hear) = tokio::sync::oneshot::channel();
    let server = poller.spawn_local(serve(address, tell));
    let driver = tokio::task::spawn_local(drive(poller));
    if let Ok(address) = hear.await {
        common::announce(address)?;
        tokio::task::spawn_local(ask(address, requests)).await??;
    }
    // A corepoll task, awaited by a tokio task.
    let answered = server.await??;
    driver.abort();
    common::print(&format!("the poller has answered {answered} requests\n"))?;
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
    address: SocketAddr,
    tell: tokio::sync::oneshot::Sender<SocketAddr>,
) -> io::Result<u32> {
    let listener = TcpListener::bind(address).await?;
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
        (&stream).write_all(&chunk).await?;
        answered += 1;
    }
}

/// The client, in tokio.
async fn ask(address: SocketAddr, requests: u32) -> io::Result<()> {
    let stream = tokio::net::TcpStream::connect(address).await?;
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
        common::print(&format!(
            "tokio asked, corepoll answered: {}\n",
            String::from_utf8_lossy(&answer)
        ))?;
    }
    Ok(())
}

//! corepoll: one task, or one handler, of a reactor with one poller.

use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use corepoll::net::UdpSocket;
use corepoll::net::udp::RecvBatch;
use corepoll::{Action, EvContext, EvHandler, Interest, Reactor, Running};

use super::{BATCH, LONGEST};
use crate::sys;

/// Runs `answer` as a task, until `stop` is readable.
pub(super) fn run_task<F>(
    socket: std::net::UdpSocket,
    stop: &UnixStream,
    answer: fn(UdpSocket) -> F,
) -> io::Result<()>
where
    F: Future<Output = io::Result<()>> + 'static,
{
    let running = Reactor::builder().pollers(1).build()?.start()?;
    drop(running.handle().pollers()[0].spawn_on(move || async move {
        if let Err(error) = async { answer(UdpSocket::from_std(socket)?).await }.await {
            eprintln!("corepoll: {error}");
        }
    }));
    wait(running, stop)
}

/// Runs a handler, until `stop` is readable.
pub(super) fn run_handler(socket: std::net::UdpSocket, stop: &UnixStream) -> io::Result<()> {
    let running = Reactor::builder().pollers(1).build()?.start()?;
    let echo = || Echo(RecvBatch::new(BATCH, LONGEST));
    running.handle().pollers()[0].register(socket.into(), Interest::READABLE, echo)?;
    wait(running, stop)
}

/// Waits until `stop` is readable, and ends the reactor.
fn wait(running: Running, stop: &UnixStream) -> io::Result<()> {
    sys::wait_readable(stop.as_fd(), None)?;
    running.handle().shutdown(Duration::ZERO);
    running.join()?;
    Ok(())
}

/// One datagram at a time.
pub(super) async fn one_by_one(socket: UdpSocket) -> io::Result<()> {
    let mut buffer = vec![0; LONGEST];
    loop {
        let (count, from) = socket.recv_from(&mut buffer).await?;
        socket.send_to(&buffer[..count], from).await?;
    }
}

/// As many as there are.
pub(super) async fn in_batches(socket: UdpSocket) -> io::Result<()> {
    // More than a packet: without GRO nothing of a load is longer.
    echo(socket, RecvBatch::new(BATCH, 2048)).await
}

/// The same, joined as they come and split as they go.
pub(super) async fn by_segments(socket: UdpSocket) -> io::Result<()> {
    socket.set_gro(true)?;
    echo(socket, RecvBatch::new(BATCH, LONGEST)).await
}

async fn echo(socket: UdpSocket, mut batch: RecvBatch) -> io::Result<()> {
    loop {
        let count = socket.recv_batch(&mut batch).await?;
        let mut sent = socket.send_batch(&batch).await?;
        while sent < count {
            sent += socket.send_batch(batch.iter().skip(sent)).await?;
        }
    }
}

/// Does the same by callbacks.
struct Echo(RecvBatch);

impl EvHandler for Echo {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_gro(true)?;
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let count = cx.recv_batch(&mut self.0)?;
        let mut sent = cx.send_batch(&self.0)?;
        while sent < count {
            sent += cx.send_batch(self.0.iter().skip(sent))?;
        }
        Ok(Action::Keep)
    }
}

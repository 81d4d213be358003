//! tokio: one task with `recv_from` and `send_to`, as in the documentation of its `UdpSocket`.

use std::future::Future;
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;

use tokio::net::{UdpSocket, UnixStream};
use tokio::runtime::Builder;

use super::LONGEST;

pub(super) fn run(socket: std::net::UdpSocket, stop: &StdUnixStream) -> io::Result<()> {
    run_task(socket, stop, |socket| async move {
        let mut buffer = vec![0; LONGEST];
        loop {
            let (count, from) = socket.recv_from(&mut buffer).await?;
            socket.send_to(&buffer[..count], from).await?;
        }
    })
}

/// Runs `answer` as a task of a current-thread runtime, until `stop` is readable.
pub(super) fn run_task<F>(
    socket: std::net::UdpSocket,
    stop: &StdUnixStream,
    answer: impl FnOnce(UdpSocket) -> F,
) -> io::Result<()>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    socket.set_nonblocking(true)?;
    let stop = stop.try_clone()?;
    Builder::new_current_thread().enable_io().build()?.block_on(async {
        let answering = answer(UdpSocket::from_std(socket)?);
        tokio::spawn(async {
            if let Err(error) = answering.await {
                eprintln!("tokio: {error}");
            }
        });
        UnixStream::from_std(stop)?.readable().await
    })
}

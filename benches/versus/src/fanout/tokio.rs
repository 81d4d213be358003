//! tokio: a channel and a task for each connection, on a current-thread runtime.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Say;

pub(super) fn open(
    listeners: usize,
    announce: impl FnOnce(SocketAddr) -> io::Result<()>,
) -> io::Result<Say> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    announce(listener.local_addr()?)?;
    let (enter, entered) = mpsc::channel();
    thread::spawn(move || serve(listener, listeners, &enter));
    let senders: Vec<UnboundedSender<Bytes>> = entered.iter().take(listeners).collect();
    Ok(Box::new(move |message| {
        let gone = senders.iter().find_map(|sender| sender.send(message.clone()).err());
        gone.map_or(Ok(()), |error| Err(io::Error::other(error)))
    }))
}

fn serve(
    listener: std::net::TcpListener,
    listeners: usize,
    enter: &mpsc::Sender<UnboundedSender<Bytes>>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    Builder::new_current_thread().enable_io().build()?.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        for _ in 0..listeners {
            let (stream, _) = listener.accept().await?;
            let (sender, receiver) = unbounded_channel();
            tokio::spawn(pass_on(stream, receiver));
            enter.send(sender).map_err(io::Error::other)?;
        }
        // The tasks go on until the process ends.
        std::future::pending().await
    })
}

async fn pass_on(mut stream: TcpStream, mut messages: UnboundedReceiver<Bytes>) -> io::Result<()> {
    while let Some(message) = messages.recv().await {
        stream.write_all(&message).await?;
    }
    Ok(())
}

//! tokio with a buffer for each thread: what a program does that has many idle connections.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Builder;

use super::Options;
use super::tokio::run_tasks;
use crate::protocol::Protocol;

thread_local! {
    /// The thread's buffer; empty while a task has it.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

pub(super) fn run<P: Protocol>(options: &Options) -> io::Result<()> {
    run_tasks(options, Builder::enable_io, answer::<P>)
}

async fn answer<P: Protocol>(mut stream: TcpStream) -> io::Result<()> {
    let mut protocol = P::default();
    loop {
        let size = protocol.read_size();
        let (buffer, read) = poll_fn(|cx| poll_read_leased(&mut stream, size, cx)).await?;
        if read == 0 {
            return Ok(());
        }
        let answer = protocol.answer(&buffer[..read]);
        if !answer.is_empty() {
            stream.write_all(answer).await?;
        }
        BUFFER.set(buffer);
    }
}

/// Reads into the thread's buffer, and takes it along only if something has come.
///
/// Not `readable` and `try_read`: those forget that a short read has emptied the socket, and pay
/// for a second recv.
fn poll_read_leased(
    stream: &mut TcpStream,
    size: usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<(Vec<u8>, usize)>> {
    let mut buffer = BUFFER.take();
    // Empty: the first read of this thread, or another task has the buffer across its write.
    if buffer.len() < size {
        buffer.resize(size, 0);
    }
    let mut target = ReadBuf::new(&mut buffer[..size]);
    match Pin::new(stream).poll_read(cx, &mut target) {
        Poll::Ready(result) => {
            let read = target.filled().len();
            Poll::Ready(result.map(|()| (buffer, read)))
        }
        Poll::Pending => {
            BUFFER.set(buffer);
            Poll::Pending
        }
    }
}

//! A connection in a task's hands.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use crate::net::tcp_stream::TcpStream;

use super::shared::Shared;

/// A connection of a [`ConnectPool`](crate::ConnectPool), lent to a task. It is a [`TcpStream`] in
/// all it does.
///
/// Dropping it gives it back. One that has failed or ended, that has been shut down, or on which
/// something is left to read, is closed instead. Whether the conversation on it has come to an
/// end nobody but its user can know: if it hasn't, as when a task is cancelled in the middle of an
/// answer, [`Pooled::discard`] closes it.
///
/// ```
/// # use corepoll::{ConnectPool, Pooled, net::TcpListener};
/// # use futures::AsyncWriteExt;
/// # corepoll::block_on(async {
/// async fn greet(mut connection: Pooled) -> std::io::Result<()> {
///     connection.write_all(b"hello").await
/// }
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let pool = ConnectPool::new(&listener.local_addr()?.to_string());
/// greet(pool.get().await?).await?;
/// // It is back.
/// assert_eq!(pool.idle(), 1);
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub struct Pooled {
    /// None after its drop.
    stream: Option<TcpStream>,
    pool: Rc<Shared>,
    /// An error or an end has been seen, or it is to be thrown away.
    is_broken: bool,
}

impl Pooled {
    pub(super) fn new(stream: TcpStream, pool: Rc<Shared>) -> Pooled {
        Pooled { stream: Some(stream), pool, is_broken: false }
    }

    /// Closes the connection instead of giving it back.
    ///
    /// ```
    /// use corepoll::{ConnectPool, time};
    /// use futures::{AsyncReadExt, AsyncWriteExt};
    /// use std::io;
    /// use std::time::Duration;
    ///
    /// async fn ask(pool: &ConnectPool) -> io::Result<[u8; 4]> {
    ///     let mut stream = pool.get().await?;
    ///     stream.write_all(b"ping").await?;
    ///     let mut answer = [0; 4];
    ///     match time::timeout(Duration::from_secs(1), stream.read_exact(&mut answer)).await {
    ///         Ok(read) => read.map(|()| answer),
    ///         Err(late) => {
    ///             // The answer would come to whoever is next.
    ///             stream.discard();
    ///             Err(late.into())
    ///         }
    ///     }
    /// }
    /// # drop(ask);
    /// ```
    pub fn discard(mut self) {
        self.is_broken = true;
    }

    fn parts(self: Pin<&mut Self>) -> (Pin<&mut TcpStream>, &mut bool) {
        let this = self.get_mut();
        let stream = this.stream.as_mut().expect("only its drop takes the stream");
        (Pin::new(stream), &mut this.is_broken)
    }
}

impl Deref for Pooled {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        self.stream.as_ref().expect("only its drop takes the stream")
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut TcpStream {
        self.stream.as_mut().expect("only its drop takes the stream")
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.pool.take_back(stream, self.is_broken);
        }
    }
}

/// What a read or write of `asked` bytes came to: an error or an end breaks the connection.
fn note(broken: &mut bool, asked: usize, done: &Poll<io::Result<usize>>) {
    if let Poll::Ready(result) = done {
        *broken |= match result {
            Ok(count) => *count == 0 && asked > 0,
            Err(_) => true,
        };
    }
}

impl AsyncRead for Pooled {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let (stream, broken) = self.parts();
        let done = stream.poll_read(cx, buf);
        note(broken, buf.len(), &done);
        done
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let (stream, broken) = self.parts();
        let asked = bufs.iter().map(|buf| buf.len()).sum();
        let done = stream.poll_read_vectored(cx, bufs);
        note(broken, asked, &done);
        done
    }
}

impl AsyncWrite for Pooled {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let (stream, broken) = self.parts();
        let done = stream.poll_write(cx, buf);
        note(broken, buf.len(), &done);
        done
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let (stream, broken) = self.parts();
        let asked = bufs.iter().map(|buf| buf.len()).sum();
        let done = stream.poll_write_vectored(cx, bufs);
        note(broken, asked, &done);
        done
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.parts().0.poll_flush(cx)
    }

    /// Shuts the write direction down: the connection doesn't go back to the pool.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (stream, broken) = self.parts();
        *broken = true;
        stream.poll_close(cx)
    }
}

impl fmt::Debug for Pooled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pooled").field(&self.stream).finish()
    }
}

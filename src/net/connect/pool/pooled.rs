//! A connection that a task uses.
//!
//! A task has the connection itself, as a [`TcpStream`], so that everything that a stream can do
//! works. The pool is asked again only when the [`Pooled`] goes.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use crate::base::token::Token;
use crate::net::tcp::stream::TcpStream;

use super::recycle;
use super::shared::Shared;

/// A connection of a [`ConnectPool`](crate::ConnectPool), lent to a task. It derefs to
/// [`TcpStream`].
///
/// [`Pooled::release`] gives it back, and nothing else does. Dropping it closes the connection:
/// only its user knows whether an answer is still outstanding, and a task that is cancelled, times
/// out or panics can no longer say so.
///
/// # Examples
///
/// ```
/// # use corepoll::{ConnectPool, Pooled, net::TcpListener};
/// # use futures::AsyncWriteExt;
/// # corepoll::block_on(async {
/// async fn greet(mut connection: Pooled) -> std::io::Result<()> {
///     connection.write_all(b"hello").await?;
///     connection.release();
///     Ok(())
/// }
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let pool = ConnectPool::new(listener.local_addr()?.to_string());
/// greet(pool.get().await?).await?;
/// // It is back.
/// assert_eq!((pool.idle(), pool.live()), (1, 1));
/// // Dropped, it is gone.
/// drop(pool.get().await?);
/// assert_eq!((pool.idle(), pool.live()), (0, 0));
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
#[must_use = "dropping it closes the connection; `release` gives it back"]
pub struct Pooled {
    /// The connection; `None` once it has been released or dropped.
    stream: Option<TcpStream>,
    /// The pool that counts it.
    pool: Rc<Shared>,
    /// The token of the stream that was lent. Through `DerefMut` another one may take its place.
    lent: Token,
}

impl Pooled {
    /// Lends `stream`, which `pool` counts already.
    pub(crate) fn new(stream: TcpStream, pool: Rc<Shared>) -> Pooled {
        let lent = stream.registered().token();
        Pooled { stream: Some(stream), pool, lent }
    }

    /// Gives the connection back to its pool, for the next user. Call it when the whole answer has
    /// been read, and nothing of the question is left to be written.
    ///
    /// The pool closes the connection instead if it has ended or failed, has been shut down, has
    /// missed one of its [`Deadlines`](crate::Deadlines), or has bytes that wait to be read. Its
    /// deadlines are cleared; other options that were set stay as they are.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{ConnectPool, net::TcpListener};
    /// use futures::{AsyncReadExt, AsyncWriteExt};
    ///
    /// # corepoll::block_on(async {
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let pool = ConnectPool::new(listener.local_addr()?.to_string());
    /// let mut upstream = pool.get().await?;
    /// let (mut server, _) = listener.accept().await?;
    /// server.write_all(b"pong, and more").await?;
    /// upstream.read_exact(&mut [0; 4]).await?;
    /// // Something is left to read, which the next user must not get.
    /// upstream.release();
    /// assert_eq!((pool.idle(), pool.live()), (0, 0));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn release(mut self) {
        // The drop that follows finds no stream, and closes nothing.
        if let Some(stream) = self.stream.take() {
            if stream.registered().token() == self.lent {
                recycle::recycle(&self.pool, stream);
            } else {
                // The user has put another stream in its place, which the pool knows nothing of.
                recycle::close(&self.pool, stream);
            }
        }
    }

    /// Returns the stream, pinned as this is: both are `Unpin`.
    fn stream(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        Pin::new(&mut **self.get_mut())
    }
}

/// Why there is a stream in a [`Pooled`]: only what consumes it takes the stream out.
const TAKEN: &str = "a connection that was released is not used any more";

impl Deref for Pooled {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        self.stream.as_ref().expect(TAKEN)
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut TcpStream {
        self.stream.as_mut().expect(TAKEN)
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            recycle::close(&self.pool, stream);
        }
    }
}

impl AsyncRead for Pooled {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_read(cx, buf)
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_read_vectored(cx, bufs)
    }
}

impl AsyncWrite for Pooled {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    /// Shuts the write direction down: the connection doesn't go back to the pool.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_close(cx)
    }
}

impl fmt::Debug for Pooled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pooled").field(&self.stream).finish()
    }
}

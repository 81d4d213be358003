//! The write direction of a stream: written once, for streams of both kinds, and for halves that are
//! lent and halves that are owned alike.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_io::AsyncWrite;

use crate::net::socket::bytes::{ByteStream, HasSocket};
use crate::net::socket::read_half::OwnedReadHalf;
use crate::net::socket::split::{ReuniteError, reunite};
use crate::net::tcp::stream::TcpStream;

/// The write direction of a stream that is lent: see [`TcpStream::split`] and
/// [`UnixStream::split`]. What it can do is said at [`Writing`].
///
/// ```
/// use corepoll::net::{TcpListener, TcpStream, WriteHalf};
/// use futures::AsyncWriteExt;
///
/// async fn greet(mut writer: WriteHalf<'_>) -> std::io::Result<()> {
///     writer.write_all(b"hello").await
/// }
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let mut client = TcpStream::connect(listener.local_addr()?).await?;
///     greet(client.split().1).await?;
///     assert_eq!(&*listener.accept().await?.0.read_chunk().await?, b"hello");
///     Ok(())
/// })
/// # }
/// ```
///
/// [`UnixStream::split`]: crate::net::UnixStream::split
pub type WriteHalf<'a, S = TcpStream> = Writing<&'a S>;

/// The write direction of a stream: see [`TcpStream::into_split`] and [`UnixStream::into_split`].
/// What it can do is said at [`Writing`]. Dropping it shuts the direction down, so that the peer
/// reads the end.
///
/// ```
/// use corepoll::net::{OwnedWriteHalf, TcpListener, TcpStream};
///
/// fn say(writer: OwnedWriteHalf) -> std::io::Result<usize> {
///     writer.try_write(b"that is all")
/// }
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let client = TcpStream::connect(listener.local_addr()?).await?;
///     let (server, _peer) = listener.accept().await?;
///     let (_reader, writer) = client.into_split();
///     say(writer)?;
///     assert_eq!(&*server.read_chunk().await?, b"that is all");
///     assert!(server.read_chunk().await?.is_empty());
///     Ok(())
/// })
/// # }
/// ```
///
/// [`UnixStream::into_split`]: crate::net::UnixStream::into_split
pub type OwnedWriteHalf<S = TcpStream> = Writing<ShutsDown<S>>;

/// The write direction of the stream that `P` points to: what [`WriteHalf`] and [`OwnedWriteHalf`]
/// stand for.
///
/// ```
/// use corepoll::net::UnixStream;
/// use futures::AsyncWriteExt;
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let (one, other) = UnixStream::pair()?;
///     let (_reader, mut writer) = one.into_split();
///     writer.write_all(b"hello").await?;
///     // Closing shuts the direction down, as dropping it does.
///     writer.close().await?;
///     assert_eq!(&*other.read_chunk().await?, b"hello");
///     assert!(other.read_chunk().await?.is_empty());
///     Ok(())
/// })
/// # }
/// ```
pub struct Writing<P> {
    pub(crate) stream: P,
}

/// What the owned write half has of its stream: it shuts the write direction down when it goes.
#[derive(Debug)]
pub struct ShutsDown<S: ByteStream> {
    pub(crate) stream: Rc<S>,
    /// False once the half has been forgotten, or put together with the other one.
    pub(crate) is_armed: bool,
}

impl<S: ByteStream> Deref for ShutsDown<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.stream
    }
}

impl<S: ByteStream> Drop for ShutsDown<S> {
    fn drop(&mut self) {
        if self.is_armed {
            // It fails only if the connection has, and then the peer knows.
            let _ = self.socket().shutdown(Shutdown::Write);
        }
    }
}

impl<S: ByteStream> OwnedWriteHalf<S> {
    /// Puts the stream together again: see [`OwnedReadHalf::reunite`].
    ///
    /// ```
    /// use corepoll::net::UnixStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let (one, other) = UnixStream::pair()?;
    ///     let (reader, writer) = one.into_split();
    ///     let one = writer.reunite(reader).unwrap();
    ///     // Nothing has been shut down.
    ///     one.try_write(b"hello")?;
    ///     assert_eq!(&*other.read_chunk().await?, b"hello");
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// They are not of the same stream; the error gives both back.
    pub fn reunite(self, read: OwnedReadHalf<S>) -> Result<S, ReuniteError<S>> {
        reunite(read, self)
    }

    /// Drops it without shutting the direction down: the peer reads the end when the read half is
    /// gone as well.
    ///
    /// ```
    /// use corepoll::net::UnixStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let (one, other) = UnixStream::pair()?;
    ///     let (reader, writer) = one.into_split();
    ///     writer.forget();
    ///     let error = other.try_read(&mut [0]).unwrap_err();
    ///     assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    ///     drop(reader);
    ///     assert!(other.read_chunk().await?.is_empty());
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn forget(mut self) {
        self.stream.is_armed = false;
    }
}

impl<P: Deref<Target: ByteStream>> Writing<P> {
    /// Waits until [`Writing::try_write`] is worth a try, which may be wrong: see
    /// [`TcpStream::writable`].
    ///
    /// Cancel-safe. Any number of tasks may wait.
    ///
    /// ```
    /// use corepoll::net::UnixStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let (one, other) = UnixStream::pair()?;
    ///     let (_reader, writer) = one.into_split();
    ///     writer.writable().await?;
    ///     assert_eq!(writer.try_write(b"hello")?, 5);
    ///     # drop(other);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// The poller has ended (`NotConnected`).
    pub async fn writable(&self) -> io::Result<()> {
        self.stream.socket().writable().await
    }

    /// Writes what the kernel takes, without waiting.
    ///
    /// ```
    /// use corepoll::net::UnixStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let (one, other) = UnixStream::pair()?;
    ///     let (_reader, writer) = one.into_split();
    ///     assert_eq!(writer.try_write(b"hello")?, 5);
    ///     assert_eq!(&*other.read_chunk().await?, b"hello");
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing; otherwise the connection's.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.stream.socket().try_write(buf)
    }

    /// As [`Writing::try_write`], from several buffers one after the other: writev(2).
    ///
    /// ```
    /// use corepoll::net::UnixStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let (one, other) = UnixStream::pair()?;
    ///     let (_reader, writer) = one.into_split();
    ///     let parts = [b"good ", &b"day"[..]].map(std::io::IoSlice::new);
    ///     assert_eq!(writer.try_write_vectored(&parts)?, 8);
    ///     assert_eq!(&*other.read_chunk().await?, b"good day");
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Writing::try_write`].
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.stream.socket().try_write_vectored(bufs)
    }

    /// The peer's address: getpeername(2).
    ///
    /// ```
    /// use corepoll::net::UnixStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let (one, other) = UnixStream::pair()?;
    ///     let (_reader, writer) = one.into_split();
    ///     assert!(writer.peer_addr()?.is_unnamed());
    ///     # drop(other);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// The connection has ended.
    pub fn peer_addr(&self) -> io::Result<<P::Target as ByteStream>::Addr> {
        self.stream.socket().peer_addr()
    }

    /// Our address: getsockname(2).
    ///
    /// ```
    /// use corepoll::net::UnixStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let (one, other) = UnixStream::pair()?;
    ///     let (_reader, writer) = one.into_split();
    ///     assert!(writer.local_addr()?.is_unnamed());
    ///     # drop(other);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// The kernel's.
    pub fn local_addr(&self) -> io::Result<<P::Target as ByteStream>::Addr> {
        self.stream.socket().local_addr()
    }
}

impl<P: Deref<Target: ByteStream>> AsyncWrite for Writing<P> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.socket().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.socket().poll_write_vectored(cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.socket().poll_flush(cx)
    }

    /// Shuts the direction down: the peer reads the end.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.socket().poll_close(cx)
    }
}

impl<P: Deref<Target: ByteStream>> AsRef<P::Target> for Writing<P> {
    fn as_ref(&self) -> &P::Target {
        &self.stream
    }
}

impl<P: Deref<Target: ByteStream>> fmt::Debug for Writing<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WriteHalf").field(&&*self.stream).finish()
    }
}

//! The read direction of a stream: written once, for streams of both kinds, and for halves that are
//! lent and halves that are owned alike.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_io::AsyncRead;

use crate::net::socket::bytes::{ByteStream, HasSocket};
use crate::net::socket::read_chunk::ReadChunk;
use crate::net::socket::split::{ReuniteError, reunite};
use crate::net::socket::write_half::OwnedWriteHalf;
use crate::net::tcp::stream::TcpStream;

/// The read direction of a stream that is lent: see [`TcpStream::split`] and
/// [`UnixStream::split`]. What it can do is said at [`Reading`].
///
/// ```
/// use corepoll::net::{ReadHalf, TcpListener, TcpStream};
///
/// async fn length(reader: ReadHalf<'_>) -> std::io::Result<usize> {
///     Ok(reader.read_chunk().await?.len())
/// }
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let client = TcpStream::connect(listener.local_addr()?).await?;
///     let (mut server, _peer) = listener.accept().await?;
///     client.try_write(b"hello")?;
///     assert_eq!(length(server.split().0).await?, 5);
///     Ok(())
/// })
/// # }
/// ```
///
/// [`UnixStream::split`]: crate::net::UnixStream::split
pub type ReadHalf<'a, S = TcpStream> = Reading<&'a S>;

/// The read direction of a stream: see [`TcpStream::into_split`] and [`UnixStream::into_split`].
/// What it can do is said at [`Reading`].
///
/// ```
/// use corepoll::net::{OwnedReadHalf, TcpListener, TcpStream};
/// use corepoll::spawn_local;
///
/// async fn length(reader: OwnedReadHalf) -> std::io::Result<usize> {
///     Ok(reader.read_chunk().await?.len())
/// }
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let client = TcpStream::connect(listener.local_addr()?).await?;
///     let (reader, _writer) = listener.accept().await?.0.into_split();
///     let length = spawn_local(length(reader));
///     client.try_write(b"hello")?;
///     assert_eq!(length.await.unwrap()?, 5);
///     Ok(())
/// })
/// # }
/// ```
///
/// [`UnixStream::into_split`]: crate::net::UnixStream::into_split
pub type OwnedReadHalf<S = TcpStream> = Reading<Rc<S>>;

/// The read direction of the stream that `P` points to: what [`ReadHalf`] and [`OwnedReadHalf`]
/// stand for.
///
/// ```
/// use corepoll::net::UnixStream;
/// use futures::AsyncReadExt;
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let (one, other) = UnixStream::pair()?;
///     let (mut reader, _writer) = one.into_split();
///     other.try_write(b"hello")?;
///     drop(other);
///     let mut text = String::new();
///     reader.read_to_string(&mut text).await?;
///     assert_eq!(text, "hello");
///     Ok(())
/// })
/// # }
/// ```
pub struct Reading<P> {
    pub(crate) stream: P,
}

impl<S: ByteStream> OwnedReadHalf<S> {
    /// Puts the stream together again.
    ///
    /// ```
    /// use corepoll::net::{TcpListener, TcpStream};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     let one = TcpStream::connect(listener.local_addr()?).await?;
    ///     let two = TcpStream::connect(listener.local_addr()?).await?;
    ///     let ((read_one, write_one), (_, write_two)) = (one.into_split(), two.into_split());
    ///     let error = read_one.reunite(write_two).unwrap_err();
    ///     let stream = error.0.reunite(write_one).unwrap();
    ///     # let _ = stream;
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// They are not of the same stream; the error gives both back.
    pub fn reunite(self, write: OwnedWriteHalf<S>) -> Result<S, ReuniteError<S>> {
        reunite(self, write)
    }
}

impl<P: Deref<Target: ByteStream>> Reading<P> {
    /// Waits until [`Reading::try_read`] is worth a try, which may be wrong: see
    /// [`TcpStream::readable`].
    ///
    /// Cancel-safe. Any number of tasks may wait.
    ///
    /// ```
    /// use corepoll::net::UnixStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let (one, other) = UnixStream::pair()?;
    ///     let (reader, _writer) = one.into_split();
    ///     other.try_write(b"hello")?;
    ///     reader.readable().await?;
    ///     assert_eq!(reader.try_read(&mut [0; 16])?, 5);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// The poller has ended (`NotConnected`).
    pub async fn readable(&self) -> io::Result<()> {
        self.stream.socket().readable().await
    }

    /// Reads what there is, without waiting; 0 is the end of the stream.
    ///
    /// ```
    /// use corepoll::net::UnixStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let (one, other) = UnixStream::pair()?;
    ///     let (reader, _writer) = one.into_split();
    ///     other.try_write(b"hello")?;
    ///     let mut bytes = [0; 16];
    ///     let count = reader.try_read(&mut bytes)?;
    ///     assert_eq!(&bytes[..count], b"hello");
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing; otherwise the connection's.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.socket().try_read(buf)
    }

    /// As [`Reading::try_read`], into several buffers one after the other: readv(2).
    ///
    /// ```
    /// use corepoll::net::UnixStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let (one, other) = UnixStream::pair()?;
    ///     let (reader, _writer) = one.into_split();
    ///     other.try_write(b"hello")?;
    ///     let (mut head, mut rest) = ([0; 1], [0; 16]);
    ///     let count = reader.try_read_vectored(&mut [
    ///         std::io::IoSliceMut::new(&mut head),
    ///         std::io::IoSliceMut::new(&mut rest),
    ///     ])?;
    ///     assert_eq!((count, &head, &rest[..4]), (5, b"h", &b"ello"[..]));
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Reading::try_read`].
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.stream.socket().try_read_vectored(bufs)
    }

    /// Reads what there is into the poller's buffer, and lends it: see [`TcpStream::read_chunk`].
    /// An empty chunk is the end.
    ///
    /// Cancel-safe: dropping the future never loses a byte.
    ///
    /// ```
    /// use corepoll::net::UnixStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let (one, other) = UnixStream::pair()?;
    ///     let (reader, _writer) = one.into_split();
    ///     other.try_write(b"hello")?;
    ///     assert_eq!(&*reader.read_chunk().await?, b"hello");
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// The connection's, after every byte that came before it.
    pub fn read_chunk(&self) -> ReadChunk<'_> {
        ReadChunk::of(self.stream.socket())
    }

    /// Looks at what there is without taking it; 0 is the end of the stream.
    ///
    /// Cancel-safe. Any number of tasks may wait.
    ///
    /// ```
    /// use corepoll::net::UnixStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let (one, other) = UnixStream::pair()?;
    ///     let (reader, _writer) = one.into_split();
    ///     other.try_write(b"hello")?;
    ///     let mut first = [0];
    ///     reader.peek(&mut first).await?;
    ///     assert_eq!(&first, b"h");
    ///     assert_eq!(&*reader.read_chunk().await?, b"hello");
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// The connection's.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.socket().peek_bytes(buf).await
    }

    /// The peer's address: getpeername(2).
    ///
    /// ```
    /// use corepoll::net::UnixStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let (one, other) = UnixStream::pair()?;
    ///     let (reader, _writer) = one.into_split();
    ///     // These two have no names.
    ///     assert!(reader.peer_addr()?.is_unnamed());
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
    ///     let (reader, _writer) = one.into_split();
    ///     assert!(reader.local_addr()?.is_unnamed());
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

impl<P: Deref<Target: ByteStream>> AsyncRead for Reading<P> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.socket().poll_read(cx, buf)
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.socket().poll_read_vectored(cx, bufs)
    }
}

impl<P: Deref<Target: ByteStream>> AsRef<P::Target> for Reading<P> {
    fn as_ref(&self) -> &P::Target {
        &self.stream
    }
}

impl<P: Deref<Target: ByteStream>> fmt::Debug for Reading<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadHalf").field(&&*self.stream).finish()
    }
}

//! The halves of a [`UnixStream`], borrowed and owned.
//!
//! What the halves can do is written in `socket/read_half` and `socket/write_half`, and how they
//! come apart in `socket/split`. This file gives them names, docs and the connection of the
//! examples.

use std::error::Error;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::unix::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use crate::parts::readiness::Direction;

use crate::net::socket::byte_stream::HasSocket;
use crate::net::socket::read_chunk::ReadChunk;
use crate::net::socket::read_half::read_half;
use crate::net::socket::split::{ShutdownOnDrop, into_halves, reunite};
use crate::net::socket::write_half::write_half;
use crate::net::unix::stream::UnixStream;

impl UnixStream {
    /// Borrows the two directions apart, so that one future can read while another one writes.
    ///
    /// The halves are two references: making them costs nothing. For two tasks, see
    /// [`UnixStream::into_split`].
    ///
    /// The trait `AsyncReadExt` of the crate futures has a `split` as well, which takes the stream
    /// by value. Where it is in scope, `stream.split()` on an owned stream means that one;
    /// `UnixStream::split(&mut stream)` always means this one.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::net::UnixStream;
    /// use futures::{AsyncReadExt, AsyncWriteExt};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let (mut one, other) = UnixStream::pair()?;
    ///     other.try_write(b"ping")?;
    ///     let (mut reader, mut writer) = UnixStream::split(&mut one);
    ///     let mut bytes = [0; 4];
    ///     let (read, written) =
    ///         futures::join!(reader.read_exact(&mut bytes), writer.write_all(b"pong"));
    ///     read.and(written)?;
    ///     assert_eq!((&bytes, &*other.read_chunk().await?), (b"ping", &b"pong"[..]));
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf { stream: self }, WriteHalf { stream: self })
    }

    /// Splits the stream into two owned halves, for two tasks of this poller.
    ///
    /// The connection is closed when both are dropped. Dropping the write half shuts its direction
    /// down, so that the peer reads the end of the stream. The halves share the stream through an
    /// `Rc`, which is one allocation.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::net::UnixStream;
    /// use corepoll::spawn_local;
    /// use futures::AsyncReadExt;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let (one, other) = UnixStream::pair()?;
    ///     let echo = spawn_local(async move {
    ///         let (reader, mut writer) = other.into_split();
    ///         futures::io::copy(reader, &mut writer).await
    ///     });
    ///     let (mut reader, writer) = one.into_split();
    ///     writer.try_write(b"hello")?;
    ///     drop(writer);
    ///     let mut answer = String::new();
    ///     reader.read_to_string(&mut answer).await?;
    ///     assert_eq!(answer, "hello");
    ///     assert_eq!(echo.await.unwrap()?, 5);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        let (read, write) = into_halves(self);
        (OwnedReadHalf { stream: read }, OwnedWriteHalf { stream: write })
    }
}

/// The read direction of a [`UnixStream`], borrowed: made by [`UnixStream::split`].
///
/// # Examples
///
/// ```
/// use corepoll::net::{UnixStream, unix};
///
/// async fn length(reader: unix::ReadHalf<'_>) -> std::io::Result<usize> {
///     Ok(reader.read_chunk().await?.len())
/// }
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let (mut one, other) = UnixStream::pair()?;
///     other.try_write(b"hello")?;
///     assert_eq!(length(one.split().0).await?, 5);
///     Ok(())
/// })
/// # }
/// ```
#[derive(Debug)]
pub struct ReadHalf<'a> {
    /// The stream that both halves borrow.
    stream: &'a UnixStream,
}

/// The write direction of a [`UnixStream`], borrowed: made by [`UnixStream::split`].
///
/// Dropping it leaves the direction open; `close` of `AsyncWriteExt` shuts it down.
///
/// # Examples
///
/// ```
/// use corepoll::net::{UnixStream, unix};
/// use futures::AsyncWriteExt;
///
/// async fn greet(mut writer: unix::WriteHalf<'_>) -> std::io::Result<()> {
///     writer.write_all(b"hello").await
/// }
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let (mut one, other) = UnixStream::pair()?;
///     greet(UnixStream::split(&mut one).1).await?;
///     assert_eq!(&*other.read_chunk().await?, b"hello");
///     Ok(())
/// })
/// # }
/// ```
#[derive(Debug)]
pub struct WriteHalf<'a> {
    /// The stream that both halves borrow.
    stream: &'a UnixStream,
}

/// The read direction of a [`UnixStream`], owned: made by [`UnixStream::into_split`].
///
/// Dropping it shuts nothing down: the connection is closed when the write half is dropped as well.
///
/// # Examples
///
/// ```
/// use corepoll::net::{UnixStream, unix};
/// use corepoll::spawn_local;
///
/// async fn length(reader: unix::OwnedReadHalf) -> std::io::Result<usize> {
///     Ok(reader.read_chunk().await?.len())
/// }
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let (one, other) = UnixStream::pair()?;
///     let (reader, _writer) = one.into_split();
///     let length = spawn_local(length(reader));
///     other.try_write(b"hello")?;
///     assert_eq!(length.await.unwrap()?, 5);
///     Ok(())
/// })
/// # }
/// ```
#[derive(Debug)]
pub struct OwnedReadHalf {
    /// The stream that both halves share.
    stream: Rc<UnixStream>,
}

/// The write direction of a [`UnixStream`], owned: made by [`UnixStream::into_split`].
///
/// Dropping it shuts the direction down, so that the peer reads the end of the stream;
/// [`OwnedWriteHalf::forget`] drops it without that.
///
/// # Examples
///
/// ```
/// use corepoll::net::{UnixStream, unix};
///
/// fn say(writer: unix::OwnedWriteHalf) -> std::io::Result<usize> {
///     writer.try_write(b"that is all")
/// }
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let (one, other) = UnixStream::pair()?;
///     let (_reader, writer) = one.into_split();
///     say(writer)?;
///     assert_eq!(&*other.read_chunk().await?, b"that is all");
///     assert!(other.read_chunk().await?.is_empty());
///     Ok(())
/// })
/// # }
/// ```
#[derive(Debug)]
pub struct OwnedWriteHalf {
    /// The stream that both halves share.
    stream: ShutdownOnDrop<UnixStream>,
}

/// The beginning of the examples below: `one` and `other` are connected.
macro_rules! pair {
    ($one:literal, $line:literal) => {
        concat!(
            "# use corepoll::net::UnixStream;\n",
            "let (",
            $one,
            ", other) = UnixStream::pair()?;\n",
            $line
        )
    };
}

read_half!(
    ReadHalf<'_>,
    UnixStream,
    SocketAddr,
    pair!("mut one", "let (reader, _writer) = UnixStream::split(&mut one);")
);
read_half!(
    OwnedReadHalf,
    UnixStream,
    SocketAddr,
    pair!("one", "let (reader, _writer) = one.into_split();")
);
write_half!(
    WriteHalf<'_>,
    UnixStream,
    SocketAddr,
    pair!("mut one", "let (_reader, writer) = UnixStream::split(&mut one);")
);
write_half!(
    OwnedWriteHalf,
    UnixStream,
    SocketAddr,
    pair!("one", "let (_reader, writer) = one.into_split();")
);

impl OwnedReadHalf {
    /// Puts the halves of a stream together again.
    ///
    /// # Errors
    ///
    /// Gives both halves back if they are not of the same stream.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixStream::pair()?;
    /// let (reader, writer) = one.into_split();
    /// let one: UnixStream = reader.reunite(writer).unwrap();
    /// # drop((one, other));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn reunite(self, write: OwnedWriteHalf) -> Result<UnixStream, ReuniteError> {
        reunite(self.stream, write.stream).map_err(|(read, write)| {
            ReuniteError(OwnedReadHalf { stream: read }, OwnedWriteHalf { stream: write })
        })
    }
}

impl OwnedWriteHalf {
    /// Puts the halves of a stream together again. Nothing is shut down.
    ///
    /// # Errors
    ///
    /// Gives both halves back if they are not of the same stream.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixStream::pair()?;
    /// let (reader, writer) = one.into_split();
    /// let one: UnixStream = writer.reunite(reader).unwrap();
    /// one.try_write(b"hello")?;
    /// assert_eq!(&*other.read_chunk().await?, b"hello");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn reunite(self, read: OwnedReadHalf) -> Result<UnixStream, ReuniteError> {
        read.reunite(self)
    }

    /// Drops the half without shutting its direction down: the peer reads the end of the stream
    /// only when the read half is dropped as well.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixStream::pair()?;
    /// let (reader, writer) = one.into_split();
    /// writer.forget();
    /// let error = other.try_read(&mut [0]).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    /// drop(reader);
    /// assert!(other.read_chunk().await?.is_empty());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn forget(self) {
        self.stream.forget();
    }
}

/// The error of [`OwnedReadHalf::reunite`] and [`OwnedWriteHalf::reunite`]: the halves are not of
/// the same stream. It gives both back.
///
/// # Examples
///
/// ```
/// # use corepoll::net::{UnixStream, unix};
/// # corepoll::block_on(async {
/// let ((one, _), (two, _)) = (UnixStream::pair()?, UnixStream::pair()?);
/// let ((read_one, write_one), (_read_two, write_two)) = (one.into_split(), two.into_split());
/// let unix::ReuniteError(read_one, _write_two) = read_one.reunite(write_two).unwrap_err();
/// assert!(read_one.reunite(write_one).is_ok());
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct ReuniteError(
    /// The read half.
    pub OwnedReadHalf,
    /// The write half.
    pub OwnedWriteHalf,
);

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are not of the same stream")
    }
}

impl Error for ReuniteError {}

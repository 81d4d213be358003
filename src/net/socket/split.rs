//! Streams are taken apart, and put together again: alike for both kinds.

use std::error::Error;
use std::fmt;
use std::rc::Rc;

use crate::net::socket::bytes::ByteStream;
use crate::net::socket::read_half::{OwnedReadHalf, ReadHalf, Reading};
use crate::net::socket::write_half::{OwnedWriteHalf, ShutsDown, WriteHalf, Writing};
use crate::net::tcp::stream::TcpStream;
use crate::net::unix::stream::UnixStream;

impl TcpStream {
    /// Lends the two directions apart, so that one future reads while another writes. Costs
    /// nothing.
    ///
    /// Where futures' `AsyncReadExt` is in scope, `stream.split()` on an owned stream means its
    /// `split`, by value; `TcpStream::split(&mut stream)` always means this one.
    ///
    /// ```
    /// use corepoll::net::{TcpListener, TcpStream};
    /// use futures::{AsyncReadExt, AsyncWriteExt};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     let mut client = TcpStream::connect(listener.local_addr()?).await?;
    ///     let (mut server, _peer) = listener.accept().await?;
    ///     let (mut reader, mut writer) = TcpStream::split(&mut client);
    ///     let mut bytes = [0; 5];
    ///     let (sent, echoed, received) = futures::join!(
    ///         writer.write_all(b"hello"),
    ///         async {
    ///             let mut bytes = [0; 5];
    ///             server.read_exact(&mut bytes).await?;
    ///             server.write_all(&bytes).await
    ///         },
    ///         reader.read_exact(&mut bytes),
    ///     );
    ///     sent.and(echoed).and(received)?;
    ///     assert_eq!(&bytes, b"hello");
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        split(self)
    }

    /// Makes two values of the two directions, for two tasks of this poller. The connection is
    /// closed when both are gone; dropping the write half shuts its direction down.
    ///
    /// ```
    /// use corepoll::net::{TcpListener, TcpStream};
    /// use corepoll::spawn_local;
    /// use futures::{AsyncReadExt, AsyncWriteExt};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     let client = TcpStream::connect(listener.local_addr()?).await?;
    ///     let (server, _peer) = listener.accept().await?;
    ///     let echo = spawn_local(async move {
    ///         let (reader, mut writer) = server.into_split();
    ///         futures::io::copy(reader, &mut writer).await
    ///     });
    ///     let (mut reader, mut writer) = client.into_split();
    ///     writer.write_all(b"hello").await?;
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
        into_split(self)
    }
}

impl UnixStream {
    /// Lends the two directions apart, so that one future reads while another writes. Costs
    /// nothing. As with [`TcpStream::split`], `UnixStream::split(&mut stream)` always means this
    /// one.
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
    pub fn split(&mut self) -> (ReadHalf<'_, UnixStream>, WriteHalf<'_, UnixStream>) {
        split(self)
    }

    /// Makes two values of the two directions, for two tasks of this poller. The connection is
    /// closed when both are gone; dropping the write half shuts its direction down.
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
    pub fn into_split(self) -> (OwnedReadHalf<UnixStream>, OwnedWriteHalf<UnixStream>) {
        into_split(self)
    }
}

fn split<S: ByteStream>(stream: &mut S) -> (ReadHalf<'_, S>, WriteHalf<'_, S>) {
    (Reading { stream: &*stream }, Writing { stream: &*stream })
}

fn into_split<S: ByteStream>(stream: S) -> (OwnedReadHalf<S>, OwnedWriteHalf<S>) {
    let stream = Rc::new(stream);
    let read = Reading { stream: stream.clone() };
    (read, Writing { stream: ShutsDown { stream, is_armed: true } })
}

pub(crate) fn reunite<S: ByteStream>(
    read: OwnedReadHalf<S>,
    write: OwnedWriteHalf<S>,
) -> Result<S, ReuniteError<S>> {
    if !Rc::ptr_eq(&read.stream, &write.stream.stream) {
        return Err(ReuniteError(read, write));
    }
    write.forget();
    Ok(Rc::into_inner(read.stream).expect("a stream has two halves"))
}

/// Two halves that are not of the same stream: here they are again.
///
/// ```
/// use corepoll::net::{ReuniteError, UnixStream};
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let (one, two) = UnixStream::pair()?;
///     let ((read_one, write_one), (_read_two, write_two)) = (one.into_split(), two.into_split());
///     let ReuniteError(read_one, write_two) = read_one.reunite(write_two).unwrap_err();
///     let one = read_one.reunite(write_one).unwrap();
///     write_two.try_write(b"hello")?;
///     assert_eq!(&*one.read_chunk().await?, b"hello");
///     Ok(())
/// })
/// # }
/// ```
#[derive(Debug)]
pub struct ReuniteError<S: ByteStream = TcpStream>(
    /// The read half.
    pub OwnedReadHalf<S>,
    /// The write half.
    pub OwnedWriteHalf<S>,
);

impl<S: ByteStream> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are not of the same stream")
    }
}

impl<S: ByteStream> Error for ReuniteError<S> {}

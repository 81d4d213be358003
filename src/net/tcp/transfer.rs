//! How bytes move through a [`TcpStream`], beside futures-io's traits.

use std::io::{self, IoSlice, IoSliceMut};

use crate::net::socket::bytes::HasSocket;
use crate::net::socket::read_chunk::ReadChunk;
use crate::net::tcp::stream::TcpStream;

impl TcpStream {
    /// Reads what there is into the poller's buffer, and lends it: no copy, and while it waits
    /// the connection holds no buffer. An empty chunk is the end of the stream. A chunk may be
    /// held across an await: it keeps its buffer, and the next read gets another one.
    ///
    /// Cancel-safe: dropping the future never loses a byte.
    ///
    /// ```
    /// use corepoll::net::{TcpListener, TcpStream};
    /// use futures::AsyncWriteExt;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     let mut client = TcpStream::connect(listener.local_addr()?).await?;
    ///     let (server, _peer) = listener.accept().await?;
    ///     client.write_all(b"hello").await?;
    ///     assert_eq!(&*server.read_chunk().await?, b"hello");
    ///     drop(client);
    ///     assert!(server.read_chunk().await?.is_empty());
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// The connection's, after every byte that came before it.
    pub fn read_chunk(&self) -> ReadChunk<'_> {
        ReadChunk::of(self.socket())
    }

    /// Looks at what there is without taking it; 0 is the end of the stream.
    ///
    /// Cancel-safe.
    ///
    /// ```
    /// use corepoll::net::{TcpListener, TcpStream};
    /// use futures::AsyncWriteExt;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     let mut client = TcpStream::connect(listener.local_addr()?).await?;
    ///     let (server, _peer) = listener.accept().await?;
    ///     client.write_all(b"\x16\x03\x01").await?;
    ///     let mut first = [0];
    ///     server.peek(&mut first).await?;
    ///     let is_tls = first[0] == 0x16;
    ///     assert!(is_tls);
    ///     // It is still there.
    ///     assert_eq!(server.read_chunk().await?[0], 0x16);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// The connection's.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket().peek_bytes(buf).await
    }

    /// Reads what there is, without waiting; 0 is the end of the stream.
    ///
    /// ```
    /// use corepoll::net::{TcpListener, TcpStream};
    /// use futures::AsyncWriteExt;
    /// use std::io::ErrorKind;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     let mut client = TcpStream::connect(listener.local_addr()?).await?;
    ///     let (server, _peer) = listener.accept().await?;
    ///     client.write_all(b"hello").await?;
    ///     let mut bytes = [0; 16];
    ///     let count = loop {
    ///         server.readable().await?;
    ///         match server.try_read(&mut bytes) {
    ///             Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
    ///             result => break result?,
    ///         }
    ///     };
    ///     assert_eq!(&bytes[..count], b"hello");
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing; otherwise the connection's.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket().try_read(buf)
    }

    /// As [`TcpStream::try_read`], into several buffers one after the other.
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # use std::io::IoSliceMut;
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let client = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (server, _peer) = listener.accept().await?;
    /// server.try_write(b"hello")?;
    /// client.readable().await?;
    /// let (mut head, mut rest) = ([0; 1], [0; 16]);
    /// let mut bufs = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut rest)];
    /// assert_eq!(client.try_read_vectored(&mut bufs)?, 5);
    /// assert_eq!((&head, &rest[..4]), (b"h", &b"ello"[..]));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`TcpStream::try_read`].
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.socket().try_read_vectored(bufs)
    }

    /// Writes what the kernel takes, without waiting.
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let client = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (server, _peer) = listener.accept().await?;
    /// let count = client.try_write(b"hello")?;
    /// assert_eq!(&*server.read_chunk().await?, &b"hello"[..count]);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing; otherwise the connection's.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket().try_write(buf)
    }

    /// As [`TcpStream::try_write`], from several buffers one after the other.
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # use std::io::IoSlice;
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let client = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (server, _peer) = listener.accept().await?;
    /// let parts = [IoSlice::new(b"good "), IoSlice::new(b"day")];
    /// assert_eq!(client.try_write_vectored(&parts)?, 8);
    /// assert_eq!(&*server.read_chunk().await?, b"good day");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`TcpStream::try_write`].
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket().try_write_vectored(bufs)
    }
}

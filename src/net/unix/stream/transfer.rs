//! How bytes move through a [`UnixStream`], beside futures-io's traits.

use std::io::{self, IoSlice, IoSliceMut};

use crate::net::socket::bytes::HasSocket;
use crate::net::socket::read_chunk::ReadChunk;
use crate::net::unix::stream::UnixStream;

impl UnixStream {
    /// Reads what there is into the poller's buffer, and lends it: see
    /// [`TcpStream::read_chunk`](crate::net::TcpStream::read_chunk). An empty chunk is the end.
    ///
    /// Cancel-safe: dropping the future never loses a byte.
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixStream::pair()?;
    /// one.try_write(b"hello")?;
    /// assert_eq!(&*other.read_chunk().await?, b"hello");
    /// drop(one);
    /// assert!(other.read_chunk().await?.is_empty());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
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
    /// # use corepoll::net::UnixStream;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixStream::pair()?;
    /// one.try_write(b"hello")?;
    /// let mut first = [0];
    /// other.peek(&mut first).await?;
    /// assert_eq!(&first, b"h");
    /// assert_eq!(&*other.read_chunk().await?, b"hello");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
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
    /// # use corepoll::net::UnixStream;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixStream::pair()?;
    /// let error = other.try_read(&mut [0; 16]).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    /// drop(one);
    /// other.readable().await?;
    /// assert_eq!(other.try_read(&mut [0; 16])?, 0);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing; otherwise the connection's.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket().try_read(buf)
    }

    /// As [`UnixStream::try_read`], into several buffers one after the other.
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # use std::io::IoSliceMut;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixStream::pair()?;
    /// one.try_write(b"hello")?;
    /// let (mut head, mut rest) = ([0; 1], [0; 16]);
    /// let mut bufs = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut rest)];
    /// assert_eq!(other.try_read_vectored(&mut bufs)?, 5);
    /// assert_eq!((&head, &rest[..4]), (b"h", &b"ello"[..]));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`UnixStream::try_read`].
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.socket().try_read_vectored(bufs)
    }

    /// Writes what the kernel takes, without waiting.
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixStream::pair()?;
    /// let count = one.try_write(b"hello")?;
    /// assert_eq!(&*other.read_chunk().await?, &b"hello"[..count]);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing; otherwise the connection's.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket().try_write(buf)
    }

    /// As [`UnixStream::try_write`], from several buffers one after the other.
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # use std::io::IoSlice;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixStream::pair()?;
    /// let parts = [IoSlice::new(b"good "), IoSlice::new(b"day")];
    /// assert_eq!(one.try_write_vectored(&parts)?, 8);
    /// assert_eq!(&*other.read_chunk().await?, b"good day");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`UnixStream::try_write`].
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket().try_write_vectored(bufs)
    }
}

//! What can be done with streams without waiting, and waiting until it is worth a try.

use std::io::{self, IoSlice, IoSliceMut};

use crate::net::socket::byte_stream::HasSocket;
use crate::net::tcp::stream::TcpStream;
use crate::net::unix::stream::UnixStream;

impl TcpStream {
    /// Waits until [`TcpStream::try_read`] is worth a try. It may be wrong: then that says
    /// `WouldBlock`, and waiting again waits.
    ///
    /// Cancel-safe. Any number of tasks may wait.
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let client = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (server, _peer) = listener.accept().await?;
    /// server.try_write(b"hello")?;
    /// client.readable().await?;
    /// assert_eq!(client.try_read(&mut [0; 16])?, 5);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The poller has ended (`NotConnected`).
    pub async fn readable(&self) -> io::Result<()> {
        self.socket().readable().await
    }

    /// Waits until [`TcpStream::try_write`] is worth a try: see [`TcpStream::readable`].
    ///
    /// Cancel-safe. Any number of tasks may wait.
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let client = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (server, _peer) = listener.accept().await?;
    /// client.writable().await?;
    /// assert_eq!(client.try_write(b"hello")?, 5);
    /// # drop(server);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The poller has ended (`NotConnected`).
    pub async fn writable(&self) -> io::Result<()> {
        self.socket().writable().await
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

impl UnixStream {
    /// Waits until [`UnixStream::try_read`] is worth a try. It may be wrong: then that says
    /// `WouldBlock`, and waiting again waits.
    ///
    /// Cancel-safe. Any number of tasks may wait.
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixStream::pair()?;
    /// one.try_write(b"hello")?;
    /// other.readable().await?;
    /// assert_eq!(other.try_read(&mut [0; 16])?, 5);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The poller has ended (`NotConnected`).
    pub async fn readable(&self) -> io::Result<()> {
        self.socket().readable().await
    }

    /// Waits until [`UnixStream::try_write`] is worth a try: see [`UnixStream::readable`].
    ///
    /// Cancel-safe. Any number of tasks may wait.
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixStream::pair()?;
    /// one.writable().await?;
    /// assert_eq!(one.try_write(b"hello")?, 5);
    /// # drop(other);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The poller has ended (`NotConnected`).
    pub async fn writable(&self) -> io::Result<()> {
        self.socket().writable().await
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

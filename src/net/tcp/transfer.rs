//! How bytes move through a [`TcpStream`], beside futures-io's traits.
//!
//! The work is done in `socket/bytes` and `socket/writing`, which Unix streams share.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::task::{Context, Poll};

use crate::net::socket::byte_stream::HasSocket;
use crate::net::socket::read_chunk::ReadChunk;
use crate::net::socket::send_all::SendAll;
use crate::net::tcp::stream::TcpStream;

impl TcpStream {
    /// Waits for bytes, reads them into a buffer of the poller, and lends that buffer.
    ///
    /// Nothing is copied, and a connection that waits holds no buffer. An empty chunk is the end of
    /// the stream. A chunk may be held across an await: it keeps its buffer, and the next read gets
    /// another one.
    ///
    /// # Errors
    ///
    /// Returns the connection's error, after every byte that came before it.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe: dropping the future never loses a byte.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let one = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (other, _peer) = listener.accept().await?;
    /// one.try_write(b"hello")?;
    /// assert_eq!(&*other.read_chunk().await?, b"hello");
    /// drop(one);
    /// assert!(other.read_chunk().await?.is_empty());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    #[inline]
    pub fn read_chunk(&self) -> ReadChunk<'_> {
        ReadChunk::of(self.socket())
    }

    /// Writes all of `bytes`, and waits for room as often as that takes.
    ///
    /// It does what `write_all` of futures-io's `AsyncWriteExt` does, through a shared reference, and
    /// takes half of its instructions where the socket has room.
    ///
    /// # Errors
    ///
    /// Returns the connection's error.
    ///
    /// # Cancel safety
    ///
    /// This method is not cancel-safe: a part of the bytes may have been written.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let one = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (other, _peer) = listener.accept().await?;
    /// one.send_all(b"hello").await?;
    /// assert_eq!(&*other.read_chunk().await?, b"hello");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    #[inline]
    pub fn send_all<'a>(&'a self, bytes: &'a [u8]) -> SendAll<'a> {
        SendAll::of(self.socket(), bytes)
    }

    /// Waits for bytes, and copies them to `buf` without taking them: MSG_PEEK of recv(2).
    ///
    /// Returns the number of bytes. Zero is the end of the stream, unless `buf` is empty.
    ///
    /// # Errors
    ///
    /// Returns the connection's error, after every byte that came before it.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe. Any number of tasks may wait in it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let one = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (other, _peer) = listener.accept().await?;
    /// one.try_write(b"\x16\x03\x01")?;
    /// let mut first = [0];
    /// other.peek(&mut first).await?;
    /// let is_tls = first[0] == 0x16;
    /// assert!(is_tls);
    /// // The byte is still there to be read.
    /// assert_eq!(other.read_chunk().await?[0], 0x16);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket().peek_bytes(buf).await
    }

    /// Polls for bytes to look at: [`TcpStream::peek`] as a poll function, with tokio's name.
    ///
    /// If nothing has come, the waker of `cx` is registered in the read direction, in place of that
    /// of any other poll function.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`TcpStream::peek`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let one = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (other, _peer) = listener.accept().await?;
    /// one.try_write(b"hello")?;
    /// let mut first = [0];
    /// assert_eq!(std::future::poll_fn(|cx| other.poll_peek(cx, &mut first)).await?, 1);
    /// assert_eq!(&first, b"h");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.socket().poll_peek(cx, buf)
    }

    /// Polls for bytes, and reads them into memory that need not be initialized.
    ///
    /// Returns the number of bytes, `n`: `buf[..n]` is initialized then. Zero is the end of the
    /// stream, unless `buf` is empty. Adapters to other I/O traits, such as tokio's with its
    /// `ReadBuf`, need not fill a buffer with zeros first.
    ///
    /// If nothing has come, the waker of `cx` is registered in the read direction, in place of that
    /// of any other poll function.
    ///
    /// # Errors
    ///
    /// Returns the connection's error, after every byte that came before it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # use std::mem::MaybeUninit;
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let one = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (other, _peer) = listener.accept().await?;
    /// one.try_write(b"hello")?;
    /// let mut bytes: Vec<u8> = Vec::with_capacity(16);
    /// let spare = bytes.spare_capacity_mut();
    /// let count = std::future::poll_fn(|cx| other.poll_read_uninit(cx, spare)).await?;
    /// // SAFETY: `poll_read_uninit` has initialized that many bytes.
    /// unsafe { bytes.set_len(count) };
    /// assert_eq!(bytes, b"hello");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    #[inline]
    pub fn poll_read_uninit(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [MaybeUninit<u8>],
    ) -> Poll<io::Result<usize>> {
        self.socket().poll_read_uninit(cx, buf)
    }

    /// Reads the available bytes into `buf`, without waiting.
    ///
    /// Returns the number of bytes. Zero is the end of the stream, unless `buf` is empty.
    ///
    /// # Errors
    ///
    /// Returns `WouldBlock` if nothing has come, and the connection's error if it has failed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # use std::io::ErrorKind;
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let one = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (other, _peer) = listener.accept().await?;
    /// one.try_write(b"hello")?;
    /// let mut bytes = [0; 16];
    /// let count = loop {
    ///     other.readable().await?;
    ///     match other.try_read(&mut bytes) {
    ///         Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
    ///         result => break result?,
    ///     }
    /// };
    /// assert_eq!(&bytes[..count], b"hello");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket().try_read(buf)
    }

    /// Reads the available bytes into several buffers, one after the other, without waiting: see
    /// readv(2).
    ///
    /// Returns the number of bytes. At most 1024 buffers are filled.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`TcpStream::try_read`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # use std::io::IoSliceMut;
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let one = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (other, _peer) = listener.accept().await?;
    /// one.try_write(b"hello")?;
    /// other.readable().await?;
    /// let (mut head, mut rest) = ([0; 1], [0; 16]);
    /// let mut bufs = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut rest)];
    /// assert_eq!(other.try_read_vectored(&mut bufs)?, 5);
    /// assert_eq!((&head, &rest[..4]), (b"h", &b"ello"[..]));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.socket().try_read_vectored(bufs)
    }

    /// Writes as much of `buf` as the kernel takes, without waiting, and returns the number of
    /// bytes.
    ///
    /// # Errors
    ///
    /// Returns `WouldBlock` if the kernel takes nothing, and the connection's error if it has
    /// failed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let one = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (other, _peer) = listener.accept().await?;
    /// let count = one.try_write(b"hello")?;
    /// assert_eq!(&*other.read_chunk().await?, &b"hello"[..count]);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket().try_write(buf)
    }

    /// Writes as much of several buffers as the kernel takes, one after the other, without waiting:
    /// see writev(2).
    ///
    /// Returns the number of bytes. At most 1024 buffers are looked at.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`TcpStream::try_write`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # use std::io::IoSlice;
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let one = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (other, _peer) = listener.accept().await?;
    /// let parts = [IoSlice::new(b"good "), IoSlice::new(b"day")];
    /// assert_eq!(one.try_write_vectored(&parts)?, 8);
    /// assert_eq!(&*other.read_chunk().await?, b"good day");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket().try_write_vectored(bufs)
    }
}

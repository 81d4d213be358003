//! A TCP connection, for tasks: what it is, where it comes from, and its addresses.
//!
//! What it can do stands in the files beside this one: `connect`, `readiness`, `transfer`, `split`,
//! `options` and `handover`.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::local::registered::Registered;
use crate::parts::deadlines::Deadlines;

use crate::net::socket::Socket;
use crate::net::socket::byte_stream::{HasSocket, byte_stream};
use crate::net::socket::std_types::std_types;
use crate::sys::fd;

/// A TCP connection of this thread's poller.
///
/// It reads and writes by futures-io's `AsyncRead` and `AsyncWrite`, also through `&TcpStream`, so
/// that one task can read while another one writes. [`TcpStream::read_chunk`] reads into a buffer of
/// the poller.
///
/// Each direction has one waker for the poll functions, those of `AsyncRead` and `AsyncWrite`
/// included, and for [`TcpStream::read_chunk`]: if two tasks wait there in the same direction, only
/// the last one is woken. Any number may wait in
/// [`TcpStream::peek`], [`TcpStream::readable`] and [`TcpStream::writable`].
///
/// Dropping the stream closes the connection. A stream that outlives its poller returns errors.
///
/// # Examples
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
///
///     client.write_all(b"hello").await?;
///     let mut bytes = [0; 5];
///     server.read_exact(&mut bytes).await?;
///     assert_eq!(&bytes, b"hello");
///     Ok(())
/// })
/// # }
/// ```
pub struct TcpStream {
    /// The socket and its registration.
    socket: Socket,
}

impl TcpStream {
    /// Registers a non-blocking socket that nothing else has a descriptor of. Errors name the
    /// operation `what`.
    pub(crate) fn from_fd(fd: fd::OwnedFd, what: &str) -> io::Result<TcpStream> {
        Ok(TcpStream { socket: Socket::new(fd, what)?.mark_stream() })
    }

    /// Takes over a socket of std, blocking or not.
    ///
    /// # Errors
    ///
    /// Returns an error if this thread has no poller, or if the kernel refuses the registration.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::TcpStream;
    /// # corepoll::block_on(async {
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let stream = std::net::TcpStream::connect(listener.local_addr()?)?;
    /// let stream = TcpStream::from_std(stream)?;
    /// assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<TcpStream> {
        let socket = Socket::from_std(stream, "TcpStream::from_std")?;
        Ok(TcpStream { socket: socket.mark_stream() })
    }

    /// Makes a stream of a registration that exists.
    pub(crate) fn from_registered(registered: Registered) -> TcpStream {
        // It was a handler's connection, and counts as a task's stream from now on.
        TcpStream { socket: Socket { registered }.mark_stream() }
    }

    /// Returns the registration that the stream is made of.
    pub(crate) fn into_registered(self) -> Registered {
        self.socket.registered
    }

    /// Ends the registration, and returns the socket as std's type. It stays non-blocking.
    ///
    /// # Errors
    ///
    /// Returns `WouldBlock` if the stream carries output that
    /// [`EvContext::take_stream`](crate::EvContext::take_stream) brought along and that the kernel
    /// doesn't take whole now: flush first. Returns the connection's error if sending that output
    /// has failed. The connection is closed in either case, after what it still has to send.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # use std::io::Write;
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let client = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (server, _peer) = listener.accept().await?;
    /// let mut client: std::net::TcpStream = client.into_std()?;
    /// client.write_all(b"hello")?;
    /// assert_eq!(&*server.read_chunk().await?, b"hello");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        self.socket.into_std()
    }

    /// Returns the address of the peer: getpeername(2).
    ///
    /// # Errors
    ///
    /// Returns an error if the connection has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let client = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (server, _peer) = listener.accept().await?;
    /// assert_eq!(client.peer_addr()?, server.local_addr()?);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// Returns the address of this side: getsockname(2).
    ///
    /// # Errors
    ///
    /// Returns the errors of getsockname(2).
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let client = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (server, _peer) = listener.accept().await?;
    /// assert_eq!(client.local_addr()?, server.peer_addr()?);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Sets the deadlines of the stream, from now on, in place of those that it had.
    ///
    /// The read deadline runs from the moment when a read has to wait until bytes come, the write
    /// deadline from the moment when a write has to wait until some are taken. When one passes,
    /// what waits fails with an error of kind [`TimedOut`](io::ErrorKind::TimedOut) that names the
    /// deadline. The deadline starts anew then, and the stream can still be used.
    ///
    /// Deadlines belong to the stream and not to a future: when a future that waits is dropped, as
    /// in a `select`, and another one takes its place, the time goes on. All users of the stream
    /// share them, a [`relay`](crate::io::relay()) as well. They end when the stream is given to a
    /// handler.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::net::{TcpListener, TcpStream};
    /// use corepoll::{Deadlines, block_on};
    /// use std::{io, time::Duration};
    ///
    /// # fn main() -> io::Result<()> {
    /// block_on(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     let client = TcpStream::connect(listener.local_addr()?).await?;
    ///     let read = Some(Duration::from_millis(5));
    ///     client.set_deadlines(Deadlines { read, ..Deadlines::default() });
    ///     let error = client.read_chunk().await.unwrap_err();
    ///     assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn set_deadlines(&self, deadlines: Deadlines) {
        self.socket.registered.set_deadlines(deadlines);
    }

    /// Shuts down one direction or both: shutdown(2). It is no error if the connection has ended.
    ///
    /// Output that [`EvContext::take_stream`](crate::EvContext::take_stream) brought along is sent
    /// before the write direction ends.
    ///
    /// # Errors
    ///
    /// Returns the errors of shutdown(2).
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # use std::net::Shutdown;
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let client = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (server, _peer) = listener.accept().await?;
    /// client.shutdown(Shutdown::Write)?;
    /// assert!(server.read_chunk().await?.is_empty());
    /// // The other direction goes on.
    /// server.try_write(b"bye")?;
    /// assert_eq!(&*client.read_chunk().await?, b"bye");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }

    /// Returns the registration, for code that counts the stream or hands it over.
    pub(crate) fn registered(&self) -> &Registered {
        &self.socket.registered
    }
}

impl HasSocket for TcpStream {
    #[inline]
    fn socket(&self) -> &Socket {
        &self.socket
    }
}

byte_stream!(TcpStream, &TcpStream);

std_types!(TcpStream, std::net::TcpStream);

impl TryFrom<TcpStream> for OwnedFd {
    type Error = io::Error;

    /// Ends the registration, as [`TcpStream::into_std`] does. The descriptor stays non-blocking.
    fn try_from(stream: TcpStream) -> io::Result<OwnedFd> {
        stream.socket.try_into_fd().map(OwnedFd::from)
    }
}

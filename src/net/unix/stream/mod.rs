//! A connection of Unix sockets, for tasks: what it is, where it comes from, and its addresses.
//!
//! It is made of the same parts as a TCP stream (`net/socket`), with two differences: it may carry
//! descriptors, which end a read early, and no handler's output.

// In the order in which the page of the type shows their methods: the docs follow the modules.
mod connect;

mod transfer;

mod readiness;

pub(crate) mod split;

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::parts::deadlines::Deadlines;

use crate::net::socket::Socket;
use crate::net::socket::byte_stream::{HasSocket, byte_stream};
use crate::net::socket::std_types::{into_owned_fd, std_types};
use crate::net::unix::credentials::PeerCredentials;
use crate::sys::{fd, socket};

/// A connection of Unix sockets, of this thread's poller. See unix(7).
///
/// It reads and writes like a [`TcpStream`](crate::net::TcpStream): by futures-io's `AsyncRead` and
/// `AsyncWrite`, also through `&UnixStream`.
///
/// Each direction has one waker for the poll functions, those of `AsyncRead` and `AsyncWrite`
/// included, and for [`UnixStream::read_chunk`]: if two tasks wait there in the same direction, only
/// the last one is woken. Any number may wait in [`UnixStream::peek`], [`UnixStream::readable`] and
/// [`UnixStream::writable`].
///
/// Dropping the stream closes the connection. A stream that outlives its poller returns errors.
///
/// # Examples
///
/// ```
/// use corepoll::net::UnixStream;
/// use futures::{AsyncReadExt, AsyncWriteExt};
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let (mut one, mut other) = UnixStream::pair()?;
///     one.write_all(b"hello").await?;
///     drop(one);
///     let mut text = String::new();
///     other.read_to_string(&mut text).await?;
///     assert_eq!(text, "hello");
///     Ok(())
/// })
/// # }
/// ```
pub struct UnixStream {
    /// The socket and its registration.
    socket: Socket,
}

impl UnixStream {
    /// Makes a stream of its socket.
    fn of(socket: Socket) -> UnixStream {
        // A read stops where a descriptor was sent along (unix(7)), although bytes may follow. So a
        // short read doesn't say that the socket is empty.
        socket.registered.distrust_short_reads();
        UnixStream { socket: socket.mark_stream() }
    }

    /// Registers a non-blocking socket that nothing else has a descriptor of. Errors name the
    /// operation `what`.
    pub(crate) fn from_fd(fd: fd::OwnedFd, what: &str) -> io::Result<UnixStream> {
        Ok(UnixStream::of(Socket::new(fd, what)?))
    }

    /// Returns two streams that are connected to each other: socketpair(2).
    ///
    /// # Errors
    ///
    /// Returns an error if this thread has no poller, or if descriptors have run out.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixStream::pair()?;
    /// one.try_write(b"hello")?;
    /// assert_eq!(&*other.read_chunk().await?, b"hello");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let made = socket::pair()?;
        let (one, other) = Socket::pair(made, "UnixStream::pair")?;
        Ok((UnixStream::of(one), UnixStream::of(other)))
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
    /// # use corepoll::net::UnixStream;
    /// # use std::io::Write;
    /// # corepoll::block_on(async {
    /// let (one, mut other) = std::os::unix::net::UnixStream::pair()?;
    /// let one = UnixStream::from_std(one)?;
    /// other.write_all(b"hello")?;
    /// assert_eq!(&*one.read_chunk().await?, b"hello");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn from_std(stream: std::os::unix::net::UnixStream) -> io::Result<UnixStream> {
        let socket = Socket::from_std(stream, "UnixStream::from_std")?;
        Ok(UnixStream::of(socket))
    }

    /// Ends the registration, and returns the socket as std's type. It stays non-blocking.
    ///
    /// # Errors
    ///
    /// Returns no error today: only [`TcpStream::into_std`](crate::net::TcpStream::into_std) can
    /// fail.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # use std::io::Write;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixStream::pair()?;
    /// let mut one: std::os::unix::net::UnixStream = one.into_std()?;
    /// one.write_all(b"hello")?;
    /// assert_eq!(&*other.read_chunk().await?, b"hello");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixStream> {
        self.socket.into_std()
    }

    /// Returns the address of the peer, which is mostly unnamed: getpeername(2).
    ///
    /// # Errors
    ///
    /// Returns the errors of getpeername(2).
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # corepoll::block_on(async {
    /// let (one, _other) = UnixStream::pair()?;
    /// assert!(one.peer_addr()?.is_unnamed());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// Returns the address of this side, which may be unnamed: getsockname(2).
    ///
    /// # Errors
    ///
    /// Returns the errors of getsockname(2).
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # corepoll::block_on(async {
    /// let (one, _other) = UnixStream::pair()?;
    /// assert!(one.local_addr()?.is_unnamed());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Returns the process, user and group of the peer, as of the moment when it connected or
    /// listened: SO_PEERCRED of unix(7).
    ///
    /// # Errors
    ///
    /// Returns the errors of getsockopt(2).
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # corepoll::block_on(async {
    /// let (one, _other) = UnixStream::pair()?;
    /// assert_eq!(one.peer_cred()?.pid(), Some(std::process::id() as i32));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn peer_cred(&self) -> io::Result<PeerCredentials> {
        PeerCredentials::of(self.socket.fd())
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
    /// share them.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{Deadlines, net::UnixStream};
    /// # use std::{io::ErrorKind, time::Duration};
    /// # corepoll::block_on(async {
    /// let (one, _other) = UnixStream::pair()?;
    /// let read = Some(Duration::from_millis(1));
    /// one.set_deadlines(Deadlines { read, ..Deadlines::default() });
    /// let error = one.read_chunk().await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn set_deadlines(&self, deadlines: Deadlines) {
        self.socket.registered.set_deadlines(deadlines);
    }

    /// Shuts down one direction or both: shutdown(2). It is no error if the connection has ended.
    ///
    /// # Errors
    ///
    /// Returns the errors of shutdown(2).
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # use std::net::Shutdown;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixStream::pair()?;
    /// one.shutdown(Shutdown::Write)?;
    /// assert!(other.read_chunk().await?.is_empty());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }
}

impl HasSocket for UnixStream {
    #[inline]
    fn socket(&self) -> &Socket {
        &self.socket
    }
}

byte_stream!(UnixStream, &UnixStream);

std_types!(UnixStream, std::os::unix::net::UnixStream);
into_owned_fd!(UnixStream);

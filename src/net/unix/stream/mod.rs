//! A connection of Unix sockets, for tasks.

mod connect;
mod readiness;
pub(crate) mod split;
mod transfer;

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

/// A connection of Unix sockets, of this thread's poller. See unix(7).
///
/// It reads and writes like a [`TcpStream`](crate::net::TcpStream): by futures-io's `AsyncRead`
/// and `AsyncWrite`, also through `&UnixStream`, and each direction has one waker for these. Any
/// number of tasks may wait in [`UnixStream::peek`], [`UnixStream::readable`] and
/// [`UnixStream::writable`].
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
    socket: Socket,
}

impl UnixStream {
    fn of(socket: Socket) -> UnixStream {
        // A read ends where a descriptor was sent along, whatever comes behind it.
        socket.registered.distrust_short_reads();
        UnixStream { socket: socket.of_a_stream() }
    }

    /// Wraps a non-blocking socket that is ours alone.
    pub(crate) fn from_fd(fd: OwnedFd, what: &str) -> io::Result<UnixStream> {
        Ok(UnixStream::of(Socket::new(fd, what)?))
    }

    /// Two sockets that are connected to each other: socketpair(2).
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
    ///
    /// # Errors
    /// There is no poller on this thread, or there are no descriptors.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let made = std::os::unix::net::UnixStream::pair()?;
        let (one, other) = Socket::pair(made, "UnixStream::pair")?;
        Ok((UnixStream::of(one), UnixStream::of(other)))
    }

    /// Takes a socket of std's over, blocking or not.
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
    ///
    /// # Errors
    /// There is no poller on this thread, or the kernel refuses the registration.
    pub fn from_std(stream: std::os::unix::net::UnixStream) -> io::Result<UnixStream> {
        let socket = Socket::from_std(stream, "UnixStream::from_std")?;
        Ok(UnixStream::of(socket))
    }

    /// Gives the socket to std. It stays non-blocking.
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
    ///
    /// # Errors
    /// None today.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixStream> {
        self.socket.into_std()
    }

    /// The peer's address; most have none.
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # corepoll::block_on(async {
    /// let (one, _other) = UnixStream::pair()?;
    /// assert!(one.peer_addr()?.is_unnamed());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// getpeername(2).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// Our address, if we have one.
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # corepoll::block_on(async {
    /// let (one, _other) = UnixStream::pair()?;
    /// assert!(one.local_addr()?.is_unnamed());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Who the peer was when it connected or listened: SO_PEERCRED of unix(7).
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # corepoll::block_on(async {
    /// let (one, _other) = UnixStream::pair()?;
    /// assert_eq!(one.peer_cred()?.pid(), Some(std::process::id() as i32));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// getsockopt(2).
    pub fn peer_cred(&self) -> io::Result<PeerCredentials> {
        PeerCredentials::of(self.socket.fd())
    }

    /// Gives the stream deadlines, from now on, in place of those that it had. When one is missed,
    /// what waits fails with an error of the kind [`TimedOut`](io::ErrorKind::TimedOut), which says
    /// which one; the deadline begins anew then, and the stream can be used further.
    ///
    /// The read deadline runs from when a read has to wait until bytes come, the write deadline from
    /// when a write has to wait until some are taken. They are the stream's and not a future's:
    /// when one that waits is dropped, as in a `select`, and another one takes its place, the time
    /// goes on. Shared by all who use the stream; gone when it becomes a handler's.
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

    /// Ends one direction or both: shutdown(2). It is no error if the connection has ended.
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
    ///
    /// # Errors
    /// shutdown(2).
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

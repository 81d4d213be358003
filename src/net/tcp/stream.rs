//! A TCP connection, for tasks.

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

/// A TCP connection of this thread's poller.
///
/// It reads and writes by futures-io's `AsyncRead` and `AsyncWrite`, also through `&TcpStream`, so
/// that one task may read while another writes. Each direction has one waker: when two tasks
/// wait in the same direction through the poll functions or [`TcpStream::read_chunk`], the last one
/// is woken. Any number may wait in [`TcpStream::peek`], [`TcpStream::readable`] and
/// [`TcpStream::writable`].
///
/// Dropping it closes the connection. A stream that outlives its poller gives errors.
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
    socket: Socket,
}

impl TcpStream {
    /// Wraps a non-blocking socket that is ours alone.
    pub(crate) fn from_fd(fd: OwnedFd, what: &str) -> io::Result<TcpStream> {
        Ok(TcpStream { socket: Socket::new(fd, what)?.of_a_stream() })
    }

    /// Takes a socket of std's over, blocking or not.
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
    ///
    /// # Errors
    /// There is no poller on this thread, or the kernel refuses the registration.
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<TcpStream> {
        let socket = Socket::from_std(stream, "TcpStream::from_std")?;
        Ok(TcpStream { socket: socket.of_a_stream() })
    }

    /// A stream of a registration that exists.
    pub(crate) fn from_registered(registered: Registered) -> TcpStream {
        TcpStream { socket: Socket { registered }.of_a_stream() }
    }

    pub(crate) fn into_registered(self) -> Registered {
        self.socket.registered
    }

    /// Gives the socket to std. It stays non-blocking.
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
    ///
    /// # Errors
    /// [`EvContext::take_stream`](crate::EvContext::take_stream) brought output along, and the
    /// kernel doesn't take all of it now (`WouldBlock`: flush first; the connection is closed when
    /// it has been sent), or sending it has failed.
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        self.socket.into_std()
    }

    /// The peer's address.
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
    ///
    /// # Errors
    /// The connection has ended: getpeername(2).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// Our address.
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
    ///
    /// # Errors
    /// getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Gives the stream deadlines, from now on, in place of those that it had. When one is missed,
    /// what waits fails with an error of the kind [`TimedOut`](io::ErrorKind::TimedOut), which says
    /// which one; the deadline begins anew then, and the stream can be used further.
    ///
    /// The read deadline runs from when a read has to wait until bytes come, the write deadline from
    /// when a write has to wait until some are taken. They are the stream's and not a future's:
    /// when one that waits is dropped, as in a `select`, and another one takes its place, the time
    /// goes on. Shared by all who use the stream, a [`relay`](crate::io::relay()) as well; gone when
    /// it becomes a handler's.
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

    /// Ends one direction or both: shutdown(2). It is no error if the connection has ended. Output
    /// that [`EvContext::take_stream`](crate::EvContext::take_stream) brought along is sent first.
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
    ///
    /// # Errors
    /// shutdown(2).
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }

    /// The registration, for those who count it or hand it over.
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
        stream.socket.into_std()
    }
}

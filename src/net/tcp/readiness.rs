//! How tasks wait until a [`TcpStream`] is ready for a direction.
//!
//! The twin of this file for Unix streams is `net/unix/stream/readiness`. They are written twice
//! and not by a macro, so that the page of each type has its own words and examples.

use std::io;
use std::task::{Context, Poll};

use crate::base::interest::Interest;
use crate::parts::readiness::Direction;

use crate::net::socket::byte_stream::HasSocket;
use crate::net::tcp::stream::TcpStream;

impl TcpStream {
    /// Waits until a read may succeed: bytes have come, the peer has ended its direction, or the
    /// connection has failed.
    ///
    /// Another task may be faster: then [`TcpStream::try_read`] returns `WouldBlock`, and the next
    /// call waits for the next event.
    ///
    /// # Errors
    ///
    /// Returns `NotConnected` if the poller has ended, and `TimedOut` if the read deadline has
    /// passed ([`TcpStream::set_deadlines`]).
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
    /// one.try_write(b"hello")?;
    /// other.readable().await?;
    /// assert_eq!(other.try_read(&mut [0; 16])?, 5);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn readable(&self) -> io::Result<()> {
        self.socket().readable().await
    }

    /// Waits until a write may succeed: the socket has room, or the connection has failed.
    ///
    /// Another task may be faster: then [`TcpStream::try_write`] returns `WouldBlock`, and the next
    /// call waits for the next event.
    ///
    /// # Errors
    ///
    /// Returns `NotConnected` if the poller has ended, and `TimedOut` if the write deadline has
    /// passed ([`TcpStream::set_deadlines`]).
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
    /// one.writable().await?;
    /// assert_eq!(one.try_write(b"hello")?, 5);
    /// # drop(other);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn writable(&self) -> io::Result<()> {
        self.socket().writable().await
    }

    /// Polls whether a read may succeed: [`TcpStream::readable`] as a poll function, tokio's
    /// `poll_read_ready`.
    ///
    /// If not, the waker of `cx` is registered in the read direction, in place of that of any other
    /// poll function.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`TcpStream::readable`].
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
    /// std::future::poll_fn(|cx| other.poll_readable(cx)).await?;
    /// assert_eq!(other.try_read(&mut [0; 16])?, 5);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_ready(cx, Direction::Read)
    }

    /// Polls whether a write may succeed: [`TcpStream::writable`] as a poll function, tokio's
    /// `poll_write_ready`.
    ///
    /// If not, the waker of `cx` is registered in the write direction, in place of that of any
    /// other poll function.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`TcpStream::writable`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let one = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (other, _peer) = listener.accept().await?;
    /// std::future::poll_fn(|cx| one.poll_writable(cx)).await?;
    /// assert_eq!(one.try_write(b"hello")?, 5);
    /// # drop(other);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_ready(cx, Direction::Write)
    }

    /// Calls `operation` if the stream may be ready for one of the directions of `interest`.
    ///
    /// It is for system calls that corepoll doesn't make, such as recvmsg(2) with control messages.
    /// When the operation returns `WouldBlock`, these directions count as not ready until the next
    /// event. So `interest` names what the operation does, and the operation returns `WouldBlock`
    /// only if the system call did.
    ///
    /// # Errors
    ///
    /// Returns the operation's errors; and `WouldBlock`, without calling it, if the stream isn't
    /// ready.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Interest;
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # use socket2::SockRef;
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let one = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (other, _peer) = listener.accept().await?;
    /// one.try_write(b"hello")?;
    /// other.readable().await?;
    /// let mut bytes = Vec::with_capacity(16);
    /// let count = other.try_io(Interest::READABLE, || {
    ///     SockRef::from(&other).recv(bytes.spare_capacity_mut())
    /// })?;
    /// assert_eq!(count, 5);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn try_io<R>(
        &self,
        interest: Interest,
        operation: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        self.socket().try_io(interest, operation)
    }
}

//! How tasks wait until a [`UnixDatagram`] is ready for a direction.
//!
//! Waiting to write is the odd one: the room is in the queue of the receiver (`full_queue`).

use std::io;
use std::task::{Context, Poll, ready};

use crate::base::interest::Interest;
use crate::parts::readiness::Direction;

use crate::net::unix::datagram::UnixDatagram;

impl UnixDatagram {
    /// Waits until a receive may succeed: a datagram has come, or an error.
    ///
    /// Another task may be faster: then [`UnixDatagram::try_recv`] returns `WouldBlock`, and the
    /// next call waits for the next event.
    ///
    /// # Errors
    ///
    /// Returns `NotConnected` if the poller has ended.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe. Any number of tasks may wait in it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # use std::io::ErrorKind;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixDatagram::pair()?;
    /// one.send(b"ping").await?;
    /// let mut bytes = [0; 16];
    /// let count = loop {
    ///     other.readable().await?;
    ///     match other.try_recv(&mut bytes) {
    ///         Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
    ///         result => break result?,
    ///     }
    /// };
    /// assert_eq!(&bytes[..count], b"ping");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Waits until a send may succeed: the socket has room, or an error waits.
    ///
    /// The kernel reports room in the queue of the socket that the sender is connected to, and of
    /// no other. So after [`UnixDatagram::try_send_to`] has returned `WouldBlock`, this waits for a
    /// pause: 0.1 ms at first, up to 16 ms. [`UnixDatagram::send_to`] does the whole loop; a socket
    /// that sends much to one address should connect to it.
    ///
    /// # Errors
    ///
    /// Returns `NotConnected` if the poller has ended.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe. Any number of tasks may wait in it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixDatagram::pair()?;
    /// one.writable().await?;
    /// assert_eq!(one.try_send(b"ping")?, 4);
    /// # drop(other);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn writable(&self) -> io::Result<()> {
        self.full.wait().await;
        // After the pause the socket may still be full itself, with datagrams that no receiver has
        // taken.
        self.socket.writable().await
    }

    /// Polls whether a receive may succeed: [`UnixDatagram::readable`] as a poll function, tokio's
    /// `poll_recv_ready`.
    ///
    /// If not, the waker of `cx` is registered in the read direction, in place of that of any other
    /// poll function.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`UnixDatagram::readable`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixDatagram::pair()?;
    /// one.send(b"ping").await?;
    /// std::future::poll_fn(|cx| other.poll_readable(cx)).await?;
    /// assert_eq!(other.try_recv(&mut [0; 16])?, 4);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_ready(cx, Direction::Read)
    }

    /// Polls whether a send may succeed: [`UnixDatagram::writable`] as a poll function, tokio's
    /// `poll_send_ready`.
    ///
    /// If not, the waker of `cx` is registered in the write direction, in place of that of any
    /// other poll function.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`UnixDatagram::writable`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixDatagram::pair()?;
    /// std::future::poll_fn(|cx| one.poll_writable(cx)).await?;
    /// assert_eq!(one.try_send(b"ping")?, 4);
    /// # drop(other);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.full.poll_wait(cx));
        self.socket.poll_ready(cx, Direction::Write)
    }

    /// Calls `operation` if the socket may be ready for one of the directions of `interest`.
    ///
    /// It is for system calls that corepoll doesn't make, such as sendmsg(2) with control messages
    /// or recvmmsg(2). When the operation returns `WouldBlock`, these directions count as not ready
    /// until the next event. So `interest` names what the operation does, and the operation returns
    /// `WouldBlock` only if the system call did.
    ///
    /// # Errors
    ///
    /// Returns the operation's errors; and `WouldBlock`, without calling it, if the socket isn't
    /// ready.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Interest;
    /// # use corepoll::net::UnixDatagram;
    /// # use socket2::SockRef;
    /// # use std::mem::MaybeUninit;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixDatagram::pair()?;
    /// one.send(b"ping").await?;
    /// other.readable().await?;
    /// let mut space = [MaybeUninit::uninit(); 16];
    /// let recv = || SockRef::from(&other).recv(&mut space);
    /// assert_eq!(other.try_io(Interest::READABLE, recv)?, 4);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn try_io<R>(
        &self,
        interest: Interest,
        operation: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        self.socket.try_io(interest, operation)
    }
}

//! How tasks wait until a [`UdpSocket`] is ready for a direction.
//!
//! A datagram socket is writable nearly always: its send buffer is full only while the network
//! device is slower than the program. There is no end of stream, and an ICMP error wakes both
//! directions (udp(7)).

use std::io;
use std::task::{Context, Poll};

use crate::base::interest::Interest;
use crate::parts::readiness::Direction;

use crate::net::udp::UdpSocket;

impl UdpSocket {
    /// Waits until a receive may succeed: a datagram has come, or an error.
    ///
    /// Another task may be faster: then [`UdpSocket::try_recv`] returns `WouldBlock`, and the next
    /// call waits for the next event.
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
    /// # use corepoll::net::UdpSocket;
    /// # use std::io::ErrorKind;
    /// # corepoll::block_on(async {
    /// let one = UdpSocket::bind("127.0.0.1:0").await?;
    /// let other = UdpSocket::bind("127.0.0.1:0").await?;
    /// one.connect(other.local_addr()?).await?;
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
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let one = UdpSocket::bind("127.0.0.1:0").await?;
    /// let other = UdpSocket::bind("127.0.0.1:0").await?;
    /// one.connect(other.local_addr()?).await?;
    /// one.writable().await?;
    /// assert_eq!(one.try_send(b"ping")?, 4);
    /// # drop(other);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn writable(&self) -> io::Result<()> {
        self.socket.writable().await
    }

    /// Polls whether a receive may succeed: [`UdpSocket::readable`] as a poll function, tokio's
    /// `poll_recv_ready`.
    ///
    /// If not, the waker of `cx` is registered in the read direction, in place of that of any other
    /// poll function.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`UdpSocket::readable`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let one = UdpSocket::bind("127.0.0.1:0").await?;
    /// let other = UdpSocket::bind("127.0.0.1:0").await?;
    /// one.connect(other.local_addr()?).await?;
    /// one.send(b"ping").await?;
    /// std::future::poll_fn(|cx| other.poll_readable(cx)).await?;
    /// assert_eq!(other.try_recv(&mut [0; 16])?, 4);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_ready(cx, Direction::Read)
    }

    /// Polls whether a send may succeed: [`UdpSocket::writable`] as a poll function, tokio's
    /// `poll_send_ready`.
    ///
    /// If not, the waker of `cx` is registered in the write direction, in place of that of any
    /// other poll function.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`UdpSocket::writable`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let one = UdpSocket::bind("127.0.0.1:0").await?;
    /// let other = UdpSocket::bind("127.0.0.1:0").await?;
    /// one.connect(other.local_addr()?).await?;
    /// std::future::poll_fn(|cx| one.poll_writable(cx)).await?;
    /// assert_eq!(one.try_send(b"ping")?, 4);
    /// # drop(other);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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
    /// # use corepoll::net::UdpSocket;
    /// # use socket2::SockRef;
    /// # use std::mem::MaybeUninit;
    /// # corepoll::block_on(async {
    /// let one = UdpSocket::bind("127.0.0.1:0").await?;
    /// let other = UdpSocket::bind("127.0.0.1:0").await?;
    /// one.connect(other.local_addr()?).await?;
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

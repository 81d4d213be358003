//! How datagrams move through a [`UdpSocket`].
//!
//! The work is done in `socket/datagrams`, which Unix sockets share.

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll};

use crate::parts::readiness::Direction;
use crate::sys::datagram;

use crate::net::addr::lookup::first_known;
use crate::net::addr::to_socket_addrs::{Addresses, ToSocketAddrs};
use crate::net::udp::UdpSocket;

impl UdpSocket {
    /// Sends one datagram to the address that the socket is connected to, and returns its length in
    /// bytes.
    ///
    /// # Errors
    ///
    /// Returns the errors of send(2): the datagram is too long, or the socket isn't connected.
    /// `ConnectionRefused` says that nothing received an earlier datagram.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe: the datagram has been sent whole, or not at all.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let server = UdpSocket::bind("127.0.0.1:0").await?;
    /// let client = UdpSocket::bind("127.0.0.1:0").await?;
    /// client.connect(server.local_addr()?).await?;
    /// assert_eq!(client.send(b"ping").await?, 4);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.send(buf).await
    }

    /// Sends one datagram to the first address of `target`, and returns its length in bytes.
    ///
    /// # Errors
    ///
    /// Returns the errors of sendto(2). A host name needs the feature `blocking`; without it, it is
    /// an error of kind `Unsupported`.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe: the datagram has been sent whole, or not at all.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let server = UdpSocket::bind("127.0.0.1:0").await?;
    /// let client = UdpSocket::bind("127.0.0.1:0").await?;
    /// assert_eq!(client.send_to(b"ping", server.local_addr()?).await?, 4);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn send_to(&self, buf: &[u8], target: impl ToSocketAddrs) -> io::Result<usize> {
        let target = match target.addresses()? {
            Addresses::One(address) => address,
            // Boxed, as it is rare and its future is large.
            other => Box::pin(first_known(other)).await?,
        };
        let send = |fd: BorrowedFd<'_>| self.socket.charged(datagram::send_to(fd, buf, &target));
        if let Some(sent) = self.socket.registered.attempt(Direction::Write, send) {
            return sent;
        }
        self.socket.registered.io(Direction::Write, send).await
    }

    /// Receives one datagram into `buf`, and returns how many of its bytes are there. Zero is an
    /// empty datagram.
    ///
    /// # Errors
    ///
    /// Returns the errors of recv(2). `ConnectionRefused` says that nothing received a datagram
    /// that was sent to the connected address.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe: dropping the future never loses a datagram. Any number of tasks
    /// may wait in it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// socket.send_to(b"a long datagram", socket.local_addr()?).await?;
    /// let mut bytes = [0; 6];
    /// // What doesn't fit is lost.
    /// assert_eq!(socket.recv(&mut bytes).await?, 6);
    /// assert_eq!(&bytes, b"a long");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(buf).await
    }

    /// Receives one datagram into `buf`. Returns how many of its bytes are there, and the address
    /// of its sender.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`UdpSocket::recv`].
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe: dropping the future never loses a datagram. Any number of tasks
    /// may wait in it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let server = UdpSocket::bind("127.0.0.1:0").await?;
    /// let client = UdpSocket::bind("127.0.0.1:0").await?;
    /// client.send_to(b"ping", server.local_addr()?).await?;
    /// let mut bytes = [0; 1500];
    /// assert_eq!(server.recv_from(&mut bytes).await?, (4, client.local_addr()?));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let mut receive =
            |fd: BorrowedFd<'_>| self.socket.charged_from(datagram::recv_from(fd, buf));
        if let Some(received) = self.socket.registered.attempt(Direction::Read, &mut receive) {
            return received;
        }
        self.socket.registered.io(Direction::Read, receive).await
    }

    /// Copies the next datagram into `buf` and leaves it to be received: MSG_PEEK of recv(2).
    /// Returns how many of its bytes are there.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`UdpSocket::recv`].
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
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// socket.send_to(b"ping", socket.local_addr()?).await?;
    /// let mut bytes = [0; 16];
    /// assert_eq!(socket.peek(&mut bytes).await?, 4);
    /// assert_eq!(socket.recv(&mut bytes).await?, 4);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.peek(buf).await
    }

    /// Copies the next datagram into `buf` and leaves it to be received. Returns how many of its
    /// bytes are there, and the address of its sender.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`UdpSocket::recv`].
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
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// let addr = socket.local_addr()?;
    /// socket.send_to(b"ping", addr).await?;
    /// let mut bytes = [0; 16];
    /// assert_eq!(socket.peek_from(&mut bytes).await?, (4, addr));
    /// assert_eq!(socket.recv_from(&mut bytes).await?, (4, addr));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.recv_from(buf, datagram::peek_from).await
    }

    /// Polls for a datagram, and receives it into `buf`: [`UdpSocket::recv_from`] as a poll
    /// function. Returns how many of its bytes are there, and the address of its sender.
    ///
    /// If none has come, the waker of `cx` is registered in the read direction, in place of that of
    /// any other poll function. tokio's function of this name takes a `ReadBuf`.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`UdpSocket::recv`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// let addr = socket.local_addr()?;
    /// socket.send_to(b"ping", addr).await?;
    /// let mut bytes = [0; 16];
    /// let received = std::future::poll_fn(|cx| socket.poll_recv_from(cx, &mut bytes)).await?;
    /// assert_eq!(received, (4, addr));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.socket.poll_recv_from(cx, |fd| datagram::recv_from(fd, buf))
    }

    /// Polls for room, and sends one datagram to `target`: [`UdpSocket::send_to`] as a poll
    /// function, of tokio's name. Returns the length of the datagram in bytes.
    ///
    /// If the socket has no room, the waker of `cx` is registered in the write direction, in place
    /// of that of any other poll function.
    ///
    /// # Errors
    ///
    /// Returns the errors of sendto(2).
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// let addr = socket.local_addr()?;
    /// assert_eq!(std::future::poll_fn(|cx| socket.poll_send_to(cx, b"ping", addr)).await?, 4);
    /// assert_eq!(socket.recv(&mut [0; 16]).await?, 4);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_send_to(cx, buf, &target)
    }

    /// Sends one datagram to the connected address without waiting, and returns its length in
    /// bytes.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`UdpSocket::send`], and `WouldBlock` if the socket has no room.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// socket.connect(socket.local_addr()?).await?;
    /// assert_eq!(socket.try_send(b"ping")?, 4);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.try_send(buf)
    }

    /// Sends one datagram to `target` without waiting, and returns its length in bytes.
    ///
    /// # Errors
    ///
    /// Returns the errors of sendto(2), and `WouldBlock` if the socket has no room.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// assert_eq!(socket.try_send_to(b"ping", socket.local_addr()?)?, 4);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn try_send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        self.socket.try_send_to(buf, &target)
    }

    /// Receives one datagram into `buf` without waiting, and returns how many of its bytes are
    /// there.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`UdpSocket::recv`], and `WouldBlock` if no datagram has come.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// let error = socket.try_recv(&mut [0; 16]).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.try_recv(buf)
    }

    /// Receives one datagram into `buf` without waiting. Returns how many of its bytes are there,
    /// and the address of its sender.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`UdpSocket::recv`], and `WouldBlock` if no datagram has come.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// socket.send_to(b"ping", socket.local_addr()?).await?;
    /// socket.readable().await?;
    /// assert_eq!(socket.try_recv_from(&mut [0; 16])?, (4, socket.local_addr()?));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.try_recv_from(|fd| datagram::recv_from(fd, buf))
    }
}

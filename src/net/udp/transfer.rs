//! How datagrams move through a [`UdpSocket`].

use std::io;
use std::net::SocketAddr;

use crate::net::addr::lookup::resolve_first;
use crate::net::addr::to_socket_addrs::ToSocketAddrs;
use crate::net::udp::UdpSocket;

impl UdpSocket {
    /// Sends one datagram to the address of [`UdpSocket::connect`].
    ///
    /// Cancel-safe: it has been sent whole, or not at all.
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
    ///
    /// # Errors
    /// send(2)'s: the datagram is too long, the socket isn't connected; and `ConnectionRefused`,
    /// when an earlier one found nobody.
    pub async fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.send(buf).await
    }

    /// Sends one datagram to the first address of `target`.
    ///
    /// Cancel-safe: it has been sent whole, or not at all.
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
    ///
    /// # Errors
    /// sendto(2)'s. A host name needs the feature `blocking`.
    pub async fn send_to(&self, buf: &[u8], target: impl ToSocketAddrs) -> io::Result<usize> {
        self.socket.send_to(buf, &resolve_first(&target).await?.into()).await
    }

    /// Receives one datagram: how many bytes of it are in `buf` now. Zero is an empty datagram.
    ///
    /// Cancel-safe: dropping the future never loses a datagram.
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
    ///
    /// # Errors
    /// recv(2)'s; `ConnectionRefused`, when one that was sent to a connected address found nobody.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(buf).await
    }

    /// Receives one datagram: how many bytes of it are in `buf` now, and where it came from.
    ///
    /// Cancel-safe: dropping the future never loses a datagram.
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
    ///
    /// # Errors
    /// As [`UdpSocket::recv`].
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.recv_from(buf).await
    }

    /// As [`UdpSocket::recv`], but the datagram stays. Cancel-safe.
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
    ///
    /// # Errors
    /// As [`UdpSocket::recv`].
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.peek(buf).await
    }

    /// As [`UdpSocket::recv_from`], but the datagram stays. Cancel-safe.
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
    ///
    /// # Errors
    /// As [`UdpSocket::recv`].
    pub async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.peek_from(buf).await
    }

    /// [`UdpSocket::send`] without waiting.
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
    ///
    /// # Errors
    /// As there; `WouldBlock` when there is no room.
    pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.try_send(buf)
    }

    /// [`UdpSocket::send_to`] without waiting.
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// assert_eq!(socket.try_send_to(b"ping", socket.local_addr()?)?, 4);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As there; `WouldBlock` when there is no room.
    pub fn try_send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        self.socket.try_send_to(buf, &target.into())
    }

    /// [`UdpSocket::recv`] without waiting.
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
    ///
    /// # Errors
    /// As there; `WouldBlock` when there is no datagram.
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.try_recv(buf)
    }

    /// [`UdpSocket::recv_from`] without waiting.
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
    ///
    /// # Errors
    /// As there; `WouldBlock` when there is no datagram.
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.try_recv_from(buf)
    }
}

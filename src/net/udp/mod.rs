//! A UDP socket, for tasks: what it is, its addresses and its options.

// In the order in which the page of the type shows their methods: the docs follow the modules.
mod bind;

mod transfer;

mod readiness;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use crate::net::socket::Socket;
use crate::net::socket::std_types::{into_owned_fd, std_types};

/// A UDP socket of this thread's poller.
///
/// Each call sends or receives one datagram. If it is longer than the buffer it is cut, and the
/// rest is lost. An empty datagram is received as zero bytes, and is no end. Any number of tasks
/// may send and receive through one socket at the same time; each datagram goes to one of them.
///
/// Options that have no method here, such as multicast groups, are set through
/// `socket2::SockRef::from(&socket)`.
///
/// # Examples
///
/// ```
/// use corepoll::net::UdpSocket;
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let server = UdpSocket::bind("127.0.0.1:0").await?;
///     let client = UdpSocket::bind("127.0.0.1:0").await?;
///     client.connect(server.local_addr()?).await?;
///
///     client.send(b"ping").await?;
///     let mut bytes = [0; 1500];
///     let (count, from) = server.recv_from(&mut bytes).await?;
///     server.send_to(&bytes[..count], from).await?;
///     assert_eq!(client.recv(&mut bytes).await?, 4);
///     assert_eq!(&bytes[..4], b"ping");
///     Ok(())
/// })
/// # }
/// ```
pub struct UdpSocket {
    /// The socket and its registration.
    socket: Socket,
}

impl UdpSocket {
    /// Returns the address that the socket is bound to: getsockname(2).
    ///
    /// # Errors
    ///
    /// Returns the errors of getsockname(2).
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// assert!(socket.local_addr()?.ip().is_loopback());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Returns the address that the socket is connected to: getpeername(2).
    ///
    /// # Errors
    ///
    /// Returns an error if [`UdpSocket::connect`] has not been called.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// assert!(socket.peer_addr().is_err());
    /// socket.connect(socket.local_addr()?).await?;
    /// assert_eq!(socket.peer_addr()?, socket.local_addr()?);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// Sets SO_BROADCAST: whether the socket may send to broadcast addresses. See socket(7). It is
    /// off at first.
    ///
    /// # Errors
    ///
    /// Returns the errors of setsockopt(2).
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// socket.set_broadcast(true)?;
    /// assert!(socket.broadcast()?);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.socket.options().set_broadcast(on)
    }

    /// Returns whether SO_BROADCAST is on.
    ///
    /// # Errors
    ///
    /// Returns the errors of getsockopt(2).
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// assert!(!socket.broadcast()?);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn broadcast(&self) -> io::Result<bool> {
        self.socket.options().broadcast()
    }
}

std_types!(UdpSocket, std::net::UdpSocket);
into_owned_fd!(UdpSocket);

//! A UDP socket, for tasks.

mod readiness;
mod transfer;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use crate::sys::datagram;
use crate::task::coop;

use crate::net::addr::lookup::resolve;
use crate::net::addr::to_socket_addrs::{ToSocketAddrs, first_of};
use crate::net::socket::Socket;
use crate::net::socket::std_types::{into_owned_fd, std_types};

/// A UDP socket of this thread's poller.
///
/// Each call sends or receives one datagram. One that is longer than the buffer is cut, and the
/// rest of it is lost; one of zero bytes is a datagram like others, and not an end. Any number of
/// tasks may send and receive through one socket at a time: each datagram goes to one of them.
///
/// Other options, such as the groups of multicast, are set through `socket2::SockRef::from(&socket)`.
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
    pub(crate) socket: Socket,
}

impl UdpSocket {
    /// A socket at the first of the addresses that can be had. Port 0 lets the kernel choose.
    ///
    /// Cancel-safe: it waits for the look-up of a host name only, and nothing is bound before.
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind(("127.0.0.1", 0)).await?;
    /// assert_ne!(socket.local_addr()?.port(), 0);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// None can be had: the error tells of every address. A host name needs the feature
    /// `blocking`.
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        coop::proceed().await;
        let fd = first_of(&resolve(&addr).await?, "binding", datagram::bind)?;
        Ok(UdpSocket { socket: Socket::new(fd, "UdpSocket::bind")? })
    }

    /// Takes a socket of std's over, blocking or not.
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// let socket = UdpSocket::from_std(socket)?;
    /// socket.send_to(b"to myself", socket.local_addr()?).await?;
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// There is no poller on this thread, or the kernel refuses the registration.
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
        Ok(UdpSocket { socket: Socket::from_std(socket, "UdpSocket::from_std")? })
    }

    /// Gives the socket to std. It stays non-blocking.
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?.into_std()?;
    /// let error = socket.recv(&mut [0]).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// None today.
    pub fn into_std(self) -> io::Result<std::net::UdpSocket> {
        self.socket.into_std()
    }

    /// Makes the first of the addresses that can be reached the one that [`UdpSocket::send`] means,
    /// and the only one that is heard. See udp(7).
    ///
    /// Cancel-safe: it waits for the look-up of a host name only; the socket is as it was before.
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let server = UdpSocket::bind("127.0.0.1:0").await?;
    /// let client = UdpSocket::bind("127.0.0.1:0").await?;
    /// client.connect(server.local_addr()?).await?;
    /// assert_eq!(client.peer_addr()?, server.local_addr()?);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// None can be: the error tells of every address. A host name needs the feature `blocking`.
    pub async fn connect(&self, addr: impl ToSocketAddrs) -> io::Result<()> {
        let addresses = resolve(&addr).await?;
        first_of(&addresses, "connecting to", |addr| datagram::connect(self.socket.fd(), addr))
    }

    /// Our address.
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// assert!(socket.local_addr()?.ip().is_loopback());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The address of [`UdpSocket::connect`].
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
    ///
    /// # Errors
    /// It isn't connected: getpeername(2).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// SO_BROADCAST: whether it may send to broadcast addresses. Off at first. See socket(7).
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
    ///
    /// # Errors
    /// setsockopt(2).
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.socket.options().set_broadcast(on)
    }

    /// Whether SO_BROADCAST is on.
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// assert!(!socket.broadcast()?);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// getsockopt(2).
    pub fn broadcast(&self) -> io::Result<bool> {
        self.socket.options().broadcast()
    }
}

std_types!(UdpSocket, std::net::UdpSocket);
into_owned_fd!(UdpSocket);

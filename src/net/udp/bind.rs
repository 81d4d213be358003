//! How a [`UdpSocket`] begins: it is bound, taken from std, and connected.

use std::io;

use crate::sys::datagram;
use crate::task::coop;

use crate::net::addr::lookup::resolve;
use crate::net::addr::to_socket_addrs::{ToSocketAddrs, first_of};
use crate::net::socket::Socket;
use crate::net::udp::UdpSocket;

impl UdpSocket {
    /// Returns a socket that is bound to the first of the addresses that can be bound. Port 0 lets
    /// the kernel choose a port.
    ///
    /// # Errors
    ///
    /// Returns an error if no address can be bound: it names each of them with its reason. A host
    /// name needs the feature `blocking`; without it, the error is of the kind `Unsupported`.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe: it waits only for the look-up of a host name, and binds nothing
    /// before.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind(("127.0.0.1", 0)).await?;
    /// assert_ne!(socket.local_addr()?.port(), 0);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        // Nothing below waits for an event if the address is known: a loop of binds yields here.
        coop::proceed().await;
        let fd = first_of(&resolve(&addr).await?, "binding", datagram::bind)?;
        Ok(UdpSocket { socket: Socket::new(fd, "UdpSocket::bind")? })
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
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// let socket = UdpSocket::from_std(socket)?;
    /// socket.send_to(b"to myself", socket.local_addr()?).await?;
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
        Ok(UdpSocket { socket: Socket::from_std(socket, "UdpSocket::from_std")? })
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
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?.into_std()?;
    /// let error = socket.recv(&mut [0]).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn into_std(self) -> io::Result<std::net::UdpSocket> {
        self.socket.into_std()
    }

    /// Connects the socket to the first of the addresses that can be reached: [`UdpSocket::send`]
    /// sends to it, and only its datagrams are received. See udp(7).
    ///
    /// # Errors
    ///
    /// Returns an error if no address can be reached: it names each of them with its reason. A host
    /// name needs the feature `blocking`; without it, the error is of the kind `Unsupported`.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe: it waits only for the look-up of a host name. If it is dropped
    /// there, the socket is unchanged.
    ///
    /// # Examples
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
    pub async fn connect(&self, addr: impl ToSocketAddrs) -> io::Result<()> {
        // The call only sets the address: no packet is sent, so it never waits.
        // A datagram socket may be connected again (connect(2)), so the next address can be tried.
        let addresses = resolve(&addr).await?;
        first_of(&addresses, "connecting to", |addr| datagram::connect(self.socket.fd(), addr))
    }
}

//! Batches of datagrams, for tasks and handlers: many by one system call.
//!
//! A [`RecvBatch`] is where datagrams are received, and a [`Message`] is one of them, or several that the
//! kernel has joined or will split. Tasks pass them to [`UdpSocket::recv_batch`] and
//! [`UdpSocket::send_batch`], and handlers to [`EvContext::recv_batch`] and [`EvContext::send_batch`].
//!
//! # When it pays
//!
//! What a datagram costs is mostly the kernel's way through its network. recvmmsg(2) and sendmmsg(2) only
//! spare the system calls, a tenth or so of the whole. Segmentation spares the way itself: a message of 64
//! datagrams goes through the kernel once. It needs a sender that has many datagrams of one size for one
//! peer at a time, as QUIC and media have, and a receiver that asks for it by [`UdpSocket::set_gro`].
//! `benches/versus` measures each ("versus udp").
//!
//! # Examples
//!
//! Segments go to a receiver, which sends them back as they came:
//!
//! ```
//! use corepoll::net::UdpSocket;
//! use corepoll::net::udp::{Message, RecvBatch};
//! use corepoll::{block_on, spawn_local};
//!
//! # fn main() -> std::io::Result<()> {
//! block_on(async {
//!     let (server, client) = (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
//!     let addr = server.local_addr()?;
//!     let echo = spawn_local(async move {
//!         server.set_gro(true)?;
//!         let mut batch = RecvBatch::new(8, 65_535);
//!         server.recv_batch(&mut batch).await?;
//!         server.send_batch(&batch).await
//!     });
//!
//!     // Ten datagrams of 1,200 bytes.
//!     let bytes = vec![7; 12_000];
//!     client.send_batch([Message::new(&bytes, addr).with_segment_size(1200)]).await?;
//!     echo.await??;
//!
//!     let mut batch = RecvBatch::new(32, 1500);
//!     client.recv_batch(&mut batch).await?;
//!     assert!(batch.iter().all(|message| message.bytes().len() == 1200));
//!     Ok(())
//! })
//! # }
//! ```
//!
//! [`EvContext::recv_batch`]: crate::EvContext::recv_batch
//! [`EvContext::send_batch`]: crate::EvContext::send_batch

// In the order in which the page of the type shows their methods: the docs follow the modules.
mod bind;

mod transfer;

mod batch;

mod readiness;

pub use crate::base::message::Message;
pub use crate::parts::recv_batch::{Messages, RecvBatch};

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use crate::net::socket::Socket;
use crate::net::socket::std_types::{into_owned_fd, std_types};
use crate::sys::datagram;

/// A UDP socket of this thread's poller.
///
/// Each call sends or receives one datagram, and [`recv_batch`](UdpSocket::recv_batch) and
/// [`send_batch`](UdpSocket::send_batch) many. If one is longer than the buffer it is cut, and the
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
        datagram::set_broadcast(self.socket.fd(), on)
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
        datagram::broadcast(self.socket.fd())
    }
}

std_types!(UdpSocket, std::net::UdpSocket);
into_owned_fd!(UdpSocket);

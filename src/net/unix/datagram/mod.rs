//! A Unix socket for datagrams, for tasks: what it is, its addresses and its end.

// In the order in which the page of the type shows their methods: the docs follow the modules.
mod bind;

mod transfer;

mod readiness;

pub(crate) mod full_queue;

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;

use crate::net::socket::Socket;
use crate::net::socket::std_types::{into_owned_fd, std_types};
use crate::net::unix::datagram::full_queue::FullQueue;
use crate::sys::fd;

/// A Unix socket for datagrams, of this thread's poller. See unix(7).
///
/// Each call sends or receives one datagram, reliably and in order. If it is longer than the buffer
/// it is cut, and the rest is lost. An empty datagram is received as zero bytes, and is no end. Any
/// number of tasks may send and receive through one socket at the same time.
///
/// Dropping the socket leaves its file: the program that binds a path removes the file.
///
/// # Examples
///
/// ```
/// use corepoll::net::UnixDatagram;
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let (one, other) = UnixDatagram::pair()?;
///     one.send(b"hello").await?;
///     let mut bytes = [0; 16];
///     let count = other.recv(&mut bytes).await?;
///     assert_eq!(&bytes[..count], b"hello");
///     Ok(())
/// })
/// # }
/// ```
pub struct UnixDatagram {
    /// The socket and its registration.
    socket: Socket,
    /// Whether a receiver that the socket isn't connected to has had a full queue.
    full: FullQueue,
}

impl UnixDatagram {
    /// Makes the socket of its registration.
    fn of(socket: Socket) -> UnixDatagram {
        UnixDatagram { socket, full: FullQueue::default() }
    }

    /// Registers a non-blocking socket that nothing else has a descriptor of.
    fn from_fd(fd: fd::OwnedFd, what: &str) -> io::Result<UnixDatagram> {
        Ok(UnixDatagram::of(Socket::new(fd, what)?))
    }

    /// Returns the address of the socket, which may be unnamed: getsockname(2).
    ///
    /// # Errors
    ///
    /// Returns the errors of getsockname(2).
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// let (one, _other) = UnixDatagram::pair()?;
    /// assert!(one.local_addr()?.is_unnamed());
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
    /// Returns an error if the socket isn't connected.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// assert!(UnixDatagram::unbound()?.peer_addr().is_err());
    /// let (one, _other) = UnixDatagram::pair()?;
    /// assert!(one.peer_addr()?.is_unnamed());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// Shuts down one direction or both: shutdown(2). It is no error if the peer has gone.
    ///
    /// Sending in that direction is an error from then on, from either side. A receive that waits
    /// goes on waiting.
    ///
    /// # Errors
    ///
    /// Returns the errors of shutdown(2).
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixDatagram::pair()?;
    /// one.shutdown(std::net::Shutdown::Read)?;
    /// let error = other.send(b"hello").await.unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }
}

std_types!(UnixDatagram, std::os::unix::net::UnixDatagram);
into_owned_fd!(UnixDatagram);

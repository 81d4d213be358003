//! A Unix socket for datagrams, for tasks.

pub(crate) mod full_queue;
mod readiness;
mod transfer;

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;

use socket2::{Domain, SockAddr};

use crate::sys::datagram;

use crate::net::addr::unix::{at_address, at_path};
use crate::net::socket::Socket;
use crate::net::socket::std_types::{into_owned_fd, std_types};
use crate::net::unix::datagram::full_queue::FullQueue;

/// A Unix socket for datagrams, of this thread's poller. See unix(7).
///
/// Each call sends or receives one datagram, reliably and in order. One that is longer than the
/// buffer is cut, and the rest of it is lost; one of zero bytes is a datagram like others. Any
/// number of tasks may send and receive through one socket at a time.
///
/// Its file stays when it is dropped: whoever made the path removes it.
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
    pub(crate) socket: Socket,
    /// What is known of the queues of receivers that the socket isn't connected to.
    pub(crate) full: FullQueue,
}

impl UnixDatagram {
    fn of(socket: Socket) -> UnixDatagram {
        UnixDatagram { socket, full: FullQueue::default() }
    }

    fn from_fd(fd: OwnedFd, what: &str) -> io::Result<UnixDatagram> {
        Ok(UnixDatagram::of(Socket::new(fd, what)?))
    }

    /// A socket at `path`, where there is nothing yet. A path that begins with a NUL is a name of
    /// the abstract namespace, here and in all other calls.
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// # let path = std::env::temp_dir().join(format!("corepoll-doc-bind-{}", std::process::id()));
    /// let socket = UnixDatagram::bind(&path)?;
    /// assert_eq!(socket.local_addr()?.as_pathname(), Some(&*path));
    /// # std::fs::remove_file(&path)?;
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `AddrInUse`: there is a file; and others of bind(2).
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixDatagram> {
        at_path("binding", path.as_ref(), UnixDatagram::bind_at)
    }

    /// A socket at `address`, which may be one of the abstract namespace.
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # use std::os::linux::net::SocketAddrExt;
    /// # use std::os::unix::net::SocketAddr;
    /// # corepoll::block_on(async {
    /// # let name = format!("corepoll-doc-bind-addr-{}", std::process::id());
    /// // In the abstract namespace, where there are no files.
    /// let address = SocketAddr::from_abstract_name(&name)?;
    /// let socket = UnixDatagram::bind_addr(&address)?;
    /// assert_eq!(socket.local_addr()?.as_abstract_name(), Some(name.as_bytes()));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// bind(2)'s.
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixDatagram> {
        at_address("binding", address, UnixDatagram::bind_at)
    }

    fn bind_at(address: &SockAddr) -> io::Result<UnixDatagram> {
        UnixDatagram::from_fd(datagram::bind(address)?, "UnixDatagram::bind")
    }

    /// A socket without an address, which nobody can answer.
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// let socket = UnixDatagram::unbound()?;
    /// assert!(socket.local_addr()?.is_unnamed());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// There is no poller on this thread, or there are no descriptors.
    pub fn unbound() -> io::Result<UnixDatagram> {
        UnixDatagram::from_fd(datagram::unbound(Domain::UNIX)?, "UnixDatagram::unbound")
    }

    /// Two sockets that are connected to each other: socketpair(2).
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixDatagram::pair()?;
    /// one.send(b"hello").await?;
    /// assert_eq!(other.recv(&mut [0; 16]).await?, 5);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// There is no poller on this thread, or there are no descriptors.
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let made = std::os::unix::net::UnixDatagram::pair()?;
        let (one, other) = Socket::pair(made, "UnixDatagram::pair")?;
        Ok((UnixDatagram::of(one), UnixDatagram::of(other)))
    }

    /// Takes a socket of std's over, blocking or not.
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// let (one, other) = std::os::unix::net::UnixDatagram::pair()?;
    /// let one = UnixDatagram::from_std(one)?;
    /// other.send(b"hello")?;
    /// assert_eq!(one.recv(&mut [0; 16]).await?, 5);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// There is no poller on this thread, or the kernel refuses the registration.
    pub fn from_std(socket: std::os::unix::net::UnixDatagram) -> io::Result<UnixDatagram> {
        Ok(UnixDatagram::of(Socket::from_std(socket, "UnixDatagram::from_std")?))
    }

    /// Gives the socket to std. It stays non-blocking.
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixDatagram::pair()?;
    /// let one: std::os::unix::net::UnixDatagram = one.into_std()?;
    /// one.send(b"hello")?;
    /// assert_eq!(other.recv(&mut [0; 16]).await?, 5);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// None today.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixDatagram> {
        self.socket.into_std()
    }

    /// Makes the socket at `path` the one that [`UnixDatagram::send`] means.
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// # let path = std::env::temp_dir().join(format!("corepoll-doc-connect-{}", std::process::id()));
    /// let log = UnixDatagram::bind(&path)?;
    /// let socket = UnixDatagram::unbound()?;
    /// socket.connect(&path)?;
    /// socket.send(b"started").await?;
    /// assert_eq!(log.recv(&mut [0; 16]).await?, 7);
    /// # std::fs::remove_file(&path)?;
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// connect(2)'s.
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let connect = |address: &_| datagram::connect(self.socket.fd(), address);
        at_path("connecting to", path.as_ref(), connect)
    }

    /// Makes the socket at `address` the one that [`UnixDatagram::send`] means.
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # use std::os::linux::net::SocketAddrExt;
    /// # use std::os::unix::net::SocketAddr;
    /// # corepoll::block_on(async {
    /// # let name = format!("corepoll-doc-connect-addr-{}", std::process::id());
    /// let address = SocketAddr::from_abstract_name(name)?;
    /// let log = UnixDatagram::bind_addr(&address)?;
    /// let socket = UnixDatagram::unbound()?;
    /// socket.connect_addr(&address)?;
    /// socket.send(b"started").await?;
    /// assert_eq!(log.recv(&mut [0; 16]).await?, 7);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// connect(2)'s.
    pub fn connect_addr(&self, address: &SocketAddr) -> io::Result<()> {
        let connect = |address: &_| datagram::connect(self.socket.fd(), address);
        at_address("connecting to", address, connect)
    }

    /// Our address, if we have one.
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// let (one, _other) = UnixDatagram::pair()?;
    /// assert!(one.local_addr()?.is_unnamed());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The address of [`UnixDatagram::connect`].
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
    ///
    /// # Errors
    /// It isn't connected: getpeername(2).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// Ends one direction or both: shutdown(2). It is no error if there is no peer any more. Sending
    /// in that direction is an error then, from either side; a receive that waits goes on to wait.
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixDatagram::pair()?;
    /// one.shutdown(std::net::Shutdown::Read)?;
    /// let error = other.send(b"to nobody").await.unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// shutdown(2).
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }
}

std_types!(UnixDatagram, std::os::unix::net::UnixDatagram);
into_owned_fd!(UnixDatagram);

//! How a [`UnixDatagram`] begins: it is bound, taken from std, and connected.
//!
//! None of these calls waits, since a Unix address needs no look-up. So they are plain functions,
//! where those of UDP are async.

use std::io;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use socket2::{Domain, SockAddr};

use crate::sys::datagram;

use crate::net::addr::unix::{at_address, at_path};
use crate::net::socket::Socket;
use crate::net::unix::datagram::UnixDatagram;

impl UnixDatagram {
    /// Returns a socket that is bound to `path`, where no file may be yet. A path that begins with
    /// a NUL is a name of the abstract namespace, here and in all other calls.
    ///
    /// # Errors
    ///
    /// Returns `AddrInUse` if there is a file, and the other errors of bind(2).
    ///
    /// # Examples
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
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixDatagram> {
        at_path("binding", path.as_ref(), UnixDatagram::bind_at)
    }

    /// Returns a socket that is bound to `address`, which may be a name of the abstract namespace.
    ///
    /// # Errors
    ///
    /// Returns the errors of bind(2).
    ///
    /// # Examples
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
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixDatagram> {
        at_address("binding", address, UnixDatagram::bind_at)
    }

    /// Binds a new socket to an address of the kernel's form.
    fn bind_at(address: &SockAddr) -> io::Result<UnixDatagram> {
        UnixDatagram::from_fd(datagram::bind(address)?, "UnixDatagram::bind")
    }

    /// Returns a socket without an address. Its receivers cannot answer.
    ///
    /// # Errors
    ///
    /// Returns an error if this thread has no poller, or if descriptors have run out.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// let socket = UnixDatagram::unbound()?;
    /// assert!(socket.local_addr()?.is_unnamed());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn unbound() -> io::Result<UnixDatagram> {
        UnixDatagram::from_fd(datagram::unbound(Domain::UNIX)?, "UnixDatagram::unbound")
    }

    /// Returns two sockets that are connected to each other: socketpair(2).
    ///
    /// # Errors
    ///
    /// Returns an error if this thread has no poller, or if descriptors have run out.
    ///
    /// # Examples
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
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let made = datagram::pair()?;
        let (one, other) = Socket::pair(made, "UnixDatagram::pair")?;
        Ok((UnixDatagram::of(one), UnixDatagram::of(other)))
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
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// let (one, other) = std::os::unix::net::UnixDatagram::pair()?;
    /// let one = UnixDatagram::from_std(one)?;
    /// other.send(b"hello")?;
    /// assert_eq!(one.recv(&mut [0; 16]).await?, 5);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn from_std(socket: std::os::unix::net::UnixDatagram) -> io::Result<UnixDatagram> {
        Ok(UnixDatagram::of(Socket::from_std(socket, "UnixDatagram::from_std")?))
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
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixDatagram::pair()?;
    /// let one: std::os::unix::net::UnixDatagram = one.into_std()?;
    /// one.send(b"hello")?;
    /// assert_eq!(other.recv(&mut [0; 16]).await?, 5);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixDatagram> {
        self.socket.into_std()
    }

    /// Connects the socket to the one at `path`, to which [`UnixDatagram::send`] sends from now on.
    ///
    /// # Errors
    ///
    /// Returns the errors of connect(2).
    ///
    /// # Examples
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
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let connect = |address: &_| datagram::connect(self.socket.fd(), address);
        at_path("connecting to", path.as_ref(), connect)
    }

    /// Connects the socket to the one at `address`, to which [`UnixDatagram::send`] sends from now
    /// on.
    ///
    /// # Errors
    ///
    /// Returns the errors of connect(2).
    ///
    /// # Examples
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
    pub fn connect_addr(&self, address: &SocketAddr) -> io::Result<()> {
        let connect = |address: &_| datagram::connect(self.socket.fd(), address);
        at_address("connecting to", address, connect)
    }
}

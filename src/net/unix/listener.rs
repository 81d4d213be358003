//! A Unix socket that listens, for tasks.
//!
//! It is the plain listener of unix(7): a file that is left over is an error, as in tokio and std.
//! What services want, a file that is replaced and removed, is done by
//! [`Acceptor`](crate::Acceptor).

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;

use socket2::SockAddr;

use crate::sys::socket;

use crate::net::addr::Address;
use crate::net::addr::unix::{at_address, at_path};
use crate::net::listen::error_reporter::ErrorCallback;
use crate::net::listen::incoming::Incoming;
use crate::net::listen::options::ListenOptions;
use crate::net::socket::Socket;
use crate::net::socket::std_types::{into_owned_fd, std_types};
use crate::net::unix::stream::UnixStream;

/// A Unix socket that listens, for tasks of this thread's poller. See unix(7). Several tasks may
/// accept from one listener.
///
/// Dropping the listener leaves its file: the program that binds a path removes the file.
/// [`Acceptor`](crate::Acceptor) on a path replaces a stale file by itself.
///
/// # Examples
///
/// ```
/// use corepoll::net::{UnixListener, UnixStream};
/// use futures::{AsyncReadExt, AsyncWriteExt};
///
/// # fn main() -> std::io::Result<()> {
/// # let directory = std::env::temp_dir().join(format!("corepoll-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory)?;
/// # let path = directory.join("listener");
/// corepoll::block_on(async {
///     let listener = UnixListener::bind(&path)?;
///     let mut client = UnixStream::connect(&path).await?;
///     let (mut server, _peer) = listener.accept().await?;
///
///     client.write_all(b"hello").await?;
///     let mut bytes = [0; 5];
///     server.read_exact(&mut bytes).await?;
///     assert_eq!(&bytes, b"hello");
/// #   std::fs::remove_dir_all(&directory)?;
///     Ok(())
/// })
/// # }
/// ```
pub struct UnixListener {
    /// The socket and its registration.
    socket: Socket,
}

impl UnixListener {
    /// Listens at `path`, where no file may be yet. A path that begins with a NUL is a name of the
    /// abstract namespace.
    ///
    /// # Errors
    ///
    /// Returns `AddrInUse` if there is a file, even one at which nothing listens any more, and the
    /// other errors of bind(2).
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{UnixListener, UnixStream};
    /// # corepoll::block_on(async {
    /// # let path = std::env::temp_dir().join(format!("corepoll-doc-listen-{}", std::process::id()));
    /// let listener = UnixListener::bind(&path)?;
    /// let client = UnixStream::connect(&path).await?;
    /// assert_eq!(client.peer_addr()?.as_pathname(), Some(&*path));
    /// // The file stays until the program removes it.
    /// std::fs::remove_file(&path)?;
    /// # drop(listener);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixListener> {
        at_path("listening on", path.as_ref(), UnixListener::listen)
    }

    /// Listens at `address`, which may be a name of the abstract namespace.
    ///
    /// # Errors
    ///
    /// Returns the errors of bind(2).
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::net::{UnixListener, UnixStream};
    /// use std::os::linux::net::SocketAddrExt;
    /// use std::os::unix::net::SocketAddr;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let name = format!("corepoll-example-{}", std::process::id());
    ///     let address = SocketAddr::from_abstract_name(name)?;
    ///     let listener = UnixListener::bind_addr(&address)?;
    ///     let client = UnixStream::connect_addr(&address).await?;
    ///     let (_server, peer) = listener.accept().await?;
    ///     assert!(peer.is_unnamed());
    ///     # drop(client);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixListener> {
        at_address("listening on", address, UnixListener::listen)
    }

    /// Listens at an address of the kernel's form.
    fn listen(address: &SockAddr) -> io::Result<UnixListener> {
        // With the options of TCP listeners; what is about IP has no effect on this family.
        let fd = socket::listen(address, &ListenOptions::new().listen)?;
        Ok(UnixListener { socket: Socket::new(fd, "UnixListener::bind")? })
    }

    /// Takes over a listener of std, blocking or not.
    ///
    /// # Errors
    ///
    /// Returns an error if this thread has no poller, or if the kernel refuses the registration.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UnixListener;
    /// # corepoll::block_on(async {
    /// # let path = std::env::temp_dir().join(format!("corepoll-doc-listen-std-{}", std::process::id()));
    /// let listener = std::os::unix::net::UnixListener::bind(&path)?;
    /// let listener = UnixListener::from_std(listener)?;
    /// assert_eq!(listener.local_addr()?.as_pathname(), Some(&*path));
    /// # std::fs::remove_file(&path)?;
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn from_std(listener: std::os::unix::net::UnixListener) -> io::Result<UnixListener> {
        Ok(UnixListener { socket: Socket::from_std(listener, "UnixListener::from_std")? })
    }

    /// Ends the registration, and returns the listener as std's type. It stays non-blocking.
    ///
    /// # Errors
    ///
    /// Returns no error today: only [`TcpStream::into_std`](crate::net::TcpStream::into_std) can
    /// fail.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UnixListener;
    /// # corepoll::block_on(async {
    /// # let path = std::env::temp_dir().join(format!("corepoll-doc-listen-into-{}", std::process::id()));
    /// let listener = UnixListener::bind(&path)?.into_std()?;
    /// assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    /// # std::fs::remove_file(&path)?;
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixListener> {
        self.socket.into_std()
    }

    /// Waits for the next connection, and returns it with the address of its peer, which is often
    /// unnamed. Errors of accept(2) don't end the wait: see
    /// [`TcpListener::accept`](crate::net::TcpListener::accept).
    ///
    /// # Errors
    ///
    /// Returns an error if the socket doesn't listen (EINVAL, EBADF or ENOTSOCK of accept(2)), or
    /// if its poller has ended.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe: a connection that was not returned is still in the backlog.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{UnixListener, UnixStream};
    /// # corepoll::block_on(async {
    /// # let path = std::env::temp_dir().join(format!("corepoll-doc-accept-{}", std::process::id()));
    /// let listener = UnixListener::bind(&path)?;
    /// let client = UnixStream::connect(&path).await?;
    /// let (server, _peer) = listener.accept().await?;
    /// client.try_write(b"hello")?;
    /// assert_eq!(&*server.read_chunk().await?, b"hello");
    /// # std::fs::remove_file(&path)?;
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let make =
            |fd, peer: &_| Ok((UnixStream::from_fd(fd, "accept")?, SocketAddr::from_kernel(peer)?));
        self.socket.accept(&ErrorCallback::default(), make).await
    }

    /// Returns the connections as a futures `Stream` that never ends.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{UnixListener, UnixStream};
    /// # use futures::StreamExt;
    /// # corepoll::block_on(async {
    /// # let path = std::env::temp_dir().join(format!("corepoll-doc-incoming-{}", std::process::id()));
    /// let listener = UnixListener::bind(&path)?;
    /// let client = UnixStream::connect(&path).await?;
    /// let mut incoming = listener.incoming();
    /// let server = incoming.next().await.expect("the stream never ends")?;
    /// # drop((client, server));
    /// # std::fs::remove_file(&path)?;
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn incoming(&self) -> Incoming<'_, UnixStream> {
        Incoming::new(move || async move { Ok(self.accept().await?.0) })
    }

    /// Returns the connections as a stream that owns the listener, and so can be returned or
    /// stored.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{UnixListener, UnixStream};
    /// # use futures::StreamExt;
    /// # use std::os::linux::net::SocketAddrExt;
    /// # use std::os::unix::net::SocketAddr;
    /// # corepoll::block_on(async {
    /// # let name = format!("corepoll-doc-into-incoming-{}", std::process::id());
    /// let address = SocketAddr::from_abstract_name(name)?;
    /// let mut incoming = UnixListener::bind_addr(&address)?.into_incoming();
    /// let client = UnixStream::connect_addr(&address).await?;
    /// client.try_write(b"hello")?;
    /// let server = incoming.next().await.expect("the stream never ends")?;
    /// assert_eq!(&*server.read_chunk().await?, b"hello");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn into_incoming(self) -> Incoming<'static, UnixStream> {
        let listener = Rc::new(self);
        Incoming::new(move || {
            // The accept that is under way keeps the listener, and borrows nothing of the stream.
            let listener = listener.clone();
            async move { Ok(listener.accept().await?.0) }
        })
    }

    /// Returns the address that the socket listens at.
    ///
    /// # Errors
    ///
    /// Returns the errors of getsockname(2).
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UnixListener;
    /// # corepoll::block_on(async {
    /// # let path = std::env::temp_dir().join(format!("corepoll-doc-local-{}", std::process::id()));
    /// let listener = UnixListener::bind(&path)?;
    /// assert_eq!(listener.local_addr()?.as_pathname(), Some(&*path));
    /// # std::fs::remove_file(&path)?;
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

std_types!(UnixListener, std::os::unix::net::UnixListener);
into_owned_fd!(UnixListener);

//! A Unix socket that listens, for tasks.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;

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

/// A Unix socket that listens, for tasks of this thread's poller. Several tasks may accept from
/// one listener. See unix(7).
///
/// Its file stays when it is dropped: whoever made the path removes it.
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
    socket: Socket,
}

impl UnixListener {
    /// Listens at `path`, where there is nothing yet. A path that begins with a NUL is a name of
    /// the abstract namespace.
    ///
    /// ```
    /// # use corepoll::net::{UnixListener, UnixStream};
    /// # corepoll::block_on(async {
    /// # let path = std::env::temp_dir().join(format!("corepoll-doc-listen-{}", std::process::id()));
    /// let listener = UnixListener::bind(&path)?;
    /// let client = UnixStream::connect(&path).await?;
    /// assert_eq!(client.peer_addr()?.as_pathname(), Some(&*path));
    /// // Whoever made the file removes it.
    /// std::fs::remove_file(&path)?;
    /// # drop(listener);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `AddrInUse`: there is a file, even if nobody listens any more; and others of bind(2).
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixListener> {
        at_path("listening on", path.as_ref(), UnixListener::listen)
    }

    /// Listens at `address`, which may be one of the abstract namespace.
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
    ///
    /// # Errors
    /// bind(2)'s.
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixListener> {
        at_address("listening on", address, UnixListener::listen)
    }

    fn listen(address: &SockAddr) -> io::Result<UnixListener> {
        let fd = socket::listen(address, &ListenOptions::new().listen)?;
        Ok(UnixListener { socket: Socket::new(fd, "UnixListener::bind")? })
    }

    /// Takes a listener of std's over, blocking or not.
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
    ///
    /// # Errors
    /// There is no poller on this thread, or the kernel refuses the registration.
    pub fn from_std(listener: std::os::unix::net::UnixListener) -> io::Result<UnixListener> {
        Ok(UnixListener { socket: Socket::from_std(listener, "UnixListener::from_std")? })
    }

    /// Gives the listener to std. It stays non-blocking.
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
    ///
    /// # Errors
    /// None today.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixListener> {
        self.socket.into_std()
    }

    /// Waits for the next connection, and for descriptors when they have run out. After any other
    /// error of accept(2) it goes on after a pause, as
    /// [`TcpListener::accept`](crate::net::TcpListener::accept) does.
    ///
    /// Cancel-safe: a connection that was not given is still in the backlog.
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
    ///
    /// # Errors
    /// It is not a socket that listens (EINVAL, EBADF, ENOTSOCK of accept(2)), or its poller has ended.
    pub async fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let make =
            |fd, peer: &_| Ok((UnixStream::from_fd(fd, "accept")?, SocketAddr::from_kernel(peer)?));
        self.socket.accept(&ErrorCallback::default(), make).await
    }

    /// The connections, as a stream that never ends.
    ///
    /// ```
    /// # use corepoll::net::{UnixListener, UnixStream};
    /// # use futures::StreamExt;
    /// # corepoll::block_on(async {
    /// # let path = std::env::temp_dir().join(format!("corepoll-doc-incoming-{}", std::process::id()));
    /// let listener = UnixListener::bind(&path)?;
    /// let client = UnixStream::connect(&path).await?;
    /// let mut incoming = listener.incoming();
    /// let server = incoming.next().await.expect("it never ends")?;
    /// # drop((client, server));
    /// # std::fs::remove_file(&path)?;
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn incoming(&self) -> Incoming<'_, UnixStream> {
        Incoming::new(move || async move { Ok(self.accept().await?.0) })
    }

    /// Where it listens.
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
    ///
    /// # Errors
    /// getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

std_types!(UnixListener, std::os::unix::net::UnixListener);
into_owned_fd!(UnixListener);

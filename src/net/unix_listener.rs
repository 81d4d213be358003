//! A Unix socket that listens, for tasks.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;

use socket2::SockRef;

use crate::poller::local::Local;
use crate::poller::source::Registered;
use crate::sys::socket;

use super::accepting::Incoming;
use super::addr::with_address;
use super::listen_options::ListenOptions;
use super::unix_addr::{from_kernel, to_kernel};
use super::unix_stream::UnixStream;

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
    registered: Registered,
}

impl UnixListener {
    /// Listens at `path`, where there is nothing yet.
    ///
    /// # Errors
    /// `AddrInUse`: there is a file, even if nobody listens any more; and others of bind(2).
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixListener> {
        let path = path.as_ref();
        SocketAddr::from_pathname(path)
            .and_then(|address| UnixListener::bind_addr(&address))
            .map_err(|error| with_address("listening on", path.display(), &error))
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
        let fd = socket::listen(&to_kernel(address)?, &ListenOptions::new().listen)?;
        UnixListener::from_fd(fd, "UnixListener::bind")
    }

    fn from_fd(fd: OwnedFd, what: &str) -> io::Result<UnixListener> {
        Ok(UnixListener { registered: Registered::new(fd, Local::expect_current(what)?)? })
    }

    /// Takes a listener of std's over, blocking or not.
    ///
    /// # Errors
    /// There is no poller on this thread, or the kernel refuses the registration.
    pub fn from_std(listener: std::os::unix::net::UnixListener) -> io::Result<UnixListener> {
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_fd(listener.into(), "UnixListener::from_std")?;
        // There may be other descriptors of the same socket.
        listener.registered.lend();
        Ok(listener)
    }

    /// Gives the listener to std. It stays non-blocking.
    ///
    /// # Errors
    /// None today.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixListener> {
        Ok(self.registered.into_fd()?.into())
    }

    /// Waits for the next connection, and for descriptors when they have run out.
    ///
    /// Cancel-safe: a connection that was not given is still in the backlog.
    ///
    /// # Errors
    /// accept(2)'s.
    pub async fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (fd, peer) = self.registered.accept().await?;
        Ok((UnixStream::from_fd(fd, "accept")?, from_kernel(&peer)?))
    }

    /// The connections, as a stream that never ends.
    pub fn incoming(&self) -> Incoming<'_, UnixStream> {
        Incoming::new(move || async move { Ok(self.accept().await?.0) })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        from_kernel(&SockRef::from(&self.registered).local_addr()?)
    }
}

impl AsFd for UnixListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.registered.lend()
    }
}

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixListener").field("fd", &self.registered.fd()).finish_non_exhaustive()
    }
}

//! A listening socket, for tasks.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use crate::task::coop;

use crate::net::addr::Address;
use crate::net::addr::lookup::resolve;
use crate::net::addr::to_socket_addrs::ToSocketAddrs;
use crate::net::listen::error_reporter::ErrorCallback;
use crate::net::listen::incoming::Incoming;
use crate::net::listen::options::ListenOptions;
use crate::net::socket::Socket;
use crate::net::socket::std_types::{into_owned_fd, std_types};
use crate::net::tcp::stream::TcpStream;

/// A socket that listens, for tasks of this thread's poller.
///
/// It accepts for its own poller, and only for that: to spread connections over the pollers of
/// a reactor use [`ReactorHandle::serve`](crate::ReactorHandle::serve) or
/// [`Acceptor`](crate::Acceptor). Several tasks may accept from one listener.
///
/// ```
/// use corepoll::net::{TcpListener, TcpStream};
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let client = TcpStream::connect(listener.local_addr()?).await?;
///     let (server, peer) = listener.accept().await?;
///     assert_eq!(peer, client.local_addr()?);
///     assert_eq!(server.local_addr()?, client.peer_addr()?);
///     Ok(())
/// })
/// # }
/// ```
pub struct TcpListener {
    socket: Socket,
    on_error: ErrorCallback,
}

impl TcpListener {
    /// Listens at the first of the addresses where that works. Port 0 lets the kernel choose.
    ///
    /// Cancel-safe: it waits for the look-up of a host name only, and nothing listens before.
    ///
    /// ```
    /// # use corepoll::net::TcpListener;
    /// # corepoll::block_on(async {
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// // The port that the kernel chose.
    /// assert_ne!(listener.local_addr()?.port(), 0);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// None works: the error tells of every address. A host name needs the feature `blocking`.
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
        TcpListener::bind_with(addr, ListenOptions::new()).await
    }

    /// [`TcpListener::bind`] with other options than the defaults. Cancel-safe as that is.
    ///
    /// ```
    /// # use corepoll::net::{ListenOptions, TcpListener};
    /// # corepoll::block_on(async {
    /// let options = ListenOptions::new().reuse_port(true).nodelay(true);
    /// let one = TcpListener::bind_with("127.0.0.1:0", options.clone()).await?;
    /// let other = TcpListener::bind_with(one.local_addr()?, options).await?;
    /// assert_eq!(one.local_addr()?, other.local_addr()?);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`TcpListener::bind`].
    pub async fn bind_with(
        addr: impl ToSocketAddrs,
        options: ListenOptions,
    ) -> io::Result<TcpListener> {
        coop::proceed().await;
        let fd = options.listen(&resolve(&addr).await?)?;
        let socket = Socket::new(fd, "TcpListener::bind")?;
        Ok(TcpListener { socket, on_error: options.on_error })
    }

    /// Takes a listener of std's over, blocking or not.
    ///
    /// ```
    /// # use corepoll::net::TcpListener;
    /// # corepoll::block_on(async {
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let listener = TcpListener::from_std(listener)?;
    /// assert!(listener.local_addr()?.ip().is_loopback());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// There is no poller on this thread, or the kernel refuses the registration.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        let socket = Socket::from_std(listener, "TcpListener::from_std")?;
        Ok(TcpListener { socket, on_error: ErrorCallback::default() })
    }

    /// Gives the listener to std. It stays non-blocking.
    ///
    /// ```
    /// # use corepoll::net::TcpListener;
    /// # corepoll::block_on(async {
    /// let listener = TcpListener::bind("127.0.0.1:0").await?.into_std()?;
    /// assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// None today.
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        self.socket.into_std()
    }

    /// Waits for the next connection. A connection that has failed before it was accepted is left
    /// out; when descriptors or memory run out, it waits until some come free. After any other error
    /// of accept(2) it goes on after a pause, of 5 ms at first and 200 ms at last. Such errors are
    /// counted in [`PollerStats::accept_errors`](crate::PollerStats), and told to
    /// [`ListenOptions::on_error`].
    ///
    /// Cancel-safe: a connection that was not given is still in the backlog.
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let client = TcpStream::connect(listener.local_addr()?).await?;
    /// let (server, peer) = listener.accept().await?;
    /// assert_eq!(peer, client.local_addr()?);
    /// # drop(server);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// It is not a socket that listens (EINVAL, EBADF, ENOTSOCK of accept(2)), or its poller has ended.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let make =
            |fd, peer: &_| Ok((TcpStream::from_fd(fd, "accept")?, SocketAddr::from_kernel(peer)?));
        self.socket.accept(&self.on_error, make).await
    }

    /// The connections, as a stream that never ends.
    ///
    /// ```
    /// use corepoll::net::{TcpListener, TcpStream};
    /// use futures::StreamExt;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     let client = TcpStream::connect(listener.local_addr()?).await?;
    ///     let mut incoming = listener.incoming();
    ///     if let Some(stream) = incoming.next().await {
    ///         assert_eq!(stream?.peer_addr()?, client.local_addr()?);
    ///     }
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming::new(move || async move { Ok(self.accept().await?.0) })
    }

    /// Where it listens.
    ///
    /// ```
    /// # use corepoll::net::TcpListener;
    /// # corepoll::block_on(async {
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// println!("listening on {}", listener.local_addr()?);
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

std_types!(TcpListener, std::net::TcpListener);
into_owned_fd!(TcpListener);

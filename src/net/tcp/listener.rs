//! A listening socket, for tasks.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;

use crate::base::error::during;
use crate::sys::socket;
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

/// A TCP socket that listens, for tasks of this thread's poller.
///
/// It accepts connections for its own poller. To spread connections over the pollers of a reactor,
/// use [`ReactorHandle::serve`](crate::ReactorHandle::serve) or [`Acceptor`](crate::Acceptor).
/// Several tasks may accept from one listener.
///
/// # Examples
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
    /// The socket and its registration.
    socket: Socket,
    /// The callback for errors of accept(2).
    on_error: ErrorCallback,
}

impl TcpListener {
    /// Listens at the first of the addresses that can be listened at. Port 0 lets the kernel choose
    /// a port.
    ///
    /// # Errors
    ///
    /// Returns an error if none can: it names each of them with its reason. A host name needs the
    /// feature `blocking`; without it, the error is of the kind `Unsupported`.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe: it waits only for the look-up of a host name, and nothing
    /// listens before.
    ///
    /// # Examples
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
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
        TcpListener::bind_with(addr, ListenOptions::new()).await
    }

    /// Listens as [`TcpListener::bind`] does, with options.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`TcpListener::bind`], and those of the options.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe, as [`TcpListener::bind`] is.
    ///
    /// # Examples
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
    pub async fn bind_with(
        addr: impl ToSocketAddrs,
        options: ListenOptions,
    ) -> io::Result<TcpListener> {
        // Nothing below waits for an event if the address is known: a loop of binds yields here.
        coop::proceed().await;
        // It listens before it is registered. A connection that comes in between is in the backlog,
        // and epoll reports it as soon as the socket is added.
        let fd = options.listen(&resolve(&addr).await?)?;
        let socket = Socket::new(fd, "TcpListener::bind")?;
        Ok(TcpListener { socket, on_error: options.on_error })
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
    /// # use corepoll::net::TcpListener;
    /// # corepoll::block_on(async {
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let listener = TcpListener::from_std(listener)?;
    /// assert!(listener.local_addr()?.ip().is_loopback());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        let socket = Socket::from_std(listener, "TcpListener::from_std")?;
        Ok(TcpListener { socket, on_error: ErrorCallback::default() })
    }

    /// Takes over a listener of std with options. Those that connections inherit are set on the
    /// socket; what is decided when a socket is bound, `reuse_port`, `backlog` and `only_v6`, stays
    /// as it is.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` if the socket doesn't listen, and the errors of
    /// [`TcpListener::from_std`] and of the options.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{ListenOptions, TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let options = ListenOptions::new().nodelay(true);
    /// let listener = TcpListener::from_std_with(listener, options)?;
    /// let client = TcpStream::connect(listener.local_addr()?).await?;
    /// assert!(listener.accept().await?.0.nodelay()?);
    /// # drop(client);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn from_std_with(
        listener: std::net::TcpListener,
        options: ListenOptions,
    ) -> io::Result<TcpListener> {
        socket::adopt_listener(listener.as_fd(), &options.listen)
            .map_err(|error| during("TcpListener::from_std_with", error))?;
        let socket = Socket::from_std(listener, "TcpListener::from_std_with")?;
        Ok(TcpListener { socket, on_error: options.on_error })
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
    /// # use corepoll::net::TcpListener;
    /// # corepoll::block_on(async {
    /// let listener = TcpListener::bind("127.0.0.1:0").await?.into_std()?;
    /// assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        self.socket.into_std()
    }

    /// Waits for the next connection, and returns it with the address of its peer.
    ///
    /// Errors of accept(2) don't end the wait. A connection that failed before it was accepted is
    /// passed over. When descriptors or memory run out, the wait goes on until some are freed.
    /// After any other error it goes on after a pause, 5 ms at first and up to 200 ms. These errors
    /// are counted in [`PollerStats::accept_errors`](crate::PollerStats), and passed to
    /// [`ListenOptions::on_error`].
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
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        // A stream that can't be registered is dropped and so closed, and its error is one of
        // accepting.
        let make =
            |fd, peer: &_| Ok((TcpStream::from_fd(fd, "accept")?, SocketAddr::from_kernel(peer)?));
        self.socket.accept(&self.on_error, make).await
    }

    /// Returns the connections as a futures `Stream` that never ends.
    ///
    /// # Examples
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

    /// Returns the connections as a stream that owns the listener, and so can be returned or
    /// stored.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::net::{Incoming, TcpListener, TcpStream};
    /// use futures::StreamExt;
    ///
    /// async fn listen() -> std::io::Result<(Incoming<'static>, std::net::SocketAddr)> {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     let addr = listener.local_addr()?;
    ///     Ok((listener.into_incoming(), addr))
    /// }
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let (mut incoming, addr) = listen().await?;
    ///     let client = TcpStream::connect(addr).await?;
    ///     let server = incoming.next().await.expect("the stream never ends")?;
    ///     assert_eq!(server.peer_addr()?, client.local_addr()?);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn into_incoming(self) -> Incoming<'static> {
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
    /// # use corepoll::net::TcpListener;
    /// # corepoll::block_on(async {
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// println!("listening on {}", listener.local_addr()?);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

std_types!(TcpListener, std::net::TcpListener);
into_owned_fd!(TcpListener);

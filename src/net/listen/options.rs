//! The options of listeners for tasks.
//!
//! They are those options of an [`Acceptor`](super::acceptor::Acceptor) that are about the socket.
//! What is about several pollers has no meaning for a listener that one task accepts from.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::net::addr::to_socket_addrs::first_of;
use crate::sys::fd::OwnedFd;
use crate::sys::socket;

use super::error_reporter::ErrorCallback;

/// The default backlog: as many connections as the kernel allows by default (`net.core.somaxconn`).
pub(crate) const BACKLOG: u32 = 4096;

/// The options of a [`TcpListener`](crate::net::TcpListener) or
/// [`UnixListener`](crate::net::UnixListener).
///
/// # Examples
///
/// ```
/// use corepoll::net::{ListenOptions, TcpListener};
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let options = ListenOptions::new().reuse_port(true).backlog(512);
///     let listener = TcpListener::bind_with("127.0.0.1:0", options).await?;
///     println!("{}", listener.local_addr()?);
///     Ok(())
/// })
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct ListenOptions {
    /// What the socket is made with.
    pub(crate) listen: socket::Listen,
    /// What is called with errors of accepting.
    pub(crate) on_error: ErrorCallback,
}

impl Default for ListenOptions {
    fn default() -> ListenOptions {
        ListenOptions::new()
    }
}

impl ListenOptions {
    /// Returns the defaults: `SO_REUSEADDR` on, `SO_REUSEPORT` off, a backlog of 4096.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{ListenOptions, TcpListener};
    /// # corepoll::block_on(async {
    /// let listener = TcpListener::bind_with("127.0.0.1:0", ListenOptions::new()).await?;
    /// # drop(listener);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn new() -> ListenOptions {
        ListenOptions { listen: socket::Listen::new(BACKLOG), on_error: ErrorCallback::default() }
    }

    /// Lets several sockets listen at one address (`SO_REUSEPORT`): the kernel spreads connections
    /// over them by a hash. Default: off. See socket(7).
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{ListenOptions, TcpListener};
    /// # corepoll::block_on(async {
    /// let options = ListenOptions::new().reuse_port(true);
    /// let one = TcpListener::bind_with("127.0.0.1:0", options.clone()).await?;
    /// let other = TcpListener::bind_with(one.local_addr()?, options).await?;
    /// # drop(other);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn reuse_port(mut self, on: bool) -> ListenOptions {
        self.listen.reuse_port = on;
        self
    }

    /// Sets the number of connections that may wait to be accepted. The kernel limits it to
    /// `net.core.somaxconn`: see listen(2). Default: 4096.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{ListenOptions, TcpListener};
    /// # corepoll::block_on(async {
    /// let options = ListenOptions::new().backlog(16);
    /// let listener = TcpListener::bind_with("127.0.0.1:0", options).await?;
    /// # drop(listener);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn backlog(mut self, n: u32) -> ListenOptions {
        self.listen.backlog = n;
        self
    }

    /// Sets the size of the receive buffer in bytes (`SO_RCVBUF`), which accepted connections
    /// inherit. The kernel doubles the value: see socket(7). Default: the system's.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{ListenOptions, TcpListener};
    /// # corepoll::block_on(async {
    /// let options = ListenOptions::new().recv_buffer_size(64 * 1024);
    /// let listener = TcpListener::bind_with("127.0.0.1:0", options).await?;
    /// # drop(listener);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn recv_buffer_size(mut self, n: usize) -> ListenOptions {
        self.listen.recv_buffer_size = Some(n);
        self
    }

    /// Sets the size of the send buffer in bytes (`SO_SNDBUF`), which accepted connections inherit.
    /// The kernel doubles the value: see socket(7). Default: the system's.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{ListenOptions, TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// let options = ListenOptions::new().send_buffer_size(64 * 1024);
    /// let listener = TcpListener::bind_with("127.0.0.1:0", options).await?;
    /// let client = TcpStream::connect(listener.local_addr()?).await?;
    /// let (server, _peer) = listener.accept().await?;
    /// assert_eq!(socket2::SockRef::from(&server).send_buffer_size()?, 2 * 64 * 1024);
    /// # drop(client);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn send_buffer_size(mut self, n: usize) -> ListenOptions {
        self.listen.send_buffer_size = Some(n);
        self
    }

    /// Keeps a listener at `[::]` from accepting IPv4 (`IPV6_V6ONLY` in ipv6(7)). Default: it
    /// accepts both, whatever `net.ipv6.bindv6only` says.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::ListenOptions;
    /// // For a listener at "[::]:80", beside another one at "0.0.0.0:80".
    /// let options = ListenOptions::new().only_v6(true);
    /// # drop(options);
    /// ```
    pub fn only_v6(mut self, on: bool) -> ListenOptions {
        self.listen.only_v6 = on;
        self
    }

    /// Sets `TCP_NODELAY` on the connections: small segments are sent at once. They inherit it from
    /// the listener, so that it costs no system call for each. Default: off. See tcp(7).
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{ListenOptions, TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// let options = ListenOptions::new().nodelay(true);
    /// let listener = TcpListener::bind_with("127.0.0.1:0", options).await?;
    /// let client = TcpStream::connect(listener.local_addr()?).await?;
    /// assert!(listener.accept().await?.0.nodelay()?);
    /// # drop(client);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn nodelay(mut self, on: bool) -> ListenOptions {
        self.listen.nodelay = on;
        self
    }

    /// Accepts a connection when its first bytes have come, or after `limit`, which the kernel
    /// rounds up to some seconds (`TCP_DEFER_ACCEPT` in tcp(7)). This saves the wake-up in which
    /// there is nothing to read. It does not suit protocols in which the server speaks first.
    /// Default: off.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{ListenOptions, TcpListener, TcpStream};
    /// # use std::time::Duration;
    /// # corepoll::block_on(async {
    /// let options = ListenOptions::new().defer_accept(Duration::from_secs(5));
    /// let listener = TcpListener::bind_with("127.0.0.1:0", options).await?;
    /// let client = TcpStream::connect(listener.local_addr()?).await?;
    /// client.try_write(b"hello")?;
    /// let (server, _peer) = listener.accept().await?;
    /// assert_eq!(server.try_read(&mut [0; 16])?, 5);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn defer_accept(mut self, limit: Duration) -> ListenOptions {
        self.listen.defer_accept = Some(limit);
        self
    }

    /// Accepts a connection with the bytes that came with its SYN (`TCP_FASTOPEN` in tcp(7), RFC
    /// 7413): a client that has been here before, and that asks for it, has its answer one round
    /// trip earlier. At most `queue` such connections may wait for the end of their handshake;
    /// further ones are made in the usual way. Zero turns it off. It has no effect where bit 2 of
    /// `net.ipv4.tcp_fastopen` is not set, which is the default of Linux. Default: off.
    ///
    /// A SYN may arrive twice, and its bytes with it. So the first request of a connection must be
    /// one that may be repeated: RFC 7413, section 6.3.1.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{ListenOptions, TcpListener};
    /// # corepoll::block_on(async {
    /// let options = ListenOptions::new().fast_open(256);
    /// let listener = TcpListener::bind_with("127.0.0.1:0", options).await?;
    /// # drop(listener);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn fast_open(mut self, queue: u32) -> ListenOptions {
        self.listen.fast_open = Some(queue);
        self
    }

    /// Prefers connections whose first packet the processor with this number handles, among the
    /// listeners that share the address by [`ListenOptions::reuse_port`] (`SO_INCOMING_CPU` in
    /// socket(7), since Linux 6.2). For a listener on a poller that is placed on that processor.
    /// Where no listener of the address has the processor, a hash decides. Default: none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{ListenOptions, TcpListener};
    /// # corepoll::block_on(async {
    /// let options = ListenOptions::new().reuse_port(true).incoming_cpu(0);
    /// let listener = TcpListener::bind_with("127.0.0.1:0", options).await?;
    /// # drop(listener);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn incoming_cpu(mut self, processor: usize) -> ListenOptions {
        self.listen.incoming_cpu = Some(processor);
        self
    }

    /// Calls `callback` with each error of accepting, on the poller's thread. Such an error doesn't
    /// end [`TcpListener::accept`](crate::net::TcpListener::accept), which goes on after a pause.
    /// Default: errors are only counted, in [`PollerStats::accept_errors`](crate::PollerStats).
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{ListenOptions, TcpListener};
    /// # corepoll::block_on(async {
    /// let options = ListenOptions::new().on_error(|error| eprintln!("{error}"));
    /// let listener = TcpListener::bind_with("127.0.0.1:0", options).await?;
    /// # drop(listener);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn on_error(
        mut self,
        callback: impl Fn(io::Error) + Send + Sync + 'static,
    ) -> ListenOptions {
        self.on_error = ErrorCallback::new(callback);
        self
    }

    /// Returns a socket that listens at the first of the addresses where that works.
    ///
    /// # Errors
    ///
    /// Returns the errors of all addresses as one.
    pub(crate) fn listen(&self, addresses: &[SocketAddr]) -> io::Result<OwnedFd> {
        first_of(addresses, "listening on", |address| socket::listen(address, &self.listen))
    }
}

//! What a connecting socket is made with.

use std::net::SocketAddr;
use std::time::Duration;

use crate::sys::socket;

/// What a connecting socket is made with, and how long connecting may take.
///
/// ```
/// use corepoll::net::{ConnectOptions, TcpListener, TcpStream};
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let options = ConnectOptions::new().nodelay(true).timeout(Duration::from_secs(5));
///     let stream = TcpStream::connect_with(listener.local_addr()?, options).await?;
///     assert!(stream.nodelay()?);
///     Ok(())
/// })
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct ConnectOptions {
    pub(crate) settings: socket::Connect,
    pub(crate) timeout: Option<Duration>,
}

impl ConnectOptions {
    /// Returns the defaults: what the kernel has, and no limit but the kernel's.
    ///
    /// ```
    /// # use corepoll::net::{ConnectOptions, TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let addr = listener.local_addr()?;
    /// let stream = TcpStream::connect_with(addr, ConnectOptions::new()).await?;
    /// # drop(stream);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn new() -> ConnectOptions {
        ConnectOptions::default()
    }

    /// Limits how long connecting may take: for all addresses together, the look-up of a host name
    /// included. Default: as long as the kernel tries, which is about two minutes (tcp_syn_retries
    /// in tcp(7)).
    ///
    /// ```
    /// # use corepoll::net::ConnectOptions;
    /// # use std::time::Duration;
    /// let options = ConnectOptions::new().timeout(Duration::from_secs(3));
    /// # drop(options);
    /// ```
    pub fn timeout(mut self, limit: Duration) -> ConnectOptions {
        self.timeout = Some(limit);
        self
    }

    /// Connects from this local address. With port 0 the kernel chooses the port when it knows the
    /// target, so that one local port may serve many targets (IP_BIND_ADDRESS_NO_PORT in ip(7)).
    /// Of several addresses, those of the same family are tried.
    ///
    /// ```
    /// # use corepoll::net::{ConnectOptions, TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let options = ConnectOptions::new().bind_local(([127, 0, 0, 2], 0).into());
    /// let stream = TcpStream::connect_with(listener.local_addr()?, options).await?;
    /// assert_eq!(stream.local_addr()?.ip().to_string(), "127.0.0.2");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn bind_local(mut self, from: SocketAddr) -> ConnectOptions {
        self.settings.from = Some(from);
        self
    }

    /// SO_RCVBUF in bytes, set before the connect: the window scale, which limits how much the peer
    /// may ever have under way, is told with the first segment. The kernel doubles the value, and
    /// stops adjusting the buffer by itself. See socket(7) and tcp(7).
    ///
    /// ```
    /// # use corepoll::net::{ConnectOptions, TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let options = ConnectOptions::new().recv_buffer_size(64 * 1024);
    /// let stream = TcpStream::connect_with(listener.local_addr()?, options).await?;
    /// assert_eq!(socket2::SockRef::from(&stream).recv_buffer_size()?, 2 * 64 * 1024);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn recv_buffer_size(mut self, n: usize) -> ConnectOptions {
        self.settings.recv_buffer_size = Some(n);
        self
    }

    /// SO_SNDBUF in bytes. The kernel doubles the value, and stops adjusting the buffer by itself.
    ///
    /// ```
    /// # use corepoll::net::{ConnectOptions, TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let options = ConnectOptions::new().send_buffer_size(64 * 1024);
    /// let stream = TcpStream::connect_with(listener.local_addr()?, options).await?;
    /// assert_eq!(socket2::SockRef::from(&stream).send_buffer_size()?, 2 * 64 * 1024);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn send_buffer_size(mut self, n: usize) -> ConnectOptions {
        self.settings.send_buffer_size = Some(n);
        self
    }

    /// TCP_NODELAY: whether small segments are sent at once. Default: off. See tcp(7).
    ///
    /// ```
    /// # use corepoll::net::{ConnectOptions, TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let options = ConnectOptions::new().nodelay(true);
    /// let stream = TcpStream::connect_with(listener.local_addr()?, options).await?;
    /// assert!(stream.nodelay()?);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn nodelay(mut self, on: bool) -> ConnectOptions {
        self.settings.nodelay = on;
        self
    }
}

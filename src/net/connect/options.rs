//! The options of a socket that connects.
//!
//! Tasks, handlers and pools share them. An option is here only if it has to be set before
//! connect(2), or if it saves a call for each connection.

use std::net::SocketAddr;
use std::time::Duration;

use crate::sys::socket;

/// The options of a socket that connects, and how long connecting may take.
///
/// What can be changed later, as keep-alive or the type of service, is set on the stream; an option
/// that has no method here too, by `socket2::SockRef`.
///
/// # Examples
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
    /// What the socket is made with.
    pub(crate) settings: socket::Connect,
    /// The time limit; `None` leaves it to the kernel.
    pub(crate) timeout: Option<Duration>,
}

impl ConnectOptions {
    /// Returns the defaults: those of the kernel, its time limit included.
    ///
    /// # Examples
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

    /// Limits how long connecting may take: for all addresses together, with the look-up of a host
    /// name. Default: as long as the kernel tries, which is about two minutes (`tcp_syn_retries` in
    /// tcp(7)).
    ///
    /// # Examples
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

    /// Connects from the local address `from`. With port 0 the kernel chooses the port when it
    /// knows the target, so that one local port can serve many targets (`IP_BIND_ADDRESS_NO_PORT`
    /// in ip(7)). Of several targets, those of the same address family are tried. This is not for
    /// Unix sockets: connecting to one fails.
    ///
    /// # Examples
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

    /// Sets the size of the receive buffer in bytes (`SO_RCVBUF`). It is set before connecting: the
    /// window scale, which limits how much the peer may ever have under way, is sent with the first
    /// segment. The kernel doubles the value, and no longer adjusts the buffer by itself. See
    /// socket(7) and tcp(7).
    ///
    /// # Examples
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

    /// Sets the size of the send buffer in bytes (`SO_SNDBUF`). The kernel doubles the value, and
    /// no longer adjusts the buffer by itself. See socket(7).
    ///
    /// # Examples
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

    /// Sets `TCP_NODELAY`: small segments are sent at once. Default: off. See tcp(7).
    ///
    /// # Examples
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

    /// Sends the first bytes with the SYN, if the server has agreed to that in an earlier connection
    /// (`TCP_FASTOPEN_CONNECT` in tcp(7), RFC 7413): the answer comes one round trip earlier. For
    /// protocols in which the client speaks first. It has no effect on Unix sockets. Default: off.
    ///
    /// The kernel keeps a cookie for each server that has agreed. With one, connecting sends
    /// nothing and succeeds at once, whether the server is there or not:
    ///
    /// - The first write makes the connection. If the server refuses it, that is an error of a
    ///   later read or write, or ends the handler.
    /// - Until then there is no peer's address. Of several addresses the first one with a cookie is
    ///   taken.
    /// - A stream that is shut down or dropped before the peer's first answer is reset, since a
    ///   handshake that is under way has no end of its own. A handler's connection waits for it
    ///   before it closes, for at most [`Budget::close_linger`](crate::Budget::close_linger).
    /// - The first write may reach the server twice: RFC 7413, section 6.3.1. So it must be a
    ///   request that may be repeated.
    ///
    /// If bit 1 of `net.ipv4.tcp_fastopen` is not set, connecting fails with `EOPNOTSUPP`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{ConnectOptions, TcpListener, TcpStream};
    /// use futures::{AsyncReadExt, AsyncWriteExt};
    ///
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let addr = listener.local_addr()?;
    /// # let answer = corepoll::spawn_local(async move {
    /// #     let (mut stream, _peer) = listener.accept().await?;
    /// #     assert_eq!(&*stream.read_chunk().await?, b"request");
    /// #     stream.write_all(b"answer").await
    /// # });
    /// let options = ConnectOptions::new().fast_open(true);
    /// # // A machine may have it switched off.
    /// # let options = match std::fs::read_to_string("/proc/sys/net/ipv4/tcp_fastopen") {
    /// #     Ok(bits) if bits.trim().parse().is_ok_and(|bits: u32| bits & 1 == 1) => options,
    /// #     _ => ConnectOptions::new(),
    /// # };
    /// let mut stream = TcpStream::connect_with(addr, options).await?;
    /// stream.write_all(b"request").await?;
    /// let mut answer = String::new();
    /// stream.read_to_string(&mut answer).await?;
    /// assert_eq!(answer, "answer");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn fast_open(mut self, on: bool) -> ConnectOptions {
        self.settings.fast_open = on;
        self
    }
}

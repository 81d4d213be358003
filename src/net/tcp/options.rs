//! The options of a TCP connection, beyond those that nearly everybody sets.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::TcpKeepalive;

use crate::sys::options;

use crate::net::socket::byte_stream::HasSocket;
use crate::net::tcp::stream::TcpStream;

/// Others are set through `socket2::SockRef::from(&stream)`.
impl TcpStream {
    /// TCP_NODELAY: whether small segments are sent at once. See tcp(7).
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let client = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (server, _peer) = listener.accept().await?;
    /// client.set_nodelay(true)?;
    /// assert!(client.nodelay()?);
    /// # drop(server);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// setsockopt(2).
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.socket().options().set_tcp_nodelay(on)
    }

    /// Whether TCP_NODELAY is on.
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let client = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (server, _peer) = listener.accept().await?;
    /// // The kernel's default.
    /// assert!(!client.nodelay()?);
    /// # drop(server);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// getsockopt(2).
    pub fn nodelay(&self) -> io::Result<bool> {
        self.socket().options().tcp_nodelay()
    }

    /// SO_LINGER: with a time of zero, closing resets the connection, and what has not been sent
    /// yet is lost. See socket(7). Rounded up to whole seconds, at most 49 days.
    ///
    /// Any other time means that close waits as long for what has not been sent yet: Linux blocks
    /// the closing thread then. That would be the poller, so dropping a stream takes such a time
    /// away first: the same bytes are sent, without the wait. What
    /// [`into_std`](TcpStream::into_std) gives keeps it. Default: None.
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # use std::time::Duration;
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let client = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (server, _peer) = listener.accept().await?;
    /// // Closing sends a reset, and the peer gets an error instead of the end.
    /// client.set_linger(Some(Duration::ZERO))?;
    /// drop(client);
    /// assert!(server.read_chunk().await.is_err());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// setsockopt(2).
    pub fn set_linger(&self, time: Option<Duration>) -> io::Result<()> {
        // Through AsFd, which notes that the close has to look for it.
        options::set_linger(self.as_fd(), time)
    }

    /// The time of SO_LINGER, in whole seconds.
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # use std::time::Duration;
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let client = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (server, _peer) = listener.accept().await?;
    /// assert_eq!(client.linger()?, None);
    /// client.set_linger(Some(Duration::from_secs(3)))?;
    /// assert_eq!(client.linger()?, Some(Duration::from_secs(3)));
    /// # drop(server);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// getsockopt(2).
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.socket().options().linger()
    }

    /// SO_KEEPALIVE: whether a peer that has been silent for a while is asked if it is still there,
    /// and when, how often and for how long. See tcp(7). None turns it off. Times are cut to whole
    /// seconds.
    ///
    /// ```
    /// use corepoll::net::{TcpKeepalive, TcpListener, TcpStream};
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     let stream = TcpStream::connect(listener.local_addr()?).await?;
    ///     let minute = Duration::from_secs(60);
    ///     stream.set_keepalive(&TcpKeepalive::new().with_time(minute).with_retries(3))?;
    ///     assert!(stream.keepalive()?);
    ///     stream.set_keepalive(None)?;
    ///     assert!(!stream.keepalive()?);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// `InvalidInput`: a time is below a second, or longer than the kernel takes (32767 seconds); and
    /// others of setsockopt(2).
    pub fn set_keepalive<'a>(
        &self,
        keepalive: impl Into<Option<&'a TcpKeepalive>>,
    ) -> io::Result<()> {
        match keepalive.into() {
            Some(parameters) => self.socket().options().set_tcp_keepalive(parameters),
            None => self.socket().options().set_keepalive(false),
        }
    }

    /// Whether SO_KEEPALIVE is on.
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let client = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (server, _peer) = listener.accept().await?;
    /// assert!(!client.keepalive()?);
    /// # drop(server);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// getsockopt(2).
    pub fn keepalive(&self) -> io::Result<bool> {
        self.socket().options().keepalive()
    }

    /// TCP_USER_TIMEOUT: how long bytes may stay unacknowledged before the connection is given up,
    /// to the millisecond: rounded up, and at least one. None is the system's default: some 15 minutes.
    /// See tcp(7).
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # use std::time::Duration;
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let client = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (server, _peer) = listener.accept().await?;
    /// client.set_user_timeout(Some(Duration::from_secs(20)))?;
    /// assert_eq!(client.user_timeout()?, Some(Duration::from_secs(20)));
    /// client.set_user_timeout(None)?;
    /// # drop(server);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// setsockopt(2).
    pub fn set_user_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        options::set_user_timeout(self.socket().fd(), limit)
    }

    /// The time of TCP_USER_TIMEOUT.
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let client = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (server, _peer) = listener.accept().await?;
    /// assert_eq!(client.user_timeout()?, None);
    /// # drop(server);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// getsockopt(2).
    pub fn user_timeout(&self) -> io::Result<Option<Duration>> {
        self.socket().options().tcp_user_timeout()
    }

    /// IP_TTL, or IPV6_UNICAST_HOPS: how many routers may pass the packets on.
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let client = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (server, _peer) = listener.accept().await?;
    /// client.set_ttl(3)?;
    /// assert_eq!(client.ttl()?, 3);
    /// # drop(server);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `InvalidInput`: it is not 1 to 255; and others of setsockopt(2).
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        options::set_ttl(self.socket().fd(), self.local_addr()?.is_ipv6(), ttl)
    }

    /// How many routers may pass the packets on.
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let client = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (server, _peer) = listener.accept().await?;
    /// println!("{} hops at the most", client.ttl()?);
    /// # drop(server);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// getsockopt(2).
    pub fn ttl(&self) -> io::Result<u32> {
        if self.local_addr()?.is_ipv6() {
            return self.socket().options().unicast_hops_v6();
        }
        self.socket().options().ttl_v4()
    }

    /// SO_BUSY_POLL: how long a read that finds nothing asks the network device itself, in
    /// microseconds, rounded up. Zero is never. See socket(7).
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # use std::io::ErrorKind;
    /// # use std::time::Duration;
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let client = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (server, _peer) = listener.accept().await?;
    /// match client.set_busy_poll(Duration::from_micros(50)) {
    ///     Ok(()) => assert_eq!(client.busy_poll()?, Duration::from_micros(50)),
    ///     Err(error) => assert_eq!(error.kind(), ErrorKind::PermissionDenied),
    /// }
    /// # drop(server);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `PermissionDenied`: it is longer than net.core.busy_read, and the process has no
    /// CAP_NET_ADMIN; and others of setsockopt(2).
    pub fn set_busy_poll(&self, time: Duration) -> io::Result<()> {
        options::set_busy_poll(self.socket().fd(), time)
    }

    /// The time of SO_BUSY_POLL.
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let client = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (server, _peer) = listener.accept().await?;
    /// println!("the device is asked for {:?}", client.busy_poll()?);
    /// # drop(server);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// getsockopt(2).
    pub fn busy_poll(&self) -> io::Result<Duration> {
        Ok(Duration::from_micros(self.socket().options().busy_poll()?.into()))
    }
}

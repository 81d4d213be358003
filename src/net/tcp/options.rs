//! The options of a TCP connection.
//!
//! Each setter is one setsockopt(2), and the values are the kernel's: nothing is remembered here.
//! What socket2 rounds in a way that could turn a limit into its opposite goes through
//! `sys/options`.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::TcpKeepalive;

use crate::sys::options;

use crate::net::socket::byte_stream::HasSocket;
use crate::net::tcp::stream::TcpStream;

/// Socket options. Others can be set through `socket2::SockRef::from(&stream)`.
impl TcpStream {
    /// Sets TCP_NODELAY: whether small segments are sent at once, and don't wait for the peer to
    /// acknowledge earlier ones. See tcp(7).
    ///
    /// # Errors
    ///
    /// Returns the errors of setsockopt(2).
    ///
    /// # Examples
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
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        options::set_nodelay(self.socket().fd(), on)
    }

    /// Returns whether TCP_NODELAY is on.
    ///
    /// # Errors
    ///
    /// Returns the errors of getsockopt(2).
    ///
    /// # Examples
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
    pub fn nodelay(&self) -> io::Result<bool> {
        options::nodelay(self.socket().fd())
    }

    /// Sets SO_LINGER: what closing does with bytes that have not been sent yet. See socket(7).
    /// `None` is the default: they are sent in the background.
    ///
    /// A time of zero makes closing reset the connection, and the bytes are lost. With any other
    /// time, Linux blocks the thread that closes until they are sent or the time is over, even if
    /// the socket is non-blocking. That thread would be the poller's; so dropping a stream takes
    /// such a time away first, and the bytes are sent in the background. A socket that
    /// [`into_std`](TcpStream::into_std) returns keeps the time.
    ///
    /// The time is rounded up to whole seconds, and is at most 49 days.
    ///
    /// # Errors
    ///
    /// Returns the errors of setsockopt(2).
    ///
    /// # Examples
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
    pub fn set_linger(&self, time: Option<Duration>) -> io::Result<()> {
        // By AsFd, which notes that the descriptor was exposed: then the close looks for the
        // option.
        options::set_linger(self.as_fd(), time)
    }

    /// Returns the time of SO_LINGER, in whole seconds.
    ///
    /// # Errors
    ///
    /// Returns the errors of getsockopt(2).
    ///
    /// # Examples
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
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        options::linger(self.socket().fd())
    }

    /// Sets SO_KEEPALIVE: after which silence, and how often, the kernel asks the peer whether it is
    /// still there. See tcp(7). `None` turns it off. Times are rounded down to whole seconds.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` if a time is below a second or longer than the kernel takes (32767
    /// seconds), and the other errors of setsockopt(2).
    ///
    /// # Examples
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
    pub fn set_keepalive<'a>(
        &self,
        keepalive: impl Into<Option<&'a TcpKeepalive>>,
    ) -> io::Result<()> {
        options::set_keepalive(self.socket().fd(), keepalive.into())
    }

    /// Returns whether SO_KEEPALIVE is on.
    ///
    /// # Errors
    ///
    /// Returns the errors of getsockopt(2).
    ///
    /// # Examples
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
    pub fn keepalive(&self) -> io::Result<bool> {
        options::keepalive(self.socket().fd())
    }

    /// Sets TCP_USER_TIMEOUT: how long bytes may stay unacknowledged before the kernel ends the
    /// connection. See tcp(7).
    ///
    /// The time is rounded up to whole milliseconds, and is at least one. `None` is the system's
    /// default: about 15 minutes.
    ///
    /// # Errors
    ///
    /// Returns the errors of setsockopt(2).
    ///
    /// # Examples
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
    pub fn set_user_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        options::set_user_timeout(self.socket().fd(), limit)
    }

    /// Returns the time of TCP_USER_TIMEOUT.
    ///
    /// # Errors
    ///
    /// Returns the errors of getsockopt(2).
    ///
    /// # Examples
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
    pub fn user_timeout(&self) -> io::Result<Option<Duration>> {
        options::user_timeout(self.socket().fd())
    }

    /// Sets IP_TTL, or IPV6_UNICAST_HOPS: how many routers may forward the packets.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` if `ttl` is not between 1 and 255, and the other errors of setsockopt(2).
    ///
    /// # Examples
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
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        // Each family has an option of its own, and a socket of IPv6 accepts both.
        options::set_ttl(self.socket().fd(), self.local_addr()?.is_ipv6(), ttl)
    }

    /// Returns how many routers may forward the packets.
    ///
    /// # Errors
    ///
    /// Returns the errors of getsockopt(2).
    ///
    /// # Examples
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
    pub fn ttl(&self) -> io::Result<u32> {
        options::ttl(self.socket().fd(), self.local_addr()?.is_ipv6())
    }

    /// Sets SO_BUSY_POLL: how long a read that finds nothing polls the network device itself before
    /// it gives up. See socket(7). The time is rounded up to whole microseconds; zero turns it off.
    ///
    /// # Errors
    ///
    /// Returns `PermissionDenied` if the time is longer than net.core.busy_read and the process has
    /// no CAP_NET_ADMIN, and the other errors of setsockopt(2).
    ///
    /// # Examples
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
    pub fn set_busy_poll(&self, time: Duration) -> io::Result<()> {
        options::set_busy_poll(self.socket().fd(), time)
    }

    /// Returns the time of SO_BUSY_POLL.
    ///
    /// # Errors
    ///
    /// Returns the errors of getsockopt(2).
    ///
    /// # Examples
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
    pub fn busy_poll(&self) -> io::Result<Duration> {
        options::busy_poll(self.socket().fd())
    }

    /// Returns the number of the processor that handled the last packet of the connection
    /// (`SO_INCOMING_CPU` in socket(7)), or `None` before the first one. A poller that runs there
    /// finds the connection in its caches.
    ///
    /// # Errors
    ///
    /// Returns the errors of getsockopt(2).
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let client = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (server, _peer) = listener.accept().await?;
    /// assert!(server.incoming_cpu()?.is_some());
    /// # drop(client);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn incoming_cpu(&self) -> io::Result<Option<usize>> {
        options::incoming_cpu(self.socket().fd())
    }
}

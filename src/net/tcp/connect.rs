//! Connecting by TCP, for tasks.
//!
//! This file is what users call: addresses, options and the time limit. The attempts themselves are
//! in `happy_eyeballs`.

use std::io;
use std::time::Duration;

use crate::base::error::all_of;
use crate::net::addr::lookup::resolve_known;
use crate::net::addr::to_socket_addrs::{Addresses, ToSocketAddrs, no_address, sealed::Sealed};
use crate::net::connect::options::ConnectOptions;
use crate::net::tcp::happy_eyeballs::connect_first;
use crate::net::tcp::stream::TcpStream;
use crate::task::coop;
use crate::time;

impl TcpStream {
    /// Connects to the first of the addresses that answers, by RFC 8305 ("Happy Eyeballs").
    ///
    /// IPv6 and IPv4 addresses take turns, beginning with the first address. The next one is tried
    /// when the one before has failed, or has not answered within 250 ms. The first connection
    /// wins, and the other attempts are closed.
    ///
    /// # Errors
    ///
    /// Returns an error if none answers. It names each address with its reason, and has the kind of
    /// the last one, such as `ConnectionRefused`. A host name needs the feature `blocking`; without
    /// it, the error is of the kind `Unsupported`.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe: dropping the future closes the attempts.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # corepoll::block_on(async {
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let addr = listener.local_addr()?;
    /// let stream = TcpStream::connect(("127.0.0.1", addr.port())).await?;
    /// assert_eq!(stream.peer_addr()?, addr);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn connect(addr: impl ToSocketAddrs) -> io::Result<TcpStream> {
        TcpStream::connect_with(addr, ConnectOptions::new()).await
    }

    /// Connects as [`TcpStream::connect`] does, within `limit` for all addresses together.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`TcpStream::connect`], and `TimedOut` when the limit has passed.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe: dropping the future closes the attempts.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::net::{TcpListener, TcpStream};
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     let addr = listener.local_addr()?;
    ///     TcpStream::connect_timeout(addr, Duration::from_secs(5)).await?;
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub async fn connect_timeout(
        addr: impl ToSocketAddrs,
        limit: Duration,
    ) -> io::Result<TcpStream> {
        TcpStream::connect_with(addr, ConnectOptions::new().timeout(limit)).await
    }

    /// Connects as [`TcpStream::connect`] does, with options.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`TcpStream::connect`] and of the options, and `TimedOut` when their
    /// time limit has passed.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe: dropping the future closes the attempts.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{ConnectOptions, TcpListener, TcpStream};
    /// # use std::time::Duration;
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let options = ConnectOptions::new()
    ///     .recv_buffer_size(256 * 1024)
    ///     .timeout(Duration::from_secs(5));
    /// let stream = TcpStream::connect_with(listener.local_addr()?, options).await?;
    /// # drop(stream);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn connect_with(
        addr: impl ToSocketAddrs,
        options: ConnectOptions,
    ) -> io::Result<TcpStream> {
        // An attempt may fail without a wait, as with a closed port of this machine.
        coop::proceed().await;
        let addresses = Sealed::addresses(&addr)?;
        let Some(limit) = options.timeout else {
            return TcpStream::connect_to(addresses, &options, &mut Vec::new()).await;
        };
        // The failures live out here, since the future that collects them is dropped at the limit.
        let (name, mut failures) = (addresses.to_string(), Vec::new());
        let connect = TcpStream::connect_to(addresses, &options, &mut failures);
        if let Ok(connected) = time::timeout(limit, connect).await {
            return connected;
        }
        let mut message = format!("connecting to {name}: there was no answer within {limit:?}");
        // The attempts that failed before the limit may say more than the limit does.
        for failure in failures {
            message.push_str(&format!("; {failure}"));
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, message))
    }

    /// Connects to the first of `addresses` that answers. The reasons of those that fail are left
    /// in `failures`, also if the future is dropped.
    async fn connect_to(
        addresses: Addresses,
        options: &ConnectOptions,
        failures: &mut Vec<io::Error>,
    ) -> io::Result<TcpStream> {
        let addresses = resolve_known(addresses).await?;
        let connected = connect_first(addresses, &options.settings, failures).await;
        connected.ok_or_else(|| all_of(std::mem::take(failures)).unwrap_or_else(no_address))
    }
}

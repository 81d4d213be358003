//! Endpoints on the poller of the calling thread.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use quinn::{Endpoint, EndpointConfig, ServerConfig};
use socket2::{Domain, Protocol, Socket, Type};

use crate::runtime::CorepollRuntime;

/// Binds a UDP socket to `addr`, and returns an endpoint on the poller of this thread that accepts
/// connections. It can connect as well.
///
/// Whether `[::]` stands for IPv4 too is up to the system, and on Linux it does by default.
///
/// # Errors
///
/// Returns an error if this thread has no poller, and the errors of bind(2), setsockopt(2) and
/// epoll_ctl(2).
///
/// # Examples
///
/// ```
/// use corepoll_quinn::{quinn::ServerConfig, server};
/// # use rustls::pki_types::PrivateKeyDer;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
/// # let (certificate, key) = (made.cert.der().clone(), made.signing_key.serialize_der());
/// # let key = PrivateKeyDer::try_from(key)?;
/// let config = ServerConfig::with_single_cert(vec![certificate], key)?;
/// corepoll::block_on(async {
///     let endpoint = server(config, "127.0.0.1:0".parse().unwrap())?;
///     println!("listening on {}", endpoint.local_addr()?);
///     Ok(())
/// })
/// # }
/// ```
pub fn server(config: ServerConfig, addr: SocketAddr) -> io::Result<Endpoint> {
    let runtime = CorepollRuntime::current()?;
    let socket = UdpSocket::bind(addr)?;
    Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(runtime))
}

/// Binds a UDP socket to `addr`, and returns an endpoint on the poller of this thread that makes
/// connections.
///
/// `addr` is the local address: `[::]:0` where all of IPv6 and IPv4 is to be reached, or
/// `0.0.0.0:0` where there is no IPv6. A configuration is set by
/// [`Endpoint::set_default_client_config`].
///
/// # Errors
///
/// Returns an error if this thread has no poller, and the errors of bind(2), setsockopt(2) and
/// epoll_ctl(2).
///
/// # Examples
///
/// ```
/// use corepoll_quinn::{client, quinn::ClientConfig};
///
/// /// Opens a connection, and tells the peer at once that it is closed.
/// async fn connect(config: ClientConfig) -> Result<(), Box<dyn std::error::Error>> {
///     let mut endpoint = client("[::]:0".parse()?)?;
///     endpoint.set_default_client_config(config);
///     let connection = endpoint.connect("192.0.2.1:4433".parse()?, "example.com")?.await?;
///     connection.close(0u32.into(), b"done");
///     endpoint.wait_idle().await;
///     Ok(())
/// }
/// ```
pub fn client(addr: SocketAddr) -> io::Result<Endpoint> {
    let runtime = CorepollRuntime::current()?;
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        // Where the system refuses it, IPv6 is reached alone.
        let _ = socket.set_only_v6(false);
    }
    socket.bind(&addr.into())?;
    Endpoint::new(EndpointConfig::default(), None, socket.into(), Arc::new(runtime))
}

//! Host names.

use std::io;
use std::net::SocketAddr;

use crate::net::addr::to_socket_addrs::{Addresses, ToSocketAddrs, no_address, sealed::Sealed};
use crate::task::coop;

#[cfg(feature = "blocking")]
use crate::base::token::Token;
#[cfg(feature = "blocking")]
use crate::connection::connect;
#[cfg(feature = "blocking")]
use crate::local::state::Local;
#[cfg(feature = "blocking")]
use crate::task::join_error::JoinError;

/// The addresses that `addr` stands for, in the order of preference. A host name is looked up by
/// getaddrinfo(3), on a thread of its own, and never on the poller's.
///
/// Cancel-safe: dropping it leaves the look-up to itself. A shutdown doesn't wait for it.
///
/// ```
/// use corepoll::net::{TcpStream, lookup_host};
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     # #[cfg(feature = "blocking")]
///     for address in lookup_host("localhost:80").await? {
///         assert!(address.ip().is_loopback());
///     }
///     Ok(())
/// })
/// # }
/// ```
///
/// # Errors
/// There is no such name, or the look-up fails. Without the feature `blocking` every host name is
/// an error, of the kind `Unsupported`.
pub async fn lookup_host(addr: impl ToSocketAddrs) -> io::Result<std::vec::IntoIter<SocketAddr>> {
    coop::proceed().await;
    Ok(resolve(&addr).await?.into_iter())
}

/// The addresses that `addr` stands for, at least one.
pub(crate) async fn resolve(addr: &impl Sealed) -> io::Result<Vec<SocketAddr>> {
    resolve_known(addr.addresses()?).await
}

/// As [`resolve`], for what an address has turned out to be.
pub(crate) async fn resolve_known(addresses: Addresses) -> io::Result<Vec<SocketAddr>> {
    match addresses {
        Addresses::Name(host, port) => look_up(host, port).await,
        known => known.known(),
    }
}

/// The first of the addresses that `addr` stands for.
pub(crate) async fn resolve_first(addr: &impl Sealed) -> io::Result<SocketAddr> {
    match addr.addresses()? {
        Addresses::One(address) => Ok(address),
        Addresses::Known(addresses) => addresses.first().copied().ok_or_else(no_address),
        Addresses::Name(host, port) => Ok(look_up(host, port).await?[0]),
    }
}

/// Looks a name up: at least one address, or an error.
#[cfg(feature = "blocking")]
async fn look_up(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    let name = format!("{host}:{port}");
    let look_up = move || look_up_now(&host, port);
    let found = crate::blocking::spawn_blocking(look_up).await.map_err(io::Error::from);
    found
        .and_then(|found| found)
        .map_err(|error| crate::net::addr::to_socket_addrs::with_address("looking up", name, error))
}

/// Looks a name up on this thread, which waits.
#[cfg(feature = "blocking")]
fn look_up_now(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    use std::net::ToSocketAddrs;

    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "it has no address"));
    }
    Ok(addresses)
}

/// Looks a name up for the attempt to connect that has this token: that is told.
#[cfg(feature = "blocking")]
pub(crate) fn look_up_for(local: &Local, token: Token, host: String, port: u16) {
    let poller = local.handle.clone();
    let tell = move |found: Result<io::Result<Vec<SocketAddr>>, JoinError>| {
        let found = found.map_err(io::Error::from).and_then(|found| found);
        // A poller that has ended has told its attempts so.
        let _ = poller.run_on(move || {
            if let Some(local) = Local::current() {
                connect::addresses_found(&local, token, found);
            }
        });
    };
    drop(crate::blocking::begin(move || look_up_now(&host, port), tell));
}

/// Says what is missing.
#[cfg(not(feature = "blocking"))]
async fn look_up(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    let message = format!(
        "{host}:{port} has a host name: looking it up blocks, and needs corepoll's feature \
         `blocking`; without it, give an IP address"
    );
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}

//! Looking up host names.
//!
//! getaddrinfo(3) blocks, and no interface of glibc is a descriptor that epoll could watch. So a
//! name is looked up on a thread of `blocking/`. Without that feature there are no such threads,
//! and a host name is an error that says so.

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

/// Returns the addresses that `addr` stands for, in the order of preference.
///
/// A host name is looked up by getaddrinfo(3), on a thread for blocking calls and never on the
/// poller's. A shutdown doesn't wait for it.
///
/// # Errors
///
/// Returns an error if there is no such name, or if the look-up fails. Without the feature
/// `blocking`, every host name is an error of kind `Unsupported`.
///
/// # Cancel safety
///
/// This function is cancel-safe: dropping the future leaves the look-up to its thread, and nothing
/// waits for it.
///
/// # Examples
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
pub async fn lookup_host(addr: impl ToSocketAddrs) -> io::Result<std::vec::IntoIter<SocketAddr>> {
    // An address that is known is resolved at once: a loop of such calls yields here.
    coop::proceed().await;
    Ok(resolve(&addr).await?.into_iter())
}

/// Returns the addresses that `addr` stands for, at least one.
pub(crate) async fn resolve(addr: &impl Sealed) -> io::Result<Vec<SocketAddr>> {
    resolve_known(addr.addresses()?).await
}

/// Returns the addresses, at least one, looking a host name up.
pub(crate) async fn resolve_known(addresses: Addresses) -> io::Result<Vec<SocketAddr>> {
    match addresses {
        Addresses::Name(host, port) => look_up(host, port).await,
        known => known.known(),
    }
}

/// Returns the first of the addresses, looking a host name up.
pub(crate) async fn first_known(addresses: Addresses) -> io::Result<SocketAddr> {
    match addresses {
        Addresses::One(address) => Ok(address),
        Addresses::Known(addresses) => addresses.first().copied().ok_or_else(no_address),
        // `look_up` never returns an empty list.
        Addresses::Name(host, port) => Ok(look_up(host, port).await?[0]),
    }
}

/// Looks a host name up, and returns at least one address.
#[cfg(feature = "blocking")]
async fn look_up(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    let name = format!("{host}:{port}");
    let look_up = move || look_up_now(&host, port);
    let found = crate::blocking::spawn_blocking(look_up).await.map_err(io::Error::from);
    // Two results, one in the other: that of the thread, which may have panicked, and that of the
    // look-up.
    found
        .and_then(|found| found)
        .map_err(|error| crate::net::addr::to_socket_addrs::with_address("looking up", name, error))
}

/// Looks a host name up on this thread, which waits.
#[cfg(feature = "blocking")]
fn look_up_now(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    use std::net::ToSocketAddrs;

    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    // getaddrinfo(3) says EAI_NODATA for this. An empty list would make callers fail without a
    // reason.
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the host name has no address"));
    }
    Ok(addresses)
}

/// Looks a host name up for a connect of `local` that has this token, and passes the result on to
/// it.
#[cfg(feature = "blocking")]
pub(crate) fn look_up_for(local: &Local, token: Token, host: String, port: u16) {
    let poller = local.handle.clone();
    let tell = move |found: Result<io::Result<Vec<SocketAddr>>, JoinError>| {
        let found = found.map_err(io::Error::from).and_then(|found| found);
        // It fails if the poller has ended: its connects have been told so already.
        let _ = poller.run_on(move || {
            if let Some(local) = Local::current() {
                connect::addresses_found(&local, token, found);
            }
        });
    };
    // The result goes to the connect by the poller's mail, not by the handle of the call.
    drop(crate::blocking::begin(move || look_up_now(&host, port), tell));
}

/// Returns an error: there are no threads for blocking calls without the feature `blocking`.
#[cfg(not(feature = "blocking"))]
async fn look_up(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    Err(no_threads(&host, port))
}

/// Returns the error of a host name that would be looked up if there were threads for it.
#[cfg(not(feature = "blocking"))]
pub(crate) fn no_threads(host: &str, port: u16) -> io::Error {
    let message = format!(
        "{host}:{port} has a host name: looking it up blocks, and needs corepoll's feature \
         `blocking`; without it, give an IP address"
    );
    io::Error::new(io::ErrorKind::Unsupported, message)
}

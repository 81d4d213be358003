//! What tasks give as the address of a TCP or UDP socket, and what it turns out to be.
//!
//! std's trait of the same name looks host names up by itself, and blocks. This one only parses,
//! and returns [`Addresses`]: a name stays a name until `lookup` sends it to another thread.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use socket2::SockAddr;

use crate::base::error::{all_of, during};

/// An address of an IP socket, for tasks: a `SocketAddr`, an `(IpAddr, port)`, several addresses,
/// each of which is tried, or text like `"127.0.0.1:80"`, `"[::1]:80"` or `("127.0.0.1", 80)`.
///
/// A host name in text needs the feature `blocking`, since looking it up blocks; without the
/// feature it is an error that says so. The trait is implemented for these types only.
///
/// # Examples
///
/// ```
/// use corepoll::net::lookup_host;
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let mut addresses = lookup_host(("127.0.0.1", 80)).await?;
///     assert_eq!(addresses.next(), Some(([127, 0, 0, 1], 80).into()));
///     Ok(())
/// })
/// # }
/// ```
pub trait ToSocketAddrs: sealed::Sealed {}

impl<T: sealed::Sealed + ?Sized> ToSocketAddrs for T {}

/// What a value of [`ToSocketAddrs`] turns out to be.
#[derive(Debug, Clone)]
pub enum Addresses {
    /// One address, which is known.
    One(SocketAddr),
    /// Several addresses, which are known.
    Known(Vec<SocketAddr>),
    /// A host name, which has to be looked up, and a port.
    Name(String, u16),
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Addresses::One(address) => address.fmt(f),
            Addresses::Known(addresses) => {
                let texts: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
                f.write_str(&texts.join(", "))
            }
            Addresses::Name(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

impl Addresses {
    /// Returns the addresses, at least one, for a call that must not block.
    ///
    /// # Errors
    ///
    /// Returns `Unsupported` for a host name, and `InvalidInput` if there is no address.
    pub(crate) fn known(self) -> io::Result<Vec<SocketAddr>> {
        let addresses = match self {
            Addresses::One(address) => vec![address],
            Addresses::Known(addresses) => addresses,
            Addresses::Name(host, port) => {
                let message = format!(
                    "{host}:{port} has a host name: looking it up blocks, and this call doesn't. \
                     Give an IP address, or look the name up with net::lookup_host, which needs \
                     corepoll's feature `blocking`"
                );
                return Err(io::Error::new(io::ErrorKind::Unsupported, message));
            }
        };
        if addresses.is_empty() {
            return Err(no_address());
        }
        Ok(addresses)
    }
}

/// Returns the error of an empty list of addresses.
pub(crate) fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "no address was given")
}

/// Returns the error of text that is no address.
fn malformed(text: &str) -> io::Error {
    let message = format!("{text:?} is not an address: host:port is expected");
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

pub(crate) mod sealed {
    /// The methods of [`ToSocketAddrs`](super::ToSocketAddrs), which are not for users.
    pub trait Sealed {
        /// Returns what the value turns out to be.
        fn addresses(&self) -> std::io::Result<super::Addresses>;

        /// Returns the value itself if it is text: where a connection for a handler is made, it may
        /// name a Unix socket as well.
        fn text(&self) -> Option<&str> {
            None
        }
    }
}

use sealed::Sealed;

/// Returns one address.
fn one(address: impl Into<SocketAddr>) -> io::Result<Addresses> {
    Ok(Addresses::One(address.into()))
}

impl Sealed for SocketAddr {
    fn addresses(&self) -> io::Result<Addresses> {
        one(*self)
    }
}

impl Sealed for SocketAddrV4 {
    fn addresses(&self) -> io::Result<Addresses> {
        one(*self)
    }
}

impl Sealed for SocketAddrV6 {
    fn addresses(&self) -> io::Result<Addresses> {
        one(*self)
    }
}

impl Sealed for (IpAddr, u16) {
    fn addresses(&self) -> io::Result<Addresses> {
        one(*self)
    }
}

impl Sealed for (Ipv4Addr, u16) {
    fn addresses(&self) -> io::Result<Addresses> {
        one(*self)
    }
}

impl Sealed for (Ipv6Addr, u16) {
    fn addresses(&self) -> io::Result<Addresses> {
        one(*self)
    }
}

impl Sealed for [SocketAddr] {
    fn addresses(&self) -> io::Result<Addresses> {
        Ok(Addresses::Known(self.to_vec()))
    }
}

impl Sealed for Vec<SocketAddr> {
    fn addresses(&self) -> io::Result<Addresses> {
        self.as_slice().addresses()
    }
}

impl<const N: usize> Sealed for [SocketAddr; N] {
    fn addresses(&self) -> io::Result<Addresses> {
        self.as_slice().addresses()
    }
}

impl Sealed for str {
    fn addresses(&self) -> io::Result<Addresses> {
        // By far the most common form, and the only one in which an IPv6 address may have a scope.
        if let Ok(address) = self.parse::<SocketAddr>() {
            return Ok(Addresses::One(address));
        }
        // What has brackets was an IPv6 address, and has been parsed. The last colon is before the
        // port.
        let (host, port) = self.rsplit_once(':').ok_or_else(|| malformed(self))?;
        let port = port.parse().map_err(|_| malformed(self))?;
        // An IPv6 address without brackets: which colon ends it can't be told.
        if host.contains(':') {
            return Err(malformed(self));
        }
        (host, port).addresses()
    }

    fn text(&self) -> Option<&str> {
        Some(self)
    }
}

impl Sealed for String {
    fn addresses(&self) -> io::Result<Addresses> {
        self.as_str().addresses()
    }

    fn text(&self) -> Option<&str> {
        Some(self)
    }
}

impl Sealed for (&str, u16) {
    fn addresses(&self) -> io::Result<Addresses> {
        let (host, port) = *self;
        if host.is_empty() {
            return Err(malformed(&format!("{host}:{port}")));
        }
        // An IP address needs no look-up, and so not the feature `blocking`.
        Ok(match host.parse::<IpAddr>() {
            Ok(ip) => Addresses::One(SocketAddr::new(ip, port)),
            // A simulated network has names of its own, which take no time to look up.
            #[cfg(feature = "sim")]
            Err(_) if crate::sys::sim::current().is_some() => {
                Addresses::One(SocketAddr::new(crate::sys::sim::look_up(host)?, port))
            }
            Err(_) => Addresses::Name(host.to_owned(), port),
        })
    }
}

impl Sealed for (String, u16) {
    fn addresses(&self) -> io::Result<Addresses> {
        (self.0.as_str(), self.1).addresses()
    }
}

impl<T: Sealed + ?Sized> Sealed for &T {
    fn addresses(&self) -> io::Result<Addresses> {
        (**self).addresses()
    }

    fn text(&self) -> Option<&str> {
        (**self).text()
    }
}

/// Adds to an error what was being done, and with which address.
pub(crate) fn with_address(
    operation: &str,
    address: impl std::fmt::Display,
    error: io::Error,
) -> io::Error {
    during(format_args!("{operation} {address}"), error)
}

/// Returns the result of `operation` for the first of the addresses where it succeeds.
///
/// # Errors
///
/// If it succeeds for none, the error names each address with its reason.
pub(crate) fn first_of<R>(
    addresses: &[SocketAddr],
    doing: &str,
    mut operation: impl FnMut(&SockAddr) -> io::Result<R>,
) -> io::Result<R> {
    let mut failures = Vec::new();
    for address in addresses {
        match operation(&(*address).into()) {
            Ok(done) => return Ok(done),
            Err(error) => failures.push(with_address(doing, address, error)),
        }
    }
    Err(all_of(failures).unwrap_or_else(no_address))
}

#[cfg(test)]
mod tests {
    use super::{Addresses, Sealed};

    fn known(text: &str) -> Option<String> {
        match text.addresses() {
            Ok(Addresses::One(address)) => Some(address.to_string()),
            Ok(Addresses::Known(list)) => Some(format!("{list:?}")),
            Ok(Addresses::Name(host, port)) => Some(format!("name {host} {port}")),
            Err(_) => None,
        }
    }

    #[test]
    fn text_is_an_address_a_name_or_an_error() {
        assert_eq!(known("127.0.0.1:80").unwrap(), "127.0.0.1:80");
        assert_eq!(known("[::1]:80").unwrap(), "[::1]:80");
        assert_eq!(known("example.org:80").unwrap(), "name example.org 80");
        for text in ["", ":", ":80", "::1:80", "127.0.0.1", "127.0.0.1:", "host:65536", "[::1:80"] {
            assert_eq!(known(text), None, "{text}");
        }
    }
}

//! What the callback API takes where it asks for an address.
//!
//! The value is kept as the caller wrote it ([`Requested`]) and parsed where it is used. So a
//! builder needs no `Result`, and errors can name the address in the caller's own words.

use std::fmt;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::error;
use crate::net::addr::to_socket_addrs::Addresses;
use crate::net::addr::to_socket_addrs::sealed::Sealed;
use crate::net::addr::unix;

/// An address of the callback API: where an [`Acceptor`](crate::Acceptor) listens, and what a
/// [`Connector`](crate::Connector) or a [`ConnectPool`](crate::ConnectPool) connects to.
///
/// | type | example | what it names |
/// |---|---|---|
/// | `&str`, `String`, `&String` | `"127.0.0.1:80"`, `"[::1]:80"` | an IP address and a port |
/// | | `":80"` | a port at every address of this machine, IPv4 and IPv6 |
/// | | `"unix:/run/app.sock"` | a Unix socket at a path |
/// | | `"unix:@app"` | a Unix socket in the abstract namespace: unix(7) |
/// | | `"example.org:80"` | a host name, for connecting, with the feature `blocking` |
/// | `&Path`, `PathBuf`, `&PathBuf` | `Path::new("/run/app.sock")` | a Unix socket at a path; after a leading NUL, an abstract name |
/// | `std::os::unix::net::SocketAddr` | | a Unix socket |
/// | `SocketAddr`, `(IpAddr, u16)`, ... | `([127, 0, 0, 1], 80).into()` | each type of [`ToSocketAddrs`](crate::net::ToSocketAddrs); of several addresses each is tried |
///
/// The trait is sealed. An invalid address is an error of the call that uses it, such as
/// [`Acceptor::listen`](crate::Acceptor::listen), and not of the call that takes it.
///
/// # Examples
///
/// ```
/// use corepoll::net::ToStreamAddr;
/// use corepoll::{Acceptor, Reactor};
/// use std::net::SocketAddr;
///
/// fn listen(addr: impl ToStreamAddr, reactor: &Reactor) -> std::io::Result<()> {
///     let acceptor = Acceptor::new(addr);
///     let listening = acceptor.serve(&reactor.handle(), |_stream, _peer| async {})?;
///     listening.close();
///     Ok(())
/// }
///
/// # fn main() -> std::io::Result<()> {
/// let reactor = Reactor::builder().pollers(1).build()?;
/// listen("127.0.0.1:0", &reactor)?;
/// listen(SocketAddr::from(([127, 0, 0, 1], 0)), &reactor)?;
/// # Ok(())
/// # }
/// ```
pub trait ToStreamAddr: sealed::ToRequested {}

impl<T: sealed::ToRequested + ?Sized> ToStreamAddr for T {}

pub(crate) mod sealed {
    /// The one method of [`ToStreamAddr`](super::ToStreamAddr).
    pub trait ToRequested {
        /// Returns the address as the caller wrote it.
        fn requested(&self) -> super::Requested;
    }
}

/// An address as the caller wrote it. [`Requested::parse`] finds out whether it is one.
#[derive(Debug, Clone)]
pub enum Requested {
    /// Text in one of the forms of [`ToStreamAddr`].
    Text(Box<str>),
    /// What [`ToSocketAddrs`](crate::net::ToSocketAddrs) takes besides text.
    Addresses(Addresses),
    /// The path of a Unix socket.
    Path(PathBuf),
    /// The address of a Unix socket.
    Unix(UnixAddr),
    /// A value that is no address, and the error that says why.
    Invalid(Arc<io::Error>),
}

/// The address of a socket that carries a stream of bytes.
#[derive(Debug)]
pub(crate) enum StreamAddr {
    /// IP addresses, or a host name.
    Ip(Addresses),
    /// A port of this machine, whatever the address and the family.
    Port(u16),
    /// A path in the file system, or a name in the abstract namespace: unix(7).
    Unix(UnixAddr),
}

impl Requested {
    /// Returns what the address names.
    ///
    /// # Errors
    ///
    /// The address is malformed.
    pub(crate) fn parse(&self) -> io::Result<StreamAddr> {
        match self {
            Requested::Text(text) => parse_text(text),
            Requested::Addresses(addresses) => Ok(StreamAddr::Ip(addresses.clone())),
            Requested::Path(path) => unix::of_path(path)
                .and_then(reject_unnamed)
                .map(StreamAddr::Unix)
                .map_err(|error| not_unix(self, error)),
            Requested::Unix(address) => reject_unnamed(address.clone())
                .map(StreamAddr::Unix)
                .map_err(|error| not_unix(self, error)),
            Requested::Invalid(error) => Err(error::copy(error)),
        }
    }
}

/// Shows the address in the form in which text names it.
impl fmt::Display for Requested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Requested::Text(text) => f.write_str(text),
            Requested::Addresses(addresses) => addresses.fmt(f),
            Requested::Path(path) => write!(f, "unix:{}", unix::shown(path)),
            Requested::Unix(address) => write!(f, "unix:{}", unix::name(address)),
            Requested::Invalid(_) => f.write_str("an invalid address"),
        }
    }
}

/// Returns what `text` names: a Unix socket, a port alone, or what a task could connect to.
fn parse_text(text: &str) -> io::Result<StreamAddr> {
    if let Some(path) = text.strip_prefix("unix:") {
        return parse_unix(path).map(StreamAddr::Unix);
    }
    match text.strip_prefix(':').map(str::parse) {
        Some(Ok(port)) => Ok(StreamAddr::Port(port)),
        // A colon without a number is malformed, and the error of `addresses` says so.
        _ => text.addresses().map(StreamAddr::Ip),
    }
}

/// Returns the Unix socket that `path` names in text, where `@` begins an abstract name.
fn parse_unix(path: &str) -> io::Result<UnixAddr> {
    let address = match path.strip_prefix('@') {
        // The kernel takes an empty abstract name as well, but in text it is a name that was
        // forgotten.
        Some("") => Err(io::ErrorKind::InvalidInput.into()),
        Some(name) => UnixAddr::from_abstract_name(name),
        None => unix::of_path(Path::new(path)).and_then(reject_unnamed),
    };
    address.map_err(|error| not_unix(&format_args!("unix:{path}"), error))
}

/// Refuses the address of a socket without a name: nothing can listen or connect there.
fn reject_unnamed(address: UnixAddr) -> io::Result<UnixAddr> {
    if address.is_unnamed() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(address)
}

/// Returns `error` with the text that was taken for the address of a Unix socket.
fn not_unix(address: &dyn fmt::Display, error: io::Error) -> io::Error {
    error::during(format_args!("\"{address}\" is not the address of a Unix socket"), error)
}

/// Returns the address that stands for every address of this machine, at `port`. It is one of IPv6,
/// which includes IPv4 unless the socket has IPV6_V6ONLY: ipv6(7).
pub(crate) fn any_address(port: u16) -> SocketAddr {
    (Ipv6Addr::UNSPECIFIED, port).into()
}

impl<T: Sealed + ?Sized> sealed::ToRequested for T {
    fn requested(&self) -> Requested {
        if let Some(text) = self.text() {
            return Requested::Text(text.into());
        }
        match self.addresses() {
            Ok(addresses) => Requested::Addresses(addresses),
            Err(error) => Requested::Invalid(Arc::new(error)),
        }
    }
}

impl sealed::ToRequested for Path {
    fn requested(&self) -> Requested {
        Requested::Path(self.to_owned())
    }
}

impl sealed::ToRequested for &Path {
    fn requested(&self) -> Requested {
        (**self).requested()
    }
}

impl sealed::ToRequested for PathBuf {
    fn requested(&self) -> Requested {
        self.as_path().requested()
    }
}

impl sealed::ToRequested for &PathBuf {
    fn requested(&self) -> Requested {
        self.as_path().requested()
    }
}

impl sealed::ToRequested for UnixAddr {
    fn requested(&self) -> Requested {
        Requested::Unix(self.clone())
    }
}

impl sealed::ToRequested for &UnixAddr {
    fn requested(&self) -> Requested {
        (**self).requested()
    }
}

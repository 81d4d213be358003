//! The addresses of the callback API: text.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::os::linux::net::SocketAddrExt;
use std::path::Path;

use socket2::SockAddr;

use crate::base::error::during;

use crate::net::addr::to_socket_addrs::sealed::Sealed;
use crate::net::addr::unix as unix_addr;

/// Where to listen or connect: `"127.0.0.1:80"`, `"[::1]:80"`, `":80"` (every address of this
/// machine, IPv4 and IPv6), `"unix:/path"` or `"unix:@abstract"`.
#[derive(Debug, Clone)]
pub(crate) enum StreamAddr {
    Ip(SocketAddr),
    /// A path in the file system, or a name in the abstract namespace: unix(7).
    Unix(std::os::unix::net::SocketAddr),
}

impl StreamAddr {
    /// The endpoint that `text` names.
    pub(crate) fn parse(text: &str) -> io::Result<StreamAddr> {
        if let Some(other) = StreamAddr::parse_other(text)? {
            return Ok(other);
        }
        let known = text.addresses()?.known()?;
        Ok(StreamAddr::Ip(known[0]))
    }

    /// The endpoint that `text` names in one of the forms that tasks don't have: a Unix socket, or a
    /// port alone. `None`: in another form.
    pub(crate) fn parse_other(text: &str) -> io::Result<Option<StreamAddr>> {
        if let Some(path) = text.strip_prefix("unix:") {
            return parse_unix(path).map(|address| Some(StreamAddr::Unix(address)));
        }
        let port = text.strip_prefix(':').and_then(|port| port.parse().ok());
        Ok(port.map(|port: u16| StreamAddr::Ip((Ipv6Addr::UNSPECIFIED, port).into())))
    }

    /// The path in the file system, if it has one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            StreamAddr::Ip(_) => None,
            StreamAddr::Unix(address) => address.as_pathname(),
        }
    }

    /// The form that the kernel takes.
    pub(crate) fn to_sock_addr(&self) -> io::Result<SockAddr> {
        match self {
            StreamAddr::Ip(address) => Ok((*address).into()),
            StreamAddr::Unix(address) => unix_addr::to_kernel(address),
        }
    }
}

fn parse_unix(path: &str) -> io::Result<std::os::unix::net::SocketAddr> {
    let address = match path.strip_prefix('@') {
        Some("") => Err(io::ErrorKind::InvalidInput.into()),
        Some(name) => std::os::unix::net::SocketAddr::from_abstract_name(name),
        None if path.is_empty() => Err(io::ErrorKind::InvalidInput.into()),
        None => unix_addr::of_path(Path::new(path)),
    };
    address.map_err(|error| {
        during(format_args!("\"unix:{path}\" is not the address of a Unix socket"), error)
    })
}

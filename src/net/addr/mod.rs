//! Addresses: what users give, what the kernel takes, and how one becomes the other.
//!
//! | file | what it holds |
//! |---|---|
//! | `to_socket_addrs` | what tasks give: IP addresses, and host names |
//! | `to_stream_addr` | what handlers give: these, and Unix sockets |
//! | `lookup` | from a host name to addresses |
//! | `unix` | Unix sockets: from std's form to the kernel's, and to words |

pub(crate) mod lookup;
pub(crate) mod to_socket_addrs;
pub(crate) mod to_stream_addr;
pub(crate) mod unix;

use std::io;
use std::net::SocketAddr;

use socket2::SockAddr;

use crate::sys::socket;

/// An address in std's form, made from the kernel's.
pub(crate) trait Address: Sized {
    /// Returns the same address in std's form.
    fn from_kernel(address: &SockAddr) -> io::Result<Self>;
}

impl Address for SocketAddr {
    fn from_kernel(address: &SockAddr) -> io::Result<SocketAddr> {
        socket::ip_address(address)
    }
}

//! Addresses: what users give, what the kernel takes, and how one becomes the other.

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

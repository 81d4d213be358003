//! The addresses of a socket and of its peer.

use std::io;
use std::net::SocketAddr;
#[cfg(feature = "sim")]
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;

use socket2::{SockAddr, SockRef};

use super::ip_address::not_ip;

/// Returns the local address of a socket: getsockname(2).
pub(crate) fn local_name(fd: BorrowedFd<'_>) -> io::Result<SockAddr> {
    simulated!(fd.as_raw_fd(), kernel => kernel.local_name(fd.as_raw_fd()));
    SockRef::from(&fd).local_addr()
}

/// Returns the address of a socket's peer: getpeername(2).
pub(crate) fn peer_name(fd: BorrowedFd<'_>) -> io::Result<SockAddr> {
    simulated!(fd.as_raw_fd(), kernel => kernel.peer_name(fd.as_raw_fd()));
    SockRef::from(&fd).peer_addr()
}

/// Returns the local address of an IP socket.
pub(crate) fn local_addr(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    ip_address(&local_name(fd)?)
}

/// Returns the peer's address of an IP socket.
pub(crate) fn peer_addr(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    ip_address(&peer_name(fd)?)
}

/// Returns the IP address in `addr`.
pub(crate) fn ip_address(addr: &SockAddr) -> io::Result<SocketAddr> {
    addr.as_socket().ok_or_else(not_ip)
}

/// Returns `true` if a socket is connected to itself.
///
/// A connect to a port of this machine that nothing listens on does that if the kernel picks the
/// same port as the local one: TCP takes it for a simultaneous open.
pub(crate) fn is_self_connected(fd: BorrowedFd<'_>) -> bool {
    matches!((local_addr(fd), peer_addr(fd)), (Ok(local), Ok(peer)) if local == peer)
}

/// Returns `true` if a socket has a peer: getpeername(2).
pub(crate) fn is_connected(fd: BorrowedFd<'_>) -> bool {
    peer_name(fd).is_ok()
}

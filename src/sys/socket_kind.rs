//! What a socket carries.

#[cfg(feature = "sim")]
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;

use socket2::{Protocol, SockRef, Type};

/// What a socket carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SocketKind {
    /// Bytes, with an end.
    Stream,
    /// Messages in order, with an end: SOCK_SEQPACKET.
    Records,
    /// Messages without an end, one of which may be empty.
    Datagrams,
}

/// Returns what `fd` carries, or `None` if it is not a socket.
pub(crate) fn kind(fd: BorrowedFd<'_>) -> Option<SocketKind> {
    simulated!(fd.as_raw_fd(), kernel => kernel.socket_kind(fd.as_raw_fd()));
    // SO_TYPE of anything else is ENOTSOCK.
    let of = SockRef::from(&fd).r#type().ok()?;
    Some(match of {
        Type::STREAM => SocketKind::Stream,
        Type::SEQPACKET => SocketKind::Records,
        _ => SocketKind::Datagrams,
    })
}

/// Returns `true` if `fd` is a TCP socket that does not listen.
pub(crate) fn is_tcp_connection(fd: BorrowedFd<'_>) -> bool {
    simulated!(fd.as_raw_fd(), kernel => kernel.is_tcp_connection(fd.as_raw_fd()));
    let socket = SockRef::from(&fd);
    let protocol = socket.protocol().ok().flatten();
    // By the protocol and not by the address family: it is the same for IPv4 and IPv6, and MPTCP
    // behaves as TCP does.
    let is_tcp = matches!(protocol, Some(Protocol::TCP | Protocol::MPTCP));
    is_tcp && socket.is_listener().is_ok_and(|listens| !listens)
}

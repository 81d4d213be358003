//! What sockets for datagrams send each other, on its way.

use std::net::SocketAddr;

use super::id::HostId;
use super::udp_socket::Datagram;

/// Something on its way to a host.
#[derive(Debug)]
pub(super) struct Flight {
    /// The host that it comes from.
    pub(super) from: HostId,
    /// The host where it arrives.
    pub(super) to: HostId,
    /// When it was sent.
    pub(super) sent: u64,
    /// What arrives.
    pub(super) what: Arrival,
}

/// What arrives by itself.
#[derive(Debug)]
pub(super) enum Arrival {
    /// A datagram, and the address that it was sent to.
    Datagram(Datagram, SocketAddr),
    /// That nothing receives at the second address what the first has sent: ICMP's "port
    /// unreachable".
    Unreachable(SocketAddr, SocketAddr),
}

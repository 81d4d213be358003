//! Which ports of a host are taken. Those of TCP and of UDP have nothing to do with each other.

use std::net::SocketAddr;

use super::host::FIRST_FREE_PORT;
use super::id::HostId;
use super::object::Kind;
use super::world::World;

/// A protocol that has ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl World {
    /// Returns a port of a host that no socket of the protocol has.
    pub(super) fn free_port(&mut self, host: HostId, protocol: Protocol) -> u16 {
        loop {
            let port = self.hosts[host].next_port;
            self.hosts[host].next_port = port.checked_add(1).unwrap_or(FIRST_FREE_PORT);
            if !self.is_bound(host, protocol, port) {
                return port;
            }
        }
    }

    /// Returns `true` if a socket of a host has a port.
    fn is_bound(&self, host: HostId, protocol: Protocol, port: u16) -> bool {
        self.objects.values().filter(|object| object.host == host).any(|object| {
            bound(&object.kind).is_some_and(|(of, local)| of == protocol && local.port() == port)
        })
    }
}

/// Returns the protocol and the address of a socket that has a port.
fn bound(kind: &Kind) -> Option<(Protocol, SocketAddr)> {
    match kind {
        Kind::Tcp(tcp) => tcp.local.map(|local| (Protocol::Tcp, local)),
        Kind::Listener(listener) => Some((Protocol::Tcp, listener.local)),
        Kind::Udp(udp) => Some((Protocol::Udp, udp.local)),
        _ => None,
    }
}

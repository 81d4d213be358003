//! What can be seen of all hosts at once, from outside.

use std::net::SocketAddr;

use super::id::HostId;
use super::object::Kind;
use super::world::World;

impl World {
    /// Returns the number of descriptors that are open on a host.
    pub(crate) fn descriptors_of(&self, host: HostId) -> usize {
        let own = self.objects.values().filter(|object| object.host == host);
        own.map(|object| object.descriptors).sum()
    }

    /// Returns the connections that have something to read: the addresses of both ends, how many
    /// bytes, and since when there has been something that no call has asked for.
    pub(crate) fn unread_connections(
        &self,
    ) -> impl Iterator<Item = (SocketAddr, SocketAddr, usize, u64)> {
        self.objects.values().filter(|object| object.descriptors > 0).filter_map(|object| {
            let Kind::Tcp(tcp) = &object.kind else { return None };
            // An urgent byte alone is no reason to read.
            let since = tcp.unread_since.filter(|_| tcp.is_readable())?;
            Some((tcp.local?, tcp.peer, tcp.input.len(), since))
        })
    }
}

//! Simulated TCP: how packets are sent.
//!
//! The packets of one end of a connection arrive in the order in which they were sent, as TCP sees
//! to that. A packet that the network loses is sent again later, and those behind it wait.

use std::net::SocketAddr;
use std::time::Duration;

use super::connection::Phase;
use super::due::Happening;
use super::id::{HostId, Id};
use super::object::Kind;
use super::segment::{InFlight, Packet, Segment};
use super::world::World;

/// The most bytes in a packet between hosts: an Ethernet frame's.
const MOST_BYTES: usize = 1448;

/// The most bytes in a packet of the loopback interface.
const MOST_BYTES_LOOPBACK: usize = 65_483;

/// How long the sender waits before it sends a lost packet again, at first.
pub(super) const RETRANSMIT: Duration = Duration::from_millis(200);

impl World {
    /// Sends a packet from an end of a connection.
    pub(super) fn transmit(&mut self, id: Id, segment: Segment) {
        let sent = self.now();
        let Some(at) = self.arrival(id) else { return };
        let Some(tcp) = self.tcp(id) else { return };
        // It doesn't overtake what was sent before.
        let at = tcp.wire.packets.back().map_or(at, |last| at.max(last.at));
        if let Segment::Bytes(bytes, _) = &segment {
            tcp.wire.bytes += bytes.len();
        }
        let is_first = tcp.wire.packets.is_empty();
        tcp.wire.packets.push_back(InFlight { sent, at, segment });
        if is_first {
            self.schedule(at, Happening::Packet(Packet::Of(id)));
        }
    }

    /// Returns when a packet arrives that an end sends now.
    pub(super) fn arrival(&mut self, id: Id) -> Option<u64> {
        let (from, to) = self.way(id)?;
        let latency = to.and_then(|to| self.link(from, to)).map(|link| link.latency);
        Some(latency.map_or(self.now(), |latency| self.after(&latency)))
    }

    /// Returns the hosts that the packets of an end go from and to.
    pub(super) fn way(&mut self, id: Id) -> Option<(HostId, Option<HostId>)> {
        let from = self.objects.get(&id)?.host;
        let peer = self.tcp(id)?.peer;
        Some((from, self.host_seen_from(from, peer)))
    }

    /// Returns `true` if a packet that arrives now was lost on its way.
    pub(super) fn is_lost(&mut self, from: HostId, to: Option<HostId>) -> bool {
        let Some(to) = to else { return true };
        if self.is_down(to) {
            return true;
        }
        let Some(link) = self.link(from, to) else { return false };
        let (is_cut, drop) = (link.is_cut, link.drop);
        is_cut || self.chance(drop)
    }

    /// Returns the host that `host` reaches at an address.
    pub(super) fn host_seen_from(&self, host: HostId, peer: SocketAddr) -> Option<HostId> {
        if peer.ip().is_loopback() { Some(host) } else { self.host_at(peer.ip()) }
    }

    /// Sends what an end has to send and its peer has room for, and then its end.
    pub(super) fn send_output(&mut self, id: Id) {
        loop {
            let Some(tcp) = self.tcp(id) else { return };
            if tcp.phase != Phase::Open {
                return;
            }
            let (remote, left, under_way) = (tcp.remote, tcp.output.len(), tcp.wire.bytes);
            let is_loopback = tcp.peer.ip().is_loopback();
            let room = remote.and_then(|remote| self.tcp(remote)).map_or(usize::MAX, |peer| {
                peer.input_limit.saturating_sub(peer.input.len() + under_way)
            });
            let most = if is_loopback { MOST_BYTES_LOOPBACK } else { MOST_BYTES };
            let count = left.min(room).min(most);
            if count == 0 {
                break;
            }
            let count = self.shortened(count);
            let Some(tcp) = self.tcp(id) else { return };
            let bytes: Vec<u8> = tcp.output.drain(..count).collect();
            tcp.unconfirmed += count;
            let mark = tcp.output_mark;
            tcp.output_mark = mark.and_then(|mark| mark.checked_sub(count));
            self.transmit(id, Segment::Bytes(bytes, mark));
        }
        if let Some(tcp) = self.tcp(id)
            && tcp.owes_end
            && tcp.output.is_empty()
        {
            tcp.owes_end = false;
            self.transmit(id, Segment::End);
        }
        self.note_wait(id);
    }

    /// Sends a reset to the peer of an end that goes away.
    pub(super) fn reset_peer(&mut self, id: Id) {
        if let Some(remote) = self.tcp(id).and_then(|tcp| tcp.remote) {
            self.schedule_reset(remote);
        }
    }

    /// Sends a reset to an end.
    pub(super) fn schedule_reset(&mut self, id: Id) {
        // It takes the same way as what that end has sent, back.
        let (sent, Some(at)) = (self.now(), self.arrival(id)) else { return };
        self.schedule(at, Happening::Packet(Packet::Reset { id, sent, losses: 0 }));
    }

    /// Returns how many of `most` bytes go into a socket or a packet, if these are cut short in this
    /// simulation. Reads are not: a short one says that the socket is empty, which programs rely on.
    pub(super) fn shortened(&mut self, most: usize) -> usize {
        if most > 1 && self.chance(self.settings.short_io) {
            return self.random.usize(1..most);
        }
        most
    }

    /// Returns `true` if a connection waits to be accepted, or for the rest of its opening.
    pub(super) fn is_in_backlog(&self, id: Id) -> bool {
        let Some(Kind::Tcp(tcp)) = self.objects.get(&id).map(|object| &object.kind) else {
            return false;
        };
        let Some(listener) = tcp.listener else { return false };
        match self.objects.get(&listener).map(|object| &object.kind) {
            Some(Kind::Listener(listener)) => {
                tcp.phase == Phase::Received || listener.queue.contains(&id)
            }
            _ => false,
        }
    }
}

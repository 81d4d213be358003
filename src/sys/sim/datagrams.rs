//! Simulated UDP: how datagrams get to other sockets.
//!
//! Each is under way for as long as chance has it, so that one may overtake another, and what is
//! lost stays lost.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::due::Happening;
use super::flight::{Arrival, Flight};
use super::id::{HostId, Id};
use super::object::Kind;
use super::udp::MOST_BYTES;
use super::udp_socket::Datagram;
use super::world::World;

impl World {
    /// Sends a datagram from `host` to the host at an address, or to all hosts.
    pub(super) fn send_datagram(&mut self, host: HostId, datagram: Datagram, to: SocketAddr) {
        if to.ip() == IpAddr::V4(Ipv4Addr::BROADCAST) {
            for target in 0..self.hosts.len() {
                self.send_to_host(host, target, datagram.clone(), to);
            }
        } else if let Some(target) = self.host_seen_from(host, to) {
            self.send_to_host(host, target, datagram, to);
        }
    }

    /// Sends a datagram to one host.
    fn send_to_host(&mut self, host: HostId, target: HostId, datagram: Datagram, to: SocketAddr) {
        if host == target {
            // The loopback interface splits nothing: the receiver does, if it has to.
            return self.send_piece(host, target, datagram, to);
        }
        let is_train = datagram.segment_size > 0;
        // What was sent together is one message to a receiver with UDP_GRO if its card gets the
        // packets at one time.
        let stays_together = is_train && self.chance(0.5);
        let (from, segment_size) = (datagram.from, datagram.segment_size);
        let mut train = Datagram { from, bytes: Vec::new(), segment_size };
        for piece in datagram.split() {
            if self.loses(host, target, piece.bytes.len()) {
                let length = piece.bytes.len();
                self.log(host, format_args!("{length} bytes of {from} to {to} are lost"));
                self.mark_packet((host, target), self.now(), ("datagram", length), true);
                if !train.bytes.is_empty() {
                    let next = Datagram { from, bytes: Vec::new(), segment_size };
                    let whole = std::mem::replace(&mut train, next);
                    self.send_piece(host, target, whole, to);
                }
            } else if stays_together {
                train.bytes.extend(piece.bytes);
            } else {
                self.send_piece(host, target, piece, to);
            }
        }
        if !train.bytes.is_empty() {
            self.send_piece(host, target, train, to);
        }
    }

    /// Sends what no link loses.
    fn send_piece(&mut self, host: HostId, target: HostId, datagram: Datagram, to: SocketAddr) {
        let what = Arrival::Datagram(datagram, to);
        self.send_flight(Flight { from: host, to: target, sent: self.now(), what });
    }

    /// Lets something arrive when its time has come.
    fn send_flight(&mut self, flight: Flight) {
        let latency = self.link(flight.from, flight.to).map(|link| link.latency);
        let at = latency.map_or(self.now(), |latency| self.after(&latency));
        self.schedule(at, Happening::Flight(Box::new(flight)));
    }

    /// Returns `true` if the network loses a datagram of so many bytes: with each of its packets.
    fn loses(&mut self, from: HostId, to: HostId, length: usize) -> bool {
        let Some(drop) = self.link(from, to).map(|link| link.drop) else { return false };
        let packets = length.div_ceil(MOST_BYTES).max(1);
        (0..packets).any(|_| self.chance(drop))
    }

    /// Lets a datagram arrive, or the news of one.
    pub(super) fn flight_arrives(&mut self, flight: Flight) {
        let is_cut = self.link(flight.from, flight.to).is_some_and(|link| link.is_cut);
        let is_lost = is_cut || self.is_down(flight.to);
        let name = match &flight.what {
            Arrival::Datagram(datagram, _) => ("datagram", datagram.bytes.len()),
            Arrival::Unreachable(..) => ("unreachable", 0),
        };
        self.mark_packet((flight.from, flight.to), flight.sent, name, is_lost);
        if is_lost {
            return self.log(flight.from, format_args!("a datagram is lost on its way"));
        }
        match flight.what {
            Arrival::Datagram(datagram, to) => self.datagram_arrives(flight.to, datagram, to),
            Arrival::Unreachable(from, to) => self.unreachable_arrives(flight.to, from, to),
        }
    }

    /// Gives a datagram to the socket that it is for, to all of them if it is for all hosts, or
    /// tells its sender that there is none.
    fn datagram_arrives(&mut self, host: HostId, datagram: Datagram, to: SocketAddr) {
        let (from, is_for_all) = (datagram.from, to.ip() == IpAddr::V4(Ipv4Addr::BROADCAST));
        let accepts = |id: &Id| match &self.objects[id].kind {
            Kind::Udp(udp) if self.objects[id].host == host && udp.accepts(from, to) => {
                // A connected socket comes before one that takes anything: compute_score.
                Some((udp.peer.is_some(), !udp.local.ip().is_unspecified()))
            }
            _ => None,
        };
        let mut found: Vec<((bool, bool), Id)> =
            self.objects.keys().filter_map(|id| Some((accepts(id)?, *id))).collect();
        if !is_for_all {
            found = found.into_iter().max().into_iter().collect();
            if found.is_empty() {
                return self.answer_unreachable(host, from, to);
            }
        }
        for (_, id) in found {
            self.datagram_to(id, datagram.clone());
        }
    }

    /// Puts a datagram into the buffer of a socket, split if the socket does not want it whole.
    fn datagram_to(&mut self, id: Id, datagram: Datagram) {
        let Some(udp) = self.udp(id) else { return };
        let pieces = if udp.joins { vec![datagram] } else { datagram.split() };
        for piece in pieces {
            let (from, length) = (piece.from, piece.bytes.len());
            let has_room = self.udp(id).is_some_and(|udp| udp.take_in(piece));
            let host = self.objects[&id].host;
            if has_room {
                self.log(host, format_args!("{id} gets {length} from {from}"));
                self.wake(id, (libc::EPOLLIN | libc::EPOLLPRI) as u32);
            } else {
                self.log(host, format_args!("{id} has no room for {length} from {from}"));
            }
        }
    }

    /// Tells the sender of a datagram that nothing receives it.
    fn answer_unreachable(&mut self, host: HostId, from: SocketAddr, to: SocketAddr) {
        self.log(host, format_args!("nothing receives at {to}"));
        let Some(sender) = self.host_seen_from(host, from) else { return };
        if !self.loses(host, sender, 0) {
            let what = Arrival::Unreachable(from, to);
            self.send_flight(Flight { from: host, to: sender, sent: self.now(), what });
        }
    }

    /// Gives the error to the socket that has sent a datagram for nothing: only to a connected one,
    /// as udp_err does.
    fn unreachable_arrives(&mut self, host: HostId, from: SocketAddr, to: SocketAddr) {
        let is_sender = |id: &Id| match &self.objects[id].kind {
            // From there its answers would have come.
            Kind::Udp(udp) => {
                self.objects[id].host == host && udp.peer.is_some() && udp.accepts(to, from)
            }
            _ => false,
        };
        let Some(id) = self.objects.keys().copied().find(is_sender) else { return };
        let Some(udp) = self.udp(id) else { return };
        udp.error = Some(libc::ECONNREFUSED);
        self.log(host, format_args!("{id} hears that nothing receives at {to}"));
        self.wake(id, libc::EPOLLERR as u32);
    }
}

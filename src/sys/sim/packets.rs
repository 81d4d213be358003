//! Simulated TCP: what packets do where they arrive.
//!
//! A packet that is lost is sent again later.

use std::io;
use std::time::Duration;

use super::connection::{Phase, is_sent};
use super::due::Happening;
use super::id::Id;
use super::instance::ANY;
use super::opening::Offer;
use super::segment::{InFlight, Packet, Segment, Wire};
use super::wire::RETRANSMIT;
use super::world::World;

/// How long it waits before it sends an unanswered packet of the opening again, at first.
const RETRY_OPENING: Duration = Duration::from_secs(1);

/// How often a packet is sent again before the connection has timed out. With doubled waits, that
/// is after 127 seconds for the first packet, and after 15 minutes for others: tcp(7).
const MOST_HELLOS: u32 = 6;

/// As above, for the answer to the first packet: after 63 seconds (tcp_synack_retries).
const MOST_WELCOMES: u32 = 5;

/// As above, for all packets of a connection that is open.
const MOST_RETRIES: u32 = 15;

/// The longest wait before a packet is sent again: TCP_RTO_MAX.
const MOST_WAIT: Duration = Duration::from_secs(120);

/// How long a closed connection waits for the peer's end: tcp_fin_timeout in tcp(7).
const ORPHAN_LIMIT: Duration = Duration::from_secs(60);

impl World {
    /// Lets a packet arrive.
    pub(super) fn arrive(&mut self, packet: Packet) {
        match packet {
            Packet::Of(id) => self.deliver_wire(id),
            Packet::Reset { id, sent, losses } => self.reset_arrives(id, sent, losses),
            Packet::Stranded(stranded) => self.stranded_arrives(*stranded),
            Packet::ConnectLimit(id) => {
                if self.tcp(id).is_some_and(|tcp| tcp.phase == Phase::Connecting) {
                    self.fail(id, libc::ETIMEDOUT);
                }
            }
            Packet::UserLimit(id) => self.look_at_user_limit(id),
            Packet::OrphanLimit(id) => {
                if self.objects.get(&id).is_some_and(|object| object.descriptors == 0) {
                    self.objects.remove(&id);
                }
            }
        }
    }

    /// Delivers the first packets on the wire of an end that have arrived by now.
    fn deliver_wire(&mut self, id: Id) {
        loop {
            let now = self.now();
            let Some(from) = self.objects.get(&id).map(|object| object.host) else { return };
            let Some(tcp) = self.tcp(id) else { return };
            let peer = tcp.peer;
            let Some(first) = tcp.wire.packets.front() else { return };
            if first.at > now {
                let at = first.at;
                return self.schedule(at, Happening::Packet(Packet::Of(id)));
            }
            let (sent, name) = (first.sent, first.segment.name());
            let is_hello = matches!(first.segment, Segment::Hello);
            let most = match first.segment {
                Segment::Hello => MOST_HELLOS,
                Segment::Welcome(_) => MOST_WELCOMES,
                _ => MOST_RETRIES,
            };
            let to = self.host_seen_from(from, peer);
            let is_lost = self.is_lost(from, to);
            if let Some(to) = to {
                self.mark_packet((from, to), sent, name, is_lost);
            }
            if is_lost {
                self.log(from, format_args!("{id} loses a packet to {peer}"));
                return self.retry(id, most);
            }
            if is_hello && self.offer(id, peer, to) == Offer::Dropped {
                return self.retry(id, most);
            }
            let Some(tcp) = self.tcp(id) else { return };
            tcp.wire.retries = 0;
            let Some(InFlight { segment, .. }) = tcp.wire.packets.pop_front() else { return };
            if let Segment::Bytes(bytes, _) = &segment {
                tcp.wire.bytes -= bytes.len();
            }
            if !is_hello {
                self.deliver(id, segment);
            }
        }
    }

    /// Sends the first packet on a wire again, or gives the connection up.
    fn retry(&mut self, id: Id, most: u32) {
        let (now, on_its_way) = (self.now(), self.arrival(id));
        let (Some(tcp), Some(on_its_way)) = (self.tcp(id), on_its_way) else { return };
        let wait = if most == MOST_RETRIES { RETRANSMIT } else { RETRY_OPENING };
        if tcp.wire.retries > most {
            return if tcp.phase == Phase::Received {
                self.forget_half_open(id)
            } else {
                self.fail(id, libc::ETIMEDOUT)
            };
        }
        let wait = doubled(wait, tcp.wire.retries);
        tcp.wire.retries += 1;
        let at = on_its_way + wait;
        for flight in &mut tcp.wire.packets {
            (flight.sent, flight.at) = (now + wait, flight.at.max(at));
        }
        self.schedule(at, Happening::Packet(Packet::Of(id)));
    }

    /// Forgets a connection whose peer does not complete its opening. Neither program hears of it,
    /// until the time of the client's own retries is over.
    fn forget_half_open(&mut self, id: Id) {
        let client = self.tcp(id).and_then(|tcp| tcp.remote);
        let host = self.objects[&id].host;
        self.log(host, format_args!("{id} is forgotten half-open"));
        self.objects.remove(&id);
        if let Some(client) = client {
            let at = self.now() + doubled(RETRY_OPENING, MOST_HELLOS);
            self.schedule(at, Happening::Packet(Packet::ConnectLimit(client)));
        }
    }

    /// Lets a reset arrive at an end. If it is lost it comes later, as what has caused it is sent
    /// again.
    fn reset_arrives(&mut self, id: Id, sent: u64, losses: u32) {
        let Some((host, Some(peer))) = self.way(id) else { return self.reset(id) };
        let is_lost = host != peer && self.is_lost(peer, Some(host));
        self.mark_packet((peer, host), sent, ("RST", 0), is_lost);
        if !is_lost {
            return self.reset(id);
        }
        self.log(host, format_args!("a reset of {id} is lost"));
        if losses > MOST_RETRIES {
            return self.fail(id, libc::ETIMEDOUT);
        }
        let at = self.now() + doubled(RETRANSMIT, losses);
        let again = Packet::Reset { id, sent: at, losses: losses + 1 };
        self.schedule(at, Happening::Packet(again));
    }

    /// Delivers a packet of the end `from` to the other end.
    fn deliver(&mut self, from: Id, segment: Segment) {
        let Some(to) = self.tcp(from).and_then(|tcp| tcp.remote) else {
            return self.schedule_reset(from);
        };
        self.deliver_to(from, to, segment);
    }

    /// Delivers a packet to the end `to`. Its sender may have crashed since.
    pub(super) fn deliver_to(&mut self, from: Id, to: Id, segment: Segment) {
        let now = self.now();
        let Some(tcp) = self.tcp(to) else {
            // A receipt for what is gone is no reason for one.
            return match segment {
                Segment::Bytes(..) | Segment::End | Segment::Joined => self.schedule_reset(from),
                _ => {}
            };
        };
        match segment {
            Segment::Hello => {}
            Segment::Welcome(peer) => self.welcome(to, peer),
            Segment::Joined => self.joined(to),
            Segment::Bytes(bytes, mark) => self.bytes_arrive(from, to, &bytes, mark),
            Segment::Receipt(count) => {
                tcp.unconfirmed -= count.min(tcp.unconfirmed);
                tcp.waits_since = None;
                if tcp.wants_room.get() && tcp.has_room() {
                    tcp.wants_room.set(false);
                    self.wake(to, libc::EPOLLOUT as u32);
                }
                self.send_output(to);
                self.remove_if_over(to);
            }
            Segment::Room => self.send_output(to),
            Segment::End => {
                tcp.peer_is_done = true;
                tcp.no_more_input = true;
                tcp.becomes_readable(now);
                let host = self.objects[&to].host;
                self.log(host, format_args!("{to} gets the end"));
                self.confirm(from, to, Segment::EndReceipt);
                self.wake(to, ANY);
                self.complete(to);
            }
            Segment::EndReceipt => {
                tcp.end_is_confirmed = true;
                tcp.waits_since = None;
                // FIN_WAIT2 wakes a close that lingers, and with it those that watch.
                self.wake(to, ANY);
                self.complete(to);
            }
        }
    }

    /// Confirms to the end `from` what has come. One that has crashed since is not there to hear it, and a
    /// receipt is not sent again.
    fn confirm(&mut self, from: Id, to: Id, receipt: Segment) {
        if self.objects.contains_key(&from) {
            self.transmit(to, receipt);
        }
    }

    /// Puts bytes of the end `from` into the buffer of the end `to`, or refuses them.
    fn bytes_arrive(&mut self, from: Id, to: Id, bytes: &[u8], mark: Option<usize>) {
        let has_owner = self.objects.get(&to).is_some_and(|object| object.descriptors > 0);
        let is_read = has_owner || self.is_in_backlog(to);
        let now = self.now();
        let Some(tcp) = self.tcp(to) else { return };
        if let Some(mark) = mark {
            tcp.announce_urgent(mark, bytes);
        }
        tcp.find_urgent(bytes);
        let refuses = tcp.no_more_input && tcp.no_more_output;
        if tcp.phase == Phase::Ended || refuses || !is_read {
            // Nothing reads them any more: tcp_rcv_state_process.
            self.schedule_reset(from);
            return self.reset(to);
        }
        tcp.input.extend(bytes);
        tcp.becomes_readable(now);
        let host = self.objects[&to].host;
        self.log(host, format_args!("{to} gets {}", bytes.len()));
        self.wake(to, (libc::EPOLLIN | libc::EPOLLPRI) as u32);
        self.confirm(from, to, Segment::Receipt(bytes.len()));
        if self.chance(self.settings.reset) {
            self.schedule_reset(from);
            self.reset(to);
        }
    }

    /// Ends a connection that was reset.
    fn reset(&mut self, id: Id) {
        let Some(tcp) = self.tcp(id) else { return };
        let error = match tcp.phase {
            Phase::Ended => return,
            Phase::Connecting => libc::ECONNREFUSED,
            // CLOSE_WAIT: tcp_reset.
            _ if tcp.peer_is_done && !tcp.no_more_output => libc::EPIPE,
            _ => libc::ECONNRESET,
        };
        self.fail(id, error);
    }

    /// Ends a connection with an error.
    pub(super) fn fail(&mut self, id: Id, error: libc::c_int) {
        let Some(tcp) = self.tcp(id) else { return };
        tcp.error = Some(error);
        tcp.phase = Phase::Ended;
        (tcp.no_more_input, tcp.no_more_output) = (true, true);
        tcp.output.clear();
        tcp.unconfirmed = 0;
        tcp.wire = Wire::default();
        let object = &self.objects[&id];
        let (host, is_orphan) = (object.host, object.descriptors == 0);
        self.log(host, format_args!("{id} fails: {}", io::Error::from_raw_os_error(error)));
        if is_orphan && !self.is_in_backlog(id) {
            self.objects.remove(&id);
            return;
        }
        self.wake(id, libc::EPOLLERR as u32);
        self.wake(id, ANY);
    }

    /// Ends a connection both of whose ends have come: tcp_done.
    fn complete(&mut self, id: Id) {
        let Some(tcp) = self.tcp(id) else { return };
        if tcp.peer_is_done && tcp.end_is_confirmed {
            tcp.phase = Phase::Ended;
            self.wake(id, ANY);
        }
        self.remove_if_over(id);
    }

    /// Removes a closed connection when both ends have come, and its own was received.
    pub(super) fn remove_if_over(&mut self, id: Id) {
        let Some(object) = self.objects.get(&id) else { return };
        if object.descriptors > 0 || self.is_in_backlog(id) {
            return;
        }
        let now = self.now();
        let Some(tcp) = self.tcp(id) else { return };
        if !is_sent(tcp) {
            return;
        }
        if tcp.peer_is_done {
            self.objects.remove(&id);
        } else {
            let limit = now + ORPHAN_LIMIT.as_nanos() as u64;
            self.schedule(limit, Happening::Packet(Packet::OrphanLimit(id)));
        }
    }
}

/// Returns a wait in nanoseconds, doubled so many times: at most two minutes, as in Linux.
fn doubled(wait: Duration, times: u32) -> u64 {
    let wait = wait.as_nanos() as u64;
    wait.saturating_mul(1 << times.min(32)).min(MOST_WAIT.as_nanos() as u64)
}

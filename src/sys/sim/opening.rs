//! Simulated TCP: how a connection is opened.

use std::net::SocketAddr;

use super::connection::{Phase, Tcp};
use super::id::{HostId, Id};
use super::instance::ANY;
use super::object::{Kind, Object};
use super::segment::Segment;
use super::world::World;

/// What became of the first packet of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// It was answered, or refused.
    Answered,
    /// It was dropped, as the backlog is full.
    Dropped,
}

impl World {
    /// Offers the first packet of the end `client` to what listens at `to`.
    pub(super) fn offer(&mut self, client: Id, to: SocketAddr, host: Option<HostId>) -> Offer {
        let Some(host) = host else { return Offer::Dropped };
        let listens = |object: &Object| match &object.kind {
            Kind::Listener(listener) => {
                let ip = listener.local.ip();
                let fits = ip == to.ip() || ip.is_unspecified();
                object.host == host && listener.local.port() == to.port() && fits
            }
            _ => false,
        };
        let found: Vec<Id> =
            self.objects.iter().filter(|(_, object)| listens(object)).map(|(id, _)| *id).collect();
        if found.is_empty() {
            self.schedule_reset(client);
            return Offer::Answered;
        }
        // The kernel spreads them by a hash of the addresses.
        let listener_id = found[self.random.usize(..found.len())];
        let Some(Kind::Listener(listener)) =
            self.objects.get(&listener_id).map(|object| &object.kind)
        else {
            return Offer::Dropped;
        };
        if listener.queue.len() > listener.backlog {
            return Offer::Dropped;
        }
        let buffers = listener.buffers;
        let Some(peer) = self.tcp(client).and_then(|tcp| tcp.local) else { return Offer::Dropped };
        let mut tcp = Tcp::new(Some(to), peer, Phase::Received);
        tcp.set_buffers(buffers.0, buffers.1);
        tcp.remote = Some(client);
        tcp.listener = Some(listener_id);
        let server = self.add(host, Kind::Tcp(Box::new(tcp)));
        self.transmit(server, Segment::Welcome(server));
        Offer::Answered
    }

    /// Puts a connection whose opening is complete into the backlog of its listener.
    pub(super) fn joined(&mut self, id: Id) {
        let Some(tcp) = self.tcp(id) else { return };
        if tcp.phase != Phase::Received {
            return;
        }
        tcp.phase = Phase::Open;
        let listener = tcp.listener;
        let waiting = listener.and_then(|listener| self.objects.get_mut(&listener));
        let Some(Kind::Listener(waiting)) = waiting.map(|object| &mut object.kind) else {
            // The listener is gone.
            self.reset_peer(id);
            self.objects.remove(&id);
            return;
        };
        waiting.queue.push_back(id);
        if let Some(listener) = listener {
            self.wake(listener, libc::EPOLLIN as u32);
        }
        self.send_output(id);
    }

    /// Opens the connection of a client that was answered.
    pub(super) fn welcome(&mut self, id: Id, peer: Id) {
        let Some(tcp) = self.tcp(id) else { return };
        if tcp.phase != Phase::Connecting {
            return;
        }
        (tcp.phase, tcp.remote) = (Phase::Open, Some(peer));
        tcp.owes_end = tcp.no_more_output;
        let host = self.objects[&id].host;
        self.log(host, format_args!("{id} is connected"));
        self.transmit(id, Segment::Joined);
        self.wake(id, ANY);
        self.wake(id, libc::EPOLLOUT as u32);
        self.send_output(id);
    }
}

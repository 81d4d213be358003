//! Simulated TCP: packets that are under way when their sender crashes.
//!
//! The network has them, so they arrive: a host that crashes just after it has answered has answered.
//! One that is lost is not sent again, and what is behind it is of no use then.

use std::mem;

use super::due::Happening;
use super::id::{HostId, Id};
use super::segment::{Packet, Segment, Stranded};
use super::world::World;

impl World {
    /// Leaves to the network what the connections of a host have sent. The host crashes now.
    pub(super) fn strand_packets(&mut self, host: HostId) {
        let objects = self.objects.iter().filter(|(_, object)| object.host == host);
        let senders: Vec<Id> = objects.map(|(id, _)| *id).collect();
        let now = self.now();
        for sender in senders {
            let Some(tcp) = self.tcp(sender) else { continue };
            let Some(receiver) = tcp.remote else { continue };
            let packets = mem::take(&mut tcp.wire.packets).into_iter();
            // One that was lost waits to be sent again, and with it those behind it.
            let packets = packets.take_while(|packet| packet.sent <= now);
            // An opening would be half of a connection: its other half is gone.
            let opens = |segment: &Segment| matches!(segment, Segment::Hello | Segment::Welcome(_));
            let packets = packets.take_while(|packet| !opens(&packet.segment)).collect();
            self.schedule_stranded(Stranded { host, sender, receiver, packets });
        }
    }

    /// Lets the first packet arrive when its time comes, if there is one.
    fn schedule_stranded(&mut self, stranded: Stranded) {
        if let Some(at) = stranded.packets.front().map(|first| first.at) {
            self.schedule(at, Happening::Packet(Packet::Stranded(Box::new(stranded))));
        }
    }

    /// Lets the first packet arrive.
    pub(super) fn stranded_arrives(&mut self, mut stranded: Stranded) {
        let Some(first) = stranded.packets.pop_front() else { return };
        let (sender, receiver) = (stranded.sender, stranded.receiver);
        let Some(to) = self.objects.get(&receiver).map(|object| object.host) else { return };
        let is_lost = self.is_lost(stranded.host, Some(to));
        self.mark_packet((stranded.host, to), first.sent, first.segment.name(), is_lost);
        if is_lost {
            return self.log(stranded.host, format_args!("{sender} loses its last packets"));
        }
        self.deliver_to(sender, receiver, first.segment);
        self.schedule_stranded(stranded);
    }
}

//! What the ends of a simulated TCP connection send each other.

use std::collections::VecDeque;

use super::id::{HostId, Id};

/// What a packet carries.
#[derive(Debug)]
pub(super) enum Segment {
    /// The first packet of a connection.
    Hello,
    /// The answer to it, from the other end.
    Welcome(Id),
    /// The answer to that.
    Joined,
    /// Bytes, and where the urgent one is, if it is among them or follows them.
    Bytes(Vec<u8>, Option<usize>),
    /// That so many bytes have come.
    Receipt(usize),
    /// That the receiver has room again.
    Room,
    /// That the sender sends no more.
    End,
    /// That the end has come.
    EndReceipt,
}

impl Segment {
    /// Returns what a picture calls it, and the number of its bytes. What only confirms has no name.
    pub(super) fn name(&self) -> (&'static str, usize) {
        match self {
            Segment::Hello => ("SYN", 0),
            Segment::Welcome(_) => ("SYN ACK", 0),
            Segment::Bytes(bytes, _) => ("bytes", bytes.len()),
            Segment::End => ("FIN", 0),
            Segment::Joined | Segment::Receipt(_) | Segment::Room | Segment::EndReceipt => ("", 0),
        }
    }
}

/// A packet, or something like one, that arrives.
#[derive(Debug)]
pub(super) enum Packet {
    /// The first packets on the wire of an end.
    Of(Id),
    /// A reset, for an end.
    Reset {
        /// The end.
        id: Id,
        /// When it was sent.
        sent: u64,
        /// How often it was lost.
        losses: u32,
    },
    /// The first packet of an end whose host has crashed.
    Stranded(Box<Stranded>),
    /// The time is over in which an end may still be connected.
    ConnectLimit(Id),
    /// The time is over that a closed connection waits for its peer.
    OrphanLimit(Id),
    /// The user timeout of an end may be over.
    UserLimit(Id),
}

/// A packet that is under way.
#[derive(Debug)]
pub(super) struct InFlight {
    /// When it was sent, or sent again.
    pub(super) sent: u64,
    /// When it arrives.
    pub(super) at: u64,
    /// What it carries.
    pub(super) segment: Segment,
}

/// The packets that one end has sent and that have not arrived, in order.
#[derive(Debug, Default)]
pub(super) struct Wire {
    /// The packets.
    pub(super) packets: VecDeque<InFlight>,
    /// How often the first of them was sent again.
    pub(super) retries: u32,
    /// The bytes in them.
    pub(super) bytes: usize,
}

/// The packets that were under way when the host of their sender crashed, in order.
#[derive(Debug)]
pub(super) struct Stranded {
    /// The host that has crashed.
    pub(super) host: HostId,
    /// The end that has sent them, and is gone.
    pub(super) sender: Id,
    /// The end that they are for.
    pub(super) receiver: Id,
    /// The packets.
    pub(super) packets: VecDeque<InFlight>,
}

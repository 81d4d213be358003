//! What is going to happen in a simulation, and when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::flight::Flight;
use super::id::Id;
use super::segment::Packet;

/// Something that happens at a time of its own.
struct Due {
    /// When, in nanoseconds.
    at: u64,
    /// Its place among those of the same time.
    order: u64,
    /// What happens.
    what: Happening,
}

/// What can be due.
pub(super) enum Happening {
    /// A packet of a TCP connection arrives.
    Packet(Packet),
    /// A datagram arrives, or the news of one.
    Flight(Box<Flight>),
    /// A timerfd may have expired.
    Alarm(Id),
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Due) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// What is due, the nearest first.
#[derive(Default)]
pub(super) struct DueQueue {
    /// The things.
    heap: BinaryHeap<Reverse<Due>>,
    /// The number of things so far.
    last_order: u64,
}

impl DueQueue {
    /// Adds something that is due at `at`, behind what is due at the same time.
    pub(super) fn push(&mut self, at: u64, what: Happening) {
        self.last_order += 1;
        self.heap.push(Reverse(Due { at, order: self.last_order, what }));
    }

    /// Returns when the next thing is due.
    pub(super) fn next(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(due)| due.at)
    }

    /// Takes the next thing if it is due by `now`.
    pub(super) fn pop(&mut self, now: u64) -> Option<Happening> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(due)| due.what)
    }
}

//! The directions of a descriptor, and sets of kinds of readiness.
//!
//! The bits are epoll's own where it has some, so that an event is stored as it comes. The waits
//! and the guesses stand at fixed distances from them, and are reached by a shift.

use crate::base::interest::Interest;
use crate::sys::epoll::Event;

/// One of the two directions of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the peer to this process.
    Read,
    /// From this process to the peer.
    Write,
}

impl Direction {
    /// Returns the bit which says that a call in this direction may succeed. It is epoll's.
    #[inline]
    pub(super) const fn ready(self) -> u32 {
        match self {
            Direction::Read => Event::IN,
            Direction::Write => Event::OUT,
        }
    }

    /// Returns the bit beside it, which says that a task waits in the slot of this direction.
    #[inline]
    pub(super) const fn waits(self) -> u32 {
        self.ready() << 1
    }

    /// Returns the bit which says that the readiness is a guess, as no event has come yet.
    #[inline]
    pub(super) const fn guessed(self) -> u32 {
        self.ready() << GUESSED_BY
    }
}

/// The distance from a bit of readiness to the bit that marks it as a guess.
pub(super) const GUESSED_BY: u32 = 6;

/// A set of kinds of readiness: readable, writable, and priority (urgent data).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReadySet(pub(super) u32);

impl ReadySet {
    /// All three kinds.
    pub(crate) const ALL: ReadySet = ReadySet(READ | WRITE | PRIORITY);

    /// Returns the kinds that are `true`.
    pub(crate) const fn new(readable: bool, writable: bool, priority: bool) -> ReadySet {
        let directions = (readable as u32 * READ) | (writable as u32 * WRITE);
        ReadySet(directions | (priority as u32 * PRIORITY))
    }

    /// Returns the kinds that `interest` asks for.
    pub(crate) const fn from_interest(interest: Interest) -> ReadySet {
        ReadySet::new(interest.is_readable(), interest.is_writable(), interest.is_priority())
    }

    /// Returns `true` if one of `bits` is set.
    #[inline]
    pub(super) const fn has(self, bits: u32) -> bool {
        self.0 & bits != 0
    }

    /// Returns `true` if the set has exactly one kind.
    pub(crate) const fn is_one(self) -> bool {
        self.0.is_power_of_two()
    }

    /// Returns the direction of a task that waits for these kinds. Urgent data is read.
    pub(crate) fn direction(self) -> Direction {
        if self.0 == WRITE { Direction::Write } else { Direction::Read }
    }
}

impl From<Direction> for ReadySet {
    #[inline]
    fn from(direction: Direction) -> ReadySet {
        ReadySet(direction.ready())
    }
}

/// Reads may succeed.
pub(super) const READ: u32 = Direction::Read.ready();
/// Writes may succeed.
pub(super) const WRITE: u32 = Direction::Write.ready();
/// There is urgent data. Tasks wait for it in the list only, and it is never guessed.
pub(super) const PRIORITY: u32 = 1 << 13;

//! The directions of a descriptor, sets of kinds of readiness, and the bits of the word that has both.
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
    /// Returns the bit of this direction. It is epoll's.
    #[inline]
    pub(super) const fn bit(self) -> u32 {
        match self {
            Direction::Read => Event::IN,
            Direction::Write => Event::OUT,
        }
    }

    /// Returns the bit beside it, which says that a task waits in the slot of this direction.
    #[inline]
    pub(super) const fn waits(self) -> u32 {
        self.bit() << 1
    }

    /// Returns the bit which says that no event has come yet, so that its readiness is a guess.
    #[inline]
    pub(super) const fn guessed(self) -> u32 {
        self.bit() << GUESSED_BY
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
        ReadySet(direction.bit())
    }
}

/// Reads may succeed.
pub(super) const READ: u32 = Direction::Read.bit();
/// Writes may succeed.
pub(super) const WRITE: u32 = Direction::Write.bit();
/// There is urgent data. Tasks wait for it in the list only, and it is never guessed.
pub(super) const PRIORITY: u32 = 1 << 10;

/// The end of the stream or urgent data has been reported, so that a short read may have more
/// behind it.
pub(super) const DISTRUST_SHORT: u32 = 1 << 4;
/// A task may be waiting in the list.
pub(super) const LISTED: u32 = 1 << 5;
/// A hang-up or an error has been reported and has not been examined since.
pub(super) const HUNG_UP: u32 = 1 << 12;
/// The stream has deadlines: progress restarts them, and a wait may miss one. It is far from the other
/// bits that make a call unusual: a test of 16 bits is two instructions, and one of 32 is one.
pub(super) const TIMED: u32 = 1 << 17;
/// The poller has ended: no event comes any more, and a wait is an error.
pub(super) const ENDED: u32 = 1 << 14;
/// Carried-over output is sent before anything else, so that room belongs to it first.
pub(super) const CARRYOVER: u32 = 1 << 15;
/// The readiness of either direction is a guess.
pub(super) const GUESSED: u32 = Direction::Read.guessed() | Direction::Write.guessed();

/// Returns the bits of what makes a call in `direction` more than its system call.
#[inline(always)]
pub(super) const fn unusual(direction: Direction) -> u32 {
    match direction {
        Direction::Read => TIMED | DISTRUST_SHORT,
        Direction::Write => TIMED,
    }
}

/// All bits of the word are apart.
const _: () = {
    let rare = DISTRUST_SHORT ^ LISTED ^ HUNG_UP ^ TIMED ^ ENDED ^ CARRYOVER;
    let waits = Direction::Read.waits() ^ Direction::Write.waits();
    let bits = READ ^ WRITE ^ PRIORITY ^ waits ^ GUESSED ^ rare;
    assert!(bits.count_ones() == 13 && bits & (PRIORITY << GUESSED_BY) == 0);
};

//! The facts about a connection, one bit each, and its state.
//!
//! They stand in one word with the interest of the connection. What a usual event is follows from the
//! word, and is kept beside it: see [`Connection`](crate::local::connection::Connection).
//!
//! | bits | what they hold |
//! |---|---|
//! | 0 to 19 | facts |
//! | 20 to 23 | the [`Interest`](crate::base::interest::Interest), in its own bits |
//! | 24 | the state is `Open` |
//! | 25 to 27 | the state, as a number |
//! | 29, 30 | facts about a connection of a pool |
//! | 31 | a write may be sent at once |

use std::ops::{BitOr, BitOrAssign};

/// A set of facts about a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flags(u32);

impl Flags {
    /// No fact at all.
    pub(crate) const NONE: Flags = Flags(0);
    /// The descriptor is a socket, so `recv` and `send` work.
    pub(crate) const SOCKET: Flags = Flags(1);
    /// Other code may hold the descriptor or a duplicate of it: it is deregistered before it is
    /// closed.
    pub(crate) const FD_EXPOSED: Flags = Flags(1 << 1);
    /// The connection counts for the load of its poller.
    pub(crate) const COUNTED: Flags = Flags(1 << 2);
    /// The connection belongs to the crate, not to the user: a listener, or one that lingers. It
    /// doesn't count for the shutdown.
    pub(crate) const INTERNAL: Flags = Flags(1 << 3);
    /// The end of the input has been read.
    pub(crate) const READ_EOF: Flags = Flags(1 << 4);
    /// Output is queued.
    pub(crate) const HAS_OUTPUT: Flags = Flags(1 << 5);
    /// There is a `Writer`, or there was one. In one byte with `HAS_OUTPUT`, as both are asked at once.
    pub(crate) const HAS_WRITER: Flags = Flags(1 << 6);
    /// The peer has hung up, unread bytes are left, and the handler has not asked for them yet.
    pub(crate) const UNREAD_HANG_UP: Flags = Flags(1 << 7);
    /// A message waits in the socket's error queue, which level-triggered epoll would report in
    /// every wait: see `connection::persistent`.
    pub(crate) const PERSISTENT_ERROR: Flags = Flags(1 << 8);
    /// The write direction is shut down when the queued output has been sent. A stream was asked
    /// for that before it became a handler's connection.
    pub(crate) const SHUTDOWN_AFTER_FLUSH: Flags = Flags(1 << 9);
    /// The mask of the registration may have to change when the callback has returned.
    pub(crate) const DIRTY: Flags = Flags(1 << 10);
    /// The connection has watermarks.
    pub(crate) const HAS_WATERMARKS: Flags = Flags(1 << 11);
    /// The connection has deadlines.
    pub(crate) const HAS_DEADLINES: Flags = Flags(1 << 12);
    /// The descriptor is a socket for datagrams: an empty one is no end, and an error belongs to
    /// one datagram.
    pub(crate) const DATAGRAMS: Flags = Flags(1 << 13);
    /// The connection was closed before `on_open` had been called.
    pub(crate) const CLOSED_UNOPENED: Flags = Flags(1 << 14);
    /// Output was written shortly before the close, so the peer needs time to receive it.
    pub(crate) const WROTE_BEFORE_CLOSE: Flags = Flags(1 << 15);
    /// The descriptor is a socket that keeps writes apart, as datagrams or as records.
    pub(crate) const MESSAGES: Flags = Flags(1 << 16);
    /// The connection is a listener: it ends when the shutdown begins.
    pub(crate) const LISTENER: Flags = Flags(1 << 17);
    /// With `PERSISTENT_ERROR`: the end of this turn asks what else the descriptor is ready for.
    pub(crate) const RECHECK_DUE: Flags = Flags(1 << 18);
    /// The running callback was called for out-of-band data.
    pub(crate) const PRIORITY: Flags = Flags(1 << 19);
    /// The interest includes reading.
    pub(crate) const READ_INTEREST: Flags = Flags(1 << Flags::INTEREST_SHIFT);
    /// The state is `Open`.
    pub(crate) const OPEN: Flags = Flags(1 << 24);
    /// A pool has lent the connection to its handler.
    pub(crate) const POOLED: Flags = Flags(1 << 29);
    /// The handler has given the connection back to its pool, and has not failed since.
    pub(crate) const RELEASED: Flags = Flags(1 << 30);
    /// A write may be sent at once: the connection is open, its descriptor is a socket, and there is
    /// neither queued output nor a writer. It follows from those bits, so that a write tests one.
    pub(crate) const SENDING: Flags = Flags(1 << 31);

    /// The lowest bit of the interest, in the word that holds both.
    pub(crate) const INTEREST_SHIFT: u32 = 20;
    /// The lowest bit of the state, in the same word.
    pub(crate) const STATE_SHIFT: u32 = 25;

    /// Returns `word` with those bits set that follow from its others.
    #[inline]
    pub(crate) const fn derived(word: u32) -> u32 {
        let rest = word & !Flags::SENDING.0;
        let sends = Flags::OPEN.0 | Flags::SOCKET.0;
        let waits = Flags::HAS_OUTPUT.0 | Flags::HAS_WRITER.0;
        let sending = Flags::SENDING.only_if(rest & (sends | waits) == sends);
        rest | sending.0
    }

    /// Returns `true` if bytes to read are a usual event for a connection with this `word`: it is open
    /// and interested in reading, and its descriptor is a socket and no listener.
    #[inline]
    pub(crate) const fn reads_usually(word: u32) -> bool {
        let reads = Flags::OPEN.0 | Flags::READ_INTEREST.0 | Flags::SOCKET.0;
        word & (reads | Flags::LISTENER.0) == reads
    }

    /// Returns the flags as a part of the word.
    #[inline]
    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    /// Returns these flags and `others`: `|` for constants.
    pub(crate) const fn and(self, others: Flags) -> Flags {
        Flags(self.0 | others.0)
    }

    /// Returns `true` if any of `these` is set.
    pub(crate) const fn has(self, these: Flags) -> bool {
        self.0 & these.0 != 0
    }

    /// Returns these flags if `condition` holds, and none otherwise.
    pub(crate) const fn only_if(self, condition: bool) -> Flags {
        if condition { self } else { Flags::NONE }
    }
}

impl BitOr for Flags {
    type Output = Flags;

    #[inline]
    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    #[inline]
    fn bitor_assign(&mut self, other: Flags) {
        self.0 |= other.0;
    }
}

/// Where a connection is in its life. It only moves down this list.
///
/// - A connection that is served: `Opening`, `Open`, `Closing`, `Closed`. After `Open` it may
///   relay, with output left it is `Flushing` before it is `Closed`, and with a peer that still
///   sends it is `Lingering` afterwards.
/// - One that a stream takes over: `Open`, and `Closed` at once. What lives on is the stream.
/// - One that is closed before its first call: `Opening`, `Closing`. `on_open` comes at the end of
///   the turn, right before `on_close`.
///
/// The order makes "is it ending?" a comparison: everything from `Closing` on is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub(crate) enum State {
    /// Registered, and `on_open` has not been called yet.
    Opening,
    /// The usual state: callbacks are called.
    Open,
    /// The poller passes on what this connection and another one send to each other. No callback is
    /// called but `on_timeout` and `on_shutdown`.
    Relaying,
    /// The end has been requested, and is due at the end of the turn. No callback is called any
    /// more but `on_close`.
    Closing,
    /// The end is due, and waits until the queued output has been sent.
    Flushing,
    /// `on_close` has been called, or a stream has taken the descriptor.
    Closed,
    /// The handler is gone, and what the peer still sends is read and discarded.
    Lingering,
}

impl State {
    /// Returns the state that a number stands for: the inverse of `as u32`.
    #[inline]
    pub(crate) fn of(number: u32) -> State {
        match number {
            0 => State::Opening,
            1 => State::Open,
            2 => State::Relaying,
            3 => State::Closing,
            4 => State::Flushing,
            5 => State::Closed,
            _ => State::Lingering,
        }
    }
}

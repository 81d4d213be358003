//! One registration with a handler.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use crate::base::interest::Interest;
use crate::base::token::Token;
use crate::parts::outbox::Outbox;
use crate::sys::epoll::Mask;

use super::deadlines::Timing;
use super::handler::{CloseReason, EvHandler};
use super::relaying::Relaying;
use super::watermarks::Marks;
use super::writer::Inlet;

/// Where a connection is in its life. It only moves down this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// Registered; `on_open` has not been called yet.
    Opening,
    /// Callbacks come.
    Open,
    /// The poller passes on what this connection and another one send to each other. No callback
    /// comes but `on_timeout` and `on_shutdown`.
    Relaying,
    /// The end is decided, and due at the end of the turn. No callback but `on_close` comes.
    Closing,
    /// As Closing, while queued output is still on its way.
    Flushing,
    /// `on_close` has been called, or a stream has taken the descriptor.
    Closed,
    /// After Closed: the handler is gone, and what the peer still sends is thrown away.
    Lingering,
}

/// Facts about a connection, one bit each.
pub(crate) mod bits {
    /// A socket: `recv` and `send` work.
    pub(crate) const SOCKET: u16 = 1;
    /// The descriptor may be known outside: it is deregistered before it is closed.
    pub(crate) const LENT: u16 = 1 << 1;
    /// It counts for the load of its poller.
    pub(crate) const COUNTED: u16 = 1 << 2;
    /// It is ours, not the user's: a listener, or a drain. It doesn't count for the shutdown.
    pub(crate) const INTERNAL: u16 = 1 << 3;
    /// The end of the input has been read.
    pub(crate) const END: u16 = 1 << 4;
    /// There is queued output.
    pub(crate) const OUTPUT: u16 = 1 << 5;
    /// The mask of the registration is to be looked at after the callback.
    pub(crate) const DIRTY: u16 = 1 << 6;
    /// The peer has hung up, unread bytes are left, and the handler doesn't want them now.
    pub(crate) const HUNG_UP: u16 = 1 << 7;
    /// It accepts connections: it ends when the shutdown begins.
    pub(crate) const LISTENER: u16 = 1 << 8;
    /// It was closed before `on_open` had been called.
    pub(crate) const UNOPENED: u16 = 1 << 14;
    /// The write direction is shut down when the queued output has been sent: a stream was told to
    /// before it became a handler's.
    pub(crate) const ENDS: u16 = 1 << 9;
    /// A socket of datagrams: an empty one is no end, and an error belongs to one datagram.
    pub(crate) const DATAGRAMS: u16 = 1 << 13;
    /// The callback that asked for the end has written: its last words are to be heard.
    pub(crate) const LAST_WORDS: u16 = 1 << 15;
    /// There is a `Writer`, or there was one.
    pub(crate) const WRITER: u16 = 1 << 10;
    /// There are watermarks.
    pub(crate) const MARKS: u16 = 1 << 11;
    /// There are deadlines.
    pub(crate) const TIMED: u16 = 1 << 12;
}

/// What is taken out of the connection while a callback runs: the handler and the descriptor.
pub(super) struct Body {
    pub(super) handler: Box<dyn EvHandler>,
    pub(super) fd: OwnedFd,
}

/// What many connections never need.
#[derive(Default)]
pub(super) struct Extra {
    /// Queued output.
    pub(super) outbox: Outbox,
    /// The first timer: they are linked through their entries.
    pub(super) first_timer: Option<Token>,
    /// While Relaying: what it shares with the other connection.
    pub(super) relaying: Option<Rc<Relaying>>,
    /// While Flushing and Lingering: why it ends, and the timer of its patience.
    pub(super) ending: Option<(CloseReason, Token)>,
    /// Where `Writer`s put their output.
    pub(super) inlet: Option<Inlet>,
    /// The watermarks.
    pub(super) marks: Option<Box<Marks>>,
    /// The deadlines.
    pub(super) timing: Option<Box<Timing>>,
}

/// A registration with a handler. Everything in it is the poller's thread's own.
pub(crate) struct Connection {
    /// The handler and the descriptor, but while a callback runs.
    body: Cell<Option<Body>>,
    /// Made when it is first needed.
    extra: Cell<Option<Box<Extra>>>,
    /// Its name.
    pub(super) token: Token,
    /// What the handler wants to hear of.
    interest: Cell<Interest>,
    state: Cell<State>,
    bits: Cell<u16>,
    /// What epoll has been told.
    pub(super) mask: Cell<Mask>,
}

impl Connection {
    pub(super) fn new(
        token: Token,
        handler: Box<dyn EvHandler>,
        fd: OwnedFd,
        interest: Interest,
        facts: u16,
    ) -> Connection {
        Connection {
            body: Cell::new(Some(Body { handler, fd })),
            extra: Cell::new(None),
            token,
            interest: Cell::new(interest),
            state: Cell::new(State::Opening),
            bits: Cell::new(facts),
            mask: Cell::new(Mask::of(interest, false)),
        }
    }

    #[inline]
    pub(super) fn state(&self) -> State {
        self.state.get()
    }

    pub(super) fn advance(&self, state: State) {
        debug_assert!(self.state.get() < state);
        self.state.set(state);
    }

    #[inline]
    pub(super) fn has(&self, any: u16) -> bool {
        self.bits.get() & any != 0
    }

    /// Whether `this` is on and `others` are off.
    #[inline]
    pub(super) fn has_only(&self, this: u16, others: u16) -> bool {
        self.bits.get() & (this | others) == this
    }

    #[inline]
    pub(super) fn turn_on(&self, bits: u16) {
        self.bits.set(self.bits.get() | bits);
    }

    #[inline]
    pub(super) fn turn_off(&self, bits: u16) {
        self.bits.set(self.bits.get() & !bits);
    }

    #[inline]
    pub(super) fn interest(&self) -> Interest {
        self.interest.get()
    }

    pub(super) fn set_interest(&self, interest: Interest) {
        self.interest.set(interest);
        self.turn_on(bits::DIRTY);
    }

    #[inline]
    pub(super) fn take_body(&self) -> Option<Body> {
        self.body.take()
    }

    #[inline]
    pub(super) fn put_body(&self, body: Body) {
        self.body.set(Some(body));
    }

    /// Looks at the descriptor, outside of callbacks. None if a stream has taken it.
    pub(super) fn with_fd<R>(&self, look: impl FnOnce(BorrowedFd<'_>) -> R) -> Option<R> {
        let body = self.body.take()?;
        let result = look(body.fd.as_fd());
        self.body.set(Some(body));
        Some(result)
    }

    /// Changes what is rarely there. Nothing foreign runs in `change`.
    pub(super) fn with_extra<R>(&self, change: impl FnOnce(&mut Extra) -> R) -> R {
        let mut extra = self.extra.take().unwrap_or_default();
        let result = change(&mut extra);
        self.extra.set(Some(extra));
        result
    }

    /// Changes what is rarely there, if it is.
    pub(super) fn with_present_extra<R>(&self, change: impl FnOnce(&mut Extra) -> R) -> Option<R> {
        let mut extra = self.extra.take()?;
        let result = change(&mut extra);
        self.extra.set(Some(extra));
        Some(result)
    }

    /// Takes what is rarely there away, at the end.
    pub(super) fn take_extra(&self) -> Option<Box<Extra>> {
        self.extra.take()
    }

    /// While it is ending: what its peer still sends is read and forgotten, unless others may have
    /// the descriptor and want it.
    pub(super) fn throws_input_away(&self) -> bool {
        self.has_only(bits::SOCKET, bits::END | bits::LENT | bits::LISTENER)
    }

    /// The mask that its state and interest ask for.
    pub(super) fn wanted_mask(&self) -> Mask {
        let flush = self.has(bits::OUTPUT);
        match self.state() {
            State::Relaying => Mask::ALL_EDGES,
            State::Flushing | State::Lingering if self.throws_input_away() => {
                Mask::of(Interest::READABLE, flush)
            }
            State::Flushing | State::Lingering => Mask::of(Interest::NONE, flush),
            _ if self.has(bits::HUNG_UP) && !self.interest().is_readable() => Mask::QUIET,
            // After the end there is nothing to read: level-triggering would tell for ever.
            _ if self.has(bits::END) => Mask::of(self.interest().not_readable(), flush),
            _ => Mask::of(self.interest(), flush),
        }
    }
}

//! One registration with a handler.

use std::cell::{Cell, RefCell, RefMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;
use std::{io, mem};

use crate::base::interest::Interest;
use crate::base::token::Token;
use crate::local::action::{Action, CloseReason};
use crate::local::context::EvContext;
use crate::local::deadline_timer::DeadlineTimer;
use crate::local::handler::EvHandler;
use crate::local::state::Local;
use crate::local::writer::{Stage, WriterEnd};
use crate::parts::outbox::Outbox;
use crate::parts::watermarks::Watermarks;
use crate::sys::epoll::{Event, Mask};
use crate::task::drop_ignoring_panic;

/// Where a connection is in its life. It only moves down this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
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

impl State {
    /// The inverse of `as u32`.
    #[inline]
    fn of(number: u32) -> State {
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

/// Facts about a connection, one bit each; above them the interest and the state, so that a usual
/// event is told from all others by one look at one word.
pub(crate) mod bits {
    /// A socket: `recv` and `send` work.
    pub(crate) const SOCKET: u32 = 1;
    /// The descriptor may be known outside: it is deregistered before it is closed.
    pub(crate) const FD_EXPOSED: u32 = 1 << 1;
    /// It counts for the load of its poller.
    pub(crate) const COUNTED: u32 = 1 << 2;
    /// It is ours, not the user's: a listener, or a drain. It doesn't count for the shutdown.
    pub(crate) const INTERNAL: u32 = 1 << 3;
    /// The end of the input has been read.
    pub(crate) const READ_EOF: u32 = 1 << 4;
    /// There is queued output.
    pub(crate) const OUTPUT: u32 = 1 << 5;
    /// The mask of the registration is to be looked at after the callback.
    pub(crate) const DIRTY: u32 = 1 << 6;
    /// The peer has hung up, unread bytes are left, and the handler hasn't wanted them yet.
    pub(crate) const HUNG_UP: u32 = 1 << 7;
    /// It accepts connections: it ends when the shutdown begins.
    pub(crate) const LISTENER: u32 = 1 << 8;
    /// It was closed before `on_open` had been called.
    pub(crate) const UNOPENED: u32 = 1 << 14;
    /// The write direction is shut down when the queued output has been sent: a stream was told to
    /// before it became a handler's.
    pub(crate) const SHUTDOWN_AFTER_FLUSH: u32 = 1 << 9;
    /// A socket of datagrams: an empty one is no end, and an error belongs to one datagram.
    pub(crate) const DATAGRAMS: u32 = 1 << 13;
    /// A socket that keeps writes apart: of datagrams, or of records.
    pub(crate) const MESSAGES: u32 = 1 << 16;
    /// The callback that asked for the end has written: its last words are to be heard.
    pub(crate) const WROTE_BEFORE_CLOSE: u32 = 1 << 15;
    /// There is a `Writer`, or there was one.
    pub(crate) const WRITER: u32 = 1 << 10;
    /// There are watermarks.
    pub(crate) const HAS_WATERMARKS: u32 = 1 << 11;
    /// There are deadlines.
    pub(crate) const HAS_DEADLINES: u32 = 1 << 12;
    /// A condition holds that level-triggering would report for ever: see `standing`.
    pub(crate) const STANDING: u32 = 1 << 17;
    /// While it is standing: the poller is going to look what else holds.
    pub(crate) const LOOKED_AT: u32 = 1 << 18;
    /// The callback that runs was called for what is out of band.
    pub(crate) const PRIORITY: u32 = 1 << 19;
    /// The handler wants to hear of bytes to read.
    pub(crate) const READS: u32 = 1 << INTEREST;
    /// Its state is Open.
    pub(crate) const OPEN: u32 = 1 << 24;
    /// It is both: follows from the two.
    pub(crate) const READING: u32 = 1 << 28;
    /// A pool has lent it to its handler.
    pub(crate) const POOLED: u32 = 1 << 29;
    /// The handler has given it back, and has not failed since.
    pub(crate) const RELEASED: u32 = 1 << 30;
    /// The interest stands from this bit on,
    pub(crate) const INTEREST: u32 = 20;
    /// and the state from this one.
    pub(crate) const STATE: u32 = 25;
}

/// What is lent to a callback while it runs: the handler and the descriptor.
pub(crate) struct Body {
    /// `NoHandler`, once it has been taken out.
    pub(crate) handler: Box<dyn EvHandler>,
    /// None once a stream has taken it, or it has been closed.
    pub(crate) fd: Option<OwnedFd>,
}

/// Stands where a handler was. It takes no memory.
pub(crate) struct NoHandler;

impl EvHandler for NoHandler {
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Close)
    }
}

/// A timer of a connection, as the connection has it.
pub(crate) struct OwnTimer {
    /// Its name.
    pub(crate) timer: Token,
    /// Nanoseconds, if it comes again and again.
    pub(crate) period: Option<u64>,
}

/// A handler leaves bytes unread that came before a hang-up.
pub(crate) struct Skipping {
    /// How many they are, by what FIONREAD says. That they become fewer is progress.
    pub(crate) unread: usize,
    /// When it counts as one that has given up, without progress.
    pub(crate) until: u64,
    /// The next pause.
    pub(crate) pause: Duration,
    /// The timer that ends the pause.
    pub(crate) timer: Option<Token>,
}

/// The relay that a connection is part of, as the connection sees it: its events go there.
pub(crate) trait Relay {
    /// Passes on what can be passed on, after an event for `connection`, one of the two.
    fn on_event(&self, local: &Local, connection: &Connection, event: Event);

    /// Passes on the next share, after one that used up its budget. `has_room` says that queued output of
    /// `connection` may be sent.
    fn run_again(&self, local: &Local, connection: &Connection, has_room: bool);

    /// Ends both connections: `connection` has missed a deadline, or the time for the last bytes of one
    /// that failed is over.
    fn fail(&self, local: &Local, connection: &Connection, missed: Option<io::Error>);

    /// Stops relaying, since one of the two is closing for `reason`: what is on its way becomes queued
    /// output, and the other one is closed as well.
    fn stop(&self, local: &Local, reason: &CloseReason);
}

/// What many connections never need.
#[derive(Default)]
pub(crate) struct Extra {
    /// Queued output.
    pub(crate) outbox: Outbox,
    /// Its timers, in no order: each knows its place.
    pub(crate) timers: Vec<OwnTimer>,
    /// While Relaying: what it shares with the other connection.
    pub(crate) relay: Option<Rc<dyn Relay>>,
    /// While Flushing and Lingering: why it ends, and the timer of its patience.
    pub(crate) ending: Option<(CloseReason, Token)>,
    /// Where `Writer`s put their output.
    pub(crate) writer_end: Option<WriterEnd>,
    /// The watermarks.
    pub(crate) watermarks: Option<Box<Watermarks>>,
    /// The deadlines.
    pub(crate) timing: Option<Box<DeadlineTimer>>,
    /// After a hang-up: what the handler leaves unread.
    pub(crate) skipping: Option<Skipping>,
}

/// A registration with a handler. Everything in it is the poller's thread's own.
pub(crate) struct Connection {
    /// The handler and the descriptor. Borrowed by the callback that runs, and by system calls
    /// between callbacks; what else is foreign never runs meanwhile.
    body: RefCell<Body>,
    /// Made when it is first needed.
    extra: Cell<Option<Box<Extra>>>,
    /// Its name.
    pub(crate) token: Token,
    /// Facts, interest and state: see `bits`.
    word: Cell<u32>,
    /// What epoll has been told.
    pub(crate) mask: Cell<Mask>,
}

impl Connection {
    pub(crate) fn new(
        token: Token,
        handler: Box<dyn EvHandler>,
        fd: OwnedFd,
        interest: Interest,
        facts: u32,
    ) -> Connection {
        Connection {
            body: RefCell::new(Body { handler, fd: Some(fd) }),
            extra: Cell::new(None),
            token,
            word: Cell::new(facts | (interest.bits() << bits::INTEREST)),
            mask: Cell::new(Mask::of(interest, false)),
        }
    }

    #[inline]
    pub(crate) fn state(&self) -> State {
        State::of((self.word.get() >> bits::STATE) & 7)
    }

    pub(crate) fn advance(&self, state: State) {
        debug_assert!(self.state() < state);
        let rest = self.word.get() & !(bits::OPEN | (7 << bits::STATE));
        let open = if state == State::Open { bits::OPEN } else { 0 };
        self.set_word(rest | open | ((state as u32) << bits::STATE));
    }

    fn set_word(&self, word: u32) {
        let is_reading = word & bits::OPEN != 0 && word & bits::READS != 0;
        let reading = if is_reading { bits::READING } else { 0 };
        self.word.set((word & !bits::READING) | reading);
    }

    #[inline]
    pub(crate) fn has(&self, any: u32) -> bool {
        self.word.get() & any != 0
    }

    /// Whether all of `these` are on and `others` are off.
    #[inline]
    pub(crate) fn has_only(&self, these: u32, others: u32) -> bool {
        self.word.get() & (these | others) == these
    }

    #[inline]
    pub(crate) fn turn_on(&self, bits: u32) {
        self.word.set(self.word.get() | bits);
    }

    #[inline]
    pub(crate) fn turn_off(&self, bits: u32) {
        self.word.set(self.word.get() & !bits);
    }

    #[inline]
    pub(crate) fn interest(&self) -> Interest {
        Interest::from_bits(self.word.get() >> bits::INTEREST)
    }

    pub(crate) fn set_interest(&self, interest: Interest) {
        let rest = self.word.get() & !(Interest::ALL_BITS << bits::INTEREST);
        self.set_word(rest | (interest.bits() << bits::INTEREST) | bits::DIRTY);
        if interest.is_edge() {
            // No mask with edges is like this one: epoll is told, and tells anew of what holds.
            self.mask.set(Mask::of(Interest::NONE, false));
        }
    }

    /// The handler and the descriptor, for a callback.
    ///
    /// # Panics
    /// If they are lent already: callbacks never nest.
    #[inline]
    pub(crate) fn body(&self) -> RefMut<'_, Body> {
        self.body.borrow_mut()
    }

    /// Takes the handler out, at the end.
    pub(crate) fn take_handler(&self) -> Box<dyn EvHandler> {
        mem::replace(&mut self.body.borrow_mut().handler, Box::new(NoHandler))
    }

    /// Whether the descriptor is here, outside of callbacks.
    pub(crate) fn has_fd(&self) -> bool {
        self.body.borrow().fd.is_some()
    }

    /// Takes the descriptor out, outside of callbacks; None if a stream has taken it.
    pub(crate) fn take_fd(&self) -> Option<OwnedFd> {
        self.body.borrow_mut().fd.take()
    }

    /// As [`Connection::take_fd`]; None in a callback of the connection, too.
    pub(crate) fn try_take_fd(&self) -> Option<OwnedFd> {
        self.body.try_borrow_mut().ok()?.fd.take()
    }

    /// The inverse of [`Connection::take_fd`].
    pub(crate) fn put_fd(&self, fd: OwnedFd) {
        self.body.borrow_mut().fd = Some(fd);
    }

    /// Looks at the descriptor, outside of callbacks. None if a stream has taken it. Nothing
    /// foreign runs in `look`.
    pub(crate) fn with_fd<R>(&self, look: impl FnOnce(BorrowedFd<'_>) -> R) -> Option<R> {
        let body = self.body.try_borrow().ok()?;
        Some(look(body.fd.as_ref()?.as_fd()))
    }

    /// Changes what is rarely there. Nothing foreign runs in `change`.
    pub(crate) fn with_extra<R>(&self, change: impl FnOnce(&mut Extra) -> R) -> R {
        let mut extra = self.extra.take().unwrap_or_default();
        let result = change(&mut extra);
        self.extra.set(Some(extra));
        result
    }

    /// Changes what is rarely there, if it is.
    pub(crate) fn with_present_extra<R>(&self, change: impl FnOnce(&mut Extra) -> R) -> Option<R> {
        let mut extra = self.extra.take()?;
        let result = change(&mut extra);
        self.extra.set(Some(extra));
        Some(result)
    }

    /// Returns the relay that it is part of.
    pub(crate) fn relay(&self) -> Option<Rc<dyn Relay>> {
        self.with_present_extra(|extra| extra.relay.clone()).flatten()
    }

    /// Moves what writers have brought to the end of the connection's output.
    pub(crate) fn collect_writers(&self, last: bool) -> Stage {
        let collected = self.with_present_extra(|extra| {
            let line = extra.writer_end.as_ref()?.line();
            let asked = line.collect_into(&mut extra.outbox, last);
            Some((asked, !extra.outbox.is_empty()))
        });
        let Some((asked, has_output)) = collected.flatten() else { return Stage::Closed };
        if has_output {
            self.turn_on(bits::OUTPUT | bits::DIRTY);
        }
        asked
    }

    /// Takes what is rarely there away, at the end.
    pub(crate) fn take_extra(&self) -> Option<Box<Extra>> {
        self.extra.take()
    }

    /// While it is ending: what its peer still sends is read and forgotten, unless others may have
    /// the descriptor and want it.
    pub(crate) fn throws_input_away(&self) -> bool {
        self.has_only(bits::SOCKET, bits::READ_EOF | bits::FD_EXPOSED | bits::LISTENER)
    }

    /// The mask that its state and interest ask for.
    pub(crate) fn wanted_mask(&self) -> Mask {
        let flush = self.has(bits::OUTPUT);
        let mask = match self.state() {
            State::Relaying => Mask::ALL_EDGES,
            State::Flushing | State::Lingering if self.throws_input_away() => {
                Mask::of(Interest::READABLE, flush)
            }
            State::Flushing | State::Lingering => Mask::of(Interest::NONE, flush),
            _ if self.has(bits::HUNG_UP) && !self.interest().is_readable() => Mask::QUIET,
            // After the end there is nothing to read: level-triggering would tell for ever.
            _ if self.has(bits::READ_EOF) => Mask::of(self.interest().not_readable(), flush),
            _ => Mask::of(self.interest(), flush),
        };
        if self.has(bits::STANDING | bits::HUNG_UP) { mask.edge() } else { mask }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        drop_ignoring_panic(mem::replace(&mut self.body.get_mut().handler, Box::new(NoHandler)));
    }
}

/// 72 bytes with the counts of its `Rc`: what an idle connection takes, beside its handler.
const _: () = assert!(size_of::<Connection>() <= 56);

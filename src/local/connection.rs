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
use crate::local::flags::Flags;
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

/// What is known of a handler that leaves bytes unread after its peer has hung up.
pub(crate) struct UnreadHangUp {
    /// How many bytes are unread, by FIONREAD of ioctl(2). When they become fewer, the handler has
    /// made progress.
    pub(crate) unread: usize,
    /// When the connection ends, unless there is progress before.
    pub(crate) give_up_at: u64,
    /// The next pause before `on_read` is called again.
    pub(crate) pause: Duration,
    /// The timer that ends the present pause.
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
    /// The deadlines, and the timer that looks at them.
    pub(crate) deadlines: Option<Box<DeadlineTimer>>,
    /// After a hang-up: what is known of a handler that leaves bytes unread.
    pub(crate) unread_hang_up: Option<UnreadHangUp>,
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
    /// The facts, the interest and the state in one word, laid out as [`Flags`] says.
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
        flags: Flags,
    ) -> Connection {
        Connection {
            body: RefCell::new(Body { handler, fd: Some(fd) }),
            extra: Cell::new(None),
            token,
            word: Cell::new(flags.bits() | (interest.bits() << Flags::INTEREST_SHIFT)),
            mask: Cell::new(Mask::of(interest, false)),
        }
    }

    /// Returns where the connection is in its life.
    #[inline]
    pub(crate) fn state(&self) -> State {
        State::of((self.word.get() >> Flags::STATE_SHIFT) & 7)
    }

    /// Moves the connection on to a later state.
    pub(crate) fn advance(&self, state: State) {
        debug_assert!(self.state() < state);
        let rest = self.word.get() & !(Flags::OPEN.bits() | (7 << Flags::STATE_SHIFT));
        let open = Flags::OPEN.only_if(state == State::Open).bits();
        self.set_word(rest | open | ((state as u32) << Flags::STATE_SHIFT));
    }

    /// Stores the word, with `READING` as its interest and state have it.
    fn set_word(&self, word: u32) {
        let is_reading = word & Flags::OPEN.bits() != 0 && word & Flags::READ_INTEREST.bits() != 0;
        let reading = Flags::READING.only_if(is_reading).bits();
        self.word.set((word & !Flags::READING.bits()) | reading);
    }

    /// Returns `true` if any of these flags is set.
    #[inline]
    pub(crate) fn has(&self, any: Flags) -> bool {
        self.word.get() & any.bits() != 0
    }

    /// Returns `true` if all of `these` are set and all of `others` are clear.
    #[inline]
    pub(crate) fn has_without(&self, these: Flags, others: Flags) -> bool {
        self.word.get() & (these | others).bits() == these.bits()
    }

    /// Sets flags.
    #[inline]
    pub(crate) fn turn_on(&self, flags: Flags) {
        self.word.set(self.word.get() | flags.bits());
    }

    /// Clears flags.
    #[inline]
    pub(crate) fn turn_off(&self, flags: Flags) {
        self.word.set(self.word.get() & !flags.bits());
    }

    /// Returns what the handler wants to hear of.
    #[inline]
    pub(crate) fn interest(&self) -> Interest {
        Interest::from_bits(self.word.get() >> Flags::INTEREST_SHIFT)
    }

    /// Changes what the handler wants to hear of. epoll is told when the callback has returned.
    pub(crate) fn set_interest(&self, interest: Interest) {
        let rest = self.word.get() & !(Interest::ALL_BITS << Flags::INTEREST_SHIFT);
        let interest_bits = interest.bits() << Flags::INTEREST_SHIFT;
        self.set_word(rest | interest_bits | Flags::DIRTY.bits());
        if interest.is_edge() {
            // No edge-triggered mask equals this one, so epoll_ctl(2) is called in any case, and
            // reports anew what holds already.
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
            self.turn_on(Flags::HAS_OUTPUT | Flags::DIRTY);
        }
        asked
    }

    /// Takes what is rarely there away, at the end.
    pub(crate) fn take_extra(&self) -> Option<Box<Extra>> {
        self.extra.take()
    }

    /// Returns `true` if what the peer still sends is read and discarded while the connection ends.
    /// Other code that may hold the descriptor could want it.
    pub(crate) fn discards_input(&self) -> bool {
        self.has_without(Flags::SOCKET, Flags::READ_EOF | Flags::FD_EXPOSED | Flags::LISTENER)
    }

    /// The mask that its state and interest ask for.
    pub(crate) fn wanted_mask(&self) -> Mask {
        let flush = self.has(Flags::HAS_OUTPUT);
        let mask = match self.state() {
            State::Relaying => Mask::ALL_EDGES,
            State::Flushing | State::Lingering if self.discards_input() => {
                Mask::of(Interest::READABLE, flush)
            }
            State::Flushing | State::Lingering => Mask::of(Interest::NONE, flush),
            _ if self.has(Flags::UNREAD_HANG_UP) && !self.interest().is_readable() => Mask::QUIET,
            // After the end there is nothing to read: level-triggering would tell for ever.
            _ if self.has(Flags::READ_EOF) => Mask::of(self.interest().not_readable(), flush),
            _ => Mask::of(self.interest(), flush),
        };
        if self.has(Flags::PERSISTENT_ERROR | Flags::UNREAD_HANG_UP) { mask.edge() } else { mask }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        drop_ignoring_panic(mem::replace(&mut self.body.get_mut().handler, Box::new(NoHandler)));
    }
}

/// 72 bytes with the counts of its `Rc`: what an idle connection takes, beside its handler.
const _: () = assert!(size_of::<Connection>() <= 56);

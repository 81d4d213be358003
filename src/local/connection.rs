//! A handler's connection: one registration with epoll, its handler, and its state.
//!
//! The type and its own methods are here, and nothing that calls a handler: that is done by the
//! functions of `connection/`.

use std::cell::{Cell, RefCell, RefMut};
use std::os::fd::{AsFd, BorrowedFd};
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
use crate::local::writer::WriterEnd;
use crate::local::writer_queue::Stage;
use crate::parts::outbox::Outbox;
use crate::parts::watermarks::Watermarks;
use crate::sys::epoll::{Event, Mask};
use crate::sys::fd::OwnedFd;
use crate::task::drop_ignoring_panic;

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
    /// The handler; `NoHandler` once it has been taken out.
    pub(crate) handler: Box<dyn EvHandler>,
    /// The descriptor; `None` once a stream has taken it, or it has been closed.
    pub(crate) fd: Option<OwnedFd>,
}

/// A handler that stands where another one was taken out. Boxing it allocates nothing.
pub(crate) struct NoHandler;

impl EvHandler for NoHandler {
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Close)
    }
}

/// A timer of a handler, as its connection knows it.
pub(crate) struct OwnTimer {
    /// Its token in the poller's timers.
    pub(crate) timer: Token,
    /// The period of an interval, in nanoseconds.
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

/// The relay that a connection is part of, as the connection sees it. While the connection relays,
/// it hands its events on to this. `connection/relay` implements it.
pub(crate) trait Relay {
    /// Moves what can be moved, after an event of `connection`, which is one of the two.
    fn on_event(&self, local: &Local, connection: &Connection, event: Event);

    /// Goes on after a turn in which the budget was spent. With `has_room`, queued output of
    /// `connection` may be sent.
    fn run_again(&self, local: &Local, connection: &Connection, has_room: bool);

    /// Ends both connections. `missed` is the deadline that `connection` has missed; with `None`,
    /// the time for the last bytes after a failure is over.
    fn fail(&self, local: &Local, connection: &Connection, missed: Option<io::Error>);

    /// Stops relaying, as one of the two is closing for `reason`. What is on its way becomes queued
    /// output, and the other connection is closed as well.
    fn stop(&self, local: &Local, reason: &CloseReason);
}

/// The parts of a connection that many connections never need.
#[derive(Default)]
pub(crate) struct Extra {
    /// Queued output.
    pub(crate) outbox: Outbox,
    /// The timers of its handler, in no order: each entry of the poller's timers knows its place
    /// here.
    pub(crate) timers: Vec<OwnTimer>,
    /// The relay that it shares with another connection, while it relays.
    pub(crate) relay: Option<Rc<dyn Relay>>,
    /// The reason why it ends, and the timer that ends it at the latest, while it flushes or
    /// lingers.
    pub(crate) ending: Option<(CloseReason, Token)>,
    /// The poller's end of the queue in which `Writer`s put their output.
    pub(crate) writer_end: Option<WriterEnd>,
    /// The watermarks of the queued output.
    pub(crate) watermarks: Option<Box<Watermarks>>,
    /// The deadlines, and the timer that looks at them.
    pub(crate) deadlines: Option<Box<DeadlineTimer>>,
    /// What is known of a handler that leaves bytes unread after a hang-up.
    pub(crate) unread_hang_up: Option<UnreadHangUp>,
    /// The connection was opened before its handshake: TCP_FASTOPEN_CONNECT.
    pub(crate) fast_open: bool,
}

/// A connection with a handler, or any other descriptor that is registered with one. Only the
/// poller's thread reaches it.
///
/// It is shared by an `Rc`: code that calls a callback holds a clone, so that the connection stays
/// alive while the callback ends it.
pub(crate) struct Connection {
    /// The handler and the descriptor. Borrowed by the callback that runs, and by system calls
    /// between callbacks. No other foreign code runs while it is.
    body: RefCell<Body>,
    /// The parts that are rarely needed, made when they first are.
    extra: Cell<Option<Box<Extra>>>,
    /// Its key in the table, which epoll hands back with each event.
    pub(crate) token: Token,
    /// The facts, the interest and the state in one word, laid out as [`Flags`] says.
    word: Cell<u32>,
    /// The mask that epoll has been told last.
    pub(crate) mask: Cell<Mask>,
}

impl Connection {
    /// Makes a connection in state `Opening`.
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
    pub(crate) fn set(&self, flags: Flags) {
        self.word.set(self.word.get() | flags.bits());
    }

    /// Clears flags.
    #[inline]
    pub(crate) fn clear(&self, flags: Flags) {
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

    /// Borrows the handler and the descriptor, for a callback.
    ///
    /// # Panics
    ///
    /// Panics if they are lent already: callbacks never nest.
    #[inline]
    pub(crate) fn body(&self) -> RefMut<'_, Body> {
        self.body.borrow_mut()
    }

    /// Takes the handler out, at the end of the connection.
    pub(crate) fn take_handler(&self) -> Box<dyn EvHandler> {
        mem::replace(&mut self.body.borrow_mut().handler, Box::new(NoHandler))
    }

    /// Returns `true` if the descriptor is here. To be called outside of callbacks.
    pub(crate) fn has_fd(&self) -> bool {
        self.body.borrow().fd.is_some()
    }

    /// Takes the descriptor out; `None` if a stream has taken it. To be called outside of
    /// callbacks.
    pub(crate) fn take_fd(&self) -> Option<OwnedFd> {
        self.body.borrow_mut().fd.take()
    }

    /// Takes the descriptor out; `None` if a stream has taken it, or in a callback of the
    /// connection.
    pub(crate) fn try_take_fd(&self) -> Option<OwnedFd> {
        self.body.try_borrow_mut().ok()?.fd.take()
    }

    /// Puts back what [`Connection::take_fd`] has taken out.
    pub(crate) fn put_fd(&self, fd: OwnedFd) {
        self.body.borrow_mut().fd = Some(fd);
    }

    /// Lends the descriptor to `look`, in which no foreign code may run. Returns `None` if a stream
    /// has taken it, or in a callback of the connection.
    pub(crate) fn with_fd<R>(&self, look: impl FnOnce(BorrowedFd<'_>) -> R) -> Option<R> {
        let body = self.body.try_borrow().ok()?;
        Some(look(body.fd.as_ref()?.as_fd()))
    }

    /// Lends the parts that are rarely needed to `change`, and makes them if they are not there
    /// yet. No foreign code may run in `change`, nor may it reach the same parts again.
    pub(crate) fn with_extra<R>(&self, change: impl FnOnce(&mut Extra) -> R) -> R {
        let mut extra = self.extra.take().unwrap_or_default();
        let result = change(&mut extra);
        self.extra.set(Some(extra));
        result
    }

    /// Lends the parts that are rarely needed to `change`, if they are there.
    pub(crate) fn with_present_extra<R>(&self, change: impl FnOnce(&mut Extra) -> R) -> Option<R> {
        let mut extra = self.extra.take()?;
        let result = change(&mut extra);
        self.extra.set(Some(extra));
        Some(result)
    }

    /// Returns the relay that the connection is part of.
    pub(crate) fn relay(&self) -> Option<Rc<dyn Relay>> {
        self.with_present_extra(|extra| extra.relay.clone()).flatten()
    }

    /// Moves what writers have brought to the end of the output, and returns what else they have
    /// asked for. With `last` their queue accepts nothing any more.
    pub(crate) fn collect_writers(&self, last: bool) -> Stage {
        let collected = self.with_present_extra(|extra| {
            let queue = extra.writer_end.as_ref()?.queue();
            let stage = queue.collect_into(&mut extra.outbox, last);
            Some((stage, !extra.outbox.is_empty()))
        });
        let Some((stage, has_output)) = collected.flatten() else { return Stage::Closed };
        if has_output {
            self.set(Flags::HAS_OUTPUT | Flags::DIRTY);
        }
        stage
    }

    /// Takes the parts that are rarely needed out, at the end of the connection.
    pub(crate) fn take_extra(&self) -> Option<Box<Extra>> {
        self.extra.take()
    }

    /// Returns `true` if what the peer still sends is read and discarded while the connection ends.
    /// Other code that may hold the descriptor could want it.
    pub(crate) fn discards_input(&self) -> bool {
        self.has_without(Flags::SOCKET, Flags::READ_EOF | Flags::FD_EXPOSED | Flags::LISTENER)
    }

    /// Returns the mask that its state, its interest and its facts ask for.
    pub(crate) fn wanted_mask(&self) -> Mask {
        let flush = self.has(Flags::HAS_OUTPUT);
        let mask = match self.state() {
            State::Relaying => Mask::ALL_EDGES,
            State::Flushing | State::Lingering if self.discards_input() => {
                Mask::of(Interest::READABLE, flush)
            }
            State::Flushing | State::Lingering => Mask::of(Interest::NONE, flush),
            _ if self.has(Flags::UNREAD_HANG_UP) && !self.interest().is_readable() => Mask::QUIET,
            // After the end of the input there is nothing to read, and level-triggered epoll would
            // report that in every wait.
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

/// With the two counts of its `Rc`, 72 bytes are what an idle connection takes beside its handler.
const _: () = assert!(size_of::<Connection>() <= 56);

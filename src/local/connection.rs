//! A handler's connection: one registration with epoll, its handler, and its state.
//!
//! The type and its own methods are here, and nothing that calls a handler: that is done by the
//! functions of `connection/`.

use std::cell::Cell;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::Duration;

use crate::base::interest::Interest;
use crate::base::token::Token;
use crate::local::action::{Action, CloseReason};
use crate::local::context::EvContext;
use crate::local::deadline_timer::DeadlineTimer;
use crate::local::flags::{Flags, State};
use crate::local::handler::EvHandler;
use crate::local::in_place::{InPlace, Key};
use crate::local::state::Local;
use crate::local::writer::WriterEnd;
use crate::local::writer_queue::Stage;
use crate::parts::outbox::Outbox;
use crate::parts::watermarks::Watermarks;
use crate::sys::epoll::{Event, Mask};
use crate::sys::fd::{FdPlace, OwnedFd};
use crate::task::drop_ignoring_panic;

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
/// It lives in a place of the poller's [`Table`](crate::local::table::Table), which it shares with
/// those that come after it. A place is not used again before the turn has ended: code that calls a
/// callback still finds the connection there when the callback has ended it.
pub(crate) struct Connection {
    /// The handler, lent to the callback that runs. `NoHandler` once it has been taken out at the
    /// end.
    pub(crate) handler: InPlace<dyn EvHandler>,
    /// The parts that are rarely needed, made when they first are.
    extra: Cell<Option<Box<Extra>>>,
    /// Its key in the table, which epoll hands back with each event.
    token: Cell<Token>,
    /// The descriptor. None once a stream has taken it, or it has been closed.
    pub(crate) fd: FdPlace,
    /// The facts, the interest and the state in one word, laid out as [`Flags`] says.
    word: Cell<u32>,
    /// The mask that epoll has been told last.
    pub(crate) mask: Cell<Mask>,
    /// The event that is usual now, or [`Event::NEVER`]. It follows from the word, so that dispatch
    /// makes one comparison.
    usual: Cell<Event>,
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
            handler: InPlace::new(handler),
            extra: Cell::new(None),
            token: Cell::new(token),
            fd: FdPlace::of(fd),
            word: Cell::new(flags.bits() | (interest.bits() << Flags::INTEREST_SHIFT)),
            mask: Cell::new(Mask::of(interest, false)),
            usual: Cell::new(Event::NEVER),
        }
    }

    /// Makes a place in which no connection has been yet.
    pub(crate) fn vacant() -> Connection {
        Connection {
            handler: InPlace::new(Box::new(NoHandler)),
            extra: Cell::new(None),
            token: Cell::new(Token::new(0, 0)),
            fd: FdPlace::empty(),
            word: Cell::new((State::Closed as u32) << Flags::STATE_SHIFT),
            mask: Cell::new(Mask::of(Interest::NONE, false)),
            usual: Cell::new(Event::NEVER),
        }
    }

    /// Moves `new` into this place, which is vacant.
    #[inline]
    pub(crate) fn fill(&self, new: Connection) {
        self.handler.swap(&new.handler);
        self.extra.swap(&new.extra);
        self.fd.swap(&new.fd);
        self.token.set(new.token.get());
        self.word.set(new.word.get());
        self.mask.set(new.mask.get());
        self.usual.set(new.usual.get());
        // What stood in the vacant place has nothing to drop. The compiler can't know, and would call
        // the destructors.
        std::mem::forget(new);
    }

    /// Drops what is left of a connection that has ended, so that its place is vacant. It runs foreign
    /// code.
    pub(crate) fn vacate(&self) {
        self.set_word((State::Closed as u32) << Flags::STATE_SHIFT);
        let handler = InPlace::<dyn EvHandler>::new(Box::new(NoHandler));
        handler.swap(&self.handler);
        drop_ignoring_panic(handler);
        drop((self.take_extra(), self.take_fd()));
    }

    /// Returns the key in the table, which epoll hands back with each event.
    #[inline]
    pub(crate) fn token(&self) -> Token {
        self.token.get()
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

    /// Stores the word, with what follows from it.
    fn set_word(&self, word: u32) {
        self.word.set(Flags::derived(word));
        let reads_usually = Flags::reads_usually(word);
        self.usual.set(if reads_usually { Event::PLAIN_READ } else { Event::NEVER });
    }

    /// Returns `true` if `event` is the usual one of this connection: bytes to read, which its handler
    /// wants, on an open socket.
    #[inline(always)]
    pub(crate) fn is_usual(&self, event: Event) -> bool {
        self.usual.get() == event
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
        self.set_word(self.word.get() | flags.bits());
    }

    /// Clears flags.
    #[inline]
    pub(crate) fn clear(&self, flags: Flags) {
        self.set_word(self.word.get() & !flags.bits());
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

    /// Takes the handler out, while no callback runs.
    pub(crate) fn take_handler(&self, key: &mut Key) -> Box<dyn EvHandler> {
        self.handler.replace(key, Box::new(NoHandler))
    }

    /// Takes the descriptor out; `None` if a stream has taken it.
    pub(crate) fn take_fd(&self) -> Option<OwnedFd> {
        self.fd.take()
    }

    /// Puts back what [`Connection::take_fd`] has taken out.
    pub(crate) fn put_fd(&self, fd: OwnedFd) {
        self.fd.put(fd);
    }

    /// Lends the descriptor to `look`, in which no foreign code may run. Returns `None` if a stream
    /// has taken it.
    pub(crate) fn with_fd<R>(&self, look: impl FnOnce(BorrowedFd<'_>) -> R) -> Option<R> {
        self.fd.borrow().map(look)
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

    /// Returns `true` if the parts that are rarely needed are there.
    #[inline]
    pub(crate) fn has_extra(&self) -> bool {
        self.with_present_extra(|_| ()).is_some()
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
        drop_ignoring_panic(self.handler.replace_mut(Box::new(NoHandler)));
    }
}

/// A third of the README's figure for an idle connection: 48 bytes, beside 16 of the table's slot
/// and what the handler takes.
const _: () = assert!(size_of::<Connection>() <= 48);

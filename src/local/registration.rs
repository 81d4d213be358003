//! A registration that tasks wait on: edge-triggered, made once and never modified.

use std::cell::Cell;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;
use std::{fmt, io};

use crate::base::token::Token;
use crate::local::deadline_timer::DeadlineTimer;
use crate::local::registry;
use crate::local::state::Local;
use crate::local::table::Entry;
use crate::parts::readiness::{Direction, Readiness, ReadySet};
use crate::source::carryover::Carryover;
use crate::sys::epoll::{Event, Mask};
use crate::sys::socket;
use crate::task::ignore_panic;

/// The readiness of a descriptor, shared by the table and by whoever reads and writes it.
pub(crate) struct Source {
    pub(crate) token: Token,
    pub(crate) readiness: Readiness,
    /// The number of the descriptor, open for as long as the registration lives.
    pub(crate) raw: RawFd,
    /// What the end of the registration has to see to.
    pub(crate) hold: Cell<Ownership>,
    /// It counts for the load of its poller.
    pub(crate) counted: Cell<bool>,
    /// It is a stream: one of the poller's connections.
    pub(crate) stream: Cell<bool>,
    /// There is something in `timing`.
    pub(crate) timed: Cell<bool>,
    /// The deadlines.
    pub(crate) timing: Cell<Option<Box<DeadlineTimer>>>,
    /// There is something in `owed`.
    pub(crate) has_carryover: Cell<bool>,
    /// Output that a handler has left: it is sent before anything else.
    pub(crate) carryover: Cell<Option<Box<Carryover>>>,
}

/// Whose a registered descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// Owned, and it never left our hands: closing it ends the registration.
    Owned,
    /// Owned, but it may be known outside, where somebody may hold the same open file: it is
    /// deregistered before it is closed.
    Shared,
    /// Somebody else's: it is deregistered, and that is all.
    Borrowed,
    /// Somebody else's, and so is the registration: nothing is to be done.
    Released,
}

impl Source {
    fn new(token: Token, fd: BorrowedFd<'_>, hold: Ownership) -> Rc<Source> {
        Rc::new(Source {
            token,
            readiness: Readiness::new(),
            raw: fd.as_raw_fd(),
            hold: Cell::new(hold),
            counted: Cell::new(false),
            stream: Cell::new(false),
            timed: Cell::new(false),
            timing: Cell::new(None),
            has_carryover: Cell::new(false),
            carryover: Cell::new(None),
        })
    }

    /// Takes note of a usual event, if nothing foreign has to run for it. False: nothing has been
    /// done.
    #[inline]
    pub(crate) fn mark(&self, event: Event) -> bool {
        match event.plain_readiness() {
            Some(ready) if !self.has_carryover.get() => self.readiness.mark(ready),
            _ => false,
        }
    }

    /// Any event: first every bit, then every waker. The caller catches panics.
    #[cold]
    pub(crate) fn on_event(&self, event: Event) {
        let writable = event.is_writable() && (!self.has_carryover.get() || self.flush_carryover());
        if event.is_hung_up() {
            self.readiness.note_hang_up();
        }
        let ready = ReadySet::new(event.is_readable(), writable, event.is_priority());
        self.tell(ready, !event.may_hide_more());
    }

    /// There is room, which no event tells of.
    pub(crate) fn on_writable(&self) {
        self.tell(Direction::Write.into(), true);
    }

    fn tell(&self, ready: ReadySet, trust_short: bool) {
        self.readiness.set(ready, trust_short);
        if self.readiness.has_waiters() {
            self.wake_list(ready);
        }
        self.readiness.wake(ready);
    }

    /// Wakes everybody who waits, whatever for: they look again.
    pub(crate) fn wake_all(&self) {
        self.wake_list(ReadySet::ALL);
        ignore_panic(|| self.readiness.wake(ReadySet::ALL));
    }

    #[cold]
    fn wake_list(&self, ready: ReadySet) {
        // As many as there are now: who comes back is for the next event.
        for _ in 0..self.readiness.waiting() {
            let Some(waker) = self.readiness.next_waiter(ready) else { break };
            ignore_panic(|| waker.wake());
        }
    }
}

/// The registration of a descriptor that somebody else keeps open; who holds both has this one
/// before the descriptor, so that it is dropped first.
pub(crate) struct Registration {
    source: Rc<Source>,
    /// The poller that it lives in.
    local: Rc<Local>,
}

impl Registration {
    /// Registers `fd`, which is non-blocking and stays its owner's, with the poller of this
    /// thread.
    pub(crate) fn new(fd: BorrowedFd<'_>, local: Rc<Local>) -> io::Result<Registration> {
        Registration::with_hold(fd, local, Ownership::Borrowed)
    }

    pub(crate) fn with_hold(
        fd: BorrowedFd<'_>,
        local: Rc<Local>,
        hold: Ownership,
    ) -> io::Result<Registration> {
        let mut made = None;
        registry::register_borrowed(&local, fd, Mask::ALL_EDGES, |token| {
            Entry::Readiness(made.insert(Source::new(token, fd, hold)).clone())
        })?;
        let source = made.expect("a registration makes its entry");
        Ok(Registration { source, local })
    }

    /// A descriptor of ours that `local` has registered already. Its old entry is the caller's to
    /// remove.
    pub(crate) fn again(fd: BorrowedFd<'_>, local: Rc<Local>) -> io::Result<Registration> {
        let mut made = None;
        registry::reregister_borrowed(&local, fd, Mask::ALL_EDGES, |token| {
            Entry::Readiness(made.insert(Source::new(token, fd, Ownership::Owned)).clone())
        })?;
        let source = made.expect("a registration makes its entry");
        Ok(Registration { source, local })
    }

    #[inline]
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// Its name in its poller, which no other registration ever has.
    pub(crate) fn token(&self) -> Token {
        self.source.token
    }

    /// The poller that it lives in.
    #[inline]
    pub(crate) fn local(&self) -> &Rc<Local> {
        &self.local
    }
}

impl Registration {
    /// Ends the deadlines of the stream.
    pub(crate) fn end_timing(&self) {
        let timing = self.source().timing.take();
        if let Some(timer) = timing.and_then(|mut timing| timing.take_timer()) {
            // It carries nothing foreign.
            drop(self.local.disarm(timer));
        }
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("fd", &self.source.raw).finish_non_exhaustive()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let Source { token, raw, ref hold, ref counted, ref has_carryover, .. } = *self.source;
        if self.source.timed.get() {
            self.end_timing();
        }
        if self.source.stream.get() {
            self.local.census.stream_ended();
        }
        if hold.get() == Ownership::Released {
            return;
        }
        if counted.get() {
            self.local.handle.leave();
        }
        if has_carryover.get() && self.leave_behind() {
            return;
        }
        if hold.get() != Ownership::Owned {
            let _ = self.local.epoll.remove_raw(raw);
        }
        if hold.get() == Ownership::Shared {
            // Whoever knew of it may have made its close one that waits.
            socket::never_linger(raw);
        }
        drop(registry::remove(&self.local, token));
        self.local.fd_freed();
    }
}

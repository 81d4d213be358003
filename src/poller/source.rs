//! A registration that tasks wait on: edge-triggered, made once and never modified.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;

use crate::base::token::Token;
use crate::parts::readiness::{Direction, Kinds, Readiness};
use crate::sys::epoll::{Event, Mask};
use crate::sys::socket;
use crate::task::call_quietly;

use super::deadlines::Timing;
use super::local::Local;
use super::owed::Owed;
use super::table::Entry;

/// The readiness of a descriptor, shared by the table and by whoever reads and writes it.
pub(crate) struct Source {
    pub(super) token: Token,
    pub(super) readiness: Readiness,
    /// The number of the descriptor, open for as long as the registration lives.
    pub(super) raw: RawFd,
    /// What the end of the registration has to see to.
    pub(super) hold: Cell<Hold>,
    /// It counts for the load of its poller.
    pub(super) counted: Cell<bool>,
    /// It is a stream: one of the poller's connections.
    pub(super) stream: Cell<bool>,
    /// There is something in `timing`.
    pub(super) timed: Cell<bool>,
    /// The deadlines.
    pub(super) timing: Cell<Option<Box<Timing>>>,
    /// There is something in `owed`.
    pub(super) owes: Cell<bool>,
    /// Output that a handler has left: it is sent before anything else.
    pub(super) owed: Cell<Option<Box<Owed>>>,
}

/// Whose a registered descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// Ours, and it never left our hands: closing it ends the registration.
    Ours,
    /// Ours, but it may be known outside, where somebody may hold the same open file: it is
    /// deregistered before it is closed.
    Lent,
    /// Somebody else's: it is deregistered, and that is all.
    Theirs,
    /// Somebody else's, and so is the registration: nothing is to be done.
    Gone,
}

impl Source {
    fn new(token: Token, fd: BorrowedFd<'_>, hold: Hold) -> Rc<Source> {
        Rc::new(Source {
            token,
            readiness: Readiness::new(),
            raw: fd.as_raw_fd(),
            hold: Cell::new(hold),
            counted: Cell::new(false),
            stream: Cell::new(false),
            timed: Cell::new(false),
            timing: Cell::new(None),
            owes: Cell::new(false),
            owed: Cell::new(None),
        })
    }

    /// Takes note of a usual event, if nothing foreign has to run for it. False: nothing has been
    /// done.
    #[inline]
    pub(super) fn mark(&self, event: Event) -> bool {
        match event.plain_readiness() {
            Some(ready) if !self.owes.get() => self.readiness.mark(ready),
            _ => false,
        }
    }

    /// Any event: first every bit, then every waker. The caller catches panics.
    #[cold]
    pub(super) fn on_event(&self, event: Event) {
        let writable = event.is_writable() && (!self.owes.get() || self.pay());
        if event.is_hung_up() {
            self.readiness.note_hang_up();
        }
        let ready = Kinds::of(event.is_readable(), writable, event.is_priority());
        self.tell(ready, !event.short_read_means_nothing());
    }

    /// There is room, which no event tells of.
    pub(super) fn on_writable(&self) {
        self.tell(Direction::Write.into(), true);
    }

    fn tell(&self, ready: Kinds, trust_short: bool) {
        self.readiness.set(ready, trust_short);
        if self.readiness.has_waiters() {
            self.wake_list(ready);
        }
        self.readiness.wake(ready);
    }

    /// Wakes everybody who waits, whatever for: they look again.
    pub(super) fn wake_all(&self) {
        self.wake_list(Kinds::ALL);
        call_quietly(|| self.readiness.wake(Kinds::ALL));
    }

    #[cold]
    fn wake_list(&self, ready: Kinds) {
        // As many as there are now: who comes back is for the next event.
        for _ in 0..self.readiness.waiting() {
            let Some(waker) = self.readiness.next_waiter(ready) else { break };
            call_quietly(|| waker.wake());
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
        Registration::with_hold(fd, local, Hold::Theirs)
    }

    pub(super) fn with_hold(
        fd: BorrowedFd<'_>,
        local: Rc<Local>,
        hold: Hold,
    ) -> io::Result<Registration> {
        let mut made = None;
        local.register_borrowed(fd, Mask::ALL_EDGES, |token| {
            Entry::Readiness(made.insert(Source::new(token, fd, hold)).clone())
        })?;
        let source = made.expect("a registration makes its entry");
        Ok(Registration { source, local })
    }

    /// A descriptor of ours that `local` has registered already. Its old entry is the caller's to
    /// remove.
    pub(super) fn again(fd: BorrowedFd<'_>, local: Rc<Local>) -> io::Result<Registration> {
        let mut made = None;
        local.reregister_borrowed(fd, Mask::ALL_EDGES, |token| {
            Entry::Readiness(made.insert(Source::new(token, fd, Hold::Ours)).clone())
        })?;
        let source = made.expect("a registration makes its entry");
        Ok(Registration { source, local })
    }

    #[inline]
    pub(super) fn source(&self) -> &Source {
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

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("fd", &self.source.raw).finish_non_exhaustive()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let Source { token, raw, ref hold, ref counted, ref owes, .. } = *self.source;
        if self.source.timed.get() {
            self.end_timing();
        }
        if self.source.stream.get() {
            self.local.streams.set(self.local.streams.get() - 1);
        }
        if hold.get() == Hold::Gone {
            return;
        }
        if counted.get() {
            self.local.handle.leave();
        }
        if owes.get() && self.leave_behind() {
            return;
        }
        if hold.get() != Hold::Ours {
            let _ = self.local.epoll.remove_number(raw);
        }
        if hold.get() == Hold::Lent {
            // Whoever knew of it may have made its close one that waits.
            socket::never_linger(raw);
        }
        drop(self.local.remove(token));
        self.local.descriptor_closed();
    }
}

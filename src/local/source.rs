//! What tasks wait on: the readiness of a descriptor, shared by the table and its registration.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;

use crate::base::token::Token;
use crate::local::deadline_timer::DeadlineTimer;
use crate::parts::outbox::Outbox;
use crate::parts::readiness::Readiness;
use crate::sys::epoll::Event;

/// The readiness of a descriptor, shared by the table and by whoever reads and writes it.
pub(crate) struct Source {
    pub(crate) token: Token,
    pub(crate) readiness: Readiness,
    /// The number of the descriptor, open for as long as the registration lives.
    pub(crate) raw: RawFd,
    /// What the end of the registration has to see to.
    pub(crate) ownership: Cell<Ownership>,
    /// It counts for the load of its poller.
    pub(crate) is_counted: Cell<bool>,
    /// It is a stream: one of the poller's connections.
    pub(crate) is_stream: Cell<bool>,
    /// There is something in `timing`.
    pub(crate) has_deadlines: Cell<bool>,
    /// The deadlines.
    pub(crate) deadline_timer: Cell<Option<Box<DeadlineTimer>>>,
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
    pub(crate) fn new(token: Token, fd: BorrowedFd<'_>, ownership: Ownership) -> Rc<Source> {
        Rc::new(Source {
            token,
            readiness: Readiness::new(),
            raw: fd.as_raw_fd(),
            ownership: Cell::new(ownership),
            is_counted: Cell::new(false),
            is_stream: Cell::new(false),
            has_deadlines: Cell::new(false),
            deadline_timer: Cell::new(None),
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

    pub(crate) fn set_carryover(&self, carryover: impl Into<Box<Carryover>>) {
        self.carryover.set(Some(carryover.into()));
        self.has_carryover.set(true);
    }

    pub(crate) fn take_failure(&self) -> Option<io::Error> {
        let mut carryover = self.carryover.take()?;
        let failure = carryover.failure.take();
        self.has_carryover.set(failure.is_none());
        self.carryover.set(failure.is_none().then_some(carryover));
        failure
    }

    /// Gives up the carried-over output: the rest of it, whether the write direction ends after it, and what
    /// sending it has met with.
    pub(crate) fn take_carryover(&self) -> (Outbox, bool, Option<io::Error>) {
        self.has_carryover.set(false);
        match self.carryover.take() {
            Some(carryover) => (carryover.outbox, carryover.shuts_down, carryover.failure),
            None => (Outbox::default(), false, None),
        }
    }
}

/// What a stream owes to its peer.
pub(crate) struct Carryover {
    /// The same socket by a descriptor of our own: the stream may be dropped before the end.
    pub(crate) fd: OwnedFd,
    /// What is still to be sent.
    pub(crate) outbox: Outbox,
    /// The write direction is shut down after it.
    pub(crate) shuts_down: bool,
    /// What sending it met with, until somebody is told. Nothing is left to send then.
    pub(crate) failure: Option<io::Error>,
    /// The stream has been dropped: the timer of the patience with its peer.
    pub(crate) linger_timer: Option<Token>,
}

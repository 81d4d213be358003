//! The readiness of a descriptor that tasks wait on, shared by the table, which events reach, and
//! by the registration, which tasks reach.
//!
//! It also holds what outlives an operation of a task: the deadlines of the stream, and the output
//! that a handler has left to it.

use std::cell::{Cell, OnceCell};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;

use crate::base::token::Token;
use crate::local::deadline_timer::DeadlineTimer;
use crate::parts::outbox::Outbox;
use crate::parts::readiness::Readiness;
use crate::sys::epoll::Event;
use crate::sys::fd::OwnedFd;

/// A descriptor that tasks wait on. An event sets its readiness and wakes the tasks.
pub(crate) struct Source {
    /// Its key in the table, which epoll hands back with each event.
    pub(crate) token: Token,
    /// What the descriptor is ready for, and the wakers of the tasks that wait.
    pub(crate) readiness: Readiness,
    /// The number of the descriptor. It is open for as long as the registration lives.
    pub(crate) raw: RawFd,
    /// What the end of the registration has to do with the descriptor.
    pub(crate) ownership: Cell<Ownership>,
    /// Whether it counts for the load of its poller.
    pub(crate) is_counted: Cell<bool>,
    /// Whether it is a stream, which is one of the poller's connections.
    pub(crate) is_stream: Cell<bool>,
    /// The parts that are rarely needed, made when they first are. The readiness says what of them is
    /// in use, so that one look at it tells usual operations that nothing is.
    rare: OnceCell<Box<Rare>>,
}

/// The parts of a source that many sources never need.
#[derive(Default)]
struct Rare {
    /// The deadlines of the stream, and the timer that looks at them.
    deadline_timer: Cell<Option<Box<DeadlineTimer>>>,
    /// Output that a handler has left to the stream. It is sent before anything else.
    carryover: Cell<Option<Box<Carryover>>>,
}

/// With the two counts of its `Rc` it fits an allocation of 96 bytes, which has 8 of its own.
const _: () = assert!(size_of::<Source>() <= 72);

/// What the end of a registration does with the descriptor. It depends on the owner, and on other
/// code that may hold the same open file: epoll keeps a registration until the last descriptor of
/// its open file is closed (epoll(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// The crate owns it, and no other code has seen it. Closing it ends the registration.
    Owned,
    /// The crate owns it, but other code may hold the same open file. It is deregistered before it
    /// is closed.
    Shared,
    /// Other code owns it. It is deregistered, and stays open.
    Borrowed,
    /// Both the descriptor and its place in epoll have been given away. Nothing is done.
    Released,
}

impl Source {
    /// Makes the source of `fd`, without readiness.
    pub(crate) fn new(token: Token, fd: BorrowedFd<'_>, ownership: Ownership) -> Rc<Source> {
        Rc::new(Source {
            token,
            readiness: Readiness::new(),
            raw: fd.as_raw_fd(),
            ownership: Cell::new(ownership),
            is_counted: Cell::new(false),
            is_stream: Cell::new(false),
            rare: OnceCell::new(),
        })
    }

    /// Notes a usual event, if that runs no foreign code. Returns `false` if the event needs more,
    /// and then all of it is left to do: a task that was queued meanwhile is not queued twice.
    #[inline(always)]
    pub(crate) fn mark(&self, event: Event) -> bool {
        event.plain_readiness().is_some_and(|ready| self.readiness.mark(ready))
    }

    /// Takes the deadlines out.
    pub(crate) fn take_deadlines(&self) -> Option<Box<DeadlineTimer>> {
        self.rare.get()?.deadline_timer.take()
    }

    /// Puts deadlines in, in place of none.
    pub(crate) fn put_deadlines(&self, deadlines: Box<DeadlineTimer>) {
        self.rare.get_or_init(Box::default).deadline_timer.set(Some(deadlines));
    }

    /// Takes the carryover out, to be looked at and put back. The stream still counts as having
    /// some.
    pub(crate) fn lift_carryover(&self) -> Option<Box<Carryover>> {
        self.rare.get()?.carryover.take()
    }

    /// Stores output that is sent before anything that the stream writes.
    pub(crate) fn set_carryover(&self, carryover: impl Into<Box<Carryover>>) {
        self.rare.get_or_init(Box::default).carryover.set(Some(carryover.into()));
        self.readiness.set_carryover(true);
    }

    /// Puts back the carryover that was lifted out; with `None` it has ended.
    pub(crate) fn put_carryover(&self, carryover: Option<Box<Carryover>>) {
        match carryover {
            Some(carryover) => self.set_carryover(carryover),
            None => self.readiness.set_carryover(false),
        }
    }

    /// Takes the error that sending the carryover has met with. With it the carryover is over.
    pub(crate) fn take_failure(&self) -> Option<io::Error> {
        let mut carryover = self.lift_carryover()?;
        let failure = carryover.failure.take();
        self.put_carryover(failure.is_none().then_some(carryover));
        failure
    }

    /// Takes the carryover apart: the rest of the output, whether the write direction is shut down
    /// after it, and the error that sending it has met with.
    pub(crate) fn take_carryover(&self) -> (Outbox, bool, Option<io::Error>) {
        let carryover = self.lift_carryover();
        self.put_carryover(None);
        match carryover {
            Some(carryover) => (carryover.outbox, carryover.shuts_down, carryover.failure),
            None => (Outbox::default(), false, None),
        }
    }
}

/// Output that a handler had queued when a stream took its connection.
pub(crate) struct Carryover {
    /// A duplicate of the stream's descriptor. The stream may be dropped before all is sent.
    pub(crate) fd: OwnedFd,
    /// The output that is not in the kernel yet.
    pub(crate) outbox: Outbox,
    /// Whether the write direction is shut down when all is sent.
    pub(crate) shuts_down: bool,
    /// The error that sending it has met with, until an operation of the stream returns it. Nothing
    /// is left to send then.
    pub(crate) failure: Option<io::Error>,
    /// The timer that closes the connection at the latest, once the stream has been dropped.
    pub(crate) linger_timer: Option<Token>,
}

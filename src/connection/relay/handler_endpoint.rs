//! A handler's connection as one end of a relay.
//!
//! While a connection relays it is registered edge-triggered for everything, and its events are
//! only remembered here. So a pump may stop at its budget and go on later without an event.

use std::cell::Cell;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};

use crate::connection::relay::duplex::check_socket;
use crate::connection::relay::endpoint::Endpoint;
use crate::local::connection::Connection;
use crate::local::flags::Flags;
use crate::parts::readiness::Direction;
use crate::sys::epoll::Event;
use crate::sys::socket;

/// What epoll has reported of one end, edge-triggered.
#[derive(Default)]
pub(crate) struct Readiness {
    /// A read may succeed.
    pub(crate) readable: Cell<bool>,
    /// A write may succeed.
    pub(crate) writable: Cell<bool>,
    /// Urgent data or an end has been reported.
    may_have_urgent_mark: Cell<bool>,
    /// A hang-up or an error has been reported since the last look for a failure.
    hung_up: Cell<bool>,
}

impl Readiness {
    /// Adds what an event reports.
    pub(crate) fn note(&self, event: Event) {
        self.readable.set(self.readable.get() || event.is_readable());
        self.writable.set(self.writable.get() || event.is_writable());
        self.may_have_urgent_mark.set(self.may_have_urgent_mark.get() || event.may_hide_more());
        self.hung_up.set(self.hung_up.get() || event.is_hung_up());
    }

    /// Returns the bit of a direction.
    fn of(&self, direction: Direction) -> &Cell<bool> {
        match direction {
            Direction::Read => &self.readable,
            Direction::Write => &self.writable,
        }
    }
}

/// One end of a handlers' relay, while bytes are moved.
pub(crate) struct HandlerEndpoint<'a> {
    /// The descriptor, which is lent by the connection.
    pub(crate) fd: BorrowedFd<'a>,
    /// What has been reported of it.
    pub(crate) readiness: &'a Readiness,
    /// The connection: its queued output goes before the bytes of the relay.
    pub(crate) connection: &'a Connection,
}

impl Endpoint for HandlerEndpoint<'_> {
    fn is_ready(&self, direction: Direction) -> bool {
        // Output that was queued before the relay began goes first.
        let is_free = direction == Direction::Read || !self.connection.has(Flags::HAS_OUTPUT);
        is_free && self.readiness.of(direction).get()
    }

    fn try_io(
        &self,
        direction: Direction,
        operation: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if !self.is_ready(direction) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = operation(self.fd);
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            self.readiness.of(direction).set(false);
        }
        result
    }

    fn shutdown_write(&self) -> io::Result<()> {
        if self.connection.has(Flags::HAS_OUTPUT) {
            // The end must not overtake what was queued before the relay began.
            return Err(io::ErrorKind::WouldBlock.into());
        }
        socket::shutdown(self.fd.as_fd(), Shutdown::Write)
    }

    fn may_have_urgent_mark(&self) -> bool {
        self.readiness.may_have_urgent_mark.get()
    }

    fn expect_input(&self) {
        self.readiness.readable.set(true);
    }

    fn check_for_failure(&self, is_target: bool) -> io::Result<()> {
        if self.readiness.hung_up.take() { check_socket(self.fd, is_target) } else { Ok(()) }
    }
}

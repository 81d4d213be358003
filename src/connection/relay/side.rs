//! A handler's connection as one end of a relay.

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

/// The readiness of one end.
#[derive(Default)]
pub(crate) struct Ready {
    pub(crate) readable: Cell<bool>,
    pub(crate) writable: Cell<bool>,
    /// Urgent data or an end has been reported.
    may_have_urgent_mark: Cell<bool>,
    /// A hang-up or an error has been reported, and not been looked into since.
    hung_up: Cell<bool>,
}

impl Ready {
    /// An event has come.
    pub(crate) fn note(&self, event: Event) {
        self.readable.set(self.readable.get() || event.is_readable());
        self.writable.set(self.writable.get() || event.is_writable());
        self.may_have_urgent_mark.set(self.may_have_urgent_mark.get() || event.may_hide_more());
        self.hung_up.set(self.hung_up.get() || event.is_hung_up());
    }
}

/// One end of a relay, while it is being pumped.
pub(crate) struct Side<'a> {
    pub(crate) fd: BorrowedFd<'a>,
    pub(crate) ready: &'a Ready,
    pub(crate) connection: &'a Connection,
}

impl Side<'_> {
    fn bit(&self, direction: Direction) -> &Cell<bool> {
        match direction {
            Direction::Read => &self.ready.readable,
            Direction::Write => &self.ready.writable,
        }
    }
}

impl Endpoint for Side<'_> {
    fn is_ready(&self, direction: Direction) -> bool {
        // Queued output goes first.
        let is_free = direction == Direction::Read || !self.connection.has(Flags::HAS_OUTPUT);
        is_free && self.bit(direction).get()
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
            self.bit(direction).set(false);
        }
        result
    }

    fn shutdown_write(&self) -> io::Result<()> {
        if self.connection.has(Flags::HAS_OUTPUT) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        socket::shutdown(self.fd.as_fd(), Shutdown::Write)
    }

    fn may_have_urgent_mark(&self) -> bool {
        self.ready.may_have_urgent_mark.get()
    }

    fn expect_input(&self) {
        self.ready.readable.set(true);
    }

    fn check_for_failure(&self, is_target: bool) -> io::Result<()> {
        if self.ready.hung_up.take() { check_socket(self.fd, is_target) } else { Ok(()) }
    }
}

//! What a relay asks of each of its ends.

use std::io;
use std::os::fd::BorrowedFd;

use crate::parts::readiness::Direction;

/// A connection at one end of a relay.
pub(crate) trait Endpoint {
    /// Whether a call in `direction` may succeed.
    fn is_ready(&self, direction: Direction) -> bool;

    /// Calls `operation` if it may succeed; `WouldBlock` otherwise. Once that has come, from
    /// here or from the kernel, nothing succeeds before an event has.
    fn try_io(
        &self,
        direction: Direction,
        operation: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize>;

    /// Shuts the write direction down, after everything that has been written.
    fn shutdown_write(&self) -> io::Result<()>;

    /// Whether urgent data or an end has been reported: what comes may have a mark in it.
    fn may_have_urgent_mark(&self) -> bool;

    /// There may be something to read, whatever has been reported.
    fn expect_input(&self);

    /// If an event has reported a hang-up or an error since the last look, looks whether the
    /// connection has failed. It has as well if it is `is_target` and takes no bytes any more.
    fn check_for_failure(&self, is_target: bool) -> io::Result<()>;
}

//! What a relay asks of each of its two ends.
//!
//! The pumps are generic over it, so that a relay of tasks waits by wakers and one of handlers by
//! events, with the same code in between.

use std::io;
use std::os::fd::BorrowedFd;

use crate::parts::readiness::Direction;

/// A connection at one end of a relay: a handler's, or a stream of tasks.
pub(crate) trait Endpoint {
    /// Returns `true` if a call in `direction` may succeed.
    fn is_ready(&self, direction: Direction) -> bool;

    /// Calls `operation` if it may succeed, and returns `WouldBlock` otherwise. Once that has been
    /// returned, by this function or by the kernel, nothing succeeds before an event has come.
    fn try_io(
        &self,
        direction: Direction,
        operation: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize>;

    /// Shuts the write direction down, after everything that has been written.
    fn shutdown_write(&self) -> io::Result<()>;

    /// Returns `true` if urgent data or an end has been reported: there may be a mark among the
    /// bytes that come, at which splice(2) stops.
    fn may_have_urgent_mark(&self) -> bool;

    /// Makes the next read try, whatever has been reported.
    fn expect_input(&self);

    /// Returns the connection's error, if a hang-up or an error has been reported since the last
    /// call. If the relay still writes to this end (`is_target`), it has failed as well when it
    /// takes no more bytes.
    fn check_for_failure(&self, is_target: bool) -> io::Result<()>;
}

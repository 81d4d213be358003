//! Why a pump stops moving bytes.
//!
//! A relay waits for what its pumps wait for: both may wait at once, for different events.

use std::io;

use crate::parts::readiness::Direction;

/// Why a pump doesn't go on, though nothing has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The source has nothing to read (`Read`), or the target takes nothing (`Write`).
    Waiting(Direction),
    /// Its budget for this turn is spent.
    BudgetSpent,
    /// It has ended, for ever.
    Finished,
}

/// Which endpoint has failed, and how.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Reading has failed.
    Source(io::Error),
    /// Writing, or shutting the write direction down, has failed.
    Target(io::Error),
}

/// Returns `Waiting` if `result` is `WouldBlock`, the failure if it is any other error, and `None`
/// if the pump goes on.
pub(crate) fn unless_blocked(
    result: io::Result<()>,
    direction: Direction,
    failure: impl FnOnce(io::Error) -> Failure,
) -> Result<Option<Step>, Failure> {
    match result {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Ok(Some(Step::Waiting(direction)))
        }
        Err(error) => Err(failure(error)),
    }
}

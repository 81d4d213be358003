//! Which simulated thread runs.

use std::cell::Cell;

/// The number of a simulated thread.
pub(crate) type ThreadId = usize;

thread_local! {
    /// The simulated thread that runs, if one does.
    static RUNNING: Cell<Option<ThreadId>> = const { Cell::new(None) };
}

/// Returns the simulated thread that runs, if one does.
pub(super) fn running() -> Option<ThreadId> {
    RUNNING.get()
}

/// Notes which simulated thread runs, and returns the one that has.
pub(super) fn set_running(thread: Option<ThreadId>) -> Option<ThreadId> {
    RUNNING.replace(thread)
}

//! Tasks: how they run, end, and are dropped.

/// A task is aborted by any of its handles, and by no drop of one.
mod abort_handles;
/// `AsyncFd` loses no event of any descriptor, and makes none up.
mod async_fd;
/// A call that blocks holds up no poller, neither running nor ending.
mod blocking_calls;
/// A future that is dropped while it waits takes nothing with it.
mod cancel_safety;
/// Wakers and destructors may panic, come back in, or spawn.
mod foreign_code;
/// A `JoinError` is handled as errors are.
mod join_error;
/// A bound value is used and dropped on its poller's thread.
mod poller_bound;
/// Operations that end without an event leave turns to other tasks.
mod ready_at_once;
/// The tasks of a group end one by one, and none outlives it.
mod task_group;
/// A task is dropped where it lives, whichever thread lets it go.
mod threads;

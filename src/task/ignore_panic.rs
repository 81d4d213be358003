//! Foreign code whose panics concern nobody.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls foreign code; what it throws is thrown away.
pub(crate) fn ignore_panic(call: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(call))
        && let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(panic)))
    {
        // A payload whose own destructor panics is not worth another try.
        std::mem::forget(second);
    }
}

/// Drops a foreign value; what its destructor throws is thrown away.
pub(crate) fn drop_ignoring_panic<T>(value: T) {
    ignore_panic(|| drop(value));
}

/// Panics for `what`, which was to spawn `future` outside of a poller. The future is dropped
/// before: a panic of its destructor must not meet this one.
#[cold]
#[track_caller]
pub(crate) fn spawned_outside<F>(what: &str, future: F) -> ! {
    drop_ignoring_panic(future);
    panic!(
        "{what} was called outside of a poller: there is none on this thread (see block_on and \
         PollerHandle::spawn_on)"
    )
}

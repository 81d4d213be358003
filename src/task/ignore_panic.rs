//! Foreign code whose panics are of no consequence to the caller.
//!
//! Foreign code is wakers, destructors and callbacks of the user. Each use says that there is
//! nothing sensible to be done about the panic: others still have to be woken, or dropped. The
//! panic hook has printed it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls foreign code, and ignores its panic.
pub(crate) fn ignore_panic(call: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(call)) {
        report_panic(&*panic);
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            // A payload whose own destructor panics is not worth another try.
            std::mem::forget(second);
        }
    }
}

/// Tells a simulation of a panic that is caught. Whatever becomes of it in production, a test that
/// simulates has found it.
#[cold]
pub(crate) fn report_panic(panic: &(dyn Any + Send)) {
    #[cfg(feature = "sim")]
    crate::sys::sim::report_panic(panic);
    #[cfg(not(feature = "sim"))]
    let _ = panic;
}

/// Drops a foreign value, and ignores the panic of its destructor.
pub(crate) fn drop_ignoring_panic<T>(value: T) {
    ignore_panic(|| drop(value));
}

/// Panics, since `what` was to spawn `future` and this thread is in no poller.
///
/// The future is dropped first: two panics at a time, its destructor's and this one, would abort the
/// process.
#[cold]
#[track_caller]
pub(crate) fn panic_outside_poller<F>(what: &str, future: F) -> ! {
    drop_ignoring_panic(future);
    panic!(
        "{what} was called outside of a poller: there is none on this thread (see block_on and \
         PollerHandle::spawn_on)"
    )
}

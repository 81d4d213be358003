//! Wakers that the crate keeps for a while: cloned, woken and dropped.
//!
//! Nearly all of them belong to tasks of this crate. Those are recognised, and what is done with
//! them is done in place: a plain count of references, a flag and a push. That takes half of the
//! instructions of a call through a waker's vtable. All other wakers are foreign code, whose panics
//! are ignored.

use std::task::Waker;

use super::ignore_panic::{drop_ignoring_panic, ignore_panic};
use super::raw;

/// Clones a waker. It may be foreign code, so nothing is borrowed by the caller.
#[inline]
pub(crate) fn clone_waker(waker: &Waker) -> Waker {
    let Some(task) = raw::task_of(waker) else { return clone_foreign(waker) };
    // SAFETY: `waker` holds a reference to the task, and the new waker takes over the new one.
    unsafe {
        raw::add_reference(task);
        raw::from_task(task)
    }
}

/// Wakes and drops a waker, and ignores the panic of a foreign one. Nothing is borrowed by the caller.
#[inline]
pub(crate) fn wake_waker(waker: Waker) {
    match raw::into_task(waker) {
        // SAFETY: the waker held a reference to the task, which is given up after the wake.
        Ok(task) => unsafe {
            raw::wake(task);
            raw::drop_reference(task);
        },
        Err(foreign) => ignore_panic(|| foreign.wake()),
    }
}

/// Drops a waker, and ignores the panic of a foreign one. Nothing is borrowed by the caller.
#[inline]
pub(crate) fn drop_waker(waker: Waker) {
    match raw::into_task(waker) {
        // SAFETY: the waker held a reference to the task, which is given up.
        Ok(task) => unsafe { raw::drop_reference(task) },
        Err(foreign) => drop_foreign(foreign),
    }
}

/// Clones a foreign waker.
#[cold]
fn clone_foreign(waker: &Waker) -> Waker {
    waker.clone()
}

/// Drops a foreign waker.
#[cold]
fn drop_foreign(waker: Waker) {
    drop_ignoring_panic(waker);
}

//! Which home this thread is in, if any.

use super::home::{Home, OwnerSide};
use std::cell::Cell;
use std::ptr::{self, NonNull};

#[cfg(not(loom))]
thread_local! {
    /// The home whose owner runs on this thread right now. It has no destructor, so it can be
    /// read until the thread is gone.
    static CURRENT: Cell<*const Home> = const { Cell::new(ptr::null()) };
}

#[cfg(loom)]
loom::thread_local! {
    static CURRENT: Cell<*const Home> = Cell::new(ptr::null());
}

/// The home of this thread, or null.
#[inline]
pub(super) fn get() -> *const Home {
    // Only loom takes its thread-locals away before the thread's last code has run.
    CURRENT.try_with(Cell::get).unwrap_or(ptr::null())
}

/// Makes `home` the home of this thread; the one before it comes back.
pub(super) fn set(home: *const Home) -> *const Home {
    CURRENT.with(|current| current.replace(home))
}

/// Looks at this thread's home, if it is in one.
pub(super) fn home<R>(look: impl FnOnce(&Home) -> R) -> Option<R> {
    let home = NonNull::new(get().cast_mut())?;
    // SAFETY: a current home is kept alive by its executor.
    Some(look(unsafe { home.as_ref() }))
}

/// Looks at the owner's half of this thread's home, if it is in one.
#[inline]
pub(super) fn owner<R>(look: impl FnOnce(&OwnerSide) -> R) -> Option<R> {
    let home = NonNull::new(get().cast_mut())?;
    // SAFETY: a current home is kept alive by its executor, and this thread is its owner.
    Some(look(unsafe { &home.as_ref().owner }))
}

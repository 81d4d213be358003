//! The end of all tasks of an executor: their futures are dropped, whatever their destructors do.
//!
//! A destructor may spawn. What it spawns is dropped as well, but not inside of it: one that spawns
//! its own kind would recurse until the stack is full. Nor can it do so for ever.

use std::ptr::NonNull;

use super::home::Home;
use super::raw::{self, Header};

/// What destructors spawn at the end is dropped as well, up to this many, and one for each task that
/// there was. What comes after that is forgotten: a destructor that spawns its own kind would keep
/// the end from coming. So many take some milliseconds.
const MOST_LATE: usize = 100_000;

/// Drops the future of every task, and from now on of every new one.
///
/// # Safety
/// The caller is the owner. No task is being polled, and none will be any more.
pub(super) unsafe fn cancel_tasks(home: &Home) {
    let side = &home.owner;
    if !side.closing.replace(true) {
        // SAFETY: **Owner**; nothing foreign runs while the table is borrowed.
        let tasks = unsafe { (*side.tasks.get()).len() };
        side.late_left.set(MOST_LATE.saturating_add(tasks));
    }
    // SAFETY: the caller's contract.
    unsafe { cancel_all(home) };
}

/// A task has been spawned after [`cancel_tasks`], or by a destructor inside of it.
///
/// # Safety
/// The caller is the owner; the task is in the table, and is not known to anybody else yet.
#[cold]
pub(super) unsafe fn end_late(home: &Home, task: NonNull<Header>) {
    let side = &home.owner;
    if !side.cancelling.get() {
        // SAFETY: an executor that is closing polls no task any more.
        return unsafe { cancel_all(home) };
    }
    match side.late_left.get().checked_sub(1) {
        // It is found by the loop that is dropping the one that has spawned it.
        Some(left) => side.late_left.set(left),
        // SAFETY: a task that nobody knows has never been polled.
        None => unsafe { raw::forget_now(task) },
    }
}

/// Drops the future of every task there is, then of those that these have spawned meanwhile, and so
/// on. Not to be called inside itself.
///
/// # Safety
/// As [`cancel_tasks`].
unsafe fn cancel_all(home: &Home) {
    let side = &home.owner;
    // SAFETY: **Owner**; nothing foreign runs while the table is borrowed.
    let tasks = || unsafe { &*side.tasks.get() };
    side.cancelling.set(true);
    while !tasks().is_empty() {
        // From the last place on: who takes the place of one that leaves is younger than this round,
        // and has its turn in the next.
        for place in (0..tasks().len()).rev() {
            let Some(task) = tasks().get(place).copied() else { continue };
            // SAFETY: one in the table is not complete; no task is being polled, and no other is
            // being dropped: that is done here only, one after the other.
            unsafe { raw::cancel_now(task) };
            home.step();
        }
    }
    side.cancelling.set(false);
}

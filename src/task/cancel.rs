//! The end of all tasks of an executor: their futures are dropped, whatever their destructors do.
//!
//! A destructor may spawn. What it spawns is dropped as well, but not inside of the destructor: one
//! that spawns its own kind would recurse until the stack is full. Nor can it go on for ever.

use std::ptr::NonNull;

use super::raw::{self, Header};
use super::shared::Shared;

/// How many tasks that destructors spawn at the end are dropped, beside one for each task that there
/// was. Those that come after that are forgotten: a destructor that spawns its own kind would keep
/// the end from coming. So many take some milliseconds.
const MAX_LATE_SPAWNS: usize = 100_000;

/// Drops the future of every task, and from now on of every new one.
///
/// # Safety
///
/// The caller is the owner. No task is being polled, and none will be any more.
pub(super) unsafe fn cancel_tasks(shared: &Shared) {
    let core = &shared.core;
    if !core.closing.replace(true) {
        // SAFETY: the caller is the owner.
        let tasks = unsafe { core.alive() };
        core.late_spawns_left.set(MAX_LATE_SPAWNS.saturating_add(tasks));
    }
    // SAFETY: the caller's contract.
    unsafe { cancel_all(shared) };
}

/// Cancels a task that was spawned after [`cancel_tasks`], or by a destructor inside of it.
///
/// # Safety
///
/// The caller is the owner; the task is in the table, and no other code knows it yet.
#[cold]
pub(super) unsafe fn cancel_late_spawn(shared: &Shared, task: NonNull<Header>) {
    let core = &shared.core;
    if !core.cancelling.get() {
        // SAFETY: an executor that is closing polls no task any more.
        return unsafe { cancel_all(shared) };
    }
    match core.late_spawns_left.get().checked_sub(1) {
        // The loop that is dropping the task that has spawned this one finds it.
        Some(left) => core.late_spawns_left.set(left),
        // SAFETY: a task that no other code knows has never been polled.
        None => unsafe { raw::forget_now(task) },
    }
}

/// Drops the future of every task there is, then of those that these have spawned meanwhile, and so
/// on. Not to be called inside itself.
///
/// # Safety
///
/// As [`cancel_tasks`].
unsafe fn cancel_all(shared: &Shared) {
    let core = &shared.core;
    // SAFETY: **Owner**; nothing foreign runs while the table is borrowed.
    let tasks = || unsafe { &*core.tasks.get() };
    core.cancelling.set(true);
    while !tasks().is_empty() {
        // From the last place on: a task that moves into the place of one that leaves is younger
        // than this round, and has its turn in the next.
        for place in (0..tasks().len()).rev() {
            let Some(task) = tasks().get(place).copied() else { continue };
            // SAFETY: a task in the table is not complete; no task is being polled, and no other is
            // being dropped: that is done here only, one after the other.
            unsafe { raw::cancel_now(task.cast()) };
            shared.count_step();
        }
    }
    core.cancelling.set(false);
}

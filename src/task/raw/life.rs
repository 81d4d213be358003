//! The life of a task: among the tasks of its executor, run, aborted or cancelled, and complete.

use std::any::Any;
use std::ptr::NonNull;
use std::task::Context;

use crate::task::home::OwnerSide;
use crate::task::ignore_panic::ignore_panic;
use crate::task::state::{ABORTED, COMPLETE, HANDLE, OUTPUT, QUEUED};
use crate::task::waker;

use super::header::{Header, take_output_away};
use super::references::{release_executors, retire};
use super::waking::wake;

/// Puts a task into the table of tasks.
///
/// # Safety
/// The caller is the owner; the task is alive.
pub(super) unsafe fn enter_table(side: &OwnerSide, header: NonNull<Header>) {
    // SAFETY: **Owner**; nothing foreign runs while the table is borrowed.
    unsafe {
        let tasks = &mut *side.tasks.get();
        if tasks.len() == tasks.capacity() {
            // By little: what stays unused of the table counts as memory of its tasks, and a large
            // block grows where it is.
            let more = (tasks.len() / 32).max(64);
            // A place has 32 bits, and a wrong one would be another task's. They take 270 GB.
            assert!(tasks.len() + more <= u32::MAX as usize, "an executor has 2^32 tasks at most");
            tasks.reserve_exact(more);
        }
        header.as_ref().place.set(tasks.len() as u32);
        tasks.push(header);
    }
    side.spawned.set(side.spawned.get() + 1);
}

/// Runs a task that was just taken out of the run queue. Throws what its future throws; then the
/// caller calls [`run_panicked`].
///
/// # Safety
/// The caller is the owner.
#[inline]
pub(in crate::task) unsafe fn run(header: NonNull<Header>) {
    // SAFETY: the executor's reference keeps a queued task alive, as does `complete` until its end.
    unsafe {
        let task = header.as_ref();
        task.witness.used();
        let flags = task.flags.get();
        task.flags.set(flags & !QUEUED);
        if flags & (COMPLETE | ABORTED) != 0 {
            return run_ended(header);
        }
        let waker = waker::borrowed(header);
        if (task.vtable().poll)(header, &mut Context::from_waker(&waker)) {
            complete(header);
        }
    }
}

/// The future has thrown out of [`run`]: the task ends with that.
///
/// # Safety
/// The caller is the owner, and `run` has just thrown `panic` for this task.
#[cold]
pub(in crate::task) unsafe fn run_panicked(header: NonNull<Header>, panic: Box<dyn Any + Send>) {
    // SAFETY: only a poll throws, so the future is still in the task, and the task is alive.
    unsafe {
        (header.as_ref().vtable().panicked)(header, panic);
        complete(header);
    }
}

/// The rarer half of [`run`]: the task was aborted, or has ended while it was queued.
///
/// # Safety
/// The caller is the owner; the task has just left the run queue.
#[cold]
unsafe fn run_ended(header: NonNull<Header>) {
    // SAFETY: the caller's contract.
    unsafe {
        let task = header.as_ref();
        if !task.has(COMPLETE) {
            (task.vtable().cancel)(header);
            complete(header);
        } else if !task.remote.load().is_mailed() {
            release_executors(header);
        }
    }
}

/// Asks for the future to be dropped instead of polled next.
///
/// # Safety
/// The caller is the owner, or the task is complete; the task is alive.
pub(in crate::task) unsafe fn abort(header: NonNull<Header>) {
    // SAFETY: the caller's contract.
    unsafe {
        header.as_ref().witness.used();
        if !header.as_ref().has(COMPLETE) {
            header.as_ref().set_flag(ABORTED);
            wake(header);
        }
    }
}

/// Drops the future of a task that is not complete.
///
/// # Safety
/// The caller is the owner; the task is not being polled.
pub(in crate::task) unsafe fn cancel_now(header: NonNull<Header>) {
    // SAFETY: the caller's contract.
    unsafe {
        (header.as_ref().vtable().cancel)(header);
        complete(header);
    }
}

/// As [`cancel_now`], but the future's destructor doesn't run.
///
/// # Safety
/// The caller is the owner; the task is not complete, and has never been polled.
#[cold]
pub(in crate::task) unsafe fn forget_now(header: NonNull<Header>) {
    // SAFETY: the caller's contract.
    unsafe {
        (header.as_ref().vtable().forget)(header);
        complete(header);
    }
}

/// The future has ended, and its output is in place: tells whoever waits, and lets go.
///
/// # Safety
/// The caller is the owner, and this is the first time.
unsafe fn complete(header: NonNull<Header>) {
    // SAFETY: the executor's reference keeps the task alive until `retire`.
    unsafe {
        let task = header.as_ref();
        task.witness.used();
        task.set_flag(COMPLETE | OUTPUT);
        leave_table(&task.home.as_ref().owner, header);
        if !task.has(HANDLE) {
            take_output_away(header);
        } else if let Some(waiter) = task.waiter.take() {
            // A foreign waker may panic, or drop the join handle.
            ignore_panic(|| waiter.wake());
        }
        retire(header);
    }
}

/// Takes a task out of the table of tasks.
///
/// # Safety
/// The caller is the owner; the task is alive and in the table.
unsafe fn leave_table(side: &OwnerSide, header: NonNull<Header>) {
    // SAFETY: **Owner**; nothing foreign runs while the table is borrowed.
    unsafe {
        let tasks = &mut *side.tasks.get();
        let place = header.as_ref().place.get();
        tasks.swap_remove(place as usize);
        if let Some(moved) = tasks.get(place as usize) {
            moved.as_ref().place.set(place);
        }
    }
}

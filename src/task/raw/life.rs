//! The life of a task: it enters its executor's table, is run, aborted or cancelled, and completes.
//!
//! A task is spawned into the table and the run queue at once. It completes exactly once: by its
//! own end, by a panic, or by being cancelled, and always by [`complete`].

use std::any::Any;
use std::ptr::NonNull;
use std::task::Context;

use crate::task::core::Core;
use crate::task::ignore_panic::ignore_panic;
use crate::task::state::{ABORTED, COMPLETE, ENDS, HANDLE, OUTPUT, QUEUED};

use super::header::Header;
use super::join_waiter::take_waiter;
use super::output::drop_output;
use super::references::{release_executor_reference, retire};
use super::waker;
use super::waking::wake;

/// Puts a task into the table of tasks.
///
/// # Safety
///
/// The caller is the owner; the task is alive.
pub(super) unsafe fn enter_table(core: &Core, header: NonNull<Header>) {
    // SAFETY: **Owner**; nothing foreign runs while the table is borrowed.
    unsafe {
        let tasks = &mut *core.tasks.get();
        if tasks.len() == tasks.capacity() {
            // By little: what stays unused of the table counts as memory of its tasks, and a large
            // block grows where it is.
            let more = (tasks.len() / 32).max(64);
            // A place has 32 bits, and a wrong one would be another task's. They take 270 GB.
            assert!(tasks.len() + more <= u32::MAX as usize, "an executor has 2^32 tasks at most");
            tasks.reserve_exact(more);
        }
        header.as_ref().place.set(tasks.len() as u32);
        tasks.push(header.cast());
    }
    core.spawned.set(core.spawned.get() + 1);
}

/// Takes a task out of the table of tasks.
///
/// # Safety
///
/// The caller is the owner; the task is alive and in the table.
unsafe fn leave_table(core: &Core, header: NonNull<Header>) {
    // SAFETY: **Owner**; nothing foreign runs while the table is borrowed.
    unsafe {
        let tasks = &mut *core.tasks.get();
        let place = header.as_ref().place.get();
        tasks.swap_remove(place as usize);
        // The last one has moved into the place that has become free.
        if let Some(moved) = tasks.get(place as usize) {
            moved.cast::<Header>().as_ref().place.set(place);
        }
    }
}

/// Runs a task that was just taken out of the run queue. If its future panics, so does this, and
/// the caller calls [`run_panicked`] then.
///
/// # Safety
///
/// The caller is the owner.
#[inline]
pub(in crate::task) unsafe fn run(header: NonNull<Header>) {
    // SAFETY: the executor's reference keeps a queued task alive, as does `complete` until its end.
    unsafe {
        let task = header.as_ref();
        task.witness.used();
        debug_assert!(task.has(QUEUED));
        // Before the poll: a task that wakes itself in its poll is queued again. The bit is set, so
        // that it is subtracted where it stands.
        let flags = task.flags.get().wrapping_sub(QUEUED);
        task.flags.set(flags);
        if flags & ENDS != 0 {
            return run_ended(header);
        }
        let waker = waker::borrowed(header);
        if (task.vtable().poll)(header, &mut Context::from_waker(&waker)).is_ready() {
            complete(header);
        }
    }
}

/// Ends a task whose future has panicked in [`run`].
///
/// # Safety
///
/// The caller is the owner, and `run` has just thrown `panic` for this task.
#[cold]
pub(in crate::task) unsafe fn run_panicked(header: NonNull<Header>, panic: Box<dyn Any + Send>) {
    // SAFETY: only a poll throws, so the future is still in the task, and the task is alive.
    unsafe {
        (header.as_ref().vtable().panicked)(header, panic);
        complete(header);
    }
}

/// Runs a task that was aborted, or has ended while it was queued: the rarer half of [`run`].
///
/// # Safety
///
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
            // If it is in the inbox as well, `arrive` releases it.
            release_executor_reference(header);
        }
    }
}

/// Asks for the future to be dropped instead of polled next.
///
/// # Safety
///
/// The caller is the owner, or the task is complete; the task is alive.
pub(in crate::task) unsafe fn abort(header: NonNull<Header>) {
    // SAFETY: the caller's contract.
    unsafe {
        header.as_ref().witness.used();
        if !header.as_ref().has(COMPLETE) {
            header.as_ref().set_flag(ABORTED | ENDS);
            wake(header);
        }
    }
}

/// Drops the future of a task that is not complete.
///
/// # Safety
///
/// The caller is the owner; the task is not being polled.
pub(in crate::task) unsafe fn cancel_now(header: NonNull<Header>) {
    // SAFETY: the caller's contract.
    unsafe {
        (header.as_ref().vtable().cancel)(header);
        complete(header);
    }
}

/// Ends a task like [`cancel_now`], but does not run the future's destructor.
///
/// # Safety
///
/// The caller is the owner; the task is not complete, and has never been polled.
#[cold]
pub(in crate::task) unsafe fn forget_now(header: NonNull<Header>) {
    // SAFETY: the caller's contract.
    unsafe {
        (header.as_ref().vtable().forget)(header);
        complete(header);
    }
}

/// Completes a task whose future is gone and whose output is in place: wakes the waiter, and ends
/// the executor's part.
///
/// # Safety
///
/// The caller is the owner, and this is the first time.
unsafe fn complete(header: NonNull<Header>) {
    // SAFETY: the executor's reference keeps the task alive until `retire`.
    unsafe {
        let task = header.as_ref();
        task.witness.used();
        task.set_flag(COMPLETE | OUTPUT | ENDS);
        leave_table(&task.shared.as_ref().core, header);
        if !task.has(HANDLE) {
            drop_output(header);
        } else if let Some(waiter) = take_waiter(task) {
            // A foreign waker may panic, or drop the join handle.
            ignore_panic(|| waiter.wake());
        }
        retire(header);
    }
}

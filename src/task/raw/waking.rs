//! How a task comes into the run queue again: woken on its own thread, or by mail.

use std::ptr::NonNull;

use crate::task::current;
use crate::task::inbox::Node;
use crate::task::state::{COMPLETE, QUEUED};

use super::header::Header;
use super::references::release_executors;

/// Makes the task run, on any thread.
///
/// # Safety
/// The caller holds a reference.
#[inline]
pub(in crate::task) unsafe fn wake(header: NonNull<Header>) {
    // SAFETY: the caller's reference keeps it alive, and it keeps its home alive.
    unsafe {
        let task = header.as_ref();
        task.witness.used();
        if current::get() == task.home.pointer().as_ptr() {
            wake_here(header);
        } else if task.remote.mail() {
            wake_by_mail(header);
        }
    }
}

/// Makes the task run, on its own thread.
///
/// # Safety
/// The caller is the owner, and the task is alive.
#[inline]
unsafe fn wake_here(header: NonNull<Header>) {
    // SAFETY: the caller's contract.
    unsafe {
        let task = header.as_ref();
        if !task.has(QUEUED | COMPLETE) {
            task.set_flag(QUEUED);
            let owner = &task.home.as_ref().owner;
            owner.wakes.set(owner.wakes.get() + 1);
            owner.enqueue(header.as_ptr());
        }
    }
}

/// Sends the task to its owner. Cold: the local path stays small. Inline, as a call would have a
/// poller's turn keep registers for it: four instructions more for each request of a task.
///
/// # Safety
/// The caller holds a reference and has just turned the MAILED bit on.
#[cold]
#[inline]
unsafe fn wake_by_mail(header: NonNull<Header>) {
    // SAFETY: **Link**: the bit makes the link ours; the caller's reference keeps the home alive.
    unsafe {
        let task = header.as_ref();
        if !task.home.as_ref().mail(header.as_ptr().cast()) {
            // The inbox was closed, and the executor has left its reference to us.
            task.witness.used();
            let was_last = task.remote.drop_reference();
            debug_assert!(!was_last, "the waker that woke the task still counts");
        }
    }
}

/// The task has come out of the inbox: queues it, if it isn't complete.
///
/// # Safety
/// The caller is the owner; `node` is a task that it has just taken out of its inbox.
pub(super) unsafe fn arrive(node: *mut Node) {
    // SAFETY: **Link**: the executor's reference keeps a mailed task alive.
    unsafe {
        let header = NonNull::new_unchecked(node.cast::<Header>());
        let task = header.as_ref();
        task.witness.used();
        task.remote.unmail();
        if !task.has(COMPLETE) {
            let owner = &task.home.as_ref().owner;
            let wakes = owner.wakes.get();
            wake_here(header);
            owner.wakes.set(wakes);
            owner.wakes_by_mail.set(owner.wakes_by_mail.get() + 1);
        } else if !task.has(QUEUED) {
            release_executors(header);
        }
    }
}

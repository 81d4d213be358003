//! How a task comes back into the run queue: woken on its own thread, or by mail.
//!
//! Both ways are idempotent: a bit says that the task is queued, or on its way by mail, and further
//! wakes find it set. A task may be in both, and is released by the one that is left last.

use std::ptr::NonNull;

use crate::task::inbox::Node;
use crate::task::shared::{self, SharedRef};
use crate::task::state::{COMPLETE, QUEUED};

use super::header::Header;
use super::references::release_executor_reference;

/// Makes the task runnable, on any thread.
///
/// # Safety
///
/// The caller holds a reference.
#[inline]
pub(in crate::task) unsafe fn wake(header: NonNull<Header>) {
    // SAFETY: the caller's reference keeps it alive, and it keeps its executor's state alive.
    unsafe {
        let task = header.as_ref();
        task.witness.used();
        if shared::current() == task.shared.pointer().as_ptr() {
            wake_here(header);
        } else if task.remote.mail() {
            wake_by_mail(header);
        }
    }
}

/// Makes the task runnable, on its own thread.
///
/// # Safety
///
/// The caller is the owner, and the task is alive.
#[inline]
pub(in crate::task) unsafe fn wake_here(header: NonNull<Header>) {
    // SAFETY: the caller's contract.
    unsafe {
        let task = header.as_ref();
        if !task.has(QUEUED | COMPLETE) {
            task.set_flag(QUEUED);
            let core = &task.shared.as_ref().core;
            core.wakes.set(core.wakes.get() + 1);
            core.run_queue.push(header.as_ptr().cast());
        }
    }
}

/// Returns `true` if a task is one of the executor `home`.
///
/// # Safety
///
/// The caller holds a reference to the task.
pub(in crate::task) unsafe fn belongs_to(header: NonNull<Header>, home: &SharedRef) -> bool {
    // SAFETY: the caller's reference keeps it alive.
    unsafe { header.as_ref().shared.pointer() == home.pointer() }
}

/// Sends the task to its owner. Cold, so that the local path stays small. Inline, as a call would
/// have a poller's turn keep registers for it: four instructions more for each request of a task.
///
/// # Safety
///
/// The caller holds a reference and has just turned the MAILED bit on.
#[cold]
#[inline]
unsafe fn wake_by_mail(header: NonNull<Header>) {
    // SAFETY: **Link**: the bit makes the link ours; the caller's reference keeps the executor's
    // state alive.
    unsafe {
        let task = header.as_ref();
        if !task.shared.as_ref().mail(header.as_ptr().cast()) {
            // The inbox was closed, and the executor has left its reference to this thread.
            task.witness.used();
            let was_last = task.remote.drop_reference();
            debug_assert!(!was_last, "the waker that woke the task still counts");
        }
    }
}

/// Queues a task that has come out of the inbox, unless it is complete.
///
/// # Safety
///
/// The caller is the owner; `node` is a task that it has just taken out of its inbox.
pub(super) unsafe fn arrive(node: *mut Node) {
    // SAFETY: **Link**: the executor's reference keeps a mailed task alive.
    unsafe {
        let header = NonNull::new_unchecked(node.cast::<Header>());
        let task = header.as_ref();
        task.witness.used();
        // Before the poll, so that a wake during the poll mails the task again.
        task.remote.unmail();
        if !task.has(COMPLETE) {
            let core = &task.shared.as_ref().core;
            let wakes = core.wakes.get();
            wake_here(header);
            // This wake is counted as one by mail, and not a second time.
            core.wakes.set(wakes);
            core.wakes_by_mail.set(core.wakes_by_mail.get() + 1);
        } else if !task.has(QUEUED) {
            release_executor_reference(header);
        }
    }
}

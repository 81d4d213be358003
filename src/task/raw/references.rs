//! Who holds a task: references made and given up, and the memory behind the last of them.

use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use crate::task::ignore_panic::drop_ignoring_panic;
use crate::task::state::{COMPLETE, HANDLE, MERGED, MOST_DRIFT, QUEUED, RETIRED};
use crate::task::{current, memory};

use super::header::{Header, Name, TaskVTable, take_output_away};

impl Header {
    /// Whether this thread is the owner and keeps its own count for this task.
    #[inline]
    fn counts_locally(&self) -> bool {
        current::get() == self.home.pointer().as_ptr() && !self.has(MERGED)
    }

    /// The owner counts one reference more.
    #[inline]
    fn one_more(&self) {
        let count = self.local_references.get() + 1;
        self.local_references.set(count);
        if count >= MOST_DRIFT {
            self.even_out();
        }
    }

    /// The owner counts one reference less.
    #[inline]
    fn one_less(&self) {
        let count = self.local_references.get() - 1;
        self.local_references.set(count);
        if count <= -MOST_DRIFT {
            self.even_out();
        }
    }

    /// Moves the owner's count into the remote one: one side has made many references that the other
    /// side has dropped, or there are many.
    #[cold]
    fn even_out(&self) {
        self.remote.add_references(self.local_references.replace(0).into());
    }
}

/// One reference more, on any thread.
///
/// # Safety
/// The caller holds a reference.
#[inline]
pub(in crate::task) unsafe fn add_reference(header: NonNull<Header>) {
    // SAFETY: the caller's reference keeps it alive.
    let task = unsafe { header.as_ref() };
    task.witness.used();
    if task.counts_locally() {
        task.one_more();
    } else {
        task.remote.add_reference();
    }
}

/// One reference less, on any thread.
///
/// # Safety
/// The caller gives a reference up. It is not the executor's, and not the join handle's.
#[inline]
pub(in crate::task) unsafe fn drop_reference(header: NonNull<Header>) {
    // SAFETY: the caller's reference keeps it alive until here.
    unsafe {
        let task = header.as_ref();
        task.witness.used();
        if task.counts_locally() {
            // Never the last: the executor holds one as long as counts are kept apart.
            task.one_less();
        } else if task.remote.drop_reference() {
            free(header);
        }
    }
}

/// The executor is done with a complete task. If nobody but the join handle has a reference, which
/// is so for most tasks, that is found without an atomic write; else the counts become one.
///
/// Why a plain look is enough: `remote` is a sum over a prefix of the changes that others
/// made, and over what the owner has moved there. That prefix and all that the owner did form a consistent cut: what the owner
/// depends on from others, it has seen (coherence), and what they depend on from the owner has
/// happened. If the sum of both counts in that cut is the owner's own references and no more, no
/// other reference exists, and none can come to be, as each is made from one that exists. And
/// a wake that is on its way shows: its MAILED bit was turned on before its waker was dropped.
///
/// # Safety
/// The caller is the owner; the task is complete, and this is the first time.
pub(super) unsafe fn retire(header: NonNull<Header>) {
    // SAFETY: the executor's reference keeps it alive; it is given up last.
    unsafe {
        let task = header.as_ref();
        task.witness.used();
        let remote = task.remote.load();
        let own = 1 + i16::from(task.has(HANDLE));
        let local = i64::from(task.local_references.get());
        if !remote.is_mailed() && local + remote.references() == i64::from(own) {
            // Nobody is left who could change or read the remote count.
            task.local_references.set(own);
            if !task.has(QUEUED) {
                release_executors(header);
            }
            return;
        }
        task.set_flag(MERGED);
        let merged = task.remote.merge(local);
        if !merged.is_mailed() && !task.has(QUEUED) {
            release_executors(header);
        }
    }
}

/// Gives the executor's reference up.
///
/// # Safety
/// The caller is the owner; the task is complete, has been through [`retire`], and is in no queue.
pub(super) unsafe fn release_executors(header: NonNull<Header>) {
    // SAFETY: the reference that is given up keeps it alive until here.
    unsafe {
        let task = header.as_ref();
        task.witness.used();
        if task.has(MERGED) {
            if task.remote.drop_reference() {
                free(header);
            }
            return;
        }
        task.set_flag(RETIRED);
        task.local_references.set(task.local_references.get() - 1);
        if task.local_references.get() == 0 {
            free(header);
        }
    }
}

/// Gives the join handle's reference up.
///
/// # Safety
/// The caller is on the owner's thread and holds that reference.
pub(in crate::task) unsafe fn drop_handle(header: NonNull<Header>) {
    // SAFETY: the handle's reference keeps it alive until it is given up.
    unsafe {
        let task = header.as_ref();
        task.witness.used();
        // Foreign destructors run here, and the task is still counted while they do. The waiter's
        // first: whatever it calls may complete the task, and its output would be left behind.
        drop_ignoring_panic(task.waiter.take());
        if task.has(COMPLETE) {
            take_output_away(header);
        }
        task.clear_flag(HANDLE);
        if task.has(MERGED) {
            if task.remote.drop_reference() {
                free(header);
            }
            return;
        }
        task.local_references.set(task.local_references.get() - 1);
        if task.has(RETIRED) && task.local_references.get() == 0 {
            free(header);
        }
    }
}

/// Gives the memory back. Future and output are gone.
///
/// # Safety
/// Nobody else has a reference.
unsafe fn free(header: NonNull<Header>) {
    // SAFETY: the caller's contract; the block was allocated with the vtable's layout.
    unsafe {
        header.as_ref().witness.freed();
        let TaskVTable { layout, name_offset, .. } = *header.as_ref().vtable();
        if let Some(offset) = name_offset {
            // Plain data, so it may be dropped on any thread.
            header.cast::<u8>().add(offset).cast::<Name>().drop_in_place();
        }
        let home = ManuallyDrop::take(&mut (*header.as_ptr()).home);
        if home.is_current() {
            home.as_ref().owner.memory.release(header.cast(), layout);
        } else {
            memory::release(header.cast(), layout);
        }
    }
}

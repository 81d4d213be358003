//! The references to a task: made and given up, and the memory behind the last of them.
//!
//! There are two counts, since nearly all wakers are made and dropped by the owner. Its own is a
//! plain number in the header, which costs one addition; all others share an atomic one. Neither
//! says alone whether the task is in use. The two become one when the task is complete (`retire`).

use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use crate::task::memory;
use crate::task::shared;
use crate::task::state::{HANDLE, MAX_LOCAL_DRIFT, MERGED, MIN_LOCAL_DRIFT, QUEUED, RETIRED};

use super::header::{Header, Name, TaskVTable};

impl Header {
    /// Changes the owner's own count by one reference, if this thread is the owner, counts for itself
    /// and stays within the limits. Returns `false` otherwise, and has changed nothing then.
    ///
    /// It calls nothing, so that cloning and dropping a waker on its own thread needs no stack.
    #[inline]
    fn count_locally(&self, by: i16) -> bool {
        if shared::current() != self.shared.pointer().as_ptr() || self.has(MERGED) {
            return false;
        }
        // The limits are the type's, outside of tests: the processor's overflow flag is the check.
        match self.local_references.get().checked_add(by) {
            Some(count) if (MIN_LOCAL_DRIFT..=MAX_LOCAL_DRIFT).contains(&count) => {
                self.local_references.set(count);
                true
            }
            _ => false,
        }
    }

    /// Moves the owner's count into the remote one, if this thread is the owner. One side has made
    /// many references that the other side has dropped, or there are many.
    fn fold_local_count(&self) {
        if shared::current() == self.shared.pointer().as_ptr() && !self.has(MERGED) {
            self.remote.add_references(self.local_references.replace(0).into());
        }
    }
}

/// Makes one reference more, on any thread.
///
/// # Safety
///
/// The caller holds a reference.
#[inline]
pub(in crate::task) unsafe fn add_reference(header: NonNull<Header>) {
    // SAFETY: the caller's reference keeps it alive.
    unsafe {
        header.as_ref().witness.used();
        if !header.as_ref().count_locally(1) {
            add_remote_reference(header);
        }
    }
}

/// Makes one reference more that is counted in the remote word.
///
/// # Safety
///
/// The caller holds a reference.
#[cold]
#[inline(never)]
unsafe fn add_remote_reference(header: NonNull<Header>) {
    // SAFETY: the caller's reference keeps it alive.
    let task = unsafe { header.as_ref() };
    task.fold_local_count();
    task.remote.add_reference();
}

/// Gives one reference up, on any thread.
///
/// # Safety
///
/// The caller gives a reference up. It is not the executor's, and not the join handle's.
#[inline]
pub(in crate::task) unsafe fn drop_reference(header: NonNull<Header>) {
    // SAFETY: the caller's reference keeps it alive until here.
    unsafe {
        header.as_ref().witness.used();
        // If it is counted here it is never the last one: the executor holds one as long as the
        // counts are kept apart.
        if !header.as_ref().count_locally(-1) {
            drop_remote_reference(header);
        }
    }
}

/// Gives one reference up that is counted in the remote word.
///
/// # Safety
///
/// As [`drop_reference`].
#[cold]
#[inline(never)]
unsafe fn drop_remote_reference(header: NonNull<Header>) {
    // SAFETY: the caller's reference keeps it alive until here.
    unsafe {
        header.as_ref().fold_local_count();
        if header.as_ref().remote.drop_reference() {
            free(header);
        }
    }
}

/// Ends the executor's part in a complete task. Usually no reference but the join handle's is left,
/// which is found without an atomic write. Otherwise the two counts become one.
///
/// Why a plain look is enough: `remote` is a sum over a prefix of the changes that others made, and
/// over what the owner has moved there. That prefix and all that the owner did form a consistent cut:
/// what the owner depends on from others, it has seen (coherence), and what they depend on from the
/// owner has happened. If the sum of both counts in that cut is the owner's own references and no
/// more, no other reference exists, and none can come to be, as each is made from one that exists.
/// And a wake that is on its way shows: its MAILED bit was turned on before its waker was dropped.
///
/// # Safety
///
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
            // No other thread is left that could change or read the remote count. From here on both
            // references are given up by the local one, wherever the join handle is dropped.
            task.local_references.set(own);
            task.set_flag(RETIRED);
            if !task.has(QUEUED) {
                release_executor_reference(header);
            }
            return;
        }
        task.set_flag(MERGED);
        let merged = task.remote.merge(local);
        // In a queue it is still used. The one that takes it out there releases it.
        if !merged.is_mailed() && !task.has(QUEUED) {
            release_executor_reference(header);
        }
    }
}

/// Gives the executor's reference up.
///
/// # Safety
///
/// The caller is the owner; the task is complete, has been through [`retire`], and is in no queue.
pub(super) unsafe fn release_executor_reference(header: NonNull<Header>) {
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
        task.local_references.set(task.local_references.get() - 1);
        if task.local_references.get() == 0 {
            free(header);
        }
    }
}

/// Gives the join handle's reference up.
///
/// # Safety
///
/// The caller is on the owner's thread and holds that reference; HANDLE is off.
pub(super) unsafe fn release_handle_reference(header: NonNull<Header>) {
    // SAFETY: the reference that is given up keeps it alive until here.
    unsafe {
        let task = header.as_ref();
        if task.has(MERGED) {
            if task.remote.drop_reference() {
                free(header);
            }
            return;
        }
        if !task.has(RETIRED) {
            // Not the last one: the executor's is left. A count of zero means only that others have
            // dropped what the owner made, or the reverse.
            if !task.count_locally(-1) {
                drop_remote_reference(header);
            }
            return;
        }
        task.local_references.set(task.local_references.get() - 1);
        if task.local_references.get() == 0 {
            free(header);
        }
    }
}

/// Gives the memory back. Future and output are gone.
///
/// # Safety
///
/// No other reference exists.
unsafe fn free(header: NonNull<Header>) {
    // SAFETY: the caller's contract; the block was allocated with the vtable's layout.
    unsafe {
        header.as_ref().witness.freed();
        let TaskVTable { layout, name_offset, .. } = *header.as_ref().vtable();
        if let Some(offset) = name_offset {
            // Plain data, so it may be dropped on any thread.
            header.cast::<u8>().add(offset).cast::<Name>().drop_in_place();
        }
        let shared = ManuallyDrop::take(&mut (*header.as_ptr()).shared);
        if shared.is_current() {
            shared.as_ref().core.memory.release(header.cast(), layout);
        } else {
            memory::release(header.cast(), layout);
        }
    }
}

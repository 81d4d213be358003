//! The bits and counts of a task.
//!
//! A task has two words. The *flags* are the owner's alone, plain stores. The *remote word* is
//! shared: two bits, and above them the references that were made (+) and dropped (-) by threads
//! other than the owner.

use crate::base::sync::{AtomicU32, Ordering};

/// The task is in the run queue.
pub(super) const QUEUED: u32 = 1;
/// The future has ended and has been dropped. Wakes do nothing any more.
pub(super) const COMPLETE: u32 = 1 << 1;
/// The output is in the task, and nobody has taken it yet.
pub(super) const OUTPUT: u32 = 1 << 2;
/// The join handle exists.
pub(super) const HANDLE: u32 = 1 << 3;
/// The next turn of this task drops its future instead of polling it.
pub(super) const ABORTED: u32 = 1 << 4;
/// All references are counted in the remote word: the owner counts there too.
pub(super) const MERGED: u32 = 1 << 5;
/// The executor has given its reference up without a merge: no waker exists, nor can one.
pub(super) const RETIRED: u32 = 1 << 6;

/// Remote word: the task is in the inbox, or on its way there, or taken out and not yet looked at.
const R_MAILED: u32 = 1;
/// Remote word: same as [`MERGED`], for those who may not read the flags.
const R_MERGED: u32 = 1 << 1;
/// Remote word: the references stand above the bits.
const R_SHIFT: u32 = 2;
/// Far below the 30 bits that a count has, and far above what memory holds in wakers: only a loop
/// of `mem::forget(waker.clone())` comes here, and it must not wrap the count around.
pub(super) const MOST_REFERENCES: i32 = if cfg!(test) { 1 << 14 } else { 1 << 27 };
/// The owner's count may be this far from zero before it is evened out with the remote one. A task
/// that clones its waker for another thread, which wakes and drops it, moves the two apart by one
/// each time: 100 million messages later neither may be near [`MOST_REFERENCES`] or a wrap.
pub(super) const MOST_DRIFT: i32 = if cfg!(test) { 5 } else { 1 << 26 };

/// The word that other threads may touch.
pub(super) struct RemoteWord(AtomicU32);

/// A reading of the remote word.
#[derive(Clone, Copy)]
pub(super) struct Remote(u32);

impl Remote {
    /// References made and not dropped by other threads, negative if they dropped more.
    pub(super) fn references(self) -> i32 {
        self.0 as i32 >> R_SHIFT
    }

    pub(super) fn is_mailed(self) -> bool {
        self.0 & R_MAILED != 0
    }

    pub(super) fn is_merged(self) -> bool {
        self.0 & R_MERGED != 0
    }
}

impl RemoteWord {
    pub(super) fn new() -> RemoteWord {
        RemoteWord(AtomicU32::new(0))
    }

    /// Acquire: what other threads did before they dropped their references is done.
    pub(super) fn load(&self) -> Remote {
        Remote(self.0.load(Ordering::Acquire))
    }

    /// Counts one reference more.
    pub(super) fn add_reference(&self) {
        // Relaxed: the new reference comes from one that its maker holds (as in std's Arc).
        let before = Remote(self.0.fetch_add(1 << R_SHIFT, Ordering::Relaxed));
        if before.references() >= MOST_REFERENCES {
            std::process::abort();
        }
    }

    /// Counts one reference less; says whether it was the last of a merged count.
    pub(super) fn drop_reference(&self) -> bool {
        // AcqRel: whoever frees the task sees everything done under the other references.
        let before = Remote(self.0.fetch_sub(1 << R_SHIFT, Ordering::AcqRel));
        before.is_merged() && before.references() == 1
    }

    /// Claims the right to push the task into the inbox. False: somebody has it already, and the
    /// owner will see what we did before this; or the task is complete.
    pub(super) fn mail(&self) -> bool {
        // A guess instead of a load: the owner's processor has this line, and a failed exchange brings
        // it here to be written, where a load would bring it to be read and then ask again.
        let mut seen = 0;
        loop {
            if seen & R_MERGED != 0 {
                return false;
            }
            // Release even when the bit is on already: the owner's `unmail` reads from this write
            // or from a later one, and so sees what the caller did before it woke the task.
            // Acquire: the link is ours now, and we write it only after the owner's last use of it,
            // which came before its `unmail`.
            let next = seen | R_MAILED;
            match self.0.compare_exchange_weak(seen, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(before) => return before & R_MAILED == 0,
                Err(actual) => seen = actual,
            }
        }
    }

    /// The owner has taken the task out of the inbox: the next wake mails it again.
    pub(super) fn unmail(&self) {
        // Acquire: see `mail`. Release: whoever mails it next writes the link that we have read.
        self.0.fetch_and(!R_MAILED, Ordering::AcqRel);
    }

    /// Takes the count out of the word, for the owner to add to its own.
    pub(super) fn take_references(&self) -> i32 {
        Remote(self.0.fetch_and(R_MAILED | R_MERGED, Ordering::Acquire)).references()
    }

    /// Adds the owner's count and turns `R_MERGED` on.
    pub(super) fn merge(&self, local: i32) -> Remote {
        let add = ((local << R_SHIFT) as u32).wrapping_add(R_MERGED);
        // Relaxed: whoever frees the task comes later, by a `drop_reference` of its own.
        let before = self.0.fetch_add(add, Ordering::Relaxed);
        Remote(before.wrapping_add(add))
    }
}

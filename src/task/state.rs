//! The bits and counts of a task.
//!
//! The *flags* and a small count of references are the owner's alone, plain stores. The *remote word*
//! is shared: two bits, and above them the references that were made (+) and dropped (-) by threads
//! other than the owner, and those that the owner has moved there.
//!
//! A task is QUEUED and has its HANDLE when it is spawned. Polls come and go; each takes QUEUED off
//! and a wake puts it on. At the end COMPLETE and OUTPUT come together. The join handle takes
//! OUTPUT, and its drop takes HANDLE. MERGED or RETIRED says in which way the last references are
//! counted.

use crate::base::sync::{AtomicU64, Ordering};

/// The task is in the run queue.
pub(super) const QUEUED: u8 = 1;
/// The future has ended and has been dropped. Wakes do nothing any more.
pub(super) const COMPLETE: u8 = 1 << 1;
/// The output is in the task, and has not been taken.
pub(super) const OUTPUT: u8 = 1 << 2;
/// The join handle exists.
pub(super) const HANDLE: u8 = 1 << 3;
/// The next run of this task drops its future instead of polling it.
pub(super) const ABORTED: u8 = 1 << 4;
/// All references are counted in the remote word. The owner counts there too.
pub(super) const MERGED: u8 = 1 << 5;
/// Ended without a merge: only the executor and the join handle may still have references, both of
/// which the local count holds. No waker exists, nor can one.
pub(super) const RETIRED: u8 = 1 << 6;

/// With [`COMPLETE`] and with [`ABORTED`]: the next run is no poll. It is the sign of the flags, so
/// that the instruction which takes [`QUEUED`] off tells it.
pub(super) const ENDS: u8 = 1 << 7;

/// Remote word: the task is in the inbox, or on its way there, or taken out and not yet looked at.
const R_MAILED: u64 = 1;
/// Remote word: the same as [`MERGED`], for threads that may not read the flags.
const R_MERGED: u64 = 1 << 1;
/// Remote word: the references stand above the bits.
const R_SHIFT: u32 = 2;
/// The number of references at which the process is aborted, as std's `Arc` does it. It is a quarter
/// of what the count can hold, so that the count never wraps around. Only a loop of
/// `mem::forget(waker.clone())` comes here, and at a billion a second it takes 36 years. Low in
/// tests, so that references which add up show.
pub(super) const MAX_REFERENCES: i64 = if cfg!(test) { 1 << 14 } else { 1 << 60 };
/// The greatest count of the owner's own. One more, and it is moved into the remote one. A task that
/// clones its waker for another thread, which wakes and drops it, comes here every so many messages.
pub(super) const MAX_LOCAL_DRIFT: i16 = if cfg!(test) { 5 } else { i16::MAX };
/// The least count of the owner's own, which is negative.
pub(super) const MIN_LOCAL_DRIFT: i16 = if cfg!(test) { -5 } else { i16::MIN };

/// The word that other threads may touch.
pub(super) struct RemoteWord(AtomicU64);

/// A reading of the remote word.
#[derive(Clone, Copy)]
pub(super) struct Remote(u64);

impl Remote {
    /// Returns the references that were counted here and not dropped, negative if more were dropped.
    pub(super) fn references(self) -> i64 {
        self.0 as i64 >> R_SHIFT
    }

    /// Returns `true` if the task is in the inbox, or on its way.
    pub(super) fn is_mailed(self) -> bool {
        self.0 & R_MAILED != 0
    }

    /// Returns `true` if all references are counted here.
    pub(super) fn is_merged(self) -> bool {
        self.0 & R_MERGED != 0
    }
}

impl RemoteWord {
    /// Returns the word of a fresh task: no bits, and no references.
    pub(super) fn new() -> RemoteWord {
        RemoteWord(AtomicU64::new(0))
    }

    /// Reads the word.
    pub(super) fn load(&self) -> Remote {
        // Acquire: what other threads did before they dropped their references is done.
        Remote(self.0.load(Ordering::Acquire))
    }

    /// Counts one reference more.
    pub(super) fn add_reference(&self) {
        self.add_references(1);
    }

    /// Counts `count` references more, or less if it is negative. None of them is the last one.
    pub(super) fn add_references(&self, count: i64) {
        // Relaxed: a new reference comes from one that its maker holds (as in std's Arc), and one that
        // the owner has dropped was not the last: the executor's is left.
        let before = Remote(self.0.fetch_add(shifted(count), Ordering::Relaxed));
        if before.references() >= MAX_REFERENCES {
            std::process::abort();
        }
    }

    /// Counts one reference less. Returns `true` if it was the last one of a merged count.
    pub(super) fn drop_reference(&self) -> bool {
        // AcqRel: the thread that frees the task sees everything done under the other references.
        let before = Remote(self.0.fetch_sub(1 << R_SHIFT, Ordering::AcqRel));
        before.is_merged() && before.references() == 1
    }

    /// Claims the right to push the task into the inbox. Returns `false` if another thread has it, and
    /// then the owner will see what this thread did before; or if the task is complete.
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
            // Acquire: the link is this thread's now, and it writes the link only after the owner's
            // last use of it, which came before its `unmail`.
            let next = seen | R_MAILED;
            match self.0.compare_exchange_weak(seen, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(before) => return before & R_MAILED == 0,
                Err(actual) => seen = actual,
            }
        }
    }

    /// Notes that the owner has taken the task out of the inbox: the next wake mails it again.
    pub(super) fn unmail(&self) {
        // Acquire: see `mail`. Release: the thread that mails it next writes the link that this one has
        // read.
        self.0.fetch_and(!R_MAILED, Ordering::AcqRel);
    }

    /// Adds the owner's count and turns `R_MERGED` on.
    pub(super) fn merge(&self, local: i64) -> Remote {
        let add = shifted(local).wrapping_add(R_MERGED);
        // Relaxed: the thread that frees the task comes later, by a `drop_reference` of its own.
        let before = self.0.fetch_add(add, Ordering::Relaxed);
        Remote(before.wrapping_add(add))
    }
}

/// Returns a number of references as it stands in the remote word.
const fn shifted(count: i64) -> u64 {
    (count << R_SHIFT) as u64
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn counts_of_any_size_are_true() {
        for count in [1 << 31, 1 << 40, 1 << 60, -(1 << 40)] {
            let word = RemoteWord::new();
            assert!(word.mail());
            assert_eq!(word.merge(count).references(), count);
            word.unmail();
            assert!(!word.drop_reference());
            assert_eq!(word.load().references(), count - 1);
            assert!(word.load().is_merged() && !word.load().is_mailed());
            assert!(!word.mail(), "a merged task is complete");
        }
    }
}

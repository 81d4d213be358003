//! An executor as every thread reaches it: the inbox, the bell and a count of references.
//!
//! The owner's half ([`Core`]) lies in the same allocation, so that one pointer leads a task to both.

use std::cell::Cell as PlainCell;
use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::base::sync::{AtomicI64, Ordering, Witness};

use super::core::Core;
use super::inbox::{Inbox, Node, Pushed};

/// Wakes an owner that sleeps.
pub(crate) trait Bell: Send + Sync + 'static {
    /// Wakes the owner. Called on any thread, after mail was put into the inbox of a sleeping owner.
    fn ring(&self);
}

/// The executor's own share of the count, as long as it lives. It is so large that no other
/// reference is ever taken for the last one.
///
/// The shared count goes down by one for each task whose memory is freed by another thread, and
/// never up again by itself: at a billion a second this lasts for a century.
const EXECUTOR: i64 = 1 << 62;

/// The state of one executor.
pub(super) struct Shared {
    /// The stack by which other threads send work to the owner.
    pub(super) inbox: Inbox,
    /// References that threads other than the owner made (+) and dropped (-), and `EXECUTOR`.
    remote_references: AtomicI64,
    /// Rung when mail has come for a sleeping owner.
    bell: Arc<dyn Bell>,
    /// The number of steps that the owner has made in work that may take long and calls nothing of
    /// the user's, or drops it at the executor's end. A thread that waits for the end sees by it
    /// that the executor makes progress. It guards nothing, so it is relaxed, and the models need
    /// not see it.
    steps: AtomicU64,
    /// The number of closures that were posted. This one and the next guard nothing either.
    posted: AtomicU64,
    /// The number of closures that were taken up. Written by the owner only.
    taken_up: AtomicU64,
    /// Checks in a model that this is freed once, and used only before.
    witness: Witness,
    /// The owner's half.
    pub(super) core: Core,
}

/// A counted reference to an executor. On the owner's thread the count is plain.
pub(crate) struct SharedRef {
    /// The executor.
    shared: NonNull<Shared>,
}

// SAFETY: other threads reach only `inbox`, `remote_references`, `bell` and the atomic counters, all of
// them shared safely; every access to `core` is checked against `CURRENT` (**Owner**).
unsafe impl Send for SharedRef {}
// SAFETY: as above.
unsafe impl Sync for SharedRef {}

#[cfg(not(loom))]
thread_local! {
    /// The executor whose owner runs on this thread right now, or null. It has no destructor, so it
    /// can be read until the thread is gone.
    static CURRENT: PlainCell<*const Shared> = const { PlainCell::new(ptr::null()) };
}

#[cfg(loom)]
loom::thread_local! {
    static CURRENT: PlainCell<*const Shared> = PlainCell::new(ptr::null());
}

/// Returns the executor that this thread is in, or null.
#[inline]
pub(super) fn current() -> *const Shared {
    // Only loom takes its thread-locals away before the thread's last code has run.
    CURRENT.try_with(PlainCell::get).unwrap_or(ptr::null())
}

/// Makes `shared` the executor that this thread is in, and returns the one before it.
pub(super) fn replace_current(shared: *const Shared) -> *const Shared {
    CURRENT.with(|current| current.replace(shared))
}

/// The executor that a simulated thread is in, while that thread does not run.
#[cfg(feature = "sim")]
pub(crate) struct CurrentExecutor(*const Shared);

#[cfg(feature = "sim")]
impl CurrentExecutor {
    /// Returns what stands for no executor.
    pub(crate) const fn none() -> CurrentExecutor {
        CurrentExecutor(ptr::null())
    }

    /// Exchanges it with the one that this thread is in (**Owner**: the simulated thread that is
    /// parked is its owner, and its code does not run meanwhile).
    pub(crate) fn exchange(&mut self) {
        self.0 = replace_current(self.0);
    }
}

/// Calls `look` with the executor that this thread is in, if it is in one.
pub(super) fn with_current<R>(look: impl FnOnce(&Shared) -> R) -> Option<R> {
    let shared = NonNull::new(current().cast_mut())?;
    // SAFETY: a current executor is alive.
    Some(look(unsafe { shared.as_ref() }))
}

/// Calls `look` with the owner's half of the executor that this thread is in, if it is in one.
#[inline]
pub(super) fn with_current_core<R>(look: impl FnOnce(&Core) -> R) -> Option<R> {
    let shared = NonNull::new(current().cast_mut())?;
    // SAFETY: a current executor is alive, and this thread is its owner.
    Some(look(unsafe { &shared.as_ref().core }))
}

impl Shared {
    /// Makes an executor's state, with the executor's share as the only reference.
    pub(super) fn allocate(bell: Arc<dyn Bell>) -> NonNull<Shared> {
        let shared = Box::new(Shared {
            inbox: Inbox::new(),
            remote_references: AtomicI64::new(EXECUTOR),
            bell,
            steps: AtomicU64::new(0),
            posted: AtomicU64::new(0),
            taken_up: AtomicU64::new(0),
            witness: Witness::new(),
            core: Core::new(),
        });
        NonNull::from(Box::leak(shared))
    }

    /// Gives the executor's share up, and adds the owner's count to the shared one.
    ///
    /// # Safety
    ///
    /// The caller is the owner, for the last time, and `CURRENT` does not point here any more.
    pub(super) unsafe fn end(shared: NonNull<Shared>) {
        // SAFETY: the executor's share keeps it alive; **Owner**.
        let local = unsafe { shared.as_ref().core.references.replace(0) };
        // SAFETY: `local - EXECUTOR` is what the executor and its thread still hold.
        unsafe { Shared::count(shared, local - EXECUTOR) };
    }

    /// Adds to the shared count, and frees the state when no reference is left.
    ///
    /// # Safety
    ///
    /// If `by` is negative, the caller gives up as many references.
    unsafe fn count(shared: NonNull<Shared>, by: i64) {
        // AcqRel: the thread that frees sees what the others did before they dropped their references.
        // SAFETY: the references that are given up keep it alive until here.
        let before = unsafe {
            shared.as_ref().witness.used();
            shared.as_ref().remote_references.fetch_add(by, Ordering::AcqRel)
        };
        if before + by == 0 {
            // SAFETY: this was the last reference.
            unsafe { Shared::free(shared) };
        }
    }

    /// Frees the state.
    ///
    /// # Safety
    ///
    /// No reference exists any more.
    unsafe fn free(shared: NonNull<Shared>) {
        // SAFETY: the caller's contract; it was allocated by `Box`.
        unsafe {
            shared.as_ref().witness.freed();
            if cfg!(loom) {
                // A model keeps the memory, so that its `Witness` sees a use after this.
                return ptr::drop_in_place(shared.as_ptr());
            }
            drop(Box::from_raw(shared.as_ptr()));
        }
    }

    /// Counts a step of the owner's: see [`SharedRef::steps`].
    pub(super) fn count_step(&self) {
        // The owner alone writes it, so a load and a store are enough.
        let before = self.steps.load(Ordering::Relaxed);
        self.steps.store(before + 1, Ordering::Relaxed);
    }

    /// Counts a closure that is about to be posted. Returns how many wait already.
    pub(super) fn count_post(&self) -> u64 {
        let posted = self.posted.fetch_add(1, Ordering::Relaxed);
        posted.saturating_sub(self.taken_up.load(Ordering::Relaxed))
    }

    /// Takes [`Shared::count_post`] back: the closure has not been posted.
    pub(super) fn uncount_post(&self) {
        self.posted.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a closure that the owner takes up.
    pub(super) fn count_taken_up(&self) {
        let before = self.taken_up.load(Ordering::Relaxed);
        self.taken_up.store(before.saturating_add(1), Ordering::Relaxed);
    }

    /// Makes the number of waiting closures zero for good. The owner has refused those that were
    /// left, and the inbox takes no more.
    pub(super) fn clear_waiting(&self) {
        self.taken_up.store(u64::MAX, Ordering::Relaxed);
    }

    /// Puts a node into the inbox, and rings the bell if the owner sleeps. Returns `false` if the
    /// executor has ended: the node is still the caller's then.
    ///
    /// # Safety
    ///
    /// As [`Inbox::push`]; and the caller holds something that keeps the executor's state alive.
    pub(super) unsafe fn mail(&self, node: *mut Node) -> bool {
        self.witness.used();
        // SAFETY: the caller's contract.
        match unsafe { self.inbox.push(node) } {
            Pushed::OwnerAwake => true,
            Pushed::OwnerParked => {
                self.witness.used();
                self.bell.ring();
                true
            }
            Pushed::Refused => false,
        }
    }
}

impl SharedRef {
    /// Makes a new reference.
    ///
    /// # Safety
    ///
    /// The caller holds something that keeps the executor's state alive.
    #[inline]
    pub(super) unsafe fn new(shared: NonNull<Shared>) -> SharedRef {
        if current() == shared.as_ptr() {
            // SAFETY: it is alive, and this thread is its owner.
            let count = unsafe { &shared.as_ref().core.references };
            count.set(count.get() + 1);
        } else {
            // Relaxed: a new reference comes from something that is held (as in std's Arc).
            // SAFETY: it is alive.
            unsafe { shared.as_ref().remote_references.fetch_add(1, Ordering::Relaxed) };
        }
        SharedRef { shared }
    }

    /// Returns the executor that this thread is in.
    #[inline]
    pub(crate) fn current() -> Option<SharedRef> {
        let shared = NonNull::new(current().cast_mut())?;
        // SAFETY: a current executor is alive, and this thread is its owner.
        let count = unsafe { &shared.as_ref().core.references };
        count.set(count.get() + 1);
        Some(SharedRef { shared })
    }

    /// Returns `true` if the calling thread is inside this executor.
    #[inline]
    pub(crate) fn is_current(&self) -> bool {
        current() == self.shared.as_ptr()
    }

    /// Returns the number of steps that the owner has made in work that may take long. A thread
    /// that waits for the executor's end sees by it that the executor makes progress.
    pub(crate) fn steps(&self) -> u64 {
        self.as_ref().steps.load(Ordering::Relaxed)
    }

    /// Counts a step if the calling thread is inside this executor.
    pub(super) fn count_own_step(&self) {
        if self.is_current() {
            self.as_ref().count_step();
        }
    }

    /// Returns the number of closures that wait for the owner to take them up.
    pub(crate) fn mail_waiting(&self) -> u64 {
        let shared = self.as_ref();
        // In this order a closure that is posted and taken up meanwhile is not counted twice.
        let posted = shared.posted.load(Ordering::Relaxed);
        posted.saturating_sub(shared.taken_up.load(Ordering::Relaxed))
    }

    /// Returns the executor's state.
    #[inline]
    pub(super) fn as_ref(&self) -> &Shared {
        // SAFETY: the reference keeps it alive.
        unsafe { self.shared.as_ref() }
    }

    /// Returns the address of the executor's state.
    pub(super) fn pointer(&self) -> NonNull<Shared> {
        self.shared
    }
}

impl Clone for SharedRef {
    #[inline]
    fn clone(&self) -> SharedRef {
        // SAFETY: `self` keeps it alive.
        unsafe { SharedRef::new(self.shared) }
    }
}

impl Drop for SharedRef {
    #[inline]
    fn drop(&mut self) {
        if self.is_current() {
            // Never the last one: the executor's share is left.
            let count = &self.as_ref().core.references;
            count.set(count.get() - 1);
        } else {
            // SAFETY: this reference is given up.
            unsafe { Shared::count(self.shared, -1) };
        }
    }
}

impl fmt::Debug for SharedRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedRef").field(&self.shared).finish()
    }
}

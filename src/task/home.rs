//! The home of an executor: what other threads reach, and what only its owner touches.

use std::cell::UnsafeCell;
use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::Waker;

use crate::base::sync::{AtomicI64, Cell, Ordering, Witness};

use super::coop::UNLIMITED;
use super::current;
use super::inbox::{Inbox, Node, Pushed};
use super::memory::Memory;
use super::raw::Header;

/// Wakes an owner that sleeps.
pub(crate) trait Bell: Send + Sync + 'static {
    /// Called from any thread, after mail has been put into the inbox of a sleeping owner.
    fn ring(&self);
}

/// While an executor lives, its share of the count, so that nobody else's last reference is taken
/// for the last of all. The shared count goes down by one for each task whose memory is freed by
/// another thread, and never up again by itself: at a billion a second this lasts for a century.
const EXECUTOR: i64 = 1 << 62;

/// One executor's home.
pub(super) struct Home {
    /// The door for other threads.
    pub(super) inbox: Inbox,
    /// References made (+) and dropped (-) by threads other than the owner, and `EXECUTOR`.
    remote_references: AtomicI64,
    /// Rung when mail has come for a sleeping owner.
    bell: Arc<dyn Bell>,
    /// Steps of work that may be long and runs nothing of the user's, or drops it at the executor's end.
    /// A thread that waits for the end sees by it that the executor goes on. It guards nothing, so it is
    /// relaxed, and of no interest to the models.
    steps: AtomicU64,
    /// Closures that were posted: each post adds one, beside its write to the inbox. This and the next
    /// one guard nothing, so they are relaxed, and of no interest to the models.
    posted: AtomicU64,
    /// Closures that were taken up. Written by the owner only.
    taken_up: AtomicU64,
    /// For the models.
    witness: Witness,
    /// The owner's alone.
    pub(super) owner: OwnerSide,
}

/// What only the owner touches (invariant **Owner**), in cache lines of its own: what other
/// threads write to the inbox does not slow it down.
#[repr(align(128))]
pub(super) struct OwnerSide {
    /// The run queue: the first to run, linked by `Header::queue_next`.
    pub(super) queue_first: Cell<*mut Header>,
    /// The run queue: the last to run.
    pub(super) queue_last: Cell<*mut Header>,
    /// Mail that was taken out of the inbox and not opened yet, the oldest first.
    pub(super) mail: Cell<*mut Node>,
    /// Every task that is not complete; each knows its place.
    pub(super) tasks: UnsafeCell<Vec<NonNull<Header>>>,
    /// How many tasks there have been.
    pub(super) spawned: Cell<u64>,
    /// Free blocks.
    pub(super) memory: Memory,
    /// References made (+) and dropped (-) by the owner.
    references: Cell<i64>,
    /// The executor is ending: what is spawned now is cancelled.
    pub(super) closing: Cell<bool>,
    /// Futures are being dropped because it is ending: what their destructors spawn waits until
    /// they are through, so that the stack stays flat.
    pub(super) cancelling: Cell<bool>,
    /// How many more futures that such destructors spawn are dropped.
    pub(super) late_left: Cell<usize>,
    /// A shutdown has begun: no more mail is opened and no task is polled before the next look at the
    /// clock.
    pub(super) interrupted: Cell<bool>,
    /// Wakes that queued a task, by the owner.
    pub(super) wakes: Cell<u64>,
    /// Wakes that came by mail.
    pub(super) wakes_by_mail: Cell<u64>,
    /// How many more I/O operations the running task may do before it yields.
    pub(super) allowance: Cell<u32>,
    /// Tasks that have used their allowance up: they are woken when the poller has looked at
    /// everything else. Borrowed for a push or a look only.
    deferred: UnsafeCell<Vec<Waker>>,
}

/// A counted reference to a home. On the owner's thread the count is plain.
pub(crate) struct HomeRef {
    home: NonNull<Home>,
}

// SAFETY: other threads reach only `inbox`, `remote_references`, `bell` and the atomic counters, all of
// them shared safely; every access to `owner` is checked against `CURRENT` (**Owner**).
unsafe impl Send for HomeRef {}
// SAFETY: as above.
unsafe impl Sync for HomeRef {}

impl Home {
    /// A new home, with the executor's share as its only reference.
    pub(super) fn allocate(bell: Arc<dyn Bell>) -> NonNull<Home> {
        let home = Box::new(Home {
            inbox: Inbox::new(),
            remote_references: AtomicI64::new(EXECUTOR),
            bell,
            steps: AtomicU64::new(0),
            posted: AtomicU64::new(0),
            taken_up: AtomicU64::new(0),
            witness: Witness::new(),
            owner: OwnerSide {
                queue_first: Cell::new(ptr::null_mut()),
                queue_last: Cell::new(ptr::null_mut()),
                mail: Cell::new(ptr::null_mut()),
                tasks: UnsafeCell::new(Vec::new()),
                spawned: Cell::new(0),
                memory: Memory::new(),
                references: Cell::new(0),
                closing: Cell::new(false),
                cancelling: Cell::new(false),
                late_left: Cell::new(0),
                interrupted: Cell::new(false),
                wakes: Cell::new(0),
                wakes_by_mail: Cell::new(0),
                allowance: Cell::new(UNLIMITED),
                // Room for the few that there are at a time: a flood does not begin with an allocation.
                deferred: UnsafeCell::new(Vec::with_capacity(8)),
            },
        });
        NonNull::from(Box::leak(home))
    }

    /// Gives the executor's share up, and folds the owner's count into the shared one.
    ///
    /// # Safety
    /// The caller is the owner, for the last time, and `CURRENT` is not this home any more.
    pub(super) unsafe fn end(home: NonNull<Home>) {
        // SAFETY: the executor's share keeps the home alive; **Owner**.
        let local = unsafe { home.as_ref().owner.references.replace(0) };
        // SAFETY: `local - EXECUTOR` is what the executor and its thread still hold.
        unsafe { Home::count(home, local - EXECUTOR) };
    }

    /// Adds to the shared count; frees the home when nothing is left.
    ///
    /// # Safety
    /// If `by` is negative, the caller gives up as many references.
    unsafe fn count(home: NonNull<Home>, by: i64) {
        // SAFETY: the references that are given up keep the home alive until here.
        let before = unsafe {
            home.as_ref().witness.used();
            home.as_ref().remote_references.fetch_add(by, Ordering::AcqRel)
        };
        if before + by == 0 {
            // SAFETY: the count was the last one, and a home is allocated by `Box`.
            unsafe { Home::free(home) };
        }
    }

    /// # Safety
    /// Nobody has a reference any more.
    unsafe fn free(home: NonNull<Home>) {
        // SAFETY: the caller's contract, and a home is allocated by `Box`.
        unsafe {
            home.as_ref().witness.freed();
            if cfg!(loom) {
                return ptr::drop_in_place(home.as_ptr());
            }
            drop(Box::from_raw(home.as_ptr()));
        }
    }

    /// Counts a step of the owner's.
    pub(super) fn step(&self) {
        let before = self.steps.load(Ordering::Relaxed);
        self.steps.store(before + 1, Ordering::Relaxed);
    }

    /// Counts a closure that is about to be posted, and says how many wait before it.
    pub(super) fn count_post(&self) -> u64 {
        let posted = self.posted.fetch_add(1, Ordering::Relaxed);
        posted.saturating_sub(self.taken_up.load(Ordering::Relaxed))
    }

    /// Takes [`Home::count_post`] back: the closure has not been posted.
    pub(super) fn uncount_post(&self) {
        self.posted.fetch_sub(1, Ordering::Relaxed);
    }

    /// The owner takes a closure up.
    pub(super) fn count_taken_up(&self) {
        let before = self.taken_up.load(Ordering::Relaxed);
        self.taken_up.store(before.saturating_add(1), Ordering::Relaxed);
    }

    /// The owner has refused what was left, and will refuse whatever comes.
    pub(super) fn nothing_waits(&self) {
        self.taken_up.store(u64::MAX, Ordering::Relaxed);
    }

    /// Pushes a node and rings if the owner sleeps. False: refused, the node is the caller's.
    ///
    /// # Safety
    /// As [`Inbox::push`]; and the caller holds something that keeps the home alive.
    pub(super) unsafe fn mail(&self, node: *mut Node) -> bool {
        self.witness.used();
        // SAFETY: the caller's contract.
        match unsafe { self.inbox.push(node) } {
            Pushed::Quietly => true,
            Pushed::OntoParked => {
                self.witness.used();
                self.bell.ring();
                true
            }
            Pushed::Refused => false,
        }
    }
}

impl OwnerSide {
    /// Puts a task at the end of the run queue.
    ///
    /// # Safety
    /// The caller is the owner; the task is alive, in no queue, and flagged as queued.
    #[inline]
    pub(super) unsafe fn enqueue(&self, task: *mut Header) {
        // SAFETY: **Owner**: the links of the run queue are the owner's.
        unsafe {
            (*task).queue_next.set(ptr::null_mut());
            let last = self.queue_last.replace(task);
            if last.is_null() {
                self.queue_first.set(task);
            } else {
                (*last).queue_next.set(task);
            }
        }
    }

    /// Takes the first task of the run queue.
    ///
    /// # Safety
    /// The caller is the owner.
    #[inline]
    pub(super) unsafe fn dequeue(&self) -> Option<NonNull<Header>> {
        let task = NonNull::new(self.queue_first.get())?;
        // SAFETY: a task in the queue is alive (**Count**); **Owner**.
        let next = unsafe { task.as_ref().queue_next.get() };
        self.queue_first.set(next);
        if next.is_null() {
            self.queue_last.set(ptr::null_mut());
        }
        Some(task)
    }

    /// Keeps `waker` until the poller has looked at everything else.
    ///
    /// # Safety
    /// The caller is the owner.
    pub(super) unsafe fn defer(&self, waker: Waker) {
        // SAFETY: **Owner**; nothing foreign runs while the list is borrowed.
        unsafe { (*self.deferred.get()).push(waker) };
    }

    /// Whether `waker` is the last one that was kept: a task that polls hundreds of futures asks once
    /// for each.
    ///
    /// # Safety
    /// The caller is the owner.
    pub(super) unsafe fn has_just_deferred(&self, waker: &Waker) -> bool {
        // SAFETY: **Owner**; nothing foreign runs while the list is borrowed: wakers are compared by
        // their addresses.
        let last = unsafe { (*self.deferred.get()).last() };
        last.is_some_and(|last| last.will_wake(waker))
    }

    /// How many wakers are kept.
    ///
    /// # Safety
    /// The caller is the owner.
    #[cfg(all(test, not(loom)))]
    pub(super) unsafe fn deferred(&self) -> usize {
        // SAFETY: **Owner**; nothing foreign runs while the list is borrowed.
        unsafe { (*self.deferred.get()).len() }
    }

    /// Whether a task is deferred.
    ///
    /// # Safety
    /// The caller is the owner.
    #[inline]
    pub(super) unsafe fn has_deferred(&self) -> bool {
        // SAFETY: **Owner**; nothing foreign runs while the list is borrowed.
        unsafe { !(*self.deferred.get()).is_empty() }
    }

    /// Takes all wakers out in order, and hands each to `act`. What is deferred meanwhile stays.
    ///
    /// # Safety
    /// The caller is the owner.
    #[cold]
    pub(super) unsafe fn take_deferred(&self, mut act: impl FnMut(Waker)) {
        // SAFETY: **Owner**; the list is moved out, so `act`, which is foreign, finds none borrowed.
        let mut taken = unsafe { std::mem::take(&mut *self.deferred.get()) };
        taken.drain(..).for_each(&mut act);
        // SAFETY: as above. The room is kept for the next time.
        let list = unsafe { &mut *self.deferred.get() };
        if list.capacity() < taken.capacity() {
            taken.append(list);
            *list = taken;
        }
    }
}

impl HomeRef {
    /// A new reference.
    ///
    /// # Safety
    /// The caller holds something that keeps the home alive.
    #[inline]
    pub(super) unsafe fn new(home: NonNull<Home>) -> HomeRef {
        if current::get() == home.as_ptr() {
            // SAFETY: the home is alive, and we are its owner.
            let count = unsafe { &home.as_ref().owner.references };
            count.set(count.get() + 1);
        } else {
            // Relaxed: a new reference comes from something that is held (as in std's Arc).
            // SAFETY: the home is alive.
            unsafe { home.as_ref().remote_references.fetch_add(1, Ordering::Relaxed) };
        }
        HomeRef { home }
    }

    /// The home of the poller whose thread this is.
    #[inline]
    pub(crate) fn current() -> Option<HomeRef> {
        let home = NonNull::new(current::get().cast_mut())?;
        // SAFETY: a current home is kept alive by its executor.
        Some(unsafe { HomeRef::new(home) })
    }

    /// Whether the calling thread is inside this home's executor.
    #[inline]
    pub(crate) fn is_current(&self) -> bool {
        current::get() == self.home.as_ptr()
    }

    /// Returns the number of steps so far: see [`Home::step`].
    pub(crate) fn steps(&self) -> u64 {
        self.as_ref().steps.load(Ordering::Relaxed)
    }

    /// How many closures wait for the owner to take them up.
    pub(crate) fn mail_waiting(&self) -> u64 {
        let home = self.as_ref();
        // In this order a closure that is posted and taken up meanwhile is not counted for two.
        let posted = home.posted.load(Ordering::Relaxed);
        posted.saturating_sub(home.taken_up.load(Ordering::Relaxed))
    }

    #[inline]
    pub(super) fn as_ref(&self) -> &Home {
        // SAFETY: the reference keeps the home alive.
        unsafe { self.home.as_ref() }
    }

    pub(super) fn pointer(&self) -> NonNull<Home> {
        self.home
    }
}

impl Clone for HomeRef {
    #[inline]
    fn clone(&self) -> HomeRef {
        // SAFETY: `self` keeps it alive.
        unsafe { HomeRef::new(self.home) }
    }
}

impl Drop for HomeRef {
    #[inline]
    fn drop(&mut self) {
        if self.is_current() {
            let count = &self.as_ref().owner.references;
            count.set(count.get() - 1);
        } else {
            // SAFETY: this reference is given up.
            unsafe { Home::count(self.home, -1) };
        }
    }
}

impl fmt::Debug for HomeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HomeRef").field(&self.home).finish()
    }
}

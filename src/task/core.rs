//! The owner's half of an executor: its tasks, its run queue, and what it counts.
//!
//! Everything in it is a plain cell. The half that other threads touch is in `shared`, in the same
//! allocation but on other cache lines.

use std::cell::UnsafeCell;
use std::ptr::{self, NonNull};
use std::task::Waker;

use crate::base::sync::Cell;

use super::inbox::Node;
use super::memory::Memory;
use super::run_queue::{RunQueue, TaskNode};

/// The allowance of code that runs outside of tasks: nothing is counted there.
pub(super) const UNLIMITED: u32 = u32::MAX;

/// The part of an executor that only its owner touches (invariant **Owner**).
///
/// It has cache lines of its own, so that what other threads write to the inbox does not slow the
/// owner down.
#[repr(align(128))]
pub(super) struct Core {
    /// The tasks that are runnable.
    pub(super) run_queue: RunQueue,
    /// Mail that was taken out of the inbox and has not been opened, the oldest first.
    pub(super) mail: Cell<*mut Node>,
    /// Every task that is not complete. Each task knows its place in here.
    pub(super) tasks: UnsafeCell<Vec<NonNull<TaskNode>>>,
    /// The number of tasks that were ever spawned.
    pub(super) spawned: Cell<u64>,
    /// Free blocks for the next tasks.
    pub(super) memory: Memory,
    /// References to the executor that the owner made (+) and dropped (-).
    pub(super) references: Cell<i64>,
    /// Whether the executor is ending: what is spawned from now on is cancelled.
    pub(super) closing: Cell<bool>,
    /// Whether futures are being dropped because the executor is ending. What their destructors
    /// spawn waits until the loop that drops them comes to it, so that the stack stays flat.
    pub(super) cancelling: Cell<bool>,
    /// How many more futures that such destructors spawn are dropped instead of forgotten.
    pub(super) late_spawns_left: Cell<usize>,
    /// Whether a shutdown has begun: no mail is opened and no task is polled before the poller has
    /// looked at the clock.
    pub(super) interrupted: Cell<bool>,
    /// Wakes by the owner that queued a task.
    pub(super) wakes: Cell<u64>,
    /// Wakes by other threads.
    pub(super) wakes_by_mail: Cell<u64>,
    /// The number of I/O operations that the running task may still do before it has to yield.
    pub(super) allowance: Cell<u32>,
    /// Wakers of the tasks that have used their allowance up. They are woken after the poller has
    /// looked at everything else. Borrowed for a push or a look only.
    deferred: UnsafeCell<Vec<Waker>>,
}

impl Core {
    /// Makes the half of an executor that has no tasks.
    pub(super) fn new() -> Core {
        Core {
            run_queue: RunQueue::new(),
            mail: Cell::new(ptr::null_mut()),
            tasks: UnsafeCell::new(Vec::new()),
            spawned: Cell::new(0),
            memory: Memory::new(),
            references: Cell::new(0),
            closing: Cell::new(false),
            cancelling: Cell::new(false),
            late_spawns_left: Cell::new(0),
            interrupted: Cell::new(false),
            wakes: Cell::new(0),
            wakes_by_mail: Cell::new(0),
            allowance: Cell::new(UNLIMITED),
            // Few tasks are deferred at a time: a flood of I/O does not begin with an allocation.
            deferred: UnsafeCell::new(Vec::with_capacity(8)),
        }
    }

    /// Returns the number of tasks that have not ended.
    ///
    /// # Safety
    ///
    /// The caller is the owner.
    pub(super) unsafe fn alive(&self) -> usize {
        // SAFETY: **Owner**; nothing foreign runs while the table is borrowed.
        unsafe { (*self.tasks.get()).len() }
    }

    /// Keeps `waker` until the poller has looked at everything else.
    ///
    /// # Safety
    ///
    /// The caller is the owner.
    pub(super) unsafe fn defer(&self, waker: Waker) {
        // SAFETY: **Owner**; nothing foreign runs while the list is borrowed.
        unsafe { (*self.deferred.get()).push(waker) };
    }

    /// Returns `true` if `waker` is the one that was deferred last. A task that polls hundreds of
    /// futures asks once for each of them.
    ///
    /// # Safety
    ///
    /// The caller is the owner.
    pub(super) unsafe fn has_just_deferred(&self, waker: &Waker) -> bool {
        // SAFETY: **Owner**; nothing foreign runs while the list is borrowed: wakers are compared by
        // their addresses.
        let last = unsafe { (*self.deferred.get()).last() };
        last.is_some_and(|last| last.will_wake(waker))
    }

    /// Returns the number of wakers that are deferred.
    ///
    /// # Safety
    ///
    /// The caller is the owner.
    #[cfg(all(test, not(loom)))]
    pub(super) unsafe fn deferred(&self) -> usize {
        // SAFETY: **Owner**; nothing foreign runs while the list is borrowed.
        unsafe { (*self.deferred.get()).len() }
    }

    /// Returns `true` if a waker is deferred.
    ///
    /// # Safety
    ///
    /// The caller is the owner.
    #[inline]
    pub(super) unsafe fn has_deferred(&self) -> bool {
        // SAFETY: **Owner**; nothing foreign runs while the list is borrowed.
        unsafe { !(*self.deferred.get()).is_empty() }
    }

    /// Takes all deferred wakers out in order, and hands each to `act`. What `act` defers stays for
    /// the next time.
    ///
    /// # Safety
    ///
    /// The caller is the owner.
    #[cold]
    pub(super) unsafe fn take_deferred(&self, mut act: impl FnMut(Waker)) {
        // SAFETY: **Owner**; the list is moved out, so `act`, which is foreign, finds none borrowed.
        let mut taken = unsafe { std::mem::take(&mut *self.deferred.get()) };
        taken.drain(..).for_each(&mut act);
        // The larger allocation of the two is kept for the next time.
        // SAFETY: as above.
        let list = unsafe { &mut *self.deferred.get() };
        if list.capacity() < taken.capacity() {
            taken.append(list);
            *list = taken;
        }
    }
}

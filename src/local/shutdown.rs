//! The shutdown of a poller, as its thread sees it: whether it has been requested, and until when
//! connections and tasks may go on. `poller/shutdown.rs` carries it out.
//!
//! It is asked in every turn, so the answer is one number in a cell: the end of the grace.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

use crate::base::slab::Slab;
use crate::base::token::Token;
use crate::sys::clock;
use crate::task::{drop_ignoring_panic, ignore_panic};

/// The progress of a poller's shutdown.
#[derive(Default)]
pub(crate) struct ShutdownState {
    /// The time at which the grace ends, or 0 while no shutdown has been requested.
    pub(crate) deadline: Cell<u64>,
    /// The number of connections and tasks that had ended when the shutdown was requested. The
    /// report of the shutdown counts only what has ended since.
    pub(crate) ended_before: Cell<u64>,
    /// The wakers of tasks that await `shutdown_requested`. Each future knows the place of its own.
    waiters: RefCell<Slab<Waker>>,
}

impl ShutdownState {
    /// Returns `true` if a shutdown has been requested.
    #[inline]
    pub(crate) fn is_requested(&self) -> bool {
        self.deadline.get() != 0
    }

    /// Returns `true` if a shutdown has been requested and its grace has passed.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.is_requested() && clock::now() >= self.deadline.get()
    }

    /// Waits for the request. `place` is where the future keeps the place of its waker.
    ///
    /// A task that waits for this beside each read polls it for each request that it serves. So a
    /// waker that is here already is not cloned again.
    pub(crate) fn poll(&self, cx: &mut Context<'_>, place: &mut Option<Token>) -> Poll<()> {
        if self.is_requested() {
            return Poll::Ready(());
        }
        if !place.is_some_and(|place| self.will_wake(place, cx.waker())) {
            // Cloning and dropping a waker is foreign code, so the list is not borrowed meanwhile.
            let waker = cx.waker().clone();
            drop_ignoring_panic(self.forget(place));
            *place = Some(self.waiters.borrow_mut().insert_with(|_| waker));
        }
        Poll::Pending
    }

    /// Returns `true` if the waker at `place` wakes the same task as `waker`.
    fn will_wake(&self, place: Token, waker: &Waker) -> bool {
        self.waiters.borrow().get(place).is_some_and(|present| present.will_wake(waker))
    }

    /// Puts `waker` at the place of a future that still waits, and returns the one that was there.
    /// If the future waits no more, it returns `waker`. The caller drops what is returned.
    pub(crate) fn replace(&self, place: Option<Token>, waker: Waker) -> Waker {
        let mut waiters = self.waiters.borrow_mut();
        match place.and_then(|place| waiters.get_mut(place)) {
            Some(present) => std::mem::replace(present, waker),
            None => waker,
        }
    }

    /// Wakes all futures that wait.
    pub(crate) fn wake_all(&self) {
        for waker in self.waiters.take().into_values() {
            // A waker that panics must not keep the others from being woken.
            ignore_panic(|| waker.wake());
        }
    }

    /// Removes the waker of a future, and returns it. Dropping it is foreign code: the caller does
    /// so when nothing is borrowed.
    pub(crate) fn forget(&self, place: &mut Option<Token>) -> Option<Waker> {
        self.waiters.borrow_mut().remove(place.take()?)
    }
}

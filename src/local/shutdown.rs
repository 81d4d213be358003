//! The shutdown of a poller: whether it has been requested, and until when connections and tasks may
//! go on. `poller/shutdown.rs` carries it out.
//!
//! A shutdown is requested by any thread, and begins on the poller's. The request comes by mail, behind
//! the mail that was sent before. The end of the grace comes at once, by a word in memory
//! ([`ShutdownRequest`]). The poller looks at it as each phase of calls begins, and between calls: however
//! long the mail keeps it from the request, nothing else begins after that end.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use crate::base::slab::Slab;
use crate::base::token::Token;
use crate::sys::clock;
use crate::task::{drop_ignoring_panic, ignore_panic};

/// The request for a poller's shutdown, which any thread makes. The poller's thread looks at it between
/// calls, so it lies apart from what other threads write more often.
#[derive(Default)]
pub(crate) struct ShutdownRequest {
    /// The end of the grace by the kernel's clock, or 0 before the request is made. Relaxed: the
    /// number stands for itself.
    grace_end: AtomicU64,
}

impl ShutdownRequest {
    /// Requests the shutdown, with a grace until `end`. A later call can only bring the end forward.
    pub(crate) fn make(&self, end: u64) {
        let relaxed = Ordering::Relaxed;
        let earlier = |present: u64| (present == 0 || end < present).then_some(end.max(1));
        // It fails if the present end is as early.
        let _ = self.grace_end.fetch_update(relaxed, relaxed, earlier);
    }

    /// Returns `true` if the shutdown has been requested. It may not have begun.
    #[inline]
    pub(crate) fn is_made(&self) -> bool {
        self.grace_end.load(Ordering::Relaxed) != 0
    }

    /// Returns `true` if the shutdown has been requested anew, with a grace that ends before `end`, and
    /// that grace has passed.
    fn is_over_before(&self, end: u64) -> bool {
        let grace_end = self.grace_end.load(Ordering::Relaxed);
        grace_end < end && clock::real() >= grace_end
    }
}

/// The progress of a poller's shutdown.
pub(crate) struct ShutdownState {
    /// The request, whose mail the poller may not have opened yet.
    request: Arc<ShutdownRequest>,
    /// The time at which the grace ends, or 0 while no shutdown has begun.
    deadline: Cell<u64>,
    /// The same by the kernel's clock, or NEVER while no shutdown has begun.
    real_deadline: Cell<u64>,
    /// The number of connections and tasks that had ended when the shutdown began. The report of the
    /// shutdown counts only what has ended since.
    pub(crate) ended_before: Cell<u64>,
    /// The wakers of tasks that await `shutdown_requested`. Each future knows the place of its own.
    waiters: RefCell<Slab<Waker>>,
}

impl ShutdownState {
    /// Creates the state of a poller for whose shutdown `request` stands.
    pub(crate) fn new(request: Arc<ShutdownRequest>) -> ShutdownState {
        ShutdownState {
            request,
            deadline: Cell::new(0),
            real_deadline: Cell::new(clock::NEVER),
            ended_before: Cell::new(0),
            waiters: RefCell::default(),
        }
    }

    /// Begins the shutdown, or brings it forward: its grace ends at `end`, by the kernel's clock.
    /// Returns the end by the clock of the poller, or `None` if it is no earlier than before.
    pub(crate) fn begin(&self, end: u64) -> Option<u64> {
        // Zero stands for no shutdown.
        let deadline = clock::from_real(end).max(1);
        if self.has_begun() && deadline >= self.deadline.get() {
            return None;
        }
        self.deadline.set(deadline);
        self.real_deadline.set(end);
        Some(deadline)
    }

    /// Returns `true` if the shutdown has been requested. Its mail may wait, and it may not have begun.
    #[inline]
    pub(crate) fn is_requested(&self) -> bool {
        self.request.is_made()
    }

    /// Returns `true` if the shutdown has begun.
    #[inline]
    pub(crate) fn has_begun(&self) -> bool {
        self.deadline.get() != 0
    }

    /// Returns `true` if the shutdown has begun and its grace has passed.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.has_begun() && clock::now() >= self.deadline.get()
    }

    /// Returns `true` if a grace has passed: that of a shutdown which has begun, or which mail will begin.
    #[inline]
    pub(crate) fn has_grace_passed(&self) -> bool {
        self.is_requested() && self.has_requested_grace_passed()
    }

    /// Does the work of [`ShutdownState::has_grace_passed`] once a shutdown has been requested.
    #[cold]
    fn has_requested_grace_passed(&self) -> bool {
        // A later request may wait in the mail as well, with an earlier end.
        self.is_over() || self.request.is_over_before(self.real_deadline.get())
    }

    /// Waits for the request. `place` is where the future keeps the place of its waker.
    ///
    /// A task that waits for this beside each read polls it for each request that it serves. So a
    /// waker that is here already is not cloned again.
    pub(crate) fn poll(&self, cx: &mut Context<'_>, place: &mut Option<Token>) -> Poll<()> {
        if self.has_begun() {
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

//! Where a poller is in its shutdown.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

use crate::base::slab::Slab;
use crate::base::token::Token;
use crate::sys::clock;
use crate::task::{drop_ignoring_panic, ignore_panic};

/// Where a poller is in its shutdown.
#[derive(Default)]
pub(crate) struct ShutdownState {
    /// When the grace ends; 0 while no shutdown has been asked for.
    pub(crate) deadline: Cell<u64>,
    /// Connections and tasks that had ended when it was asked for.
    pub(crate) ended_before: Cell<u64>,
    /// Who waits to hear of it: `shutdown_requested`. Each future knows its place.
    waiters: RefCell<Slab<Waker>>,
}

impl ShutdownState {
    #[inline]
    pub(crate) fn is_requested(&self) -> bool {
        self.deadline.get() != 0
    }

    /// Whether the grace has passed.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.is_requested() && clock::now() >= self.deadline.get()
    }

    /// Waits for the request; `place` is the future's. A task that waits for this beside every
    /// read comes here once a request, so the waker that is here already is kept.
    pub(crate) fn poll(&self, cx: &mut Context<'_>, place: &mut Option<Token>) -> Poll<()> {
        if self.is_requested() {
            return Poll::Ready(());
        }
        if !place.is_some_and(|place| self.will_wake(place, cx.waker())) {
            let waker = cx.waker().clone();
            drop_ignoring_panic(self.forget(place));
            *place = Some(self.waiters.borrow_mut().insert_with(|_| waker));
        }
        Poll::Pending
    }

    fn will_wake(&self, place: Token, waker: &Waker) -> bool {
        self.waiters.borrow().get(place).is_some_and(|present| present.will_wake(waker))
    }

    /// Wakes every future that waits.
    pub(crate) fn wake_all(&self) {
        for waker in self.waiters.take().into_values() {
            // One that panics must not cost the others their wake-up.
            ignore_panic(|| waker.wake());
        }
    }

    /// Takes a future's waker out, to be dropped after this: that is foreign code.
    pub(crate) fn forget(&self, place: &mut Option<Token>) -> Option<Waker> {
        self.waiters.borrow_mut().remove(place.take()?)
    }
}

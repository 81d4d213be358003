//! Whether the sockets of one address have ended, and why.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::base::error;
use crate::base::slab::Slab;
use crate::base::token::Token;
use crate::task::{drop_ignoring_panic, ignore_panic};

/// Whether the sockets of one address have ended, and why.
pub(crate) struct CloseLatch {
    state: Mutex<State>,
    /// The last socket has ended.
    released: Condvar,
}

struct State {
    /// Sockets that have not ended.
    open: usize,
    /// What ended the first of those that were not asked to end.
    failure: Option<io::Error>,
    /// Tasks that wait for the end of all.
    waiting: Slab<Waker>,
}

impl CloseLatch {
    /// Of `open` sockets, none of which has ended.
    pub(crate) fn new(open: usize) -> CloseLatch {
        let state = State { open, failure: None, waiting: Slab::new() };
        CloseLatch { state: Mutex::new(state), released: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One socket is closed; `failure` is why, unless that was asked for.
    pub(crate) fn socket_closed(&self, failure: Option<io::Error>) {
        let mut state = self.lock();
        state.open -= 1;
        if state.failure.is_none() {
            state.failure = failure;
        }
        if state.open > 0 {
            return;
        }
        let woken = std::mem::take(&mut state.waiting);
        drop(state);
        self.released.notify_all();
        for waker in woken.into_values() {
            // One that panics must not cost the others their wake-up.
            ignore_panic(|| waker.wake());
        }
    }

    /// Whether all sockets have ended.
    pub(crate) fn is_released(&self) -> bool {
        self.lock().open == 0
    }

    /// Blocks the thread until all sockets have ended.
    pub(crate) fn wait(&self) {
        let waited = self.released.wait_while(self.lock(), |state| state.open > 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// What ended the first socket that was not asked to end.
    pub(crate) fn failure(&self) -> Option<io::Error> {
        self.lock().failure.as_ref().map(error::copy)
    }
}

/// A future's place among those that wait for the end of all sockets, given up on drop.
pub(crate) struct LatchWaiter<'a> {
    latch: &'a CloseLatch,
    place: Option<Token>,
}

impl<'a> LatchWaiter<'a> {
    pub(crate) fn new(latch: &'a CloseLatch) -> LatchWaiter<'a> {
        LatchWaiter { latch, place: None }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.latch.is_released() {
            return Poll::Ready(());
        }
        // Cloning and dropping a waker is foreign code: not under the lock.
        let waker = cx.waker().clone();
        self.leave();
        let mut state = self.latch.lock();
        if state.open == 0 {
            drop(state);
            drop_ignoring_panic(waker);
            return Poll::Ready(());
        }
        self.place = Some(state.waiting.insert_with(|_| waker));
        Poll::Pending
    }

    fn leave(&mut self) {
        let waker = self.place.take().and_then(|place| self.latch.lock().waiting.remove(place));
        drop_ignoring_panic(waker);
    }
}

impl Drop for LatchWaiter<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

//! How the end of all sockets of one address is awaited.
//!
//! A latch for threads and for tasks at once. Threads wait at a condition variable. Tasks wait by
//! their wakers, on any executor and not only on a poller.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::base::error;
use crate::base::slab::Slab;
use crate::base::token::Token;
use crate::sys::condvar::Condvar;
use crate::task::{drop_ignoring_panic, ignore_panic};

/// Counts the sockets of one address that are open, and releases those that wait when the last one
/// is closed.
pub(crate) struct CloseLatch {
    /// The count, and what waits for it to reach zero.
    state: Mutex<State>,
    /// Wakes the threads that block in [`CloseLatch::wait`].
    released: Condvar,
}

/// What the latch knows, under its lock.
struct State {
    /// The number of sockets that are open.
    open: usize,
    /// What ended the first socket that was not asked to end.
    failure: Option<io::Error>,
    /// The tasks that wait for the end of all.
    waiting: Slab<Waker>,
}

impl CloseLatch {
    /// Returns the latch of `open` sockets.
    pub(crate) fn new(open: usize) -> CloseLatch {
        let state = State { open, failure: None, waiting: Slab::new() };
        CloseLatch { state: Mutex::new(state), released: Condvar::new() }
    }

    /// Locks the state. Nothing foreign runs under this lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        // No step under the lock leaves the state by half, so that a panic elsewhere does not spoil
        // it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a socket that has been closed; `failure` is what ended it, unless its end was asked
    /// for.
    pub(crate) fn socket_closed(&self, failure: Option<io::Error>) {
        let mut state = self.lock();
        state.open -= 1;
        // The first failure is kept: it may be the cause of those that follow.
        if state.failure.is_none() {
            state.failure = failure;
        }
        if state.open > 0 {
            return;
        }
        // Wakers are foreign code: they are called after the lock is released.
        let woken = std::mem::take(&mut state.waiting);
        drop(state);
        self.released.notify_all();
        for waker in woken.into_values() {
            // One that panics must not cost the others their wake-up.
            ignore_panic(|| waker.wake());
        }
    }

    /// Returns `true` if all sockets are closed.
    pub(crate) fn is_released(&self) -> bool {
        self.lock().open == 0
    }

    /// Blocks the thread until all sockets are closed.
    pub(crate) fn wait(&self) {
        drop(self.released.wait_while(&self.state, |state| state.open > 0));
    }

    /// Waits in a task until all sockets are closed.
    pub(crate) fn released(&self) -> Released<'_> {
        Released { latch: self, place: None }
    }

    /// Returns what ended the first socket that was not asked to end.
    pub(crate) fn failure(&self) -> Option<io::Error> {
        self.lock().failure.as_ref().map(error::copy)
    }
}

/// The future of [`CloseLatch::released`].
pub(crate) struct Released<'a> {
    /// The latch that is waited for.
    latch: &'a CloseLatch,
    /// Where its waker is among those that wait. It is given up on drop.
    place: Option<Token>,
}

impl Released<'_> {
    /// Takes the waker out of those that wait.
    fn leave(&mut self) {
        let waker = self.place.take().and_then(|place| self.latch.lock().waiting.remove(place));
        drop_ignoring_panic(waker);
    }
}

impl Future for Released<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.latch.is_released() {
            return Poll::Ready(());
        }
        // Cloning and dropping a waker is foreign code: not under the lock.
        let waker = cx.waker().clone();
        // A new entry at each poll: a waker that was polled with before may be another task's.
        self.leave();
        let mut state = self.latch.lock();
        // The last socket may have been closed since, and nothing would wake this task any more.
        if state.open == 0 {
            drop(state);
            drop_ignoring_panic(waker);
            return Poll::Ready(());
        }
        let place = state.waiting.insert_with(|_| waker);
        drop(state);
        self.place = Some(place);
        Poll::Pending
    }
}

impl Drop for Released<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

//! The wait for the end of a reactor's pollers, and which of them are stuck.
//!
//! A thread can't be ended from outside, so a poller that never returns from a callback would make
//! `join` wait for ever. So a poller that is slow, which is waited for, is
//! distinguished here from one that stands still, which is named in an error.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::local::handle::PollerHandle;
use crate::reactor::lateness::{Late, Look};
use crate::sys::condvar::Condvar;
use crate::sys::{clock, thread};

/// The time between two looks at pollers that are late.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// When the pollers of a reactor are to end, and which have ended.
pub(super) struct Termination {
    /// The deadline, and which pollers have ended.
    state: Mutex<State>,
    /// Notified when the state has changed.
    changed: Condvar,
    /// The numbers of the pollers' threads; 0 before they run.
    threads: Box<[AtomicU32]>,
}

/// What changes while the pollers run and end.
struct State {
    /// When the grace ends, by the kernel's clock; NEVER until a shutdown is requested.
    deadline: u64,
    /// For each poller, whether it has ended.
    ended: Box<[bool]>,
}

impl State {
    /// Returns those of the first `count` pollers that have not ended.
    fn left(&self, count: usize) -> Vec<usize> {
        (0..count).filter(|index| !self.ended[*index]).collect()
    }
}

impl Termination {
    /// Creates the state of pollers that have not been started.
    pub(super) fn new(pollers: &[PollerHandle]) -> Termination {
        let state =
            State { deadline: clock::NEVER, ended: pollers.iter().map(|_| false).collect() };
        Termination {
            state: Mutex::new(state),
            changed: Condvar::new(),
            threads: pollers.iter().map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// Locks the state. No code panics while it is locked.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a shutdown was requested whose grace ends at `deadline`.
    pub(super) fn request(&self, deadline: u64) {
        let mut state = self.lock();
        // A second request may only be earlier.
        state.deadline = state.deadline.min(deadline);
        self.changed.notify_all();
    }

    /// Notes that the calling thread is that of the poller `index`. When the guard is dropped, the
    /// poller has ended.
    pub(super) fn begin(&self, index: usize) -> impl Drop + '_ {
        struct Begun<'a>(&'a Termination, usize);
        impl Drop for Begun<'_> {
            fn drop(&mut self) {
                self.0.lock().ended[self.1] = true;
                self.0.changed.notify_all();
            }
        }
        // Relaxed: the number stands for itself.
        self.threads[index].store(thread::id(), Ordering::Relaxed);
        Begun(self, index)
    }

    /// Waits until the first `count` pollers have ended. Returns those that are stuck, if the
    /// others have ended or are stuck as well.
    pub(super) fn wait(&self, pollers: &[PollerHandle], count: usize) -> Vec<usize> {
        let mut late = vec![None; count];
        self.wait_for_the_grace(count);
        self.wake(pollers, count);
        loop {
            let left = self.wait_a_little(count);
            let is_stuck =
                |index: &usize| self.is_stuck(*index, &pollers[*index], &mut late[*index]);
            // No short-circuit: each late poller is looked at in each round.
            let stuck = left.iter().map(is_stuck).filter(|is_stuck| *is_stuck).count();
            let state = self.lock();
            if stuck == left.len() && left.iter().all(|index| !state.ended[*index]) {
                return left;
            }
        }
    }

    /// Waits until the first `count` pollers have ended, or the grace is over.
    fn wait_for_the_grace(&self, count: usize) {
        let mut state = self.lock();
        loop {
            let now = clock::real();
            if now >= state.deadline || state.left(count).is_empty() {
                return;
            }
            let grace = Duration::from_nanos(state.deadline - now);
            state = self.changed.wait_timeout(&self.state, state, grace);
        }
    }

    /// Wakes those of the first `count` pollers that have not ended. The kernel lets a sleep of
    /// minutes be late by a tenth of a second, and that of a niced thread five times sooner: such a
    /// poller would look like one that is stuck.
    fn wake(&self, pollers: &[PollerHandle], count: usize) {
        let left = self.lock().left(count);
        for index in left {
            // An error is no news: the poller has just ended.
            let _ = pollers[index].run_on(|| ());
        }
    }

    /// Waits for a moment and returns those of the first `count` pollers that have not ended.
    fn wait_a_little(&self, count: usize) -> Vec<usize> {
        let begun = clock::real();
        let mut state = self.lock();
        loop {
            let left = state.left(count);
            let passed = Duration::from_nanos(clock::real().saturating_sub(begun));
            if left.is_empty() || passed >= BETWEEN_LOOKS {
                return left;
            }
            state = self.changed.wait_timeout(&self.state, state, BETWEEN_LOOKS - passed);
        }
    }

    /// Returns `true` if a late poller is stuck.
    fn is_stuck(&self, index: usize, poller: &PollerHandle, late: &mut Option<Late>) -> bool {
        let id = self.threads[index].load(Ordering::Relaxed);
        // The thread has not begun, so it can't be told from one that waits for a processor.
        if id == 0 {
            return false;
        }
        let Some(look) = Look::at(poller, id) else {
            *late = None;
            return false;
        };
        match late {
            Some(late) if late.progress == look.progress => late.is_stuck_by(&look),
            _ => {
                *late = Some(Late::since(&look));
                false
            }
        }
    }
}

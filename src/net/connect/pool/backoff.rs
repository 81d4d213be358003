//! Pauses between attempts to connect, which grow with the failures.
//!
//! A pool serves many users. If each failure began the next attempt at once, a peer that is down
//! would get as many connects as the pool has users, over and over.

use std::cell::Cell;
use std::time::Duration;

use crate::sys::clock;

/// The pause after the first failure.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);

/// The longest pause. Each one is twice as long as the one before.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long a pool begins no attempt, because the last ones have failed.
#[derive(Default)]
pub(crate) struct Backoff {
    /// The length of the last pause; zero after an attempt that succeeded.
    pause: Cell<Duration>,
    /// When the pause ends, in nanoseconds of the poller's clock; 0 if there was none.
    until: Cell<u64>,
    /// The number of pauses so far.
    round: Cell<u64>,
}

impl Backoff {
    /// Returns when the pause ends, if there is one now.
    pub(crate) fn pause_ends(&self) -> Option<u64> {
        let until = self.until.get();
        // Most pools never pause, and don't read the clock here.
        (until != 0 && until > clock::now()).then_some(until)
    }

    /// Returns the round in which an attempt is begun: [`Backoff::failed`] asks for it.
    pub(crate) fn round(&self) -> u64 {
        self.round.get()
    }

    /// Begins a pause, since an attempt that was begun in `round` has failed.
    pub(crate) fn failed(&self, round: u64) {
        // Attempts that were begun together fail together, and count as one failure.
        if round != self.round.get() {
            return;
        }
        // The first failure finds zero, which the lower bound makes the shortest pause.
        let pause = (self.pause.get() * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        self.pause.set(pause);
        self.until.set(clock::after(clock::now(), pause));
        self.round.set(round + 1);
    }

    /// Ends the pause, since an attempt has succeeded.
    pub(crate) fn reset(&self) {
        self.pause.set(Duration::ZERO);
        self.until.set(0);
    }
}

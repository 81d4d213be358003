//! Pauses that grow with failures.

use std::cell::Cell;
use std::time::Duration;

use crate::sys::clock;

/// How long nothing is begun after a first failure.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
/// And after many.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// When nothing is to be begun, because it has failed.
#[derive(Default)]
pub(crate) struct Backoff {
    /// How long the present pause is. Zero: the last attempt was good.
    pause: Cell<Duration>,
    /// When it is over; 0 if there is none.
    until: Cell<u64>,
    /// How many pauses there have been.
    round: Cell<u64>,
}

impl Backoff {
    /// When the pause ends, if there is one now.
    pub(crate) fn pause_ends(&self) -> Option<u64> {
        let until = self.until.get();
        (until != 0 && until > clock::now()).then_some(until)
    }

    /// The round in which an attempt is begun.
    pub(crate) fn round(&self) -> u64 {
        self.round.get()
    }

    /// An attempt of `round` has failed: begins a pause, twice as long as the last one. Of
    /// attempts that were begun together, one failure counts.
    pub(crate) fn begin(&self, round: u64) {
        if round != self.round.get() {
            return;
        }
        let pause = (self.pause.get() * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        self.pause.set(pause);
        self.until.set(clock::after(clock::now(), pause));
        self.round.set(round + 1);
    }

    /// An attempt was good.
    pub(crate) fn end(&self) {
        self.pause.set(Duration::ZERO);
        self.until.set(0);
    }
}

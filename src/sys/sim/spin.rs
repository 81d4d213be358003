//! Programs that go on for ever and wait for nothing.
//!
//! The clock of a simulation jumps when all programs wait. One that never does holds it up: the
//! others are never due. Such a program makes calls that do nothing: it asks for events that it does
//! not act on, or reads where there is nothing to read.

use super::id::HostId;
use super::world::World;

/// How many calls in a row may do nothing before their program is taken for one that spins. They
/// take 20 ms of the simulation.
const MOST_SILENT: u32 = 100_000;

/// How many more it may make before it has to be stopped in what it does: it may be about to wait.
const LAST_CALLS: u32 = 1000;

impl World {
    /// Counts a call of the running host. The simulation fails if too many have done nothing.
    ///
    /// # Panics
    ///
    /// Panics a while after that, once, so that a loop ends which makes calls and nothing else.
    pub(super) fn count_call(&mut self) {
        self.silent_calls = self.silent_calls.saturating_add(1);
        if self.silent_calls >= MOST_SILENT {
            self.stop_spin();
        }
    }

    /// Notes that something has happened, or that all programs have waited.
    pub(super) fn note_progress(&mut self) {
        self.silent_calls = 0;
    }

    /// Adds a line to the trace of which nothing follows: that there are events.
    pub(super) fn log_events(&mut self, host: HostId, text: std::fmt::Arguments<'_>) {
        let silent = self.silent_calls;
        self.log(host, text);
        self.silent_calls = silent;
    }

    /// Fails by the running host, and stops it if it goes on.
    #[cold]
    fn stop_spin(&mut self) {
        let (host, count) = (self.host(), self.silent_calls);
        let name = self.name(host).to_owned();
        let message =
            format!("{name} spins: {MOST_SILENT} system calls in a row have done nothing");
        if count == MOST_SILENT {
            self.fail_by(host, message);
            // The line that says so is no progress.
            self.silent_calls = count;
        } else if count == MOST_SILENT + LAST_CALLS && !std::thread::panicking() {
            panic!("{message}");
        }
    }
}

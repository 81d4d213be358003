//! The deadlines of a stream of tasks. A missed deadline is the error of the operation that waits
//! for it, and does not end the stream; a handler's connection ends then (`connection::deadlines`).

use std::io;

use crate::connection::deadlines;
use crate::local::deadline_timer::DeadlineTimer;
use crate::local::registration::Registration;
use crate::local::source::Source;
use crate::local::state::Local;
use crate::parts::deadlines::Deadlines;
use crate::parts::readiness::Direction;
use crate::source::wake;
use crate::sys::clock;

/// Checks the deadlines of a stream, whose timer has fired. If one is missed it wakes the tasks
/// that wait, whose polls return the error.
pub(crate) fn check(local: &Local, source: &Source) {
    // Not the current time: what came before this time has been reported, what came since has not.
    let now = local.dispatched_until();
    let Some(mut deadlines) = source.take_deadlines() else { return };
    deadlines.timer = None;
    let is_missed = deadlines.tracker.missed(now).is_some();
    deadlines::arm(local, source.token, &mut deadlines, now);
    source.put_deadlines(deadlines);
    if is_missed {
        wake::wake_all(source);
    }
}

impl Registration {
    /// Sets the stream's deadlines, in place of those that it had.
    pub(crate) fn set_deadlines(&self, deadlines: Deadlines) {
        let is_timed = deadlines != Deadlines::default();
        self.source().readiness.set_timed(is_timed);
        self.disarm_deadlines();
        if is_timed {
            self.source().put_deadlines(Box::new(DeadlineTimer::new(deadlines)));
        }
        // Tasks that wait already are polled again, and so wait by the new deadlines.
        wake::wake_all(self.source());
    }

    /// Returns `true` if an operation has failed because one of the present deadlines was missed.
    pub(crate) fn has_missed_deadline(&self) -> bool {
        self.source().readiness.is_timed()
            && update(self.source(), |deadlines| deadlines.has_missed).unwrap_or(false)
    }

    /// Removes the deadlines. No task waits.
    pub(crate) fn clear_deadlines(&self) {
        if self.source().readiness.is_timed() {
            self.source().readiness.set_timed(false);
            self.disarm_deadlines();
        }
    }

    /// Starts the deadlines of `direction` anew, after an operation has succeeded. Does the work of
    /// [`Registration::note_progress`] for a stream with deadlines.
    #[cold]
    pub(crate) fn note_progress_in_time(&self, direction: Direction) {
        let now = self.local().now();
        update(self.source(), |deadlines| match direction {
            Direction::Read => deadlines.tracker.has_read(now, false),
            Direction::Write => deadlines.tracker.has_written(now),
        });
    }

    /// Notes that an operation waits in `direction`; with `None`, that a task waits for the end
    /// only.
    ///
    /// # Errors
    ///
    /// Returns the error of a deadline that is missed. That deadline then starts anew.
    #[cold]
    pub(crate) fn wait_within_deadlines(&self, direction: Option<Direction>) -> io::Result<()> {
        let now = clock::now();
        let reads = direction == Some(Direction::Read);
        let writes = direction == Some(Direction::Write);
        // A deadline that has passed since the poller last looked at the events is not missed yet:
        // bytes that came in time may not have been reported.
        let dispatched_until = self.local().dispatched_until();
        let missed = update(self.source(), |deadlines| {
            if let Some(missed) = deadlines.tracker.take_missed(dispatched_until, reads, writes) {
                deadlines.has_missed = true;
                return Some(missed);
            }
            if reads {
                deadlines.tracker.waits_to_read(|| now, true);
            }
            if writes {
                deadlines.tracker.waits_to_write(|| now, true);
            }
            deadlines::arm(self.local(), self.source().token, deadlines, dispatched_until);
            None
        });
        missed.flatten().map_or(Ok(()), |missed| Err(missed.into()))
    }
}

/// Changes the deadlines of a stream, if it has any, and returns what `change` returns. No foreign
/// code may run in `change`, as it would find none.
fn update<R>(source: &Source, change: impl FnOnce(&mut DeadlineTimer) -> R) -> Option<R> {
    let mut deadlines = source.take_deadlines()?;
    let result = change(&mut deadlines);
    source.put_deadlines(deadlines);
    Some(result)
}

//! The deadlines of a stream of tasks.

use std::cell::Cell;
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

/// Looks at the deadlines of a stream, whose timer has fired. If one is missed it wakes the tasks that
/// wait: their polls find it missed.
pub(crate) fn check(local: &Local, source: &Source) {
    let now = local.looked_at();
    let Some(mut timing) = source.timing.take() else { return };
    timing.timer = None;
    let is_missed = timing.tracker.missed(now).is_some();
    deadlines::arm(local, source.token, &mut timing, now);
    source.timing.set(Some(timing));
    if is_missed {
        wake::wake_all(source);
    }
}

impl Registration {
    /// Gives the stream deadlines, in place of those that it had.
    pub(crate) fn set_deadlines(&self, deadlines: Deadlines) {
        let is_timed = deadlines != Deadlines::default();
        let new = is_timed.then(|| Box::new(DeadlineTimer::new(deadlines)));
        self.source().timed.set(is_timed);
        self.end_timing();
        self.source().timing.set(new);
        // Whoever waits already waits by the new ones.
        wake::wake_all(self.source());
    }

    /// Whether a task has been told that a deadline of those that there are now was missed.
    pub(crate) fn has_missed_deadline(&self) -> bool {
        self.source().timed.get()
            && with(&self.source().timing, |timing| timing.has_missed).unwrap_or(false)
    }

    /// Goes on without deadlines, when no task waits.
    pub(crate) fn forget_deadlines(&self) {
        if self.source().timed.replace(false) {
            self.end_timing();
        }
    }

    /// An operation of a stream with deadlines has succeeded.
    #[cold]
    pub(crate) fn note_moved(&self, direction: Direction) {
        let now = self.local().now();
        with(&self.source().timing, |timing| match direction {
            Direction::Read => timing.tracker.has_read(now, false),
            Direction::Write => timing.tracker.has_written(now),
        });
    }

    /// An operation of a stream with deadlines has to wait, or nothing but its end is waited for: an
    /// error, if that has taken long enough.
    #[cold]
    pub(crate) fn wait_in_time(&self, direction: Option<Direction>) -> io::Result<()> {
        let now = clock::now();
        let reads = direction == Some(Direction::Read);
        let writes = direction == Some(Direction::Write);
        // A deadline that has passed since the last look at the events is not missed yet: what
        // came in time may not have been told.
        let looked_at = self.local().looked_at();
        let missed = with(&self.source().timing, |timing| {
            if let Some(missed) = timing.tracker.take_missed(looked_at, reads, writes) {
                timing.has_missed = true;
                return Some(missed);
            }
            if reads {
                timing.tracker.waits_to_read(|| now, true);
            }
            if writes {
                timing.tracker.waits_to_write(|| now, true);
            }
            deadlines::arm(self.local(), self.source().token, timing, looked_at);
            None
        });
        missed.flatten().map_or(Ok(()), |missed| Err(missed.into()))
    }
}

/// Changes what is in the cell, if there is something. Nothing foreign runs in `change`.
fn with<R>(
    timing: &Cell<Option<Box<DeadlineTimer>>>,
    change: impl FnOnce(&mut DeadlineTimer) -> R,
) -> Option<R> {
    let mut present = timing.take()?;
    let result = change(&mut present);
    timing.set(Some(present));
    Some(result)
}

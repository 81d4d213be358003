//! The timer behind a set of deadlines: one for each connection or stream that has them.

use crate::base::token::Token;
use crate::parts::deadlines::{DeadlineTracker, Deadlines};
use crate::sys::clock;

/// The deadlines of one connection, and the timer that looks at them.
pub(crate) struct DeadlineTimer {
    /// When each deadline began, and when it ends.
    pub(crate) tracker: DeadlineTracker,
    /// The timer that looks at the watch, and when it is due. It may be set to an earlier time than it
    /// would have to: then it looks, and is set anew.
    pub(crate) timer: Option<(Token, u64)>,
    /// A task has been told that a deadline was missed.
    pub(crate) has_missed: bool,
}

impl DeadlineTimer {
    /// Makes the deadlines, without a timer yet. They begin now.
    pub(crate) fn new(limits: Deadlines) -> DeadlineTimer {
        DeadlineTimer {
            tracker: DeadlineTracker::new(limits, clock::now()),
            timer: None,
            has_missed: false,
        }
    }

    /// Returns when the timer is to look for deadlines that end after `after`; `None` while it is set
    /// to look early enough.
    pub(crate) fn next_look(&self, after: u64) -> Option<u64> {
        let next = self.tracker.next(after)?;
        match self.timer {
            Some((_, at)) if at <= next => None,
            _ => Some(next),
        }
    }

    /// Takes the timer's token out, for the caller to disarm it.
    pub(crate) fn take_timer(&mut self) -> Option<Token> {
        self.timer.take().map(|(timer, _)| timer)
    }
}

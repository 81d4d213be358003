//! The deadlines of one connection or stream, with the one timer that looks at them.
//!
//! A byte that moves only changes the tracker. The timer stays where it is in the heap, and finds
//! out when it fires whether a deadline was missed or has moved on.

use crate::base::token::Token;
use crate::parts::deadlines::{DeadlineTracker, Deadlines};
use crate::sys::clock;

/// The deadlines of one connection, and the timer that looks at them.
pub(crate) struct DeadlineTimer {
    /// When each deadline began, and when it ends.
    pub(crate) tracker: DeadlineTracker,
    /// The timer, and when it is due. That may be earlier than the next deadline, which has moved
    /// on since: the timer then looks, and is armed anew.
    pub(crate) timer: Option<(Token, u64)>,
    /// A task has got the error of a missed deadline.
    pub(crate) has_missed: bool,
}

impl DeadlineTimer {
    /// Makes the deadlines, which begin now, without a timer yet.
    pub(crate) fn new(limits: Deadlines) -> DeadlineTimer {
        DeadlineTimer {
            tracker: DeadlineTracker::new(limits, clock::now()),
            timer: None,
            has_missed: false,
        }
    }

    /// Returns when the timer is to look for deadlines that end after `after`; `None` while it is
    /// set to look early enough.
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

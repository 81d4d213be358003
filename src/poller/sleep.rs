//! The wait of a turn: for events, until the next deadline.

use std::io;
use std::time::Duration;

use super::Poller;
use crate::local::calls;
use crate::sys::clock;
use crate::sys::epoll::{Events, LONGEST_WAIT};

/// A signal is no event.
#[inline]
pub(crate) fn no_events_if_interrupted(waited: io::Result<usize>) -> io::Result<usize> {
    match waited {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        other => other,
    }
}

impl Poller {
    /// Waits for events: until the next deadline at the longest.
    #[inline]
    pub(crate) fn wait(&self, events: &mut Events, most: Option<Duration>) -> io::Result<usize> {
        let has_work = self.executor().has_work() || self.local().has_work() || self.is_drained();
        if has_work || most == Some(Duration::ZERO) || !self.executor().park() {
            return self.look(events);
        }
        calls::fall_asleep(self.local());
        #[cfg(feature = "test-util")]
        let result = self.wait_by_the_clock(events, most);
        #[cfg(not(feature = "test-util"))]
        let result = self.sleep(events, most);
        self.executor().unpark();
        calls::wake_up(self.local());
        result
    }

    /// Takes the events that there are.
    #[inline]
    pub(crate) fn look(&self, events: &mut Events) -> io::Result<usize> {
        if self.local().has_timers() {
            self.local().looks_at(clock::now());
        }
        no_events_if_interrupted(self.local().epoll.wait(events, Some(Duration::ZERO)))
    }

    /// Waits for events until the next deadline, for `most` at the longest.
    #[inline]
    pub(crate) fn sleep(&self, events: &mut Events, most: Option<Duration>) -> io::Result<usize> {
        let local = self.local();
        let Some(deadline) = local.next_deadline() else {
            return no_events_if_interrupted(local.epoll.wait(events, most));
        };
        let now = clock::now();
        local.looks_at(now);
        let until_deadline = Duration::from_nanos(deadline.saturating_sub(now));
        let timeout =
            most.map_or(until_deadline, |most| most.min(until_deadline)).min(LONGEST_WAIT);
        let waited = local.epoll.wait(events, Some(timeout));
        if timeout == until_deadline && matches!(waited, Ok(0)) {
            // The kernel has looked once more when the time was over. After an interruption it has
            // not: the process may have been stopped for longer than that.
            local.looks_at(deadline.max(now));
        }
        no_events_if_interrupted(waited)
    }
}

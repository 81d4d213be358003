//! The wait of a turn: for events, until the next deadline.
//!
//! Before it sleeps, the poller announces it in its mailbox ([`Executor::park`]). From then on mail
//! rings the eventfd, which ends the wait; while the poller is awake mail rings nothing. The
//! announcement fails if mail has come, so there is no window for a lost wake-up.
//!
//! [`Executor::park`]: crate::task::Executor::park

use std::io;
use std::time::Duration;

use super::Poller;
use crate::local::calls;
use crate::local::state::Local;
use crate::sys::clock;
use crate::sys::epoll::{Events, LONGEST_WAIT};

/// How far ahead a poller looks for its next deadline before it sleeps, in nanoseconds.
///
/// The timers of a busy server are limits that move on with every request, so what is looked up for
/// a time that far away has changed before it comes. A poller that does sleep that long may wake
/// once for a timer that has moved on or is gone.
const LOOK_AHEAD: u64 = 100_000_000;

/// Returns until when a poller may sleep that falls asleep at `now`; `None` without a timer that
/// ever fires. No timer is due before that. If it is further away than [`LOOK_AHEAD`], it may be
/// earlier than the next deadline: the poller then wakes for nothing, and looks again.
#[inline]
fn next_look(local: &Local, now: u64) -> Option<u64> {
    let limit = now.saturating_add(LOOK_AHEAD);
    // A timer at `NEVER`, as of a sleep of centuries, is armed but doesn't limit the wait.
    local.timers.borrow_mut().next_look(limit).filter(|look| *look != clock::NEVER)
}

/// Turns the error of a wait that a signal has interrupted (EINTR) into no events.
#[inline]
pub(crate) fn no_events_if_interrupted(waited: io::Result<usize>) -> io::Result<usize> {
    match waited {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        other => other,
    }
}

impl Poller {
    /// Waits for events until the next deadline, but for `max_wait` at most. Takes only what is
    /// ready if there is something to do already. Returns the number of events.
    #[inline]
    pub(crate) fn wait(
        &self,
        events: &mut Events,
        max_wait: Option<Duration>,
    ) -> io::Result<usize> {
        let has_work = self.executor().has_work() || self.local().has_work() || self.is_shut_down();
        // `park` comes last: it announces the sleep.
        if has_work || max_wait == Some(Duration::ZERO) || !self.executor().park() {
            return self.poll_events(events);
        }
        // A stall watch must not take the wait for a call that is stuck.
        calls::begin_wait(self.local());
        #[cfg(feature = "test-util")]
        let result = self.wait_or_advance_clock(events, max_wait);
        #[cfg(not(feature = "test-util"))]
        let result = self.sleep(events, max_wait);
        // From here on mail rings nothing: `turn` looks into the mailbox next.
        self.executor().unpark();
        calls::end_wait(self.local());
        result
    }

    /// Takes the events that are ready, without waiting. Returns their number.
    #[inline]
    pub(crate) fn poll_events(&self, events: &mut Events) -> io::Result<usize> {
        if self.local().has_timers() {
            // Read before the system call: what was ready by then is reported before timers that
            // become due later. Without timers the reading would be wasted.
            self.local().set_dispatched_until(clock::now());
        }
        no_events_if_interrupted(self.local().epoll.wait(events, Some(Duration::ZERO)))
    }

    /// Sleeps until there are events or the next deadline comes, but for `max_wait` at most.
    /// Returns the number of events.
    #[inline]
    pub(crate) fn sleep(
        &self,
        events: &mut Events,
        max_wait: Option<Duration>,
    ) -> io::Result<usize> {
        let local = self.local();
        if !local.has_timers() {
            return no_events_if_interrupted(local.epoll.wait(events, max_wait));
        }
        self.sleep_until_due(events, max_wait)
    }

    /// Sleeps as [`Poller::sleep`] does, while timers are armed.
    #[inline(never)]
    fn sleep_until_due(
        &self,
        events: &mut Events,
        max_wait: Option<Duration>,
    ) -> io::Result<usize> {
        let local = self.local();
        let now = clock::now();
        local.set_dispatched_until(now);
        let Some(deadline) = next_look(local, now) else {
            return no_events_if_interrupted(local.epoll.wait(events, max_wait));
        };
        let until_deadline = Duration::from_nanos(deadline.saturating_sub(now));
        // If the deadline is further away than the longest wait, the turn ends with nothing done,
        // and the next one waits on.
        let timeout = max_wait.unwrap_or(until_deadline).min(until_deadline).min(LONGEST_WAIT);
        let waited = local.epoll.wait(events, Some(timeout));
        if timeout == until_deadline && matches!(waited, Ok(0)) {
            // When the time was over the kernel looked for events once more, and found none. After
            // a signal it has not looked, and the process may have been stopped past the deadline.
            local.set_dispatched_until(deadline.max(now));
        }
        no_events_if_interrupted(waited)
    }
}

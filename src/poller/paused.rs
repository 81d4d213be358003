//! Waiting while the clock stands: feature `test-util`.

use std::io;
use std::time::Duration;

use crate::sys::clock::{self, paused};
use crate::sys::epoll::Events;

use super::Poller;

impl Poller {
    /// Waits; but on a clock that stands no time passes by itself. When there is nothing to do and no
    /// event, it is moved to the next deadline.
    pub(super) fn wait_by_the_clock(
        &self,
        events: &mut Events,
        most: Option<Duration>,
    ) -> io::Result<usize> {
        let local = self.local();
        if !paused::is_paused() {
            return local.epoll.wait(events, self.timeout(most));
        }
        let count = local.epoll.wait(events, Some(Duration::ZERO))?;
        if count > 0 || self.executor().has_work() {
            return Ok(count);
        }
        let Some(deadline) = local.next_deadline().filter(|_| local.blocking_calls() == 0) else {
            // Only the world outside can bring something to do.
            return local.epoll.wait(events, most);
        };
        let limit = most.map_or(clock::NEVER, |most| clock::after(clock::now(), most));
        paused::advance_to(deadline.min(limit));
        Ok(0)
    }

    /// The poller ends, and with it what it has done to the clock.
    pub(super) fn forget_the_pause(&self) {
        if self.local().has_paused.replace(false) {
            paused::forget();
        }
    }
}

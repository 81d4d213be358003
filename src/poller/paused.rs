//! Waiting while the clock is paused, for tests (feature `test-util`). A paused clock does not move
//! while there is something to do; when nothing is left the wait moves it to the next deadline.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Poller;
use crate::poller::sleep::no_events_if_interrupted;
use crate::sys::clock::{self, paused};
use crate::sys::epoll::Events;

#[cfg(feature = "blocking")]
use std::sync::Arc;
#[cfg(feature = "blocking")]
use std::sync::atomic::AtomicUsize;

#[cfg(feature = "blocking")]
use crate::task::SharedRef;

#[cfg(feature = "blocking")]
use crate::local::state::Local;

/// Keeps a paused clock from moving by itself, until it is dropped on any thread. Each blocking
/// call has one: the poller must not skip time while it waits for work on another thread.
#[cfg(feature = "blocking")]
pub(crate) struct ClockHold {
    /// The number of holds of the poller.
    holds: Arc<AtomicUsize>,
    /// The poller's mailbox, by which it is woken.
    executor: SharedRef,
}

/// Keeps the clock of this poller from moving by itself while the guard lives.
#[cfg(feature = "blocking")]
pub(crate) fn hold_clock(local: &Local) -> ClockHold {
    local.clock_holds.fetch_add(1, Ordering::Relaxed);
    ClockHold { holds: local.clock_holds.clone(), executor: local.handle.executor().clone() }
}

#[cfg(feature = "blocking")]
impl Drop for ClockHold {
    fn drop(&mut self) {
        // Release: a poller that sees the hold gone also sees the result that it was held for.
        self.holds.fetch_sub(1, Ordering::Release);
        // A poller announces its sleep before it reads the count: either it has seen the hold gone,
        // or this mail wakes it. If the poller has ended there is nothing to wake.
        let _ = self.executor.post(|| ());
    }
}

impl Poller {
    /// Sleeps like [`Poller::sleep`]; but if the clock is paused, and there are no events and
    /// nothing to do, it moves the clock to the next deadline instead.
    pub(super) fn wait_or_advance_clock(
        &self,
        events: &mut Events,
        max_wait: Option<Duration>,
    ) -> io::Result<usize> {
        let local = self.local();
        if !paused::is_paused() {
            return self.sleep(events, max_wait);
        }
        // Acquire, and before the look at mail and events: if the hold is gone, its result is seen
        // below.
        let is_held = local.clock_holds.load(Ordering::Acquire) > 0;
        let count = self.poll_events(events)?;
        if count > 0 || self.executor().has_work() {
            return Ok(count);
        }
        let Some(deadline) = local.next_deadline().filter(|_| !is_held) else {
            // Nothing to skip to: only an event or another thread can bring something to do.
            return no_events_if_interrupted(local.epoll.wait(events, max_wait));
        };
        let limit = max_wait.map_or(clock::NEVER, |wait| clock::after(clock::now(), wait));
        // Not beyond `max_wait`: the caller of a `LocalPoller` goes on at that time.
        paused::advance_to(deadline.min(limit));
        local.set_dispatched_until(clock::now());
        Ok(0)
    }

    /// Makes the thread's clock the kernel's again, if this poller has paused it.
    pub(super) fn restore_clock(&self) {
        if self.local().has_paused.replace(false) {
            paused::forget();
        }
    }
}

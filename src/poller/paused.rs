//! Waiting while the clock stands: feature `test-util`.

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

/// Keeps a clock that stands from moving by itself, until it is dropped, on whichever thread. Without
/// blocking calls, nothing goes on elsewhere that could be waited for.
#[cfg(feature = "blocking")]
pub(crate) struct Hold {
    holds: Arc<AtomicUsize>,
    executor: SharedRef,
}

#[cfg(feature = "blocking")]
/// As long as something is under way elsewhere that is going to bring this poller something.
pub(crate) fn hold_clock(local: &Local) -> Hold {
    local.clock_holds.fetch_add(1, Ordering::Relaxed);
    Hold { holds: local.clock_holds.clone(), executor: local.handle.executor().clone() }
}

#[cfg(feature = "blocking")]
impl Drop for Hold {
    fn drop(&mut self) {
        // Release: when the poller sees that it is gone, it sees what it was held for.
        self.holds.fetch_sub(1, Ordering::Release);
        // The poller announces its sleep before it looks for holds: it has seen this, or is woken.
        let _ = self.executor.post(|| ());
    }
}

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
            return self.sleep(events, most);
        }
        // Before the look at what has come: what was brought before the clock was let go is seen.
        let is_held = local.clock_holds.load(Ordering::Acquire) > 0;
        let count = self.look(events)?;
        if count > 0 || self.executor().has_work() {
            return Ok(count);
        }
        let Some(deadline) = local.next_deadline().filter(|_| !is_held) else {
            // Only the world outside can bring something to do.
            return no_events_if_interrupted(local.epoll.wait(events, most));
        };
        let limit = most.map_or(clock::NEVER, |most| clock::after(clock::now(), most));
        paused::advance_to(deadline.min(limit));
        local.looks_at(clock::now());
        Ok(0)
    }

    /// The poller ends, and with it what it has done to the clock.
    pub(super) fn forget_the_pause(&self) {
        if self.local().has_paused.replace(false) {
            paused::forget();
        }
    }
}

//! The thread of a stall watch.
//!
//! It samples: it looks at the pollers from time to time, and a call that it sees twice with the
//! threshold in between is a stall. So the pollers read no clock for it.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::base::error::during;
use crate::base::sync::thread::{self, JoinHandle};
use crate::parts::activity::{Activity, Parker};
use crate::poller::UnboundPoller;
use crate::sys::clock;
use crate::task::ignore_panic;

use super::stall::{Stall, StallWatch};

/// The largest number of reports in any minute.
const MOST_REPORTS: usize = 5;
/// The time over which reports are counted.
const MINUTE: Duration = Duration::from_secs(60);

/// The shortest time between two looks, as the watch must not take the pollers' processors.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

/// The thread, as its reactor has it.
pub(super) struct Watchdog {
    /// The thread itself.
    thread: JoinHandle<()>,
    /// Keeps the thread running until `join`.
    guard: Arc<WatchdogGuard>,
}

/// Held by each watched thread. When the last one is dropped, the watchdog ends.
#[derive(Debug)]
pub(super) struct WatchdogGuard(Arc<Parker>);

impl Drop for WatchdogGuard {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Watchdog {
    /// Starts the thread. From then on the pollers report to it what they run.
    pub(super) fn start(
        watch: StallWatch,
        pollers: &mut [UnboundPoller],
        thread_name: &str,
    ) -> io::Result<Watchdog> {
        let parker = Arc::new(Parker::default());
        let activities: Vec<_> =
            pollers.iter().map(|_| Arc::new(Activity::new(parker.clone()))).collect();
        // Before the thread is there: a poller tells of its calls from its first turn on.
        for (poller, activity) in pollers.iter_mut().zip(&activities) {
            poller.set_activity(activity.clone());
        }
        let mut watch = WatchLoop::new(watch, activities, parker.clone());
        let thread = thread::Builder::new()
            .name(format!("{thread_name}-watch"))
            .spawn(move || watch.run())
            .map_err(|error| during("starting the stall watch", error))?;
        parker.set_thread(thread.thread());
        Ok(Watchdog { thread, guard: Arc::new(WatchdogGuard(parker)) })
    }

    /// Returns a guard, for a thread that is watched.
    pub(super) fn guard(&self) -> Arc<WatchdogGuard> {
        self.guard.clone()
    }

    /// Waits for the end of the thread, after that of the pollers' threads.
    pub(super) fn join(self) {
        drop(self.guard);
        // The thread only panics if dropping the user's closure does.
        let _ = self.thread.join();
    }
}

impl fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchdog").finish_non_exhaustive()
    }
}

/// The state of the thread.
struct WatchLoop {
    /// Each poller, and the call that it was last seen in.
    pollers: Vec<(Arc<Activity>, Option<Sighting>)>,
    /// The time from which a call is a stall, in nanoseconds.
    threshold: u64,
    /// The time between two looks.
    interval: Duration,
    /// Where the thread waits while all pollers sleep.
    parker: Arc<Parker>,
    /// Which stalls may be reported.
    limit: RateLimit,
    /// The number of stalls since the last report that the limit has kept back.
    unreported: usize,
    /// The user's closure.
    report: Arc<dyn Fn(&Stall) + Send + Sync>,
}

/// A call that a poller was seen in.
#[derive(Clone, Copy)]
struct Sighting {
    /// The call's number.
    number: u64,
    /// When the call was first seen.
    since: u64,
    /// `true` if the call has counted as a stall already.
    has_stalled: bool,
}

impl WatchLoop {
    /// Creates the state from the settings of the user.
    fn new(watch: StallWatch, pollers: Vec<Arc<Activity>>, parker: Arc<Parker>) -> WatchLoop {
        WatchLoop {
            pollers: pollers.into_iter().map(|activity| (activity, None)).collect(),
            threshold: u64::try_from(watch.threshold.as_nanos()).unwrap_or(u64::MAX),
            interval: (watch.threshold / 2).max(SHORTEST_INTERVAL),
            parker,
            limit: RateLimit::default(),
            unreported: 0,
            report: watch.report,
        }
    }

    /// Looks at the pollers until it is told to end.
    fn run(&mut self) {
        while !self.parker.is_over() {
            if self.all_asleep() {
                self.parker.park_if(|| self.all_asleep() && !self.parker.is_over());
            } else {
                // Parked and not asleep, so that its end comes at once.
                thread::park_timeout(self.interval);
            }
            for poller in 0..self.pollers.len() {
                if let Some(stall) = self.look(poller) {
                    ignore_panic(|| (self.report)(&stall));
                }
            }
        }
    }

    /// Returns `true` if no poller can stall now.
    fn all_asleep(&self) -> bool {
        self.pollers.iter().all(|(activity, _)| activity.is_asleep())
    }

    /// Looks at a poller and returns a stall that is to be reported.
    fn look(&mut self, poller: usize) -> Option<Stall> {
        // The time is read before the look, and for a new call after it. So the measured time is
        // never longer than the real one.
        let now = clock::now();
        let (activity, sighting) = &mut self.pollers[poller];
        let call = activity.current_call.get();
        let same = sighting.filter(|seen| call.is_some_and(|call| call.number == seen.number));
        let (Some(call), Some(seen)) = (call, same) else {
            let new = |number| Sighting { number, since: clock::now(), has_stalled: false };
            *sighting = call.map(|call| new(call.number));
            return None;
        };
        let elapsed = now.saturating_sub(seen.since);
        if seen.has_stalled || elapsed < self.threshold {
            return None;
        }
        // Also if the limit keeps the report back: a long stall counts once.
        *sighting = Some(Sighting { has_stalled: true, ..seen });
        if !self.limit.admits(now) {
            self.unreported += 1;
            return None;
        }
        Some(Stall {
            poller,
            kind: call.kind(),
            type_name: (call.type_name)(),
            elapsed: Duration::from_nanos(elapsed),
            unreported: std::mem::take(&mut self.unreported),
        })
    }
}

/// A limit of [`MOST_REPORTS`] in any minute.
#[derive(Default)]
struct RateLimit {
    /// When the last reports were made, the oldest first, in nanoseconds.
    times: VecDeque<u64>,
}

impl RateLimit {
    /// Returns `true` if a report may be made at `now`, and counts it.
    fn admits(&mut self, now: u64) -> bool {
        if self.times.len() == MOST_REPORTS {
            if now - self.times[0] < MINUTE.as_nanos() as u64 {
                return false;
            }
            self.times.pop_front();
        }
        self.times.push_back(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{MINUTE, RateLimit};

    #[test]
    fn at_most_five_are_admitted_in_any_minute() {
        let minute = MINUTE.as_nanos() as u64;
        let mut limit = RateLimit::default();
        for now in [0, 1, 2, minute / 2, minute - 1] {
            assert!(limit.admits(now));
        }
        assert!(!limit.admits(minute - 1));
        // The first three are a minute ago, one after the other.
        for now in [minute, minute + 1, minute + 2] {
            assert!(limit.admits(now));
            assert!(!limit.admits(now));
        }
        assert!(!limit.admits(minute * 3 / 2 - 1));
        assert!(limit.admits(minute * 3 / 2));
    }
}

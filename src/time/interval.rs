//! Ticks at a fixed period.
//!
//! An interval is one `Sleep` that is reset after each tick: the timer stays in the heap, and
//! moving it to a later time is one store.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::sys::clock;

use super::sleep::{Sleep, sleep, sleep_until};

/// How late a tick may be and still count as punctual. The scheduler makes every tick a little late;
/// without a tolerance [`MissedTickBehavior::Delay`] would move the schedule at each of them.
const TOLERANCE: Duration = Duration::from_millis(5);

/// What an [`Interval`] does about ticks that were due while no task waited for them.
///
/// # Examples
///
/// ```
/// use corepoll::time::{MissedTickBehavior, interval};
/// use std::time::Duration;
///
/// let mut refresh = interval(Duration::from_secs(1));
/// // One late refresh is enough.
/// refresh.set_missed_tick_behavior(MissedTickBehavior::Skip);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum MissedTickBehavior {
    /// Ticks as fast as possible until the interval has caught up with its schedule.
    #[default]
    Burst,
    /// Starts a new schedule at the late tick, so that at least one period passes between two ticks.
    ///
    /// A tick is late if it comes 5 ms after it was due, or one period after it was due if the period
    /// is shorter than that. Smaller delays are normal on any machine and keep the schedule.
    Delay,
    /// Leaves the missed ticks out and keeps the schedule.
    Skip,
}

/// Creates an [`Interval`] that ticks every `period`. The first tick is due at once.
///
/// With [`Duration::ZERO`] every tick is due at once. The poller does its other work in between.
///
/// # Examples
///
/// ```
/// use corepoll::{block_on, time};
/// use std::time::{Duration, Instant};
///
/// block_on(async {
///     let start = Instant::now();
///     let mut interval = time::interval(Duration::from_millis(1));
///     for _ in 0..3 {
///         interval.tick().await;
///     }
///     assert!(start.elapsed() >= Duration::from_millis(2));
/// });
/// ```
pub fn interval(period: Duration) -> Interval {
    Interval { next: sleep(Duration::ZERO), period, missed: MissedTickBehavior::Burst }
}

/// Creates an [`Interval`] that ticks every `period`. The first tick is due at `start`.
///
/// # Examples
///
/// ```
/// use corepoll::{block_on, time};
/// use std::time::{Duration, Instant};
///
/// block_on(async {
///     let start = Instant::now() + Duration::from_millis(1);
///     let mut interval = time::interval_at(start, Duration::from_secs(60));
///     assert_eq!(interval.tick().await, start);
/// });
/// ```
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    Interval { next: sleep_until(start), period, missed: MissedTickBehavior::Burst }
}

/// A source of ticks at a fixed period, made by [`interval`] and [`interval_at`].
///
/// Each tick is scheduled one period after the one before was due, not after it was received. So an
/// interval does not drift, whatever is done between two ticks. [`MissedTickBehavior`] decides what
/// happens when that takes longer than a period.
///
/// # Examples
///
/// ```
/// # use corepoll::time::{self, Interval};
/// # use std::time::Duration;
/// # corepoll::block_on(async {
/// async fn three_ticks(mut interval: Interval) {
///     for _ in 0..3 {
///         interval.tick().await;
///     }
/// }
///
/// three_ticks(time::interval(Duration::from_millis(1))).await;
/// # });
/// ```
#[derive(Debug)]
pub struct Interval {
    /// The wait for the next tick.
    next: Sleep,
    /// The time between two ticks.
    period: Duration,
    /// What is done about missed ticks.
    missed: MissedTickBehavior,
}

impl Interval {
    /// Waits for the next tick and returns the time at which it was due.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe: if its future is dropped, the tick is still to come.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::time;
    /// # use std::time::Duration;
    /// # corepoll::block_on(async {
    /// let mut interval = time::interval(Duration::from_millis(1));
    /// let first = interval.tick().await;
    /// assert_eq!(interval.tick().await - first, Duration::from_millis(1));
    /// # });
    /// ```
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// Polls for the next tick: [`Interval::tick`] for futures that are written by hand.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::time;
    /// # use std::future::poll_fn;
    /// # use std::time::Duration;
    /// # corepoll::block_on(async {
    /// let mut interval = time::interval(Duration::from_millis(1));
    /// let due = poll_fn(|cx| interval.poll_tick(cx)).await;
    /// assert!(due <= time::now());
    /// # });
    /// ```
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(Pin::new(&mut self.next).poll(cx));
        let due = self.next.deadline_ns();
        // Before the task runs: what it does counts for the period that has begun.
        self.next.reset_ns(self.following(due));
        Poll::Ready(clock::to_instant(due))
    }

    /// Returns when the tick after the one that was due at `due` is due.
    fn following(&self, due: u64) -> u64 {
        let next = clock::after(due, self.period);
        let now = clock::now();
        match self.missed {
            MissedTickBehavior::Delay if now > next.min(clock::after(due, TOLERANCE)) => {
                clock::after(now, self.period)
            }
            MissedTickBehavior::Skip if now > next => {
                // The next multiple of the period that is in the future. A period of zero has none.
                let period = u64::try_from(self.period.as_nanos()).unwrap_or(clock::NEVER).max(1);
                now.saturating_add(period - (now - due) % period)
            }
            _ => next,
        }
    }

    /// Returns the time between two ticks.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::time;
    /// # use std::time::Duration;
    /// let interval = time::interval(Duration::from_secs(5));
    /// assert_eq!(interval.period(), Duration::from_secs(5));
    /// ```
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Restarts the interval now: the next tick is due one period from now.
    ///
    /// The ticks after that one follow it at the same period, as they do after the other `reset`
    /// methods. A task that waits for a tick in another poller waits for the new one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::time;
    /// # use std::time::Duration;
    /// # corepoll::block_on(async {
    /// let period = Duration::from_millis(1);
    /// let mut interval = time::interval(period);
    /// let start = time::now();
    /// // The first tick would have been due at once.
    /// interval.reset();
    /// assert!(interval.tick().await >= start + period);
    /// # });
    /// ```
    pub fn reset(&mut self) {
        self.reset_after(self.period);
    }

    /// Restarts the interval with a tick that is due now.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::time;
    /// # use std::time::Duration;
    /// # corepoll::block_on(async {
    /// let mut refresh = time::interval(Duration::from_secs(3600));
    /// refresh.tick().await;
    /// // The settings have changed: the next refresh does not wait for an hour.
    /// refresh.reset_immediately();
    /// refresh.tick().await;
    /// # });
    /// ```
    pub fn reset_immediately(&mut self) {
        self.reset_after(Duration::ZERO);
    }

    /// Restarts the interval with a tick that is due when `after` has passed from now.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::time;
    /// # use std::time::Duration;
    /// # corepoll::block_on(async {
    /// let mut interval = time::interval(Duration::from_millis(1));
    /// let start = time::now();
    /// interval.reset_after(Duration::from_millis(3));
    /// let first = interval.tick().await;
    /// assert!(first >= start + Duration::from_millis(3));
    /// assert_eq!(interval.tick().await - first, interval.period());
    /// # });
    /// ```
    pub fn reset_after(&mut self, after: Duration) {
        self.next.reset_ns(clock::after(clock::now(), after));
    }

    /// Restarts the interval with a tick that is due at `deadline`.
    ///
    /// If that time has passed, the tick is due at once, and [`MissedTickBehavior`] decides about the
    /// ticks that follow it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::time;
    /// # use std::time::Duration;
    /// # corepoll::block_on(async {
    /// let mut interval = time::interval(Duration::from_secs(60));
    /// let deadline = time::now() + Duration::from_millis(1);
    /// interval.reset_at(deadline);
    /// assert_eq!(interval.tick().await, deadline);
    /// # });
    /// ```
    pub fn reset_at(&mut self, deadline: Instant) {
        self.next.reset_ns(clock::to_ns(deadline));
    }

    /// Returns what is done about missed ticks.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::time::{self, MissedTickBehavior};
    /// # use std::time::Duration;
    /// let interval = time::interval(Duration::from_secs(1));
    /// assert_eq!(interval.missed_tick_behavior(), MissedTickBehavior::Burst);
    /// ```
    pub fn missed_tick_behavior(&self) -> MissedTickBehavior {
        self.missed
    }

    /// Sets what is done about missed ticks. The default is [`MissedTickBehavior::Burst`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::time::{self, MissedTickBehavior};
    /// # use std::time::Duration;
    /// let mut interval = time::interval(Duration::from_secs(1));
    /// interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    /// assert_eq!(interval.missed_tick_behavior(), MissedTickBehavior::Delay);
    /// ```
    pub fn set_missed_tick_behavior(&mut self, behavior: MissedTickBehavior) {
        self.missed = behavior;
    }
}

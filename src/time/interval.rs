//! A beat.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::sys::clock;

use super::sleep::{Sleep, sleep, sleep_until};

/// How late a tick may be and count as punctual, or else every one would move the beat.
const PUNCTUAL: Duration = Duration::from_millis(5);

/// What an interval does about ticks that nobody was there for.
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
    /// They come one right after the other, until the beat is caught up with.
    #[default]
    Burst,
    /// The beat begins anew from the late tick: from one tick to the next it is a period at least.
    /// A tick counts as late here when it is by 5 ms, or by a period: less is what any machine takes.
    Delay,
    /// They are left out; the beat stays.
    Skip,
}

/// A tick every `period`, the first one at once.
///
/// With [`Duration::ZERO`] every tick is due at once; the poller's other work goes on in between.
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

/// A tick every `period`, the first one at `start`.
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

/// The beat of [`interval`] and [`interval_at`].
///
/// ```
/// # use corepoll::time::{self, Interval};
/// # use std::time::Duration;
/// # corepoll::block_on(async {
/// async fn three(mut beat: Interval) {
///     for _ in 0..3 {
///         beat.tick().await;
///     }
/// }
///
/// three(time::interval(Duration::from_millis(1))).await;
/// # });
/// ```
#[derive(Debug)]
pub struct Interval {
    /// Until the next tick.
    next: Sleep,
    period: Duration,
    missed: MissedTickBehavior,
}

impl Interval {
    /// Waits for the next tick; gives the time at which it was due.
    ///
    /// Cancel-safe: a tick that was not given is still to come.
    ///
    /// ```
    /// # use corepoll::time;
    /// # use std::time::Duration;
    /// # corepoll::block_on(async {
    /// let mut beat = time::interval(Duration::from_millis(1));
    /// let first = beat.tick().await;
    /// assert_eq!(beat.tick().await - first, Duration::from_millis(1));
    /// # });
    /// ```
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// [`Interval::tick`], for futures written by hand.
    ///
    /// ```
    /// # use corepoll::time;
    /// # use std::future::poll_fn;
    /// # use std::time::Duration;
    /// # corepoll::block_on(async {
    /// let mut beat = time::interval(Duration::from_millis(1));
    /// let due = poll_fn(|cx| beat.poll_tick(cx)).await;
    /// assert!(due <= time::now());
    /// # });
    /// ```
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(Pin::new(&mut self.next).poll(cx));
        let due = self.next.deadline_ns();
        self.next.reset_ns(self.after(due));
        Poll::Ready(clock::to_instant(due))
    }

    /// The tick after the one that was due at `due`.
    fn after(&self, due: u64) -> u64 {
        let next = clock::after(due, self.period);
        let now = clock::now();
        match self.missed {
            MissedTickBehavior::Delay if now > next.min(clock::after(due, PUNCTUAL)) => {
                clock::after(now, self.period)
            }
            MissedTickBehavior::Skip if now > next => {
                let period = u64::try_from(self.period.as_nanos()).unwrap_or(clock::NEVER).max(1);
                now.saturating_add(period - (now - due) % period)
            }
            _ => next,
        }
    }

    /// The time between two ticks.
    ///
    /// ```
    /// # use corepoll::time;
    /// # use std::time::Duration;
    /// let beat = time::interval(Duration::from_secs(5));
    /// assert_eq!(beat.period(), Duration::from_secs(5));
    /// ```
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Makes the next tick due when one period from now has passed.
    ///
    /// ```
    /// # use corepoll::time;
    /// # use std::time::Duration;
    /// # corepoll::block_on(async {
    /// let period = Duration::from_millis(1);
    /// let mut beat = time::interval(period);
    /// let start = time::now();
    /// // The first tick isn't due at once any more.
    /// beat.reset();
    /// assert!(beat.tick().await >= start + period);
    /// # });
    /// ```
    pub fn reset(&mut self) {
        self.next.reset_ns(clock::after(clock::now(), self.period));
    }

    /// What is done about missed ticks.
    ///
    /// ```
    /// # use corepoll::time::{self, MissedTickBehavior};
    /// # use std::time::Duration;
    /// let beat = time::interval(Duration::from_secs(1));
    /// assert_eq!(beat.missed_tick_behavior(), MissedTickBehavior::Burst);
    /// ```
    pub fn missed_tick_behavior(&self) -> MissedTickBehavior {
        self.missed
    }

    /// Changes what is done about missed ticks. Default: [`MissedTickBehavior::Burst`].
    ///
    /// ```
    /// # use corepoll::time::{self, MissedTickBehavior};
    /// # use std::time::Duration;
    /// let mut beat = time::interval(Duration::from_secs(1));
    /// beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    /// assert_eq!(beat.missed_tick_behavior(), MissedTickBehavior::Delay);
    /// ```
    pub fn set_missed_tick_behavior(&mut self, behavior: MissedTickBehavior) {
        self.missed = behavior;
    }
}

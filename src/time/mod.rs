//! Timers for tasks: sleeping, timeouts, intervals.
//!
//! Deadlines are nanoseconds of the monotonic clock, and nothing is ever early. Every future here
//! works on the poller that polls it, and panics, saying so, when there is none.

mod interval;
#[cfg(feature = "test-util")]
mod pause;
mod sleep;
mod timeout;

pub use interval::{Interval, MissedTickBehavior, interval, interval_at};
#[cfg(feature = "test-util")]
pub use pause::{advance, pause, resume};
pub use sleep::{Sleep, sleep, sleep_until};
pub use timeout::{Elapsed, Timeout, timeout, timeout_at};

use std::time::Instant;

use crate::sys::clock;

/// The time by the clock that timers go by: [`Instant::now`], but where the feature `test-util` has
/// paused or moved the clock of this thread.
///
/// ```
/// use corepoll::{block_on, time};
/// use std::time::Duration;
///
/// block_on(async {
///     let start = time::now();
///     time::sleep(Duration::from_millis(1)).await;
///     assert!(time::now() >= start + Duration::from_millis(1));
/// });
/// ```
pub fn now() -> Instant {
    clock::to_instant(clock::now())
}

//! Timers for tasks: sleeping, timeouts, intervals.
//!
//! Deadlines are nanoseconds of the monotonic clock, and nothing is ever early. Every future here
//! works on the poller that polls it, and panics, saying so, when there is none.

mod interval;
mod sleep;
mod timeout;

pub use interval::{Interval, MissedTickBehavior, interval, interval_at};
pub use sleep::{Sleep, sleep, sleep_until};
pub use timeout::{Elapsed, Timeout, timeout, timeout_at};

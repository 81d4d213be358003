//! The monotonic clock: CLOCK_MONOTONIC of clock_gettime(2), as nanoseconds in a `u64`.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A deadline that never comes: five centuries after the start of the process.
pub(crate) const NEVER: u64 = u64::MAX;

/// The origin of this process's nanoseconds. A whole number is compared and added in one
/// instruction each, an `Instant` in five.
fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    // An hour back, so that instants from before the first reading have their place as well.
    const BACK: Duration = Duration::from_secs(3600);
    *ORIGIN.get_or_init(|| {
        let now = Instant::now();
        now.checked_sub(BACK).unwrap_or(now)
    })
}

/// Nanoseconds since the origin, now.
#[inline]
pub(crate) fn now() -> u64 {
    to_ns(Instant::now())
}

/// The nanoseconds at which `instant` is.
#[inline]
pub(crate) fn to_ns(instant: Instant) -> u64 {
    let since = instant.saturating_duration_since(origin());
    u64::try_from(since.as_nanos()).unwrap_or(NEVER)
}

/// The instant that is `ns` nanoseconds after the origin.
#[inline]
pub(crate) fn to_instant(ns: u64) -> Instant {
    origin() + Duration::from_nanos(ns)
}

/// `delay` after `ns`, or never.
#[inline]
pub(crate) fn after(ns: u64, delay: Duration) -> u64 {
    ns.saturating_add(u64::try_from(delay.as_nanos()).unwrap_or(NEVER))
}

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

/// Nanoseconds since the origin, now: the kernel's, unless this thread's clock has been paused.
#[inline]
pub(crate) fn now() -> u64 {
    #[cfg(feature = "test-util")]
    return paused::now();
    #[cfg(not(feature = "test-util"))]
    kernels_now()
}

#[inline]
fn kernels_now() -> u64 {
    to_ns(Instant::now())
}

/// A clock for tests, one a thread: it can be stopped, and moved forward while it stands.
#[cfg(feature = "test-util")]
pub(crate) mod paused {
    use super::kernels_now;
    use std::cell::Cell;

    thread_local! {
        /// Where the clock stands, while it does.
        static STANDS_AT: Cell<Option<u64>> = const { Cell::new(None) };
        /// What a clock that stood once is ahead of the kernel's, modulo 2⁶⁴: it may be behind.
        static AHEAD: Cell<u64> = const { Cell::new(0) };
    }

    pub(super) fn now() -> u64 {
        STANDS_AT.get().unwrap_or_else(|| kernels_now().wrapping_add(AHEAD.get()))
    }

    /// Whether the clock stands.
    pub(crate) fn is_paused() -> bool {
        STANDS_AT.get().is_some()
    }

    /// Stops the clock, if it runs.
    pub(crate) fn pause() {
        STANDS_AT.set(Some(now()));
    }

    /// Moves a clock that stands to `time`, if that is later.
    pub(crate) fn advance_to(time: u64) {
        STANDS_AT.set(STANDS_AT.get().map(|at| at.max(time)));
    }

    /// Lets the clock run on from where it stands.
    pub(crate) fn resume() {
        if let Some(at) = STANDS_AT.take() {
            AHEAD.set(at.wrapping_sub(kernels_now()));
        }
    }

    /// Makes the clock the kernel's again.
    pub(crate) fn forget() {
        STANDS_AT.set(None);
        AHEAD.set(0);
    }
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

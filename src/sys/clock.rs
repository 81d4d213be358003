//! The monotonic clock: CLOCK_MONOTONIC of clock_gettime(2), as nanoseconds in a `u64`.
//!
//! [`Instant`] reads the same clock on Linux. With the feature `test-util` a test may pause the clock
//! of its thread and move it forward.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A deadline that never comes: 584 years after the machine's start.
pub(crate) const NEVER: u64 = u64::MAX;

/// An instant and a reading that were taken together.
///
/// A poller compares and adds times in every turn. That takes one instruction with a `u64` and
/// about five with an `Instant`, so everything inside of the crate counts nanoseconds, and an
/// `Instant` is converted where it enters or leaves.
struct Anchor {
    /// What [`Instant::now`] returned.
    instant: Instant,
    /// The middle of what [`kernel_now`] returned right before and right after that.
    reading: u64,
}

/// How often the pair is taken. The closest one is kept, since the thread may be interrupted while
/// it takes one.
const TRIES: usize = 8;

/// Returns the pair by which this process converts.
fn anchor() -> &'static Anchor {
    static ANCHOR: OnceLock<Anchor> = OnceLock::new();
    ANCHOR.get_or_init(|| {
        let tries = (0..TRIES).map(|_| {
            let before = kernel_now();
            let instant = Instant::now();
            let gap = kernel_now() - before;
            // The middle is wrong by a few nanoseconds at most, and two calls of the clock lie
            // further apart. So an instant and a reading that are taken one after the other keep
            // their order, whichever of them is converted.
            (gap, Anchor { instant, reading: before + gap / 2 })
        });
        let closest = tries.min_by_key(|(gap, _)| *gap).expect("there is more than one try");
        closest.1
    })
}

/// Reads the clock of this thread: the kernel's, unless a test has paused or moved it.
#[inline]
pub(crate) fn now() -> u64 {
    #[cfg(feature = "test-util")]
    return paused::now();
    #[cfg(not(feature = "test-util"))]
    kernel_now()
}

/// Reads the kernel's clock.
#[inline]
fn kernel_now() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is one valid timespec. Linux always has this clock, so the call can't fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Reads the kernel's clock even where this thread's clock is paused.
///
/// Threads that exchange a point in time use this one, as each of them may have a clock of its own.
pub(crate) fn real() -> u64 {
    kernel_now()
}

/// Returns what this thread's clock will read when the kernel's reads `real`.
///
/// If this thread's clock is paused, it reads that after a test has moved it by the time that is
/// left.
pub(crate) fn from_real(real: u64) -> u64 {
    // As a difference: the two clocks have no reading in common while one of them is paused.
    let left = real.saturating_sub(kernel_now());
    if real == NEVER { NEVER } else { after(now(), Duration::from_nanos(left)) }
}

/// A clock for tests, one for each thread. It can be paused, and moved forward while it is paused.
#[cfg(feature = "test-util")]
pub(crate) mod paused {
    use super::{NEVER, kernel_now};
    use std::cell::Cell;

    thread_local! {
        /// What the clock reads while it is paused.
        static PAUSED_AT: Cell<Option<u64>> = const { Cell::new(None) };
        /// How far a clock that has been resumed is ahead of the kernel's.
        static AHEAD: Cell<u64> = const { Cell::new(0) };
        /// How far it is behind the kernel's.
        static BEHIND: Cell<u64> = const { Cell::new(0) };
    }

    /// Reads this thread's clock.
    pub(super) fn now() -> u64 {
        PAUSED_AT.get().unwrap_or_else(|| {
            // A clock that was moved to the end of time stays there: NEVER is not a time.
            let now = kernel_now().saturating_add(AHEAD.get()).min(NEVER - 1);
            now.saturating_sub(BEHIND.get())
        })
    }

    /// Returns `true` if the clock is paused.
    pub(crate) fn is_paused() -> bool {
        PAUSED_AT.get().is_some()
    }

    /// Pauses the clock. A clock that is paused already stays where it is.
    pub(crate) fn pause() {
        PAUSED_AT.set(Some(now()));
    }

    /// Moves a paused clock to `time` if that is later, and does nothing to one that runs.
    pub(crate) fn advance_to(time: u64) {
        PAUSED_AT.set(PAUSED_AT.get().map(|at| at.max(time)));
    }

    /// Lets a paused clock run on from where it is.
    pub(crate) fn resume() {
        if let Some(at) = PAUSED_AT.take() {
            // One of the two differences is zero.
            let now = kernel_now();
            AHEAD.set(at.saturating_sub(now));
            BEHIND.set(now.saturating_sub(at));
        }
    }

    /// Makes the clock the kernel's again.
    pub(crate) fn forget() {
        PAUSED_AT.set(None);
        AHEAD.set(0);
        BEHIND.set(0);
    }
}

/// Converts an instant to its reading: never to an earlier one.
#[inline]
pub(crate) fn to_ns(instant: Instant) -> u64 {
    let anchor = anchor();
    match instant.checked_duration_since(anchor.instant) {
        Some(later) => after(anchor.reading, later),
        None => {
            let earlier = anchor.instant.saturating_duration_since(instant).as_nanos();
            anchor.reading.saturating_sub(u64::try_from(earlier).unwrap_or(NEVER))
        }
    }
}

/// Converts a reading to its instant: never to a later one.
#[inline]
pub(crate) fn to_instant(ns: u64) -> Instant {
    let anchor = anchor();
    match ns.checked_sub(anchor.reading) {
        Some(later) => anchor.instant + Duration::from_nanos(later),
        None => anchor.instant - Duration::from_nanos(anchor.reading - ns),
    }
}

/// Returns the time `delay` after `ns`, or [`NEVER`] if a `u64` can't hold it.
#[inline]
pub(crate) fn after(ns: u64, delay: Duration) -> u64 {
    // In 64 bits, which takes half the instructions of `Duration::as_nanos`.
    let seconds = delay.as_secs().saturating_mul(1_000_000_000);
    ns.saturating_add(seconds).saturating_add(u64::from(delay.subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use super::{NEVER, kernel_now, to_instant, to_ns};
    use std::time::{Duration, Instant};

    #[test]
    fn instants_and_readings_keep_their_order() {
        for _ in 0..10_000 {
            let (first, second, third) = (kernel_now(), Instant::now(), kernel_now());
            assert!(first <= to_ns(second) && to_ns(second) <= third);
            assert!(to_instant(first) <= second && second <= to_instant(third));
        }
    }

    #[test]
    fn instants_and_readings_go_to_and_fro() {
        let now = Instant::now();
        let (hour, second) = (Duration::from_secs(3600), Duration::from_secs(1));
        for instant in [now, now + hour, now - second] {
            assert_eq!(to_instant(to_ns(instant)), instant);
        }
        assert_eq!(to_ns(now + hour) - to_ns(now), hour.as_nanos() as u64);
        assert_eq!(to_ns(now + Duration::from_secs(1 << 40)), NEVER);
        assert!(to_instant(NEVER) > now + hour);
    }
}

//! The monotonic clock: CLOCK_MONOTONIC of clock_gettime(2), as nanoseconds in a `u64`. It is what
//! [`Instant`] reads on Linux.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A deadline that never comes: five centuries after the machine's start.
pub(crate) const NEVER: u64 = u64::MAX;

/// An instant and its reading. A whole number is compared and added in one instruction each, an
/// `Instant` in five; so everything inside counts nanoseconds, and `Instant`s stand at the door.
struct Anchor {
    instant: Instant,
    reading: u64,
}

fn anchor() -> &'static Anchor {
    static ANCHOR: OnceLock<Anchor> = OnceLock::new();
    ANCHOR.get_or_init(|| {
        let before = kernels_now();
        let instant = Instant::now();
        let after = kernels_now();
        // Were it not the exact one, the later of two bounds keeps every deadline from being early.
        let exact = Some(reading_of(instant)).filter(|exact| (before..=after).contains(exact));
        Anchor { instant, reading: exact.unwrap_or(after) }
    })
}

/// The reading of the clock that an instant stands for. An `Instant` hides it, but tells it by how
/// much can be added before its seconds, an `i64`, overflow.
fn reading_of(instant: Instant) -> u64 {
    let fits =
        |seconds: u64, nanos: u32| instant.checked_add(Duration::new(seconds, nanos)).is_some();
    let seconds = last_that(i64::MAX as u64, |seconds| fits(seconds, 0));
    let nanos = last_that(999_999_999, |nanos| fits(seconds, nanos as u32));
    (i64::MAX as u64 - seconds) * 1_000_000_000 + (999_999_999 - nanos)
}

/// The last number up to `most` for which `is_so`, which it is for all up to there.
fn last_that(most: u64, is_so: impl Fn(u64) -> bool) -> u64 {
    let (mut yes, mut no) = (0, most + 1);
    while no - yes > 1 {
        let middle = yes + (no - yes) / 2;
        if is_so(middle) {
            yes = middle;
        } else {
            no = middle;
        }
    }
    yes
}

/// The reading of the clock, now: the kernel's, unless this thread's clock has been paused.
#[inline]
pub(crate) fn now() -> u64 {
    #[cfg(feature = "test-util")]
    return paused::now();
    #[cfg(not(feature = "test-util"))]
    kernels_now()
}

#[inline]
fn kernels_now() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is one valid timespec. This clock is always there, so the call can't fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The reading of the kernel's clock, whatever this thread's clock does: for what threads tell each
/// other.
pub(crate) fn real() -> u64 {
    kernels_now()
}

/// The reading that this thread's clock is going to have when the kernel's reads `real`; if it stands,
/// after it has been moved by as much as is left until then.
pub(crate) fn from_real(real: u64) -> u64 {
    let left = real.saturating_sub(kernels_now());
    if real == NEVER { NEVER } else { after(now(), Duration::from_nanos(left)) }
}

/// A clock for tests, one a thread: it can be stopped, and moved forward while it stands.
#[cfg(feature = "test-util")]
pub(crate) mod paused {
    use super::{NEVER, kernels_now};
    use std::cell::Cell;

    thread_local! {
        /// Where the clock stands, while it does.
        static STANDS_AT: Cell<Option<u64>> = const { Cell::new(None) };
        /// What a clock that stood once is ahead of the kernel's.
        static AHEAD: Cell<u64> = const { Cell::new(0) };
        /// What it is behind.
        static BEHIND: Cell<u64> = const { Cell::new(0) };
    }

    pub(super) fn now() -> u64 {
        STANDS_AT.get().unwrap_or_else(|| {
            // A clock that was moved to the end of time stays there.
            let now = kernels_now().saturating_add(AHEAD.get()).min(NEVER - 1);
            now.saturating_sub(BEHIND.get())
        })
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
            let now = kernels_now();
            AHEAD.set(at.saturating_sub(now));
            BEHIND.set(now.saturating_sub(at));
        }
    }

    /// Makes the clock the kernel's again.
    pub(crate) fn forget() {
        STANDS_AT.set(None);
        AHEAD.set(0);
        BEHIND.set(0);
    }
}

/// The reading at which `instant` is.
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

/// The instant of a reading.
#[inline]
pub(crate) fn to_instant(ns: u64) -> Instant {
    let anchor = anchor();
    match ns.checked_sub(anchor.reading) {
        Some(later) => anchor.instant + Duration::from_nanos(later),
        None => anchor.instant - Duration::from_nanos(anchor.reading - ns),
    }
}

/// `delay` after `ns`, or never.
#[inline]
pub(crate) fn after(ns: u64, delay: Duration) -> u64 {
    ns.saturating_add(u64::try_from(delay.as_nanos()).unwrap_or(NEVER))
}

#[cfg(test)]
mod tests {
    use super::{NEVER, kernels_now, reading_of, to_instant, to_ns};
    use std::time::{Duration, Instant};

    #[test]
    fn an_instant_tells_its_reading() {
        let before = kernels_now();
        let reading = reading_of(Instant::now());
        assert!((before..=kernels_now()).contains(&reading));
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

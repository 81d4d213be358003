//! The monotonic clock: CLOCK_MONOTONIC of clock_gettime(2), as nanoseconds in a `u64`.
//!
//! [`Instant`] reads the same clock on Linux. With the feature `test-util` a test may pause the clock
//! of its thread and move it forward.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A deadline that never comes: 584 years after the machine's start.
pub(crate) const NEVER: u64 = u64::MAX;

/// How many times an instant and a reading are taken together. The closest pair is kept, since the
/// thread may be interrupted while it takes one.
const TRIES: usize = 8;

/// Returns the instant at which the clock read zero. By it this process converts.
///
/// A poller compares and adds times in every turn. That takes one instruction with a `u64` and about
/// five with an `Instant`, so everything inside of the crate counts nanoseconds, and an `Instant` is
/// converted where it enters or leaves.
fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(|| {
        let tries = (0..TRIES).map(|_| {
            let before = linux_now();
            let instant = Instant::now();
            let gap = linux_now() - before;
            // The middle is wrong by a few nanoseconds at most, and two calls of the clock lie
            // further apart. So an instant and a reading that are taken one after the other keep
            // their order, whichever of them is converted.
            (gap, instant - Duration::from_nanos(before + gap / 2))
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

/// Returns [`now`] as an instant.
#[inline]
pub(crate) fn now_instant() -> Instant {
    #[cfg(feature = "sim")]
    if super::sim::current().is_some() {
        return to_instant(now());
    }
    #[cfg(feature = "test-util")]
    if !paused::is_real() {
        return to_instant(paused::now());
    }
    Instant::now()
}

/// How far a time must lie ahead of the coarse clock to be taken for one that has not come. The
/// coarse clock is moved at each tick of the kernel, of which there are at least a hundred a second.
const FAR: u64 = 100_000_000;

/// Returns `true` if the clock of this thread has reached `time`.
///
/// Most times that are asked about are limits, and lie far ahead. The coarse clock is enough to
/// tell so, and reading it takes a fifth of the time. Once this has returned `true` for a time it
/// always does, since neither of the two clocks ever goes back.
#[inline]
pub(crate) fn has_reached(time: u64) -> bool {
    !is_far(time) && now() >= time
}

/// Returns `true` if `time` lies further ahead of the coarse clock than that clock is slow.
#[inline]
fn is_far(time: u64) -> bool {
    simulated!(_kernel => false);
    #[cfg(feature = "test-util")]
    if !paused::is_real() {
        return false;
    }
    time.saturating_sub(kernel_coarse()) > FAR
}

/// Reads the kernel's clock.
#[inline]
fn kernel_now() -> u64 {
    simulated!(kernel => kernel.read_clock());
    linux_now()
}

/// Reads Linux's clock.
#[inline]
fn linux_now() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is one valid timespec. Linux always has this clock, so the call can't fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    nanoseconds(&now)
}

/// Reads the kernel's coarse clock, which is the same one as it was at the last tick. Returns
/// [`NEVER`] where there is none.
#[inline]
fn kernel_coarse() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is one valid timespec.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &mut now) } != 0;
    if failed { NEVER } else { nanoseconds(&now) }
}

/// Returns what a clock has read.
#[inline]
fn nanoseconds(time: &libc::timespec) -> u64 {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
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

    /// Returns `true` if the clock is the kernel's: no test has paused or moved it.
    pub(super) fn is_real() -> bool {
        PAUSED_AT.get().is_none() && AHEAD.get() == 0 && BEHIND.get() == 0
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

/// Converts an instant to its reading: never to an earlier one. Before the machine's start it is 0.
#[inline]
pub(crate) fn to_ns(instant: Instant) -> u64 {
    after(0, instant.saturating_duration_since(origin()))
}

/// Converts a reading to its instant: never to a later one.
#[inline]
pub(crate) fn to_instant(ns: u64) -> Instant {
    origin() + Duration::from_nanos(ns)
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
    use super::{FAR, NEVER, has_reached, kernel_now, to_instant, to_ns};
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
    fn a_time_is_reached_when_the_clock_reads_it_and_no_earlier() {
        assert!(has_reached(0) && has_reached(kernel_now()));
        assert!(!has_reached(NEVER));
        // Far away at first, and then near.
        for ahead in [FAR * 3 / 2, FAR / 2, 1_000_000] {
            let time = kernel_now() + ahead;
            while !has_reached(time) {
                std::hint::spin_loop();
            }
            assert!(kernel_now() >= time);
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

//! The cheapest clock there is: the processor's own counter.
//!
//! It measures how long things take where a reading of the monotonic clock would cost as much as
//! what is measured. Nothing is scheduled by it.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The counter, now. On the processors that Linux calls `constant_tsc` it counts at one speed on
/// all cores; elsewhere what is measured by it is as good as the counter.
#[inline(always)]
pub(crate) fn now() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction exists on every x86-64, and reads a register.
    return unsafe { std::arch::x86_64::_rdtsc() };
    #[cfg(target_arch = "aarch64")]
    {
        let count: u64;
        // SAFETY: Linux lets programs read this register.
        unsafe { std::arch::asm!("mrs {}, cntvct_el0", out(reg) count, options(nomem, nostack)) };
        return count;
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return super::clock::now();
}

/// A point in time by both clocks: the counter's speed is measured from here on.
fn origin() -> &'static (u64, Instant) {
    static ORIGIN: OnceLock<(u64, Instant)> = OnceLock::new();
    ORIGIN.get_or_init(reading)
}

/// The time by both clocks. The best of some tries: the thread may be interrupted between the two.
fn reading() -> (u64, Instant) {
    let tries = (0..4).map(|_| {
        let (before, instant, after) = (now(), Instant::now(), now());
        (after.saturating_sub(before), before, instant)
    });
    let best = tries.min_by_key(|(gap, ..)| *gap).expect("there are four");
    (best.1, best.2)
}

/// Begins to measure the counter's speed, if nobody has.
pub(crate) fn calibrate() {
    origin();
}

/// What `ticks` are in time.
pub(crate) fn to_duration(ticks: u64) -> Duration {
    let (counted, passed) = speed();
    let nanoseconds = u128::from(ticks) * passed / u128::from(counted);
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

/// How many ticks `time` is, or as many as there are.
pub(crate) fn from_duration(time: Duration) -> u64 {
    let (counted, passed) = speed();
    let ticks = time.as_nanos().checked_mul(u128::from(counted)).map(|product| product / passed);
    ticks.and_then(|ticks| u64::try_from(ticks).ok()).unwrap_or(u64::MAX)
}

/// The counter's speed: the ticks that were counted in so many nanoseconds.
fn speed() -> (u64, u128) {
    let (first, start) = *origin();
    loop {
        let (ticks, instant) = reading();
        let (counted, passed) = (ticks.saturating_sub(first), instant.duration_since(start));
        // The first poller of a process asks right after the origin: from here on the two readings
        // are less than a hundredth apart.
        if passed >= SHORTEST_MEASUREMENT {
            return (counted.max(1), passed.as_nanos());
        }
        std::hint::spin_loop();
    }
}

/// Long beside the time between two readings of different clocks.
const SHORTEST_MEASUREMENT: Duration = Duration::from_micros(20);

#[cfg(test)]
mod tests {
    use super::{calibrate, from_duration, now, to_duration};
    use std::time::{Duration, Instant};

    #[test]
    fn ticks_pass_as_time_does() {
        calibrate();
        let (start, first) = (Instant::now(), now());
        std::thread::sleep(Duration::from_millis(20));
        let (passed, counted) = (start.elapsed(), to_duration(now() - first));
        assert!(counted > passed / 2 && counted < passed * 2, "{counted:?} for {passed:?}");
    }

    #[test]
    fn ticks_of_a_time_are_that_time() {
        let second = to_duration(from_duration(Duration::from_secs(1)));
        assert!(second > Duration::from_millis(500) && second < Duration::from_secs(2));
        assert_eq!((from_duration(Duration::ZERO), from_duration(Duration::MAX)), (0, u64::MAX));
    }
}

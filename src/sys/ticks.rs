//! The cheapest clock there is: the processor's own counter.
//!
//! It measures how long things take where reading the monotonic clock would cost as much as what is
//! measured. No timer depends on it.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Reads the counter. Processors with the flag `constant_tsc` count at one speed on all cores;
/// elsewhere a measurement is as good as the counter.
#[inline(always)]
pub(crate) fn now() -> u64 {
    simulated!(kernel => kernel.now());
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

/// Returns the point in time, by both clocks, from which the counter's speed is measured.
fn origin() -> &'static (u64, Instant) {
    static ORIGIN: OnceLock<(u64, Instant)> = OnceLock::new();
    ORIGIN.get_or_init(reading)
}

/// Reads both clocks. It takes the closest of four pairs, as the thread may be interrupted between
/// the two halves.
fn reading() -> (u64, Instant) {
    let tries = (0..4).map(|_| {
        let (before, instant, after) = (now(), Instant::now(), now());
        (after.saturating_sub(before), before, instant)
    });
    let best = tries.min_by_key(|(gap, ..)| *gap).expect("there are four");
    (best.1, best.2)
}

/// Begins to measure the counter's speed, if that has not begun.
pub(crate) fn calibrate() {
    origin();
}

/// Converts ticks to time.
pub(crate) fn to_duration(ticks: u64) -> Duration {
    let (counted, passed) = speed();
    let nanoseconds = u128::from(ticks) * passed / u128::from(counted);
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

/// Converts time to ticks, to [`u64::MAX`] if they are more.
pub(crate) fn from_duration(time: Duration) -> u64 {
    let (counted, passed) = speed();
    let ticks = time.as_nanos().checked_mul(u128::from(counted)).map(|product| product / passed);
    ticks.and_then(|ticks| u64::try_from(ticks).ok()).unwrap_or(u64::MAX)
}

/// Returns the counter's speed: how many ticks it has counted, and in how many nanoseconds.
fn speed() -> (u64, u128) {
    // A tick of the simulation is a nanosecond.
    simulated!(_kernel => (1, 1));
    let (first, start) = *origin();
    loop {
        let (ticks, instant) = reading();
        let (counted, passed) = (ticks.saturating_sub(first), instant.duration_since(start));
        // The first poller of a process asks right after the origin. It waits until the two
        // readings of a pair lie less than a hundredth of the measured time apart.
        if passed >= SHORTEST_MEASUREMENT {
            return (counted.max(1), passed.as_nanos());
        }
        std::hint::spin_loop();
    }
}

/// The shortest time over which the speed is measured: long beside the time between two readings.
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

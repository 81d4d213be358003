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
    ORIGIN.get_or_init(|| (now(), Instant::now()))
}

/// Begins to measure the counter's speed, if nobody has.
pub(crate) fn calibrate() {
    origin();
}

/// What `ticks` are in time.
pub(crate) fn to_duration(ticks: u64) -> Duration {
    let (first, start) = *origin();
    let counted = now().saturating_sub(first).max(1);
    let passed = start.elapsed();
    let nanoseconds = u128::from(ticks) * passed.as_nanos() / u128::from(counted);
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::{calibrate, now, to_duration};
    use std::time::{Duration, Instant};

    #[test]
    fn ticks_pass_as_time_does() {
        calibrate();
        let (start, first) = (Instant::now(), now());
        std::thread::sleep(Duration::from_millis(20));
        let (passed, counted) = (start.elapsed(), to_duration(now() - first));
        assert!(counted > passed / 2 && counted < passed * 2, "{counted:?} for {passed:?}");
    }
}

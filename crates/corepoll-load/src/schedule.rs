//! When requests are to be sent at a constant rate.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// The times at which a connection is to send its requests: the connections take turns, so that together
/// they send at the rate.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// The time of the first request of the first connection.
    start: Instant,
    /// The number of the next request, among those of all connections.
    next: u64,
    /// How many connections take turns.
    connections: u64,
    /// Requests a second, over all connections.
    rate: NonZeroU64,
}

impl Schedule {
    /// Makes the schedule of one of `connections`, the one with the number `index`.
    pub fn new(start: Instant, index: usize, connections: usize, rate: NonZeroU64) -> Schedule {
        Schedule { start, next: index as u64, connections: connections as u64, rate }
    }

    /// Returns when the next request is to be sent.
    pub fn next(&self) -> Instant {
        // Computed anew each time: no error adds up.
        let nanoseconds = u128::from(self.next) * 1_000_000_000 / u128::from(self.rate.get());
        let after = u64::try_from(nanoseconds).unwrap_or(u64::MAX);
        self.start + Duration::from_nanos(after)
    }

    /// Goes on to the request after the next one.
    pub fn advance(&mut self) {
        self.next += self.connections;
    }
}

/// Returns how many requests a schedule of `rate` has within `duration`.
pub fn planned(rate: NonZeroU64, duration: Duration) -> u64 {
    // The first one is due at once.
    let count = (duration.as_nanos() * u128::from(rate.get())).div_ceil(1_000_000_000);
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_take_turns_at_the_rate() {
        let start = Instant::now();
        let rate = NonZeroU64::new(3_000).unwrap();
        let mut times = Vec::new();
        for index in 0..7 {
            let mut schedule = Schedule::new(start, index, 7, rate);
            for _ in 0..3_000 {
                times.push(schedule.next() - start);
                schedule.advance();
            }
        }
        times.sort();
        assert_eq!(planned(rate, Duration::from_secs(7)), 21_000);
        assert_eq!(planned(rate, Duration::from_nanos(333_334)), 2);
        // 21,000 requests, 3,000 in each second, none nearer to another than the rate says.
        for (second, chunk) in times.chunks(3_000).enumerate() {
            assert_eq!(chunk[0], Duration::from_secs(second as u64));
        }
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_nanos(333_333)));
    }
}

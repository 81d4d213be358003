//! What a load has measured: latencies, counts and errors. Each poller has one of its own; they are added
//! at the end.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest latency that is told apart from longer ones: ten minutes, in nanoseconds.
const LONGEST: u64 = 600_000_000_000;

/// The measurements of a poller, or of all.
#[derive(Debug)]
pub struct Statistics {
    /// The latency of each request that was answered, in nanoseconds, to three digits.
    latencies: Histogram<u64>,
    /// Requests that were sent.
    pub sent: u64,
    /// Requests that were answered.
    pub answered: u64,
    /// Requests whose connection ended without an answer.
    pub unanswered: u64,
    /// Bytes that were received.
    pub received: u64,
    /// Connections that were made.
    pub connected: u64,
    /// Answers whose status is no success, and everything that went wrong, by kind.
    pub errors: BTreeMap<String, u64>,
}

impl Statistics {
    /// Makes empty statistics.
    pub fn new() -> Statistics {
        let latencies = Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds are in order");
        Statistics {
            latencies,
            sent: 0,
            answered: 0,
            unanswered: 0,
            received: 0,
            connected: 0,
            errors: BTreeMap::new(),
        }
    }

    /// Counts an answered request.
    pub fn record(&mut self, latency: Duration) {
        self.answered += 1;
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.latencies.saturating_record(nanoseconds.max(1));
    }

    /// Counts something that went wrong.
    pub fn count_error(&mut self, kind: impl Into<String>) {
        self.count_errors(kind, 1);
    }

    /// Counts something that went wrong so often.
    pub fn count_errors(&mut self, kind: impl Into<String>, count: u64) {
        if count > 0 {
            *self.errors.entry(kind.into()).or_default() += count;
        }
    }

    /// Returns how many requests are under way.
    pub fn under_way(&self) -> u64 {
        self.sent - self.answered - self.unanswered
    }

    /// Counts an error of the system, by its kind.
    pub fn count_io_error(&mut self, doing: &str, error: &io::Error) {
        self.count_error(format!("{doing}: {}", error.kind()));
    }

    /// Counts a connection that the poller has refused to take. If it has `begun`, a request was to be
    /// sent on it, which stays without an answer.
    pub fn count_refusal(&mut self, begun: bool, error: &io::Error) {
        self.unanswered += u64::from(begun);
        self.count_io_error("refused by the poller", error);
    }

    /// Adds what another poller has measured.
    pub fn add(&mut self, other: &Statistics) {
        self.latencies.add(&other.latencies).expect("all have the same bounds");
        self.sent += other.sent;
        self.answered += other.answered;
        self.unanswered += other.unanswered;
        self.received += other.received;
        self.connected += other.connected;
        for (kind, count) in &other.errors {
            self.count_errors(kind, *count);
        }
    }

    /// Returns the latency that `percent` of the requests don't exceed.
    pub fn percentile(&self, percent: f64) -> Duration {
        Duration::from_nanos(self.latencies.value_at_percentile(percent))
    }

    /// Returns the mean of the latencies.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.latencies.mean() as u64)
    }

    /// Returns the standard deviation of the latencies.
    pub fn deviation(&self) -> Duration {
        Duration::from_nanos(self.latencies.stdev() as u64)
    }

    /// Returns the longest latency.
    pub fn longest(&self) -> Duration {
        Duration::from_nanos(if self.answered == 0 { 0 } else { self.latencies.max() })
    }

    /// Returns how many things went wrong.
    pub fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statistics_of_two_pollers_are_added() {
        let (mut first, mut second) = (Statistics::new(), Statistics::new());
        for millisecond in 1..=90 {
            first.record(Duration::from_millis(millisecond));
        }
        for millisecond in 91..=100 {
            second.record(Duration::from_millis(millisecond));
        }
        first.count_error("timeout");
        second.count_error("timeout");
        second.count_error("status 500");
        first.add(&second);
        assert_eq!(first.answered, 100);
        let near = |found: Duration, expected: u64| {
            let expected = Duration::from_millis(expected);
            assert!(found.abs_diff(expected) <= expected / 500, "{found:?} for {expected:?}");
        };
        near(first.percentile(50.0), 50);
        near(first.percentile(99.0), 99);
        near(first.longest(), 100);
        assert_eq!(first.errors["timeout"], 2);
        assert_eq!(first.error_count(), 3);
    }

    #[test]
    fn a_request_on_a_connection_that_was_refused_is_not_under_way() {
        let mut statistics = Statistics::new();
        statistics.sent = 1;
        statistics.count_refusal(true, &io::ErrorKind::OutOfMemory.into());
        statistics.count_refusal(false, &io::ErrorKind::OutOfMemory.into());
        assert_eq!(statistics.under_way(), 0);
        assert_eq!(statistics.errors["refused by the poller: out of memory"], 2);
    }

    #[test]
    fn a_latency_beyond_all_bounds_is_counted_as_the_longest() {
        let mut statistics = Statistics::new();
        statistics.record(Duration::from_secs(1 << 40));
        statistics.record(Duration::ZERO);
        assert_eq!(statistics.answered, 2);
        assert!(statistics.longest() >= Duration::from_secs(600));
    }
}

//! How many connections a listener accepts for one event.
//!
//! Most events stand for one connection, and a second accept(2) finds none. While many connections
//! come at once, a turn for each would be slow. Level-triggered epoll reports what is left again, so
//! any number is correct, and this one follows what was found.

/// How many batches are filled in a row before a larger one is tried, at first.
const FEWEST_BEFORE_GROWTH: u32 = 4;

/// The same number after many tries in vain: a lone connection then costs 1.001 calls.
const MOST_BEFORE_GROWTH: u32 = 1024;

/// The number of connections to accept for the next event: one, until batches have been filled for a
/// while. Each larger batch that was tried in vain makes the next try wait for twice as long.
#[derive(Debug)]
pub(crate) struct AcceptBatch {
    /// The size of a batch.
    size: usize,
    /// How many batches of this size were filled in a row.
    filled: u32,
    /// How many have to be before a larger one is tried.
    needed: u32,
}

impl AcceptBatch {
    /// Begins with one connection for an event.
    pub(crate) fn new() -> AcceptBatch {
        AcceptBatch { size: 1, filled: 0, needed: FEWEST_BEFORE_GROWTH }
    }

    /// Returns how many connections to accept now, `most` at most.
    pub(crate) fn next(&mut self, most: usize) -> usize {
        if self.filled >= self.needed {
            self.size *= 2;
            self.filled = 0;
        }
        self.size = self.size.min(most);
        self.size
    }

    /// Hears that all of the batch have come.
    pub(crate) fn was_filled(&mut self) {
        self.filled = self.filled.saturating_add(1);
        if self.size > 1 {
            // There is a burst: the batches double with each event.
            self.needed = 1;
        }
    }

    /// Hears that an accept has found no connection.
    pub(crate) fn found_none(&mut self) {
        let was_a_burst = self.needed == 1;
        self.needed = match self.size {
            // A batch of one that finds none: another process has been quicker, which says nothing.
            1 => self.needed,
            _ if was_a_burst => FEWEST_BEFORE_GROWTH,
            _ => MOST_BEFORE_GROWTH.min(self.needed * 2),
        };
        self.size = 1;
        self.filled = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets `waiting` connections be accepted. Returns the number of events and of calls.
    fn accept_all(batch: &mut AcceptBatch, mut waiting: usize) -> (usize, usize) {
        let (mut events, mut calls) = (0, 0);
        while waiting > 0 {
            events += 1;
            let size = batch.next(16);
            let found = size.min(waiting);
            waiting -= found;
            calls += found;
            if found < size {
                calls += 1;
                batch.found_none();
            } else {
                batch.was_filled();
            }
        }
        (events, calls)
    }

    #[test]
    fn lone_connections_cost_one_call_each() {
        let mut batch = AcceptBatch::new();
        let calls: usize = (0..10_000).map(|_| accept_all(&mut batch, 1).1).sum();
        assert!(calls <= 10_020, "{calls}");
    }

    #[test]
    fn a_burst_takes_few_events_and_one_after_lone_ones_too() {
        let mut batch = AcceptBatch::new();
        let (events, calls) = accept_all(&mut batch, 10_000);
        assert!(events <= 10_000 / 16 + 20 && calls <= 10_001, "{events} {calls}");
        for _ in 0..10_000 {
            accept_all(&mut batch, 1);
        }
        let (events, _) = accept_all(&mut batch, 10_000);
        assert!(events <= MOST_BEFORE_GROWTH as usize + 10_000 / 16 + 20, "{events}");
    }

    #[test]
    fn a_budget_of_one_is_kept() {
        let mut batch = AcceptBatch::new();
        for _ in 0..100 {
            assert_eq!(batch.next(1), 1);
            batch.was_filled();
        }
    }
}

//! The time that one phase of a turn may take, and how often the clock is read meanwhile.
//!
//! The clock is read between calls, never inside of one: nothing is interrupted. It is read often
//! enough to stop after one long call, and seldom enough that short calls don't pay for it.
//!
//! With the default of 200 µs, for example, calls of 100 ns are short: eight of them take less than
//! a slice by far. After sixteen readings have found that, the clock is read after every eighth
//! call. A call of 1 ms is then found by the next reading, at most seven calls later, and ends the
//! phase. From there on each call is measured, until calls have been short for a while again.

use std::cell::Cell;
use std::time::Duration;

use crate::sys::ticks;

/// The number of calls between two readings of the clock while calls are short. A reading takes as
/// long as the shortest call, so one for each call would double the cost of a yield.
const CALLS_PER_READING: usize = 8;

/// The number of readings in a row that must find short calls before they become rare. So tasks
/// that are short now and long later are read after each call.
const SHORT_IN_A_ROW: u32 = 16;

/// The time that one phase of a turn may take before the others get theirs.
///
/// A phase is over after [`Budget::slice`](crate::Budget::slice), or after one call that takes
/// longer. While calls are long, the clock is read after each, so that no second long one follows.
/// When eight calls fit into a slice, it is read after every eighth, so that a phase may once run
/// seven calls too long; and less often if more different things wait to be called.
#[derive(Debug)]
pub(crate) struct TimeSlice {
    /// The length of a slice in ticks.
    length: u64,
    /// When the phase is to end, in ticks.
    end: Cell<u64>,
    /// The number of calls that the phase may make even if its time is over, as long as each is
    /// shorter than a slice.
    least: Cell<usize>,
    /// The number of calls between two readings while calls are short.
    per_reading: Cell<usize>,
    /// The time below which that many calls count as short, in ticks.
    limit: Cell<u64>,
    /// How many readings in a row have found short calls.
    short: Cell<u32>,
}

impl TimeSlice {
    /// Creates slices of `length`. If it is zero, each phase makes one call.
    pub(crate) fn new(length: Duration) -> TimeSlice {
        let (end, least, short) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let per_reading = Cell::new(CALLS_PER_READING);
        TimeSlice {
            length: ticks::from_duration(length),
            end,
            least,
            per_reading,
            limit: Cell::new(0),
            short,
        }
    }

    /// Begins a phase at `now`, in ticks. Returns the number of calls to make before
    /// [`TimeSlice::go_on`]. As long as each is shorter than a slice, `least` calls may be made.
    #[inline]
    pub(crate) fn begin(&self, now: u64, least: usize) -> usize {
        self.end.set(now.saturating_add(self.length));
        self.least.set(least);
        // What one look has woken are different tasks: none is polled twice before a reading.
        let calls = least.max(CALLS_PER_READING);
        self.per_reading.set(calls);
        // As many eighths of a slice as there are eights of calls: the average call decides.
        self.limit.set(self.length.saturating_mul((calls / CALLS_PER_READING) as u64));
        self.calls()
    }

    /// Goes on with a phase after `made` calls, of which the last ones took `lap`, at the time
    /// `now`, both in ticks. Returns the number of calls to make before the next reading, or zero
    /// if the phase is over.
    #[inline]
    pub(crate) fn go_on(&self, now: u64, lap: u64, made: usize) -> usize {
        let has_time = now < self.end.get() || made < self.least.get();
        if self.are_short() && lap < self.limit.get() && has_time {
            return self.per_reading.get();
        }
        self.look_closely(now, lap, made)
    }

    /// Decides as [`TimeSlice::go_on`] when calls were long, or have not been short for long
    /// enough.
    #[cold]
    fn look_closely(&self, now: u64, lap: u64, made: usize) -> usize {
        let short = self.length / CALLS_PER_READING as u64;
        let limit = if self.are_short() { self.limit.get() } else { short };
        let short = if lap < limit { (self.short.get() + 1).min(SHORT_IN_A_ROW) } else { 0 };
        self.short.set(short);
        let goes_on = now < self.end.get() || lap < self.length && made < self.least.get();
        if goes_on { self.calls() } else { 0 }
    }

    /// Returns the number of calls to make before the next reading.
    fn calls(&self) -> usize {
        if self.are_short() { self.per_reading.get() } else { 1 }
    }

    /// Returns `true` if calls have been short for some time.
    #[inline]
    fn are_short(&self) -> bool {
        self.short.get() == SHORT_IN_A_ROW
    }
}

#[cfg(test)]
mod tests {
    use super::{CALLS_PER_READING, SHORT_IN_A_ROW, TimeSlice};
    use std::time::Duration;

    /// A slice of `length` ticks.
    fn slice(length: u64) -> TimeSlice {
        TimeSlice { length, ..TimeSlice::new(Duration::ZERO) }
    }

    /// Runs one phase of calls that take `cost(n)` ticks each, the `n`-th of all; says how many
    /// were made, and how long the last reading was late.
    fn phase(slice: &TimeSlice, cost: impl Fn(usize) -> u64, from: usize) -> (usize, u64) {
        let (mut now, mut made) = (0, 0);
        let mut most = slice.begin(now, 0);
        while most > 0 {
            let before = now;
            for _ in 0..most {
                now += cost(from + made);
                made += 1;
            }
            most = slice.go_on(now, now - before, made);
        }
        (made, now.saturating_sub(slice.length))
    }

    #[test]
    fn a_long_call_ends_its_phase_from_the_first_one_on() {
        let slice = slice(800);
        for round in 0..1000 {
            assert_eq!(phase(&slice, |_| 900, round).0, 1);
        }
    }

    #[test]
    fn short_calls_are_read_rarely_and_end_with_the_slice() {
        let slice = slice(8000);
        let readings = SHORT_IN_A_ROW as usize;
        assert_eq!(phase(&slice, |_| 10, 0), (800, 0));
        assert_eq!(slice.short.get(), readings as u32);
        assert_eq!(slice.begin(0, 0), CALLS_PER_READING);
        assert_eq!(phase(&slice, |_| 10, 0), (800, 0));
    }

    #[test]
    fn after_short_calls_at_most_one_reading_is_late() {
        let slice = slice(8000);
        phase(&slice, |_| 1, 0);
        // The phase that finds the first long call has made eight of them at the most.
        assert_eq!(phase(&slice, |_| 9000, 0).0, CALLS_PER_READING);
        assert_eq!(phase(&slice, |_| 9000, 0).0, 1);
        // Long ones among short ones keep the readings frequent.
        let mixed = |n: usize| if n % 16 == 15 { 9000 } else { 1 };
        let mut from = 0;
        for _ in 0..100 {
            let (made, _) = phase(&slice, mixed, from);
            assert_eq!((from + made) % 16, 0, "each long call ends a phase");
            from += made;
        }
    }

    #[test]
    fn calls_shorter_than_a_slice_are_made_as_often_as_was_asked() {
        let slice = slice(800);
        let made = |cost: u64| {
            let (mut made, mut most) = (0, slice.begin(0, 64));
            while most > 0 {
                made += most;
                most = slice.go_on(cost * made as u64, cost * most as u64, made);
            }
            made
        };
        assert_eq!((made(790), made(300), made(810)), (64, 64, 1));
        assert!(made(1) >= 800);
    }

    #[test]
    fn a_slice_of_nothing_makes_one_call_and_an_endless_one_never_ends() {
        let none = TimeSlice::new(Duration::ZERO);
        assert_eq!(phase(&none, |_| 1, 0).0, 1);
        let endless = TimeSlice::new(Duration::MAX);
        endless.begin(7, 0);
        assert!(endless.go_on(u64::MAX - 1, u64::MAX - 8, 1) > 0);
    }
}

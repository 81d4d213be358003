//! The two marks between which a producer of output is held.
//!
//! Above the high mark a handler is asked to produce less, and at the low one to go on. The queue
//! itself is not limited by them: that is `Budget::output_per_connection`.

/// A pair of watermarks, and the side of them on which the output is.
///
/// The two marks are apart so that output which hovers around one of them doesn't report a crossing
/// for every byte.
#[derive(Debug)]
pub(crate) struct Watermarks {
    /// At this many queued bytes or fewer the output is low again.
    low: usize,
    /// Above this many queued bytes the output is high.
    high: usize,
    /// The output has passed `high`, and has not come down to `low` since.
    is_above: bool,
}

/// A mark that the output has passed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Crossing {
    /// More than the high mark is queued.
    High,
    /// No more than the low mark is queued, after a [`Crossing::High`].
    Low,
}

impl Watermarks {
    /// Returns marks that output of any length is below, so far. A `low` above `high` means `high`.
    pub(crate) fn new(low: usize, high: usize) -> Watermarks {
        Watermarks { low: low.min(high), high, is_above: false }
    }

    /// Moves the marks. The output stays on its side until it crosses one of the new ones.
    pub(crate) fn set(&mut self, low: usize, high: usize) {
        *self = Watermarks { is_above: self.is_above, ..Watermarks::new(low, high) };
    }

    /// Returns the mark that the output has crossed, if any, now that `pending` bytes are queued.
    #[inline]
    pub(crate) fn update(&mut self, pending: usize) -> Option<Crossing> {
        if !self.is_above && pending > self.high {
            self.is_above = true;
            return Some(Crossing::High);
        }
        if self.is_above && pending <= self.low {
            self.is_above = false;
            return Some(Crossing::Low);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{Crossing, Watermarks};

    #[test]
    fn each_crossing_is_reported_once() {
        let mut marks = Watermarks::new(2, 5);
        assert_eq!(marks.update(5), None);
        assert_eq!(marks.update(6), Some(Crossing::High));
        assert_eq!(marks.update(7), None);
        assert_eq!(marks.update(3), None);
        assert_eq!(marks.update(2), Some(Crossing::Low));
        assert_eq!(marks.update(0), None);
    }

    #[test]
    fn moved_marks_keep_the_side() {
        let mut marks = Watermarks::new(0, 5);
        assert_eq!(marks.update(6), Some(Crossing::High));
        marks.set(7, 9);
        assert_eq!(marks.update(8), None);
        assert_eq!(marks.update(7), Some(Crossing::Low));
        marks.set(9, 3);
        assert_eq!(marks.update(4), Some(Crossing::High));
        assert_eq!(marks.update(3), Some(Crossing::Low));
    }
}

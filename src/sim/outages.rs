//! Faults of hosts and of links: which, and when.

use std::fmt::{self, Formatter};
use std::ops::{Bound, Range, RangeBounds};
use std::time::Duration;

/// A time in which a host is down, or stands still.
#[derive(Debug, Clone)]
pub(super) struct HostTime {
    /// The name of the host.
    pub(super) host: String,
    /// The time, since the start of the simulation.
    pub(super) time: Time,
}

/// A time in which two hosts do not reach each other.
#[derive(Debug, Clone)]
pub(super) struct Partition {
    /// The names of the hosts.
    pub(super) hosts: (String, String),
    /// The time, since the start of the simulation.
    pub(super) time: Time,
}

/// A time in which packets between two hosts take another time than usual.
#[derive(Debug, Clone)]
pub(super) struct SlowLink {
    /// The names of the hosts.
    pub(super) hosts: (String, String),
    /// How long a packet is under way.
    pub(super) latency: Range<Duration>,
    /// The time, since the start of the simulation.
    pub(super) time: Time,
}

/// A time in a simulation, counted from its start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time {
    /// When it begins.
    pub(super) start: Duration,
    /// When it ends, or `None` if it does not.
    pub(super) end: Option<Duration>,
}

impl Time {
    /// Returns the time that a range stands for. A bound that is included lasts for a nanosecond.
    pub(super) fn of(range: &impl RangeBounds<Duration>) -> Time {
        let tick = Duration::from_nanos(1);
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start.saturating_add(tick),
            Bound::Unbounded => Duration::ZERO,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => Some(end.saturating_add(tick)),
            Bound::Excluded(end) => Some(*end),
            Bound::Unbounded => None,
        };
        Time { start, end }
    }
}

impl fmt::Display for Time {
    /// Prints it as a range, without an end if it has none.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}..", self.start)?;
        self.end.map_or(Ok(()), |end| write!(f, "{end:?}"))
    }
}

/// Returns a range that has an end.
#[track_caller]
pub(super) fn bounded(range: &impl RangeBounds<Duration>) -> Range<Duration> {
    let time = Time::of(range);
    time.start..time.end.expect("the range has an end")
}

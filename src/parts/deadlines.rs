//! How long a connection may be silent.
//!
//! Nothing here knows a timer. A tracker remembers when something last happened and says when a
//! deadline ends, and its owner arms one timer for the earliest.

use std::fmt;
use std::io;
use std::time::Duration;

/// A time that never comes, in nanoseconds.
const NEVER: u64 = u64::MAX;

/// How long a connection may be silent before it ends or its user gets an error. `None`, the
/// default, is for ever.
///
/// Set them by [`EvContext::set_deadlines`] or [`TcpStream::set_deadlines`]. A deadline is cheap to
/// keep: bytes that move cost a store, and no timer is set anew. What a connection does counts from
/// the time of the turn in which it does it.
///
/// # Examples
///
/// ```
/// use corepoll::Deadlines;
/// use std::time::Duration;
///
/// let deadlines = Deadlines {
///     read: Some(Duration::from_secs(30)),
///     ..Deadlines::default()
/// };
/// assert_eq!(deadlines.idle, None);
/// ```
///
/// [`EvContext::set_deadlines`]: crate::EvContext::set_deadlines
/// [`TcpStream::set_deadlines`]: crate::net::TcpStream::set_deadlines
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Deadlines {
    /// How long the peer may send nothing while the connection wants to read: from the last bytes
    /// that came, or from when it began to want some.
    pub read: Option<Duration>,
    /// How long the peer may take nothing while output is queued: from the last bytes that it took,
    /// or from when output was queued again.
    pub write: Option<Duration>,
    /// How long no byte may move, in either direction.
    pub idle: Option<Duration>,
}

/// A deadline that was missed, and its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missed {
    /// The peer has sent nothing.
    Read(Duration),
    /// The peer has taken nothing.
    Write(Duration),
    /// No byte has moved.
    Idle(Duration),
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missed::Read(limit) => {
                write!(f, "the read deadline has passed: the peer has sent nothing for {limit:?}")
            }
            Missed::Write(limit) => {
                write!(f, "the write deadline has passed: the peer has taken nothing for {limit:?}")
            }
            Missed::Idle(limit) => {
                write!(f, "the idle deadline has passed: no byte has moved for {limit:?}")
            }
        }
    }
}

impl From<Missed> for io::Error {
    fn from(missed: Missed) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, missed.to_string())
    }
}

/// The deadlines of one connection and when it last did something, in nanoseconds of some clock.
#[derive(Debug)]
pub(crate) struct DeadlineTracker {
    /// The deadlines.
    limits: Deadlines,
    /// Since when the connection has wanted bytes; `None` if it wants none.
    reading: Option<u64>,
    /// Since when output has waited to be taken; `None` if there is none.
    writing: Option<u64>,
    /// When bytes last moved, in either direction.
    moved: u64,
}

impl DeadlineTracker {
    /// Starts to track a connection at the time `now`.
    pub(crate) fn new(limits: Deadlines, now: u64) -> DeadlineTracker {
        DeadlineTracker { limits, reading: None, writing: None, moved: now }
    }

    /// Notes that bytes have come. With `waits` the connection wants more.
    pub(crate) fn has_read(&mut self, now: u64, waits: bool) {
        self.moved = now;
        self.reading = waits.then_some(now);
    }

    /// Notes that output was taken. What is left waits from the next
    /// [`DeadlineTracker::waits_to_write`] on.
    pub(crate) fn has_written(&mut self, now: u64) {
        self.moved = now;
        self.writing = None;
    }

    /// Notes whether the connection wants bytes. If it did not before, the time begins now.
    pub(crate) fn waits_to_read(&mut self, now: impl FnOnce() -> u64, waits: bool) {
        self.reading = waits.then(|| self.reading.unwrap_or_else(now));
    }

    /// Notes whether output is queued. If there was none before, the time begins now.
    pub(crate) fn waits_to_write(&mut self, now: impl FnOnce() -> u64, waits: bool) {
        self.writing = waits.then(|| self.writing.unwrap_or_else(now));
    }

    /// Returns each running deadline and when it ends.
    fn running(&self) -> impl Iterator<Item = (u64, Missed)> {
        let DeadlineTracker { limits, reading, writing, moved } = *self;
        let read = limits.read.zip(reading).map(|(limit, at)| (at, limit, Missed::Read(limit)));
        let write = limits.write.zip(writing).map(|(limit, at)| (at, limit, Missed::Write(limit)));
        let idle = limits.idle.map(|limit| (moved, limit, Missed::Idle(limit)));
        let running = [read, write, idle].into_iter().flatten();
        running.map(|(at, limit, which)| {
            // A sum that saturates is NEVER, which is no deadline.
            let limit = u64::try_from(limit.as_nanos()).unwrap_or(NEVER);
            (at.saturating_add(limit), which)
        })
    }

    /// Returns the earliest deadline that is missed at `now`.
    pub(crate) fn missed(&self, now: u64) -> Option<Missed> {
        let first = self.running().min_by_key(|(end, _)| *end)?;
        (first.0 <= now).then_some(first.1)
    }

    /// Returns when the next deadline ends, after the time `after`.
    pub(crate) fn next(&self, after: u64) -> Option<u64> {
        // Those that have ended already are reported by `missed`, not armed again.
        self.running().map(|(end, _)| end).filter(|end| *end > after && *end < NEVER).min()
    }

    /// Returns the deadline that a task has missed at `now` which waits to read, to write, or for
    /// neither. The deadline starts anew, so a task that goes on waiting has the whole time again.
    pub(crate) fn take_missed(&mut self, now: u64, reads: bool, writes: bool) -> Option<Missed> {
        let missed = self.running().filter(|(end, which)| {
            let is_mine = match which {
                Missed::Read(_) => reads,
                Missed::Write(_) => writes,
                Missed::Idle(_) => true,
            };
            is_mine && *end <= now
        });
        let (_, which) = missed.min_by_key(|(end, _)| *end)?;
        match which {
            Missed::Read(_) => self.reading = None,
            Missed::Write(_) => self.writing = None,
            Missed::Idle(_) => self.moved = now,
        }
        Some(which)
    }
}

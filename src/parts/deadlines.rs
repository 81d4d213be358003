//! How long a connection may keep us waiting.

use std::fmt;
use std::io;
use std::time::Duration;

/// A time that never comes, in nanoseconds.
const NEVER: u64 = u64::MAX;

/// How long a connection may keep us waiting: [`EvContext::set_deadlines`] and
/// [`TcpStream::set_deadlines`]. `None` is for ever, and the default.
///
/// Keeping one is cheap: a byte that moves is a store, not a timer that is set anew. What a
/// connection has done counts from the time of the turn in which it did it.
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
    /// How long the peer may send nothing while we want to read: from the last bytes that came, or
    /// from when we began to want some.
    pub read: Option<Duration>,
    /// How long the peer may take nothing while there is output: from the last bytes that it took,
    /// or from when there was output again.
    pub write: Option<Duration>,
    /// How long nothing may move, in either direction.
    pub idle: Option<Duration>,
}

/// Which deadline was missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missed {
    /// The peer sent nothing.
    Read(Duration),
    /// The peer took nothing.
    Write(Duration),
    /// Nothing moved.
    Idle(Duration),
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missed::Read(limit) => write!(f, "the read deadline: nothing came for {limit:?}"),
            Missed::Write(limit) => {
                write!(f, "the write deadline: nothing was taken for {limit:?}")
            }
            Missed::Idle(limit) => write!(f, "the idle deadline: nothing moved for {limit:?}"),
        }
    }
}

impl From<Missed> for io::Error {
    fn from(missed: Missed) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, missed.to_string())
    }
}

/// The deadlines of one connection and what it has done, in nanoseconds of some clock.
#[derive(Debug)]
pub(crate) struct DeadlineTracker {
    limits: Deadlines,
    /// Since when bytes are awaited.
    reading: Option<u64>,
    /// Since when output waits to be taken.
    writing: Option<u64>,
    /// When bytes last moved.
    moved: u64,
}

impl DeadlineTracker {
    pub(crate) fn new(limits: Deadlines, now: u64) -> DeadlineTracker {
        DeadlineTracker { limits, reading: None, writing: None, moved: now }
    }

    /// Bytes have come, and more may be awaited; or nothing is.
    pub(crate) fn has_read(&mut self, now: u64, waits: bool) {
        self.moved = now;
        self.reading = waits.then_some(now);
    }

    /// Output was taken: what waits still begins to wait anew.
    pub(crate) fn has_written(&mut self, now: u64) {
        self.moved = now;
        self.writing = None;
    }

    /// Whether bytes are awaited: from now on, if they were not before.
    pub(crate) fn waits_to_read(&mut self, now: impl FnOnce() -> u64, waits: bool) {
        self.reading = waits.then(|| self.reading.unwrap_or_else(now));
    }

    /// Whether output waits: from now on, if there was none before.
    pub(crate) fn waits_to_write(&mut self, now: impl FnOnce() -> u64, waits: bool) {
        self.writing = waits.then(|| self.writing.unwrap_or_else(now));
    }

    /// Every deadline that is running: when it ends, and which it is.
    fn running(&self) -> impl Iterator<Item = (u64, Missed)> {
        let DeadlineTracker { limits, reading, writing, moved } = *self;
        let read = limits.read.zip(reading).map(|(limit, at)| (at, limit, Missed::Read(limit)));
        let write = limits.write.zip(writing).map(|(limit, at)| (at, limit, Missed::Write(limit)));
        let idle = limits.idle.map(|limit| (moved, limit, Missed::Idle(limit)));
        let running = [read, write, idle].into_iter().flatten();
        running.map(|(at, limit, which)| {
            let limit = u64::try_from(limit.as_nanos()).unwrap_or(NEVER);
            (at.saturating_add(limit), which)
        })
    }

    /// The first deadline that is missed at `now`.
    pub(crate) fn missed(&self, now: u64) -> Option<Missed> {
        let first = self.running().min_by_key(|(end, _)| *end)?;
        (first.0 <= now).then_some(first.1)
    }

    /// The first deadline that ends after `after`.
    pub(crate) fn next(&self, after: u64) -> Option<u64> {
        self.running().map(|(end, _)| end).filter(|end| *end > after && *end < NEVER).min()
    }

    /// The deadline that who waits, to read or to write or for neither, has missed at `now`. It
    /// begins anew: who goes on waiting has the whole time again.
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

//! What goes wrong in a simulation.

use std::ops::{Bound, Range, RangeBounds};
use std::time::Duration;

use crate::sys::sim::Settings;

/// The faults of a simulation. The default has none.
///
/// # Examples
///
/// ```
/// use corepoll::sim::Faults;
/// use std::time::Duration;
///
/// let ms = Duration::from_millis;
/// let faults = Faults::default().latency(ms(1)..ms(50)).drop(0.01).short_io(0.1);
/// # drop(faults);
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "faults do nothing until a simulation has them"]
pub struct Faults {
    /// What the kernel is told.
    pub(super) settings: Settings,
    /// The hosts that crash: which, when, and until when.
    pub(super) crashes: Vec<HostTime>,
    /// The links that are cut: which, and when.
    pub(super) partitions: Vec<Partition>,
    /// The hosts that stand still: which, and when.
    pub(super) pauses: Vec<HostTime>,
    /// The links that are slow: which, how much, and when.
    pub(super) slow_links: Vec<SlowLink>,
}

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
    fn of(range: &impl RangeBounds<Duration>) -> Time {
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

impl Faults {
    /// Sets how long a packet between two hosts is under way: a time of `range` by chance. Default:
    /// no time.
    ///
    /// # Panics
    ///
    /// Panics if the range has no end.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Faults;
    /// # let ms = std::time::Duration::from_millis;
    /// let faults = Faults::default().latency(ms(1)..ms(50));
    /// # drop(faults);
    /// ```
    #[track_caller]
    pub fn latency(mut self, range: impl RangeBounds<Duration>) -> Faults {
        self.settings.link.latency = bounded(&range);
        self
    }

    /// Sets the part of the packets that the network drops, from 0 to 1. A stream sends them again,
    /// so it gets slower. Default: 0.
    ///
    /// # Panics
    ///
    /// Panics if `part` is not from 0 to 1.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Faults;
    /// let faults = Faults::default().drop(0.01);
    /// # drop(faults);
    /// ```
    #[track_caller]
    pub fn drop(mut self, part: f64) -> Faults {
        self.settings.link.drop = checked(part);
        self
    }

    /// Sets the part of the packets with bytes after which the network resets the connection, from
    /// 0 to 1. Default: 0.
    ///
    /// # Panics
    ///
    /// Panics if `part` is not from 0 to 1.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Faults;
    /// let faults = Faults::default().reset(0.001);
    /// # drop(faults);
    /// ```
    #[track_caller]
    pub fn reset(mut self, part: f64) -> Faults {
        self.settings.reset = checked(part);
        self
    }

    /// Sets the part of the writes and of the packets that are cut short, from 0 to 1: so bytes come
    /// in other portions than they were sent in. Default: 0.
    ///
    /// # Panics
    ///
    /// Panics if `part` is not from 0 to 1.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Faults;
    /// let faults = Faults::default().short_io(0.1);
    /// # drop(faults);
    /// ```
    #[track_caller]
    pub fn short_io(mut self, part: f64) -> Faults {
        self.settings.short_io = checked(part);
        self
    }

    /// Sets the part of the calls that fail as if the process had too many descriptors, from 0 to
    /// 1. Default: 0.
    ///
    /// # Panics
    ///
    /// Panics if `part` is not from 0 to 1.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Faults;
    /// let faults = Faults::default().emfile(0.01);
    /// # drop(faults);
    /// ```
    #[track_caller]
    pub fn emfile(mut self, part: f64) -> Faults {
        self.settings.emfile = checked(part);
        self
    }

    /// Sets the part of the writes behind which the sender's kernel adds an urgent byte, from 0 to 1:
    /// what a hostile peer does by MSG_OOB of send(2). A program that does not ask for urgent bytes
    /// reads its stream as if there were none. Default: 0.
    ///
    /// # Panics
    ///
    /// Panics if `part` is not from 0 to 1.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Faults;
    /// let faults = Faults::default().urgent(0.1);
    /// # drop(faults);
    /// ```
    #[track_caller]
    pub fn urgent(mut self, part: f64) -> Faults {
        self.settings.urgent = checked(part);
        self
    }

    /// Sets the part of the calls of pipe2(2), splice(2) and sendfile(2) that the kernel refuses, from
    /// 0 to 1. Relays and files are copied then. Default: 0.
    ///
    /// # Panics
    ///
    /// Panics if `part` is not from 0 to 1.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Faults;
    /// let faults = Faults::default().refuse_splice(0.1);
    /// # drop(faults);
    /// ```
    #[track_caller]
    pub fn refuse_splice(mut self, part: f64) -> Faults {
        self.settings.refuse_splice = checked(part);
        self
    }

    /// Sets the part of the attempts to accept a connection that fail, from 0 to 1, with one of the
    /// errors that accept4(2) may return. The connection waits on. Default: 0.
    ///
    /// # Panics
    ///
    /// Panics if `part` is not from 0 to 1.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Faults;
    /// let faults = Faults::default().accept_error(0.1);
    /// # drop(faults);
    /// ```
    #[track_caller]
    pub fn accept_error(mut self, part: f64) -> Faults {
        self.settings.accept_error = checked(part);
        self
    }

    /// Cuts the link between two hosts for a time, counted from the start of the simulation. What
    /// they send each other meanwhile is lost; a stream sends it again later. A range without an
    /// end is a link that stays cut.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Faults;
    /// # let ms = std::time::Duration::from_millis;
    /// let faults = Faults::default().partition("server", "client", ms(100)..ms(900));
    /// # drop(faults);
    /// ```
    pub fn partition(
        mut self,
        one: impl Into<String>,
        other: impl Into<String>,
        time: impl RangeBounds<Duration>,
    ) -> Faults {
        self.partitions
            .push(Partition { hosts: (one.into(), other.into()), time: Time::of(&time) });
        self
    }

    /// Gives the link between two hosts a latency of its own for a time, counted from the start of
    /// the simulation.
    ///
    /// # Panics
    ///
    /// Panics if the range of the latency has no end.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Faults;
    /// # let ms = std::time::Duration::from_millis;
    /// let faults = Faults::default().slow("a", "b", ms(500)..ms(900), ms(2000)..ms(5000));
    /// # drop(faults);
    /// ```
    #[track_caller]
    pub fn slow(
        mut self,
        one: impl Into<String>,
        other: impl Into<String>,
        latency: impl RangeBounds<Duration>,
        time: impl RangeBounds<Duration>,
    ) -> Faults {
        let (hosts, latency) = ((one.into(), other.into()), bounded(&latency));
        self.slow_links.push(SlowLink { hosts, latency, time: Time::of(&time) });
        self
    }

    /// Lets a host crash at the start of a time, counted from the start of the simulation, and
    /// start again at its end. Its connections are gone without a word, and so is all that it had
    /// in memory. A range without an end is a host that does not come back.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Faults;
    /// # let ms = std::time::Duration::from_millis;
    /// let faults = Faults::default().crash("server", ms(100)..ms(150));
    /// # drop(faults);
    /// ```
    pub fn crash(mut self, host: impl Into<String>, time: impl RangeBounds<Duration>) -> Faults {
        self.crashes.push(HostTime { host: host.into(), time: Time::of(&time) });
        self
    }

    /// Lets the programs of a host stand still for a time, counted from the start of the
    /// simulation, as by SIGSTOP: its kernel goes on and confirms what comes. It knows nothing of
    /// the time afterwards, and its timers are late.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Faults;
    /// # let ms = std::time::Duration::from_millis;
    /// let faults = Faults::default().pause("server", ms(100)..ms(5000));
    /// # drop(faults);
    /// ```
    pub fn pause(mut self, host: impl Into<String>, time: impl RangeBounds<Duration>) -> Faults {
        self.pauses.push(HostTime { host: host.into(), time: Time::of(&time) });
        self
    }
}

/// Returns a part from 0 to 1.
#[track_caller]
fn checked(part: f64) -> f64 {
    assert!((0.0..=1.0).contains(&part), "{part} is no part: it is not from 0 to 1");
    part
}

/// Returns a range of latencies, which has an end.
#[track_caller]
pub(super) fn bounded(range: &impl RangeBounds<Duration>) -> Range<Duration> {
    let time = Time::of(range);
    time.start..time.end.expect("the range of a latency has an end")
}

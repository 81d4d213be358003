//! What goes wrong in a simulation.

use std::ops::Range;
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
/// let faults = Faults::default().latency(ms(1)..ms(50)).loss(0.01).short_io(0.1);
/// # drop(faults);
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "faults do nothing until a simulation has them"]
pub struct Faults {
    /// What the kernel is told.
    pub(super) settings: Settings,
    /// The hosts that crash: which, when, and after how long they come back.
    pub(super) crashes: Vec<Crash>,
    /// The links that are cut: which, and when.
    pub(super) partitions: Vec<Partition>,
}

/// The crash of a host.
#[derive(Debug, Clone)]
pub(super) struct Crash {
    /// The name of the host.
    pub(super) host: String,
    /// When it crashes, since the start of the simulation.
    pub(super) at: Duration,
    /// How long it takes until its program is started again.
    pub(super) down: Duration,
}

/// A time in which two hosts do not reach each other.
#[derive(Debug, Clone)]
pub(super) struct Partition {
    /// The names of the hosts.
    pub(super) hosts: (String, String),
    /// The time, since the start of the simulation.
    pub(super) time: Range<Duration>,
}

impl Faults {
    /// Sets how long a packet between two hosts is under way. Default: no time.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Faults;
    /// # let ms = std::time::Duration::from_millis;
    /// let faults = Faults::default().latency(ms(1)..ms(50));
    /// # drop(faults);
    /// ```
    pub fn latency(mut self, range: Range<Duration>) -> Faults {
        self.settings.link.latency = range;
        self
    }

    /// Sets the part of the packets that the network loses, from 0 to 1. A stream sends them again,
    /// so it gets slower. Default: 0.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Faults;
    /// let faults = Faults::default().loss(0.01);
    /// # drop(faults);
    /// ```
    pub fn loss(mut self, part: f64) -> Faults {
        self.settings.link.loss = part.clamp(0.0, 0.99);
        self
    }

    /// Sets the part of the packets with bytes after which the network resets the connection, from
    /// 0 to 1. Default: 0.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Faults;
    /// let faults = Faults::default().reset(0.001);
    /// # drop(faults);
    /// ```
    pub fn reset(mut self, part: f64) -> Faults {
        self.settings.reset = part;
        self
    }

    /// Sets the part of the writes and of the packets that are cut short, from 0 to 1: so bytes come
    /// in other portions than they were sent in. Default: 0.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Faults;
    /// let faults = Faults::default().short_io(0.1);
    /// # drop(faults);
    /// ```
    pub fn short_io(mut self, part: f64) -> Faults {
        self.settings.short_io = part;
        self
    }

    /// Sets the part of the calls that fail as if the process had too many descriptors, from 0 to
    /// 1. Default: 0.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Faults;
    /// let faults = Faults::default().emfile(0.01);
    /// # drop(faults);
    /// ```
    pub fn emfile(mut self, part: f64) -> Faults {
        self.settings.emfile = part;
        self
    }

    /// Cuts the link between two hosts for a time, counted from the start of the simulation.
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
        time: Range<Duration>,
    ) -> Faults {
        self.partitions.push(Partition { hosts: (one.into(), other.into()), time });
        self
    }

    /// Lets a host crash at a time, counted from the start of the simulation, and start again when
    /// it has been `down` for that long. Its connections are gone without a word.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Faults;
    /// # let ms = std::time::Duration::from_millis;
    /// let faults = Faults::default().crash("server", ms(100), ms(50));
    /// # drop(faults);
    /// ```
    pub fn crash(mut self, host: impl Into<String>, at: Duration, down: Duration) -> Faults {
        self.crashes.push(Crash { host: host.into(), at, down });
        self
    }
}

//! What goes wrong in a simulation.

use std::ops::RangeBounds;
use std::time::Duration;

use super::outages::{HostTime, Partition, SlowLink, Time, bounded};
use crate::sys::sim::Settings;

/// The faults of a simulation. The default has none. `{:?}` prints the calls that make them.
///
/// # Examples
///
/// ```
/// use corepoll::sim::Faults;
/// use std::time::Duration;
///
/// let ms = Duration::from_millis;
/// let faults = Faults::default().latency(ms(1)..ms(50)).drop(0.01).short_io(0.1);
/// assert_eq!(
///     format!("{faults:?}"),
///     "Faults::default().latency(1ms..50ms).drop(0.01).short_io(0.1)"
/// );
/// ```
#[derive(Clone, Default)]
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

    /// Sets the part of the calls, from 0 to 1, that fail as if the process had too many
    /// descriptors. Default: 0.
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

    /// Sets the part of the calls that move bytes before which other threads run, from 0 to 1. The
    /// others change only where they wait, so that what a program does between two waits is done at
    /// once. A call may be in the middle of a callback or of a poll: what hosts share outside of the
    /// simulated kernel, such as a `RefCell`, must not be borrowed by code that makes calls. Default: 0.
    ///
    /// # Panics
    ///
    /// Panics if `part` is not from 0 to 1.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Faults;
    /// let faults = Faults::default().preempt(0.1);
    /// # drop(faults);
    /// ```
    #[track_caller]
    pub fn preempt(mut self, part: f64) -> Faults {
        self.settings.preempt = checked(part);
        self
    }

    /// Lets all attempts to accept a connection fail for a time, counted from the start of the simulation, as a
    /// security module or a firewall does: EPERM. The connections wait on.
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
    /// let faults = Faults::default().refuse_accept(ms(100)..ms(900));
    /// # drop(faults);
    /// ```
    #[track_caller]
    pub fn refuse_accept(mut self, time: impl RangeBounds<Duration>) -> Faults {
        self.settings.refuse_accept = bounded(&time);
        self
    }

    /// Sets the part of the descriptors that epoll_ctl(2) does not take, from 0 to 1, as the user has too many
    /// watches or the kernel no memory. Default: 0.
    ///
    /// # Panics
    ///
    /// Panics if `part` is not from 0 to 1.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Faults;
    /// let faults = Faults::default().epoll_error(0.01);
    /// # drop(faults);
    /// ```
    #[track_caller]
    pub fn epoll_error(mut self, part: f64) -> Faults {
        self.settings.epoll_error = checked(part);
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

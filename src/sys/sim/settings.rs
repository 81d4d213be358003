//! What the simulated network and the hosts do wrong.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use super::id::HostId;

/// How a way between two hosts behaves.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    /// How long a packet is under way, at least and less than.
    pub(crate) latency: Range<Duration>,
    /// The part of the packets that is dropped. A stream sends them again, later.
    pub(crate) drop: f64,
    /// Whether nothing passes.
    pub(crate) is_cut: bool,
}

impl Default for Link {
    fn default() -> Link {
        Link { latency: Duration::ZERO..Duration::ZERO, drop: 0.0, is_cut: false }
    }
}

/// The faults of a simulation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    /// The way between any two hosts, unless a link of its own was made for them.
    pub(crate) link: Link,
    /// The part of the segments after which the network resets the connection.
    pub(crate) reset: f64,
    /// The part of the reads and writes that are cut short.
    pub(crate) short_io: f64,
    /// The part of the calls that make a descriptor, and fail with EMFILE.
    pub(crate) emfile: f64,
    /// The part of the writes behind which an urgent byte is added.
    pub(crate) urgent: f64,
    /// The part of the calls of accept4(2) that fail.
    pub(crate) accept_error: f64,
    /// When all calls of accept4(2) fail, since the start.
    pub(crate) refuse_accept: Range<Duration>,
    /// The part of the descriptors that no epoll instance takes.
    pub(crate) epoll_error: f64,
    /// The part of the calls of pipe2(2), splice(2) and sendfile(2) that are refused.
    pub(crate) refuse_splice: f64,
    /// The part of the calls that move bytes before which other threads run.
    pub(crate) preempt: f64,
}

/// What differs from the usual link, in one direction.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// How many cuts there are that have not been healed. Those of a schedule may overlap.
    pub(super) cuts: usize,
    /// How long a packet is under way.
    pub(super) latency: Option<Range<Duration>>,
}

/// The links that differ from the usual one, by where they come from and lead to.
#[derive(Debug, Default)]
pub(super) struct Links(pub(super) BTreeMap<(HostId, HostId), Difference>);

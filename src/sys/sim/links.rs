//! The links between hosts: what differs from the usual one, for a time or for good.

use std::ops::Range;
use std::time::Duration;

use super::id::HostId;
use super::settings::Link;
use super::world::World;

impl World {
    /// Returns the link from one host to another, or `None` for the way of a host to itself: the
    /// loopback interface.
    pub(super) fn link(&self, from: HostId, to: HostId) -> Option<Link> {
        if from == to {
            return None;
        }
        let mut link = self.settings.link.clone();
        if let Some(difference) = self.links.0.get(&(from, to)) {
            link.is_cut = difference.cuts > 0;
            link.latency = difference.latency.clone().unwrap_or(link.latency);
        }
        Some(link)
    }

    /// Cuts the link from one host to another.
    pub(crate) fn cut(&mut self, from: HostId, to: HostId) {
        self.links.0.entry((from, to)).or_default().cuts += 1;
        self.log_link(from, to, "is cut off from");
    }

    /// Takes back one cut of the link from one host to another.
    pub(crate) fn join_again(&mut self, from: HostId, to: HostId) {
        let difference = self.links.0.entry((from, to)).or_default();
        difference.cuts = difference.cuts.saturating_sub(1);
        if difference.cuts == 0 {
            self.log_link(from, to, "reaches");
        }
    }

    /// Sets how long packets from one host to another are under way, or that they are as usual.
    pub(crate) fn set_latency(
        &mut self,
        from: HostId,
        to: HostId,
        latency: Option<Range<Duration>>,
    ) {
        let what = if latency.is_some() { "has a slow link to" } else { "has its usual link to" };
        self.links.0.entry((from, to)).or_default().latency = latency;
        self.log_link(from, to, what);
    }

    /// Makes the link from one host to another the usual one, whatever has happened to it.
    pub(crate) fn heal(&mut self, from: HostId, to: HostId) {
        if self.links.0.remove(&(from, to)).is_some() {
            self.log_link(from, to, "reaches");
        }
    }

    /// Adds a line to the trace that says what has become of a link.
    fn log_link(&mut self, from: HostId, to: HostId, what: &str) {
        let name = self.name(to).to_owned();
        self.log(from, format_args!("{what} {name}"));
    }
}

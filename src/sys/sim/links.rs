//! The links between hosts: what differs from the usual one, for a time or for good.

use std::ops::Range;
use std::time::Duration;

use super::id::HostId;
use super::settings::{Difference, Link};
use super::trace::Mark;
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
        self.change_link(from, to, |difference| difference.cuts += 1);
        self.log_link(from, to, "is cut off from");
    }

    /// Takes back one cut of the link from one host to another.
    pub(crate) fn join_again(&mut self, from: HostId, to: HostId) {
        self.change_link(from, to, |difference| {
            difference.cuts = difference.cuts.saturating_sub(1);
        });
        if self.link(from, to).is_some_and(|link| !link.is_cut) {
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
        self.change_link(from, to, |difference| difference.latency = latency);
        self.log_link(from, to, what);
    }

    /// Makes the link from one host to another the usual one, whatever has happened to it.
    pub(crate) fn heal(&mut self, from: HostId, to: HostId) {
        if self.links.0.contains_key(&(from, to)) {
            self.change_link(from, to, |difference| *difference = Difference::default());
            self.log_link(from, to, "reaches");
        }
    }

    /// Changes what differs of a link, and what a picture shows of it.
    fn change_link(&mut self, from: HostId, to: HostId, change: impl FnOnce(&mut Difference)) {
        let (one, other) = (from.min(to), from.max(to));
        let before = self.states(one, other);
        change(self.links.0.entry((from, to)).or_default());
        for (before, now) in before.into_iter().zip(self.states(one, other)) {
            match (before, now) {
                ((_, false), (kind, true)) => self.mark(|| Mark::Begin(kind, one, other)),
                ((_, true), (kind, false)) => self.mark(|| Mark::End(kind, one, other)),
                _ => {}
            }
        }
    }

    /// Returns what can be said of the link between two hosts, and whether it holds in any direction.
    fn states(&self, one: HostId, other: HostId) -> [(&'static str, bool); 2] {
        let ways = [(one, other), (other, one)].map(|way| self.links.0.get(&way));
        let any = |holds: fn(&Difference) -> bool| ways.into_iter().flatten().any(holds);
        [("cut", any(|it| it.cuts > 0)), ("slow", any(|it| it.latency.is_some()))]
    }

    /// Adds a line to the trace that says what has become of a link.
    fn log_link(&mut self, from: HostId, to: HostId, what: &str) {
        let name = self.name(to).to_owned();
        self.log(from, format_args!("{what} {name}"));
    }
}

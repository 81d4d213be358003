//! What a picture of a trace shows: of everything that has happened, what there is room for.

use std::collections::BTreeMap;

use crate::sys::sim::{HostId, Mark};

/// The most packets in a picture. Those are the last ones, as a failure is at the end.
const MOST_ARROWS: usize = 200;

/// A packet from one host to another.
#[derive(Debug)]
pub(super) struct Arrow {
    /// When it was sent, in nanoseconds since the start.
    pub(super) sent: u64,
    /// When it arrived, or would have.
    pub(super) at: u64,
    /// The host that sent it.
    pub(super) from: HostId,
    /// The host that it was sent to.
    pub(super) to: HostId,
    /// What it was, if it had no bytes.
    pub(super) what: &'static str,
    /// The number of its bytes.
    pub(super) bytes: usize,
    /// Whether it was lost.
    pub(super) is_lost: bool,
}

/// A time in which a host is down, or the link between two is not the usual one.
#[derive(Debug)]
pub(super) struct Band {
    /// The hosts; twice the same if it is one.
    pub(super) hosts: (HostId, HostId),
    /// What it is: a class of the picture, and what is written at it.
    pub(super) kind: &'static str,
    /// When it began.
    pub(super) start: u64,
    /// When it ended, if it has.
    pub(super) end: Option<u64>,
}

/// Something at a time.
#[derive(Debug)]
pub(super) struct Dot {
    /// The host.
    pub(super) host: HostId,
    /// When.
    pub(super) at: u64,
    /// What is written at it.
    pub(super) text: String,
    /// Whether the simulation fails by it.
    pub(super) is_fault: bool,
}

/// What a picture shows.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// The packets.
    pub(super) arrows: Vec<Arrow>,
    /// The bands behind them.
    pub(super) bands: Vec<Band>,
    /// What programs have noted.
    pub(super) dots: Vec<Dot>,
    /// The number of packets that are left out.
    pub(super) left_out: usize,
}

impl Timeline {
    /// Returns what a picture shows of these marks, each with its time.
    pub(super) fn of(marks: &[(u64, Mark)]) -> Timeline {
        let is_packet = |(_, mark): &&(u64, Mark)| matches!(mark, Mark::Packet { .. });
        let packets = marks.iter().filter(is_packet).count();
        let mut timeline =
            Timeline { left_out: packets.saturating_sub(MOST_ARROWS), ..Timeline::default() };
        let mut to_skip = timeline.left_out;
        for (at, mark) in marks {
            if to_skip > 0 && matches!(mark, Mark::Packet { .. }) {
                to_skip -= 1;
                // What has happened before the first packet of the picture has no place in it, but
                // for bands that go on.
                timeline.dots.clear();
                timeline.bands.retain(|band| band.end.is_none());
                continue;
            }
            timeline.add(*at, mark);
        }
        let first = timeline.arrows.iter().map(|arrow| arrow.sent).min();
        if let Some(first) = first.filter(|_| timeline.left_out > 0) {
            for band in &mut timeline.bands {
                band.start = band.start.max(first);
            }
        }
        timeline
    }

    /// Adds a mark.
    fn add(&mut self, at: u64, mark: &Mark) {
        match *mark {
            Mark::Packet { sent, from, to, what, bytes, is_lost } => {
                // What arrives together is one arrow.
                if let Some(last) = self.arrows.last_mut()
                    && (last.at, last.from, last.to, last.is_lost) == (at, from, to, is_lost)
                    && last.bytes > 0
                    && bytes > 0
                {
                    last.bytes += bytes;
                    return;
                }
                self.arrows.push(Arrow { sent, at, from, to, what, bytes, is_lost });
            }
            Mark::Begin(kind, one, other) => {
                self.bands.push(Band { hosts: (one, other), kind, start: at, end: None });
            }
            Mark::End(kind, one, other) => {
                let is_it = |band: &&mut Band| {
                    band.end.is_none() && band.kind == kind && band.hosts == (one, other)
                };
                self.bands.iter_mut().filter(is_it).for_each(|band| band.end = Some(at));
            }
            Mark::Said { host, ref text, is_fault } => {
                self.dots.push(Dot { host, at, text: text.clone(), is_fault });
            }
        }
    }

    /// Returns what the simulation has failed by.
    pub(super) fn fault(&self) -> Option<&Dot> {
        self.dots.iter().find(|dot| dot.is_fault)
    }

    /// Returns the times at which something is drawn, in order, and whether words stand there.
    pub(super) fn times(&self) -> BTreeMap<u64, bool> {
        let mut times = BTreeMap::new();
        let with_words = self.arrows.iter().map(|arrow| arrow.sent);
        let with_words = with_words.chain(self.dots.iter().map(|dot| dot.at));
        let with_words = with_words.chain(self.bands.iter().map(|band| band.start));
        times.extend(with_words.map(|time| (time, true)));
        let others = self.arrows.iter().map(|arrow| arrow.at);
        for time in others.chain(self.bands.iter().filter_map(|band| band.end)) {
            times.entry(time).or_insert(false);
        }
        times
    }
}

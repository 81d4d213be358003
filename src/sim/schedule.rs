//! What a simulation does at times that were set beforehand: crashes, and links that are cut.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use super::faults::Faults;
use super::outages::Time;

/// Something that is done at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    /// Cut the link between two hosts, by their names.
    Cut(String, String),
    /// Heal it.
    Heal(String, String),
    /// Give the link between two hosts a latency, or its usual one.
    Slow(String, String, Option<Range<Duration>>),
    /// Let a host stand still, or go on.
    Pause(String, bool),
    /// Crash a host.
    Crash(String),
    /// Start the program of a crashed host again.
    Restart(String),
}

/// What is to be done, the nearest first.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// The acts, and when they are done: since the start of the simulation.
    acts: VecDeque<(Duration, Act)>,
}

impl Schedule {
    /// Returns what `faults` ask for from now on, when `passed` has passed.
    pub(super) fn of(faults: &Faults, passed: Duration) -> Schedule {
        let mut acts = Vec::new();
        let is_ahead = |time: &Time| time.start >= passed;
        for partition in faults.partitions.iter().filter(|partition| is_ahead(&partition.time)) {
            let (one, other) = partition.hosts.clone();
            acts.push((partition.time.start, Act::Cut(one.clone(), other.clone())));
            acts.extend(partition.time.end.map(|end| (end, Act::Heal(one, other))));
        }
        for slow in faults.slow_links.iter().filter(|slow| is_ahead(&slow.time)) {
            let (one, other) = slow.hosts.clone();
            let begin = Act::Slow(one.clone(), other.clone(), Some(slow.latency.clone()));
            acts.push((slow.time.start, begin));
            acts.extend(slow.time.end.map(|end| (end, Act::Slow(one, other, None))));
        }
        for pause in faults.pauses.iter().filter(|pause| is_ahead(&pause.time)) {
            acts.push((pause.time.start, Act::Pause(pause.host.clone(), true)));
            acts.extend(pause.time.end.map(|end| (end, Act::Pause(pause.host.clone(), false))));
        }
        for crash in faults.crashes.iter().filter(|crash| is_ahead(&crash.time)) {
            acts.push((crash.time.start, Act::Crash(crash.host.clone())));
            acts.extend(crash.time.end.map(|end| (end, Act::Restart(crash.host.clone()))));
        }
        // Stable: what was asked for at the same time is done in the order in which it was asked.
        acts.sort_by_key(|(at, _)| *at);
        Schedule { acts: acts.into() }
    }

    /// Returns the names of the hosts that acts are about.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &str> {
        self.acts.iter().flat_map(|(_, act)| match act {
            Act::Cut(one, other) | Act::Heal(one, other) | Act::Slow(one, other, _) => {
                [one.as_str(), other.as_str()]
            }
            Act::Crash(host) | Act::Restart(host) | Act::Pause(host, _) => {
                [host.as_str(), host.as_str()]
            }
        })
    }

    /// Returns when the next act is due.
    pub(super) fn next(&self) -> Option<Duration> {
        self.acts.front().map(|(at, _)| *at)
    }

    /// Takes the next act if it is due when `passed` has passed.
    pub(super) fn take_due(&mut self, passed: Duration) -> Option<Act> {
        if self.next()? > passed {
            return None;
        }
        self.acts.pop_front().map(|(_, act)| act)
    }
}

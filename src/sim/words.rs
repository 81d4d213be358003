//! Faults in words: as the calls that set them, and for a reader.

use std::fmt::{self, Formatter};

use super::faults::Faults;
use super::outages::{Partition, SlowLink};
use crate::sys::sim::Settings;

/// A fault that is a part, by its name.
pub(super) type Part = (&'static str, fn(&mut Settings) -> &mut f64);

/// The faults that are parts.
pub(super) const PARTS: [Part; 9] = [
    ("drop", |settings| &mut settings.link.drop),
    ("reset", |settings| &mut settings.reset),
    ("short_io", |settings| &mut settings.short_io),
    ("emfile", |settings| &mut settings.emfile),
    ("urgent", |settings| &mut settings.urgent),
    ("accept_error", |settings| &mut settings.accept_error),
    ("preempt", |settings| &mut settings.preempt),
    ("epoll_error", |settings| &mut settings.epoll_error),
    ("refuse_splice", |settings| &mut settings.refuse_splice),
];

impl Faults {
    /// Returns the calls that make these faults, by the names of their methods: each with the hosts and the
    /// numbers that it is given.
    fn calls(&self) -> Vec<(&'static str, Vec<&str>, Vec<String>)> {
        let settings = &self.settings;
        let mut calls: Vec<(&'static str, Vec<&str>, Vec<String>)> = Vec::new();
        let latency = &settings.link.latency;
        if !latency.end.is_zero() {
            calls.push(("latency", vec![], vec![format!("{latency:?}")]));
        }
        let parts = PARTS.map(|(name, part)| (name, *part(&mut settings.clone())));
        let parts = parts.into_iter().filter(|(_, part)| *part > 0.0);
        calls.extend(parts.map(|(name, part)| (name, vec![], vec![part.to_string()])));
        if !settings.refuse_accept.is_empty() {
            calls.push(("refuse_accept", vec![], vec![format!("{:?}", settings.refuse_accept)]));
        }
        for Partition { hosts: (one, other), time } in &self.partitions {
            calls.push(("partition", vec![one, other], vec![time.to_string()]));
        }
        for SlowLink { hosts: (one, other), latency, time } in &self.slow_links {
            calls.push(("slow", vec![one, other], vec![format!("{latency:?}"), time.to_string()]));
        }
        for (name, times) in [("pause", &self.pauses), ("crash", &self.crashes)] {
            calls.extend(times.iter().map(|it| (name, vec![&*it.host], vec![it.time.to_string()])));
        }
        calls
    }
}

impl fmt::Debug for Faults {
    /// Prints the calls that make these faults: `Faults::default().drop(0.01).reset(0.001)`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Faults::default()")?;
        for (name, hosts, numbers) in self.calls() {
            let hosts = hosts.into_iter().map(|host| format!("{host:?}"));
            let arguments: Vec<String> = hosts.chain(numbers).collect();
            write!(f, ".{name}({})", arguments.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let words = self.calls().into_iter().map(|(name, hosts, numbers)| {
            let numbers = numbers.iter().map(String::as_str);
            [name].into_iter().chain(hosts).chain(numbers).collect::<Vec<_>>().join(" ")
        });
        let words: Vec<String> = words.collect();
        if words.is_empty() { f.write_str("no faults") } else { f.write_str(&words.join(", ")) }
    }
}

//! Fewer faults, and what faults are in words.

use std::fmt;

use super::faults::{Faults, Time};

impl Faults {
    /// Returns these faults with one of them left out, in each way in which that can be done.
    pub(super) fn fewer(&self) -> Vec<Faults> {
        let mut fewer = Vec::new();
        let mut leave_out = |is_set: bool, change: &dyn Fn(&mut Faults)| {
            if is_set {
                let mut faults = self.clone();
                change(&mut faults);
                fewer.push(faults);
            }
        };
        let settings = &self.settings;
        for number in 0..self.crashes.len() {
            leave_out(true, &|faults| drop(faults.crashes.remove(number)));
        }
        for number in 0..self.pauses.len() {
            leave_out(true, &|faults| drop(faults.pauses.remove(number)));
        }
        for number in 0..self.partitions.len() {
            leave_out(true, &|faults| drop(faults.partitions.remove(number)));
        }
        for number in 0..self.slow_links.len() {
            leave_out(true, &|faults| drop(faults.slow_links.remove(number)));
        }
        leave_out(settings.emfile > 0.0, &|faults| faults.settings.emfile = 0.0);
        leave_out(settings.refuse_splice > 0.0, &|faults| faults.settings.refuse_splice = 0.0);
        leave_out(settings.reset > 0.0, &|faults| faults.settings.reset = 0.0);
        leave_out(settings.short_io > 0.0, &|faults| faults.settings.short_io = 0.0);
        leave_out(settings.link.drop > 0.0, &|faults| faults.settings.link.drop = 0.0);
        let latency = &settings.link.latency;
        leave_out(!latency.end.is_zero(), &|faults| {
            faults.settings.link.latency = Default::default();
        });
        fewer
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.settings;
        let mut words = Vec::new();
        let latency = &settings.link.latency;
        if !latency.end.is_zero() {
            words.push(format!("latency {latency:?}"));
        }
        let parts = [
            ("drop", settings.link.drop),
            ("reset", settings.reset),
            ("short_io", settings.short_io),
            ("emfile", settings.emfile),
            ("refuse_splice", settings.refuse_splice),
        ];
        words.extend(parts.iter().filter(|(_, part)| *part > 0.0).map(|(n, p)| format!("{n} {p}")));
        for partition in &self.partitions {
            let (one, other) = &partition.hosts;
            words.push(format!("partition {one} {other} {}", partition.time));
        }
        for slow in &self.slow_links {
            let ((one, other), latency) = (&slow.hosts, &slow.latency);
            words.push(format!("slow {one} {other} {latency:?} {}", slow.time));
        }
        words.extend(self.pauses.iter().map(|it| format!("pause {} {}", it.host, it.time)));
        words.extend(self.crashes.iter().map(|it| format!("crash {} {}", it.host, it.time)));
        if words.is_empty() { f.write_str("no faults") } else { f.write_str(&words.join(", ")) }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}..", self.start)?;
        self.end.map_or(Ok(()), |end| write!(f, "{end:?}"))
    }
}

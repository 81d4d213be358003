//! Fewer faults.

use super::faults::Faults;
use super::words::PARTS;

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
        for (_, part) in PARTS.into_iter().rev() {
            let is_set = *part(&mut settings.clone()) > 0.0;
            leave_out(is_set, &|faults| *part(&mut faults.settings) = 0.0);
        }
        leave_out(!settings.refuse_accept.is_empty(), &|faults| {
            faults.settings.refuse_accept = Default::default();
        });
        let latency = &settings.link.latency;
        leave_out(!latency.end.is_zero(), &|faults| {
            faults.settings.link.latency = Default::default();
        });
        fewer
    }
}

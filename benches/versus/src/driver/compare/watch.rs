//! What a server took while it was measured, and what the rest of the machine did meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::args::{Error, failure};

/// What `/proc` counts times in: hundredths of a second on every Linux (USER_HZ).
const TICK_SECONDS: f64 = 0.01;

/// What disturbed a turn, each as a share of its time.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Disturbance {
    /// CPU time of programs that have nothing to do with the measurement.
    pub(super) others: f64,
    /// Time in which the hypervisor ran something else.
    pub(super) stolen: f64,
    /// How long the server's threads waited for a CPU that is theirs alone. Zero where they share
    /// theirs with the load.
    pub(super) waited: f64,
}

impl Disturbance {
    /// Returns `true` if each part is below the share of it that is let pass.
    pub(super) fn is_within(&self, limits: Disturbance) -> bool {
        self.others <= limits.others && self.stolen <= limits.stolen && self.waited <= limits.waited
    }
}

/// What is let pass where a rate or a CPU time is measured: about as much as that differs from turn to
/// turn anyway.
pub(super) const LIMITS: Disturbance = Disturbance { others: 0.05, stolen: 0.02, waited: 0.03 };

/// What is let pass where the slowest of a thousand requests count. Of other programs, two ticks in a
/// second: they may have been on any CPU.
pub(super) const LIMITS_OF_TAILS: Disturbance =
    Disturbance { others: 0.021, stolen: 0.004, waited: 0.006 };

/// A look at the counts of the kernel, from which the next one is told apart.
#[derive(Debug)]
pub(super) struct Watch {
    pids: Vec<i32>,
    is_apart: bool,
    began: Instant,
    threads: BTreeMap<i32, ThreadTimes>,
    others: u64,
    stolen: u64,
}

/// What happened between two looks.
#[derive(Debug)]
pub(super) struct Window {
    /// CPU nanoseconds of each of the server's threads.
    pub(super) threads: Vec<u64>,
    pub(super) disturbance: Disturbance,
}

impl Window {
    /// CPU nanoseconds of the server.
    pub(super) fn cpu_ns(&self) -> f64 {
        self.threads.iter().sum::<u64>() as f64
    }
}

/// The two times of a thread's schedstat, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct ThreadTimes {
    ran: u64,
    waited: u64,
}

impl Watch {
    /// Looks for the first time at the processes of a server. `is_apart`: it has CPUs of its own.
    pub(super) fn begin(pids: &[i32], is_apart: bool) -> Result<Watch, Error> {
        Ok(Watch {
            others: ticks_of_others()?,
            stolen: stolen_ticks()?,
            threads: threads_of(pids)?,
            pids: pids.to_vec(),
            is_apart,
            began: Instant::now(),
        })
    }

    /// Looks for the second time.
    pub(super) fn end(self) -> Result<Window, Error> {
        let elapsed = self.began.elapsed();
        let after = threads_of(&self.pids)?;
        let before = |thread: &i32| self.threads.get(thread).copied().unwrap_or_default();
        let threads = after.iter().map(|(thread, times)| times.ran - before(thread).ran).collect();
        let waited: u64 =
            after.iter().map(|(thread, times)| times.waited - before(thread).waited).sum();
        let others = ticks_of_others()?.saturating_sub(self.others);
        let share = |ticks: u64| ticks as f64 * TICK_SECONDS / elapsed.as_secs_f64();
        let waited = if self.is_apart { waited as f64 / elapsed.as_nanos() as f64 } else { 0.0 };
        let stolen = share(stolen_ticks()?.saturating_sub(self.stolen));
        let disturbance = Disturbance { others: share(others), stolen, waited };
        Ok(Window { threads, disturbance })
    }
}

fn threads_of(pids: &[i32]) -> Result<BTreeMap<i32, ThreadTimes>, Error> {
    let mut all = BTreeMap::new();
    for pid in pids {
        // A process or a thread may end at any time.
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for thread in threads {
            let Ok(text) = fs::read_to_string(thread.path().join("schedstat")) else { continue };
            let id = thread.file_name().to_string_lossy().parse()?;
            all.insert(id, schedstat(&text)?);
        }
    }
    Ok(all)
}

fn schedstat(text: &str) -> Result<ThreadTimes, Error> {
    let mut numbers = text.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(ran), Some(waited)) => Ok(ThreadTimes { ran: ran?, waited: waited? }),
        _ => Err(failure("no times in schedstat")),
    }
}

/// A process in `/proc/PID/stat`.
#[derive(Debug, PartialEq)]
struct Stat {
    parent: i32,
    is_kernel_thread: bool,
    /// CPU time of all its threads and of the children that it waited for, in ticks.
    ticks: u64,
}

/// CPU time so far of all programs but this one and what it has started, in ticks. Threads of the kernel
/// are left out: they work for those that send and receive.
fn ticks_of_others() -> Result<u64, Error> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let Ok(text) = fs::read_to_string(entry.path().join("stat")) else { continue };
        all.extend(stat(&text).map(|stat| (pid, stat)));
    }
    Ok(ticks_beside(&all, std::process::id() as i32))
}

/// The ticks of all processes that neither are `this` one nor were started by it. The time of one that
/// has ended is that of the one that waited for it, so that the sum goes on.
fn ticks_beside(all: &BTreeMap<i32, Stat>, this: i32) -> u64 {
    let is_ours = |pid: i32| ancestry(all, pid).any(|ancestor| ancestor == this);
    let others = all.iter().filter(|(pid, stat)| !stat.is_kernel_thread && !is_ours(**pid));
    others.map(|(_, stat)| stat.ticks).sum()
}

/// A process, its parent, and so on. Ends where a parent is not in the list, or where ids that
/// changed meanwhile make a circle.
fn ancestry(all: &BTreeMap<i32, Stat>, pid: i32) -> impl Iterator<Item = i32> {
    std::iter::successors(Some(pid), |pid| all.get(pid).map(|stat| stat.parent)).take(64)
}

fn stat(text: &str) -> Option<Stat> {
    // The name, in parentheses, may hold anything. Behind it: state, parent, group, session,
    // terminal, its group, flags, four kinds of faults, and four times.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11..15)?.iter().map(|ticks| ticks.parse::<u64>());
    let flags: u32 = fields[6].parse().ok()?;
    Some(Stat {
        parent: fields[1].parse().ok()?,
        is_kernel_thread: flags & 0x0020_0000 != 0,
        ticks: ticks.sum::<Result<_, _>>().ok()?,
    })
}

/// Stolen time of all CPUs, the eighth number of the first line of `/proc/stat`.
fn stolen_ticks() -> Result<u64, Error> {
    let text = fs::read_to_string("/proc/stat")?;
    let number = text.lines().next().and_then(|line| line.split_whitespace().nth(8));
    Ok(number.ok_or_else(|| failure("no stolen time in /proc/stat"))?.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_quiet_until_something_takes_more_than_its_share() {
        assert!(LIMITS.is_within(LIMITS));
        for disturbance in [
            Disturbance { others: 0.06, ..LIMITS },
            Disturbance { stolen: 0.03, ..LIMITS },
            Disturbance { waited: 0.04, ..LIMITS },
        ] {
            assert!(!disturbance.is_within(LIMITS));
        }
        assert!(!LIMITS.is_within(LIMITS_OF_TAILS));
    }

    #[test]
    fn a_process_is_read_whatever_its_name_is() {
        let text = "42 (a b) c) S 7 42 42 0 -1 4194560 100 0 0 0 11 22 3 4 20 0 1 0 5 0 0";
        let expected = Stat { parent: 7, is_kernel_thread: false, ticks: 40 };
        assert_eq!(stat(text), Some(expected));
        assert_eq!(stat("42 (short) S 7"), None);
        let kernel = "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 1 0 0 20 0 1 0 5 0 0";
        assert!(stat(kernel).unwrap().is_kernel_thread);
    }

    #[test]
    fn what_this_process_and_its_children_do_is_no_disturbance() {
        let stat = |parent, is_kernel_thread, ticks| Stat { parent, is_kernel_thread, ticks };
        let all = BTreeMap::from([
            (1, stat(0, false, 1)),
            (2, stat(0, true, 1000)),
            (10, stat(1, false, 20)),
            (20, stat(1, false, 300)),
            (21, stat(20, false, 5000)),
            (22, stat(21, false, 70_000)),
        ]);
        assert_eq!(ticks_beside(&all, 20), 21);
        // Ids that were read at different times may make a circle.
        let circle = BTreeMap::from([(5, stat(6, false, 1)), (6, stat(5, false, 2))]);
        assert_eq!(ticks_beside(&circle, 20), 3);
    }

    #[test]
    fn a_thread_has_its_times() {
        let own = threads_of(&[std::process::id() as i32]).unwrap();
        assert!(own.values().any(|times| times.ran > 0));
    }
}

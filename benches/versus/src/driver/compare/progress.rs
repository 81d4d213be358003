//! The line that says how far a run has come. It goes to stderr: rewritten on a terminal, and one for
//! each cell elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::results::Contestant;

/// How far a run has come.
#[derive(Debug)]
pub(super) struct Progress {
    began: Instant,
    is_terminal: bool,
    /// How long all turns take by plan, in seconds.
    planned: f64,
    /// How much of that is done.
    done: f64,
}

impl Progress {
    pub(super) fn new(planned: f64) -> Progress {
        let is_terminal = io::stderr().is_terminal();
        if !is_terminal {
            eprintln!("about {}", short(planned));
        }
        Progress { began: Instant::now(), is_terminal, planned, done: 0.0 }
    }

    /// How long the turns that are left take by plan.
    fn seconds_left(&self) -> f64 {
        (self.planned - self.done).max(0.0)
    }

    /// How much of the plan is done; 1 is all of it.
    pub(super) fn share_done(&self) -> f64 {
        (self.done / self.planned.max(1e-9)).min(1.0)
    }

    /// Shows which turn begins.
    pub(super) fn show(&self, cell: &str, round: usize, rounds: usize, server: &str) {
        if self.is_terminal {
            let percent = 100.0 * self.share_done();
            let left = short(self.seconds_left());
            eprint!(
                "\r\x1b[K{percent:3.0} %  {cell}  round {} of {rounds}  {server}  {left} left",
                round + 1
            );
            let _ = io::stderr().flush();
        }
    }

    pub(super) fn advance(&mut self, seconds: f64) {
        self.done += seconds;
    }

    /// Says how a cell went.
    pub(super) fn finish_cell(&self, cell: &str, contestants: &[Contestant]) {
        let samples: usize = contestants.iter().map(|it| it.samples.len()).sum();
        let thrown: usize = contestants.iter().map(Contestant::thrown_away).sum();
        let failed = contestants.iter().filter(|it| it.failure.is_some()).count();
        let start = if self.is_terminal { "\r\x1b[K" } else { "" };
        let mut line = format!("{start}{cell}: {samples} turns");
        if thrown > 0 {
            line += &format!(", {thrown} thrown away");
        }
        if failed > 0 {
            line += &format!(", {failed} servers could not run");
        }
        eprintln!("{line}; {} so far", short(self.began.elapsed().as_secs_f64()));
    }

    pub(super) fn end(&self) {
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
    }
}

fn short(seconds: f64) -> String {
    let seconds = Duration::from_secs_f64(seconds.max(0.0)).as_secs();
    if seconds < 60 {
        format!("{seconds} s")
    } else {
        format!("{}:{:02} min", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_what_was_planned_and_not_done() {
        let mut progress = Progress::new(90.0);
        progress.advance(30.0);
        assert_eq!((progress.seconds_left(), progress.share_done()), (60.0, 1.0 / 3.0));
        progress.advance(100.0);
        assert_eq!(progress.seconds_left(), 0.0);
        assert_eq!((short(59.9), short(61.0)), ("59 s".to_owned(), "1:01 min".to_owned()));
    }
}

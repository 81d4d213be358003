//! The order of the turns: in each round every server has one, A B C, A B C.

use std::time::{Duration, Instant};

use super::bench::Bench;
use super::cells::Cell;
use super::options::Options;
use super::progress::Progress;
use super::results::{CellResult, Contestant, Sample};
use crate::args::{Error, failure};

/// How often a turn that others disturbed is taken again.
const SECOND_TRIES: usize = 2;

/// The share of the time that is kept for turns that are taken again.
const RESERVE: f64 = 0.1;

/// A turn that is shorter measures how a server starts.
const SHORTEST_TURN: f64 = 0.1;

/// A turn that is longer says no more.
const LONGEST_TURN: f64 = 5.0;

/// The time that a run may take.
#[derive(Debug)]
pub(super) struct Clock {
    began: Instant,
    /// How long the run may take.
    allowed: Duration,
}

impl Clock {
    pub(super) fn new(minutes: f64) -> Clock {
        Clock { began: Instant::now(), allowed: Duration::from_secs_f64(minutes * 60.0) }
    }

    /// Returns `true` if there is time for a turn that is not planned, with so much of the plan done:
    /// the spare time is for all cells alike.
    fn has_spare(&self, share_done: f64) -> bool {
        self.began.elapsed() < self.allowed.mul_f64(share_done)
    }

    fn is_over(&self) -> bool {
        self.began.elapsed() >= self.allowed
    }
}

/// Makes the turns as long as the time allows. Returns how long all of them take, in seconds.
pub(super) fn plan(
    cells: &[Box<dyn Cell>],
    bench: &mut Bench,
    options: &Options,
) -> Result<f64, Error> {
    let (mut fixed, mut turns) = (0.0, 0.0);
    for cell in cells {
        let count = (cell.rounds(options.rounds) * cell.contestants(bench).len()) as f64;
        fixed += count * cell.cost().seconds;
        turns += count * cell.cost().turns;
    }
    let available = options.minutes * 60.0 * (1.0 - RESERVE) - fixed;
    let turn = if turns > 0.0 { available / turns } else { LONGEST_TURN };
    if turn < SHORTEST_TURN {
        let least = (fixed + turns * SHORTEST_TURN) / (1.0 - RESERVE) / 60.0;
        let asked = options.minutes;
        return Err(failure(format!(
            "{asked} minutes are too few for these cells, servers and rounds: --minutes {:.1}",
            (least * 10.0).ceil() / 10.0
        )));
    }
    let turn = turn.min(LONGEST_TURN);
    bench.turn = Duration::from_secs_f64(turn);
    Ok(fixed + turns * turn)
}

/// Takes all turns of a cell.
pub(super) fn run_cell(
    cell: &dyn Cell,
    bench: &Bench,
    options: &Options,
    clock: &Clock,
    progress: &mut Progress,
) -> CellResult {
    let names = cell.contestants(bench);
    let rounds = cell.rounds(options.rounds);
    let seconds = cell.cost().seconds + cell.cost().turns * bench.turn.as_secs_f64();
    let contestants = interleave(&names, rounds, |name, round, is_second_try| {
        if (round > 0 && clock.is_over())
            || (is_second_try && !clock.has_spare(progress.share_done()))
        {
            return Turn::NoTime;
        }
        progress.show(cell.name(), round, rounds, name);
        let taken = cell.turn(bench, name);
        if !is_second_try {
            progress.advance(seconds);
        }
        match taken {
            Ok(sample) => Turn::Taken(sample),
            Err(error) => Turn::Failed(error.to_string()),
        }
    });
    progress.finish_cell(cell.name(), &contestants);
    CellResult {
        name: cell.name().to_owned(),
        title: cell.title(),
        method: cell.method(),
        columns: cell.columns(),
        contestants,
    }
}

/// How a turn went.
#[derive(Debug)]
enum Turn {
    Taken(Sample),
    /// Why the server has no further turns.
    Failed(String),
    NoTime,
}

/// Takes a turn for each name in each round. `take` is told the name, the round, and whether the
/// turn before was disturbed and this is the same one again.
fn interleave(
    names: &[String],
    rounds: usize,
    mut take: impl FnMut(&str, usize, bool) -> Turn,
) -> Vec<Contestant> {
    let new = |name: &String| Contestant { name: name.clone(), ..Contestant::default() };
    let mut contestants: Vec<Contestant> = names.iter().map(new).collect();
    for round in 0..rounds {
        for contestant in &mut contestants {
            for attempt in 0..=SECOND_TRIES {
                if contestant.failure.is_some() {
                    break;
                }
                match take(&contestant.name, round, attempt > 0) {
                    Turn::Taken(mut sample) => {
                        sample.round = round;
                        let is_quiet = sample.is_quiet();
                        contestant.samples.push(sample);
                        if is_quiet {
                            break;
                        }
                    }
                    Turn::Failed(reason) => contestant.failure = Some(reason),
                    Turn::NoTime => break,
                }
            }
        }
    }
    contestants
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::compare::watch::Disturbance;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn quiet() -> Turn {
        Turn::Taken(Sample::default())
    }

    fn disturbed() -> Turn {
        let disturbance = Disturbance { others: 0.5, ..Disturbance::default() };
        Turn::Taken(Sample { disturbance, ..Sample::default() })
    }

    #[test]
    fn the_servers_take_turns() {
        let mut order = String::new();
        let contestants = interleave(&names(&["A", "B", "C"]), 2, |name, _, _| {
            order += name;
            quiet()
        });
        assert_eq!(order, "ABCABC");
        let rounds: Vec<usize> = contestants[1].samples.iter().map(|it| it.round).collect();
        assert_eq!(rounds, [0, 1]);
    }

    #[test]
    fn a_disturbed_turn_is_taken_again_at_once_and_not_for_ever() {
        let mut order = String::new();
        let contestants = interleave(&names(&["A", "B"]), 1, |name, _, is_second_try| {
            order += name;
            if name == "A" || !is_second_try { disturbed() } else { quiet() }
        });
        assert_eq!(order, "AAABB");
        assert!(contestants[0].is_disturbed());
        assert_eq!(contestants[1].thrown_away(), 1);
    }

    #[test]
    fn a_server_that_fails_has_no_further_turns_and_its_reason() {
        let mut order = String::new();
        let contestants = interleave(&names(&["A", "B"]), 3, |name, round, _| {
            order += name;
            if name == "A" && round == 1 { Turn::Failed("why".to_owned()) } else { quiet() }
        });
        assert_eq!(order, "ABABB");
        assert_eq!(contestants[0].failure.as_deref(), Some("why"));
        assert_eq!(contestants[0].samples.len(), 1);
    }

    #[test]
    fn without_time_there_are_no_second_tries() {
        let contestants =
            interleave(
                &names(&["A"]),
                1,
                |_, _, is_second_try| {
                    if is_second_try { Turn::NoTime } else { disturbed() }
                },
            );
        assert_eq!(contestants[0].samples.len(), 1);
        assert!(Clock::new(1.0).has_spare(0.5));
        assert!(!Clock::new(1.0).has_spare(0.0));
    }
}

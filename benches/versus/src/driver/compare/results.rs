//! All that was measured, as it is kept in `results.json`: from it, tables and charts are made.

use serde::{Deserialize, Serialize};

use super::statistics::{self, Summary};
use super::watch::{Disturbance, LIMITS, LIMITS_OF_TAILS};

/// A whole run.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Results {
    pub(super) machine: Machine,
    /// How many turns each server was to have in a cell.
    pub(super) rounds: usize,
    /// How long a turn loaded its server, unless the cell asks for more.
    pub(super) turn_seconds: f64,
    pub(super) cells: Vec<CellResult>,
}

/// Where it was measured, and with what.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Machine {
    /// When the run ended.
    pub(super) date: String,
    pub(super) kernel: String,
    pub(super) cpu: String,
    pub(super) cpus: usize,
    pub(super) compiler: String,
    pub(super) profile: String,
    pub(super) load: String,
    /// The libraries of this build, with their versions.
    pub(super) libraries: Vec<String>,
}

/// What one cell has measured.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct CellResult {
    pub(super) name: String,
    pub(super) title: String,
    /// What the figures are, and how they are made.
    pub(super) method: String,
    /// The figures of a sample; the first is the main one.
    pub(super) columns: Vec<Column>,
    pub(super) contestants: Vec<Contestant>,
}

/// A figure of each sample.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) unit: Unit,
    /// How the samples of a server become one figure.
    pub(super) sum: Sum,
    /// Whether more of it is better.
    pub(super) more_is_better: bool,
    /// Whether it has a chart. The first one of a cell always has.
    pub(super) is_drawn: bool,
}

impl Column {
    /// A figure whose median is shown.
    pub(super) fn new(name: &str, unit: Unit, more_is_better: bool) -> Column {
        Column { name: name.to_owned(), unit, sum: Sum::Median, more_is_better, is_drawn: false }
    }

    pub(super) fn drawn(mut self) -> Column {
        self.is_drawn = true;
        self
    }

    pub(super) fn summed_by(mut self, sum: Sum) -> Column {
        self.sum = sum;
        self
    }
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) enum Unit {
    PerSecond,
    Nanoseconds,
    Bytes,
    /// A share; 1 is the whole.
    Share,
    /// One or zero.
    YesOrNo,
}

/// How the samples of a server become one figure.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) enum Sum {
    Median,
    Lowest,
    /// In how many of the samples it is one.
    Count,
}

/// A server's samples of a cell.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Contestant {
    pub(super) name: String,
    pub(super) samples: Vec<Sample>,
    /// Why there are no more samples.
    pub(super) failure: Option<String>,
}

/// What a turn has measured.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Sample {
    pub(super) round: usize,
    /// A figure for each column; None where the turn had nothing to say.
    pub(super) figures: Vec<Option<f64>>,
    /// Percentiles with their latencies in nanoseconds, where a cell is about these.
    pub(super) percentiles: Vec<(f64, f64)>,
    pub(super) disturbance: Disturbance,
}

impl CellResult {
    /// The columns that have a chart, and the names of its files.
    pub(super) fn charts(&self) -> Vec<(usize, String)> {
        let drawn = self.columns.iter().enumerate().filter(|(at, of)| *at == 0 || of.is_drawn);
        let name = |(at, column): (usize, &Column)| match at {
            0 => (at, format!("{}.svg", self.name)),
            _ => {
                (at, format!("{}-{}.svg", self.name, column.name.to_lowercase().replace(' ', "-")))
            }
        };
        drawn.map(name).collect()
    }

    /// The name of the file with the curves by percentile, if the samples have percentiles.
    pub(super) fn curves(&self) -> Option<String> {
        let has_curve = self.contestants.iter().any(|contestant| !contestant.curve().is_empty());
        has_curve.then(|| format!("{}-percentiles.svg", self.name))
    }
}

impl Sample {
    /// Returns `true` if nothing disturbed the turn by more than is let pass.
    pub(super) fn is_quiet(&self) -> bool {
        let limits = if self.percentiles.is_empty() { LIMITS } else { LIMITS_OF_TAILS };
        self.disturbance.is_within(limits)
    }
}

impl Contestant {
    /// The samples that count: those of quiet turns, or all if there was no quiet one.
    pub(super) fn counted(&self) -> Vec<&Sample> {
        let quiet: Vec<&Sample> = self.quiet().collect();
        if quiet.is_empty() { self.samples.iter().collect() } else { quiet }
    }

    /// How many samples were thrown away.
    pub(super) fn thrown_away(&self) -> usize {
        self.samples.len() - self.counted().len()
    }

    /// Returns `true` if others disturbed every turn.
    pub(super) fn is_disturbed(&self) -> bool {
        !self.samples.is_empty() && self.quiet().next().is_none()
    }

    fn quiet(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(|sample| sample.is_quiet())
    }

    /// The figures of a column in the samples that count.
    pub(super) fn figures(&self, column: usize) -> Vec<f64> {
        let figure = |sample: &&Sample| sample.figures.get(column).copied().flatten();
        self.counted().iter().filter_map(figure).collect()
    }

    pub(super) fn summary(&self, column: usize) -> Option<Summary> {
        statistics::summary(self.figures(column))
    }

    /// How the figure compares with that of the first server: the ratio is taken in each round, and
    /// then its median.
    pub(super) fn ratio(&self, first: &Contestant, column: usize) -> Option<Summary> {
        let by_round = |contestant: &Contestant, round: usize| {
            let of_round = |sample: &&&Sample| sample.round == round;
            let counted = contestant.counted();
            let sample = counted.iter().rev().find(of_round)?;
            sample.figures.get(column).copied().flatten()
        };
        let rounds = 0..self.samples.iter().map(|sample| sample.round + 1).max().unwrap_or(0);
        let ratios = rounds.filter_map(|round| {
            Some(by_round(self, round)? / by_round(first, round).filter(|&base| base != 0.0)?)
        });
        statistics::summary(ratios.collect())
    }

    /// The median latency of each percentile.
    pub(super) fn curve(&self) -> Vec<(f64, f64)> {
        let counted = self.counted();
        let Some(first) = counted.first() else { return Vec::new() };
        let percents = first.percentiles.iter().map(|point| point.0);
        let median = |percent: f64| {
            let of = |sample: &&Sample| {
                sample.percentiles.iter().find(|point| point.0 == percent).map(|point| point.1)
            };
            statistics::summary(counted.iter().filter_map(of).collect())
        };
        percents.filter_map(|percent| Some((percent, median(percent)?.median))).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A contestant with a quiet sample for each figure, one a round.
    pub(in crate::driver::compare) fn contestant(name: &str, figures: &[f64]) -> Contestant {
        let sample = |(round, figure): (usize, &f64)| Sample {
            round,
            figures: vec![Some(*figure)],
            ..Sample::default()
        };
        Contestant {
            name: name.to_owned(),
            samples: figures.iter().enumerate().map(sample).collect(),
            failure: None,
        }
    }

    fn disturb(sample: &mut Sample) {
        sample.disturbance.others = 0.5;
    }

    #[test]
    fn a_disturbed_sample_does_not_count_beside_a_quiet_one() {
        let mut of = contestant("a", &[1.0, 100.0, 3.0]);
        disturb(&mut of.samples[1]);
        assert_eq!(of.figures(0), [1.0, 3.0]);
        assert_eq!((of.thrown_away(), of.is_disturbed()), (1, false));
        of.samples.iter_mut().for_each(disturb);
        assert_eq!(of.figures(0), [1.0, 100.0, 3.0]);
        assert_eq!((of.thrown_away(), of.is_disturbed()), (0, true));
    }

    #[test]
    fn a_ratio_is_taken_between_samples_of_one_round() {
        // The machine became twice as slow in the second round, for both.
        let first = contestant("first", &[100.0, 50.0, 100.0]);
        let mut second = contestant("second", &[200.0, 100.0, 500.0]);
        assert_eq!(second.ratio(&first, 0).unwrap().median, 2.0);
        assert_eq!(second.ratio(&first, 0).unwrap().count, 3);
        // A round without a sample of both says nothing.
        disturb(&mut second.samples[0]);
        assert_eq!(second.ratio(&first, 0).unwrap().count, 2);
    }

    #[test]
    fn a_curve_has_the_median_of_each_percentile() {
        let mut of = contestant("a", &[1.0, 2.0, 3.0]);
        for (sample, slow) in of.samples.iter_mut().zip([7.0, 900.0, 8.0]) {
            sample.percentiles = vec![(50.0, 1.0), (99.0, slow)];
        }
        assert_eq!(of.curve(), [(50.0, 1.0), (99.0, 8.0)]);
    }
}

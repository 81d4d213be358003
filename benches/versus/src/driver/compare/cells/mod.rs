//! The cells: what is measured under a name.

use super::bench::Bench;
use super::results::{Column, Sample};
use crate::args::Error;

mod across;
mod cpu;
mod exchange;
mod fanout;
mod idle;
mod load_cost;
mod neighbour;
mod relay;
mod tail;
#[cfg(feature = "timers")]
mod timers;
mod torrent;
mod two_loops;
#[cfg(feature = "ecosystem")]
mod web;

/// A measurement under one name.
pub(super) trait Cell {
    /// The name on the command line and of the chart's file.
    fn name(&self) -> &'static str;

    /// The name above tables and charts.
    fn title(&self) -> String;

    /// What the figures are, and how they are made.
    fn method(&self) -> String;

    /// The figures of a sample. The first is the main one, which is drawn.
    fn columns(&self) -> Vec<Column>;

    /// Whether it belongs to a quick run.
    fn is_quick(&self) -> bool {
        false
    }

    /// Who is compared: all servers, unless the cell has programs of its own.
    fn contestants(&self, bench: &Bench) -> Vec<String> {
        bench.servers()
    }

    /// How many turns each contestant has, where most cells have `usual`.
    fn rounds(&self, usual: usize) -> usize {
        usual
    }

    /// How long one turn takes.
    fn cost(&self) -> Cost {
        Cost { seconds: 0.1, turns: 1.0 }
    }

    /// Takes a turn with one contestant, from the start of its processes to their end.
    fn turn(&self, bench: &Bench, contestant: &str) -> Result<Sample, Error>;
}

/// How many turns a server has in a cell whose turns are long.
fn fewer(usual: usize) -> usize {
    (usual * 2).div_ceil(3)
}

/// How long one turn takes: so many seconds, and so many times the length of a turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    pub(super) seconds: f64,
    pub(super) turns: f64,
}

/// All cells of this build, in the order of the tables.
pub(super) fn all() -> Vec<Box<dyn Cell>> {
    let mut all: Vec<Box<dyn Cell>> = Vec::new();
    all.extend(exchange::cells());
    all.extend(cpu::cells());
    all.push(Box::new(two_loops::TwoLoops));
    all.push(Box::new(idle::Idle));
    all.extend(tail::cells());
    all.push(Box::new(fanout::Fanout));
    all.push(Box::new(relay::Relay));
    #[cfg(feature = "ecosystem")]
    all.extend(web::cells());
    #[cfg(feature = "timers")]
    all.push(Box::new(timers::Timers));
    all.push(Box::new(across::Across));
    all.push(Box::new(load_cost::LoadCost));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cell_has_a_name_of_its_own_and_says_what_it_measures() {
        let cells = all();
        for (at, cell) in cells.iter().enumerate() {
            assert!(cells[..at].iter().all(|before| before.name() != cell.name()));
            assert!(!cell.columns().is_empty(), "{}", cell.name());
            assert!(cell.method().ends_with('.'), "{}", cell.name());
        }
    }
}

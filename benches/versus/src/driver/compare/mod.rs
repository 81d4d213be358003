//! `versus compare`: all cells and all servers in one run, with tables and charts.
//!
//! A *cell* is a measurement under one name, such as HTTP on 64 connections. A *server* is a command
//! line. In each round of a cell every server has one turn: A B C, A B C. A turn gives a sample: the
//! figures of the cell, and how much the rest of the machine disturbed it. What interleaves, sums up
//! and draws the samples knows neither cells nor servers.
//!
//! | module | what it holds |
//! |---|---|
//! | `cells` | one file for each kind of cell |
//! | `candidate`, `server` | command lines, and their processes |
//! | `load` | runs of corepoll-load |
//! | `watch` | what a turn took, and what disturbed it |
//! | `rounds` | the order of turns |
//! | `results` | all that was measured, as kept in `results.json` |
//! | `statistics`, `figures` | medians and quarters, and how figures are written |
//! | `markdown`, `charts` | the tables and the pictures |

mod bench;
mod candidate;
mod cells;
mod charts;
mod figures;
pub(super) mod load;
mod machine;
mod markdown;
mod options;
mod placement;
mod progress;
mod results;
mod rounds;
mod server;
mod statistics;
#[cfg(feature = "ecosystem")]
pub(super) mod tls_load;
mod watch;

use std::fs;
use std::path::Path;

use crate::args::{Error, failure};
use crate::sys;

use bench::Bench;
use cells::Cell;
use options::Options;
use progress::Progress;
use results::Results;
use rounds::Clock;

/// Compares by the arguments of a command line.
pub(super) fn main(parser: lexopt::Parser) -> Result<(), Error> {
    let Some(options) = options::read(parser)? else {
        println!("{}", options::HELP);
        return Ok(());
    };
    if options.list {
        list();
        return Ok(());
    }
    let results = match &options.from {
        Some(file) => serde_json::from_str(&read(file)?)?,
        None => measure(&options)?,
    };
    fs::create_dir_all(&options.out)?;
    write(&options.out.join("results.json"), &serde_json::to_string_pretty(&results)?)?;
    write_report(&options, &results)
}

/// Prints the names of cells and servers.
fn list() {
    println!("cells:");
    for cell in cells::all() {
        println!("  {:<22}{}", cell.name(), cell.title());
    }
    println!("servers of this build:");
    for peer in crate::peers::Peer::ALL {
        println!("  {}", peer.name());
    }
}

/// Takes all turns of all cells.
fn measure(options: &Options) -> Result<Results, Error> {
    sys::raise_descriptor_limit()?;
    let mut bench = Bench::new(options)?;
    let cells = chosen_cells(options)?;
    let work = rounds::plan(&cells, &mut bench, options)?;
    let mut results = Results {
        machine: machine::describe(&bench.load)?,
        rounds: options.rounds,
        turn_seconds: bench.turn.as_secs_f64(),
        cells: Vec::new(),
    };
    let mut progress = Progress::new(work);
    let clock = Clock::new(options.minutes);
    for cell in &cells {
        results.cells.push(rounds::run_cell(cell.as_ref(), &bench, options, &clock, &mut progress));
    }
    progress.end();
    Ok(results)
}

/// Returns the cells that the options name. Without names, all; of a quick run, those that say most.
fn chosen_cells(options: &Options) -> Result<Vec<Box<dyn Cell>>, Error> {
    let mut all = cells::all();
    let Some(names) = &options.cells else {
        all.retain(|cell| cell.is_quick() || !options.quick);
        return Ok(all);
    };
    let mut chosen = Vec::new();
    for name in names {
        let found = all.iter().position(|cell| cell.name() == name);
        let at = found.ok_or_else(|| failure(format!("no cell {name:?}; see --list")))?;
        chosen.push(all.remove(at));
    }
    Ok(chosen)
}

/// Writes tables and charts, and prints the overview.
fn write_report(options: &Options, results: &Results) -> Result<(), Error> {
    for cell in &results.cells {
        for (name, chart) in charts::of_cell(&results.machine, cell) {
            write(&options.out.join(name), &chart)?;
        }
    }
    let report = markdown::report(results);
    write(&options.out.join("results.md"), &report)?;
    println!("{}", markdown::overview(results));
    println!("{}", options.out.join("results.md").display());
    if options.readme {
        let folder = options::readme_folder();
        fs::create_dir_all(&folder)?;
        for (name, chart) in charts::of_readme(results) {
            write(&folder.join(name), &chart)?;
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<String, Error> {
    fs::read_to_string(file).map_err(|error| failure(format!("{}: {error}", file.display())))
}

fn write(file: &Path, text: &str) -> Result<(), Error> {
    fs::write(file, text).map_err(|error| failure(format!("{}: {error}", file.display())))
}

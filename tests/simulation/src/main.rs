//! Runs the workload for many seeds, or replays one.

use std::ops::Range;
use std::process::ExitCode;

use clap::Parser;
use simulation::run::{Outcome, run};
use simulation::sweep::{silence_planned_panics, sweep};

/// Runs programs of corepoll on its simulated kernel, each drawn from a seed, with a model beside
/// them.
#[derive(Debug, Parser)]
struct Arguments {
    /// The seeds to run: the first, and one more than the last.
    #[arg(long, value_name = "FROM..TO", default_value = "0..1000", value_parser = range)]
    seeds: Range<u64>,
    /// The only seed to run.
    #[arg(long)]
    seed: Option<u64>,
    /// Prints what happens, a line each. For one seed.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Prints the program of a seed.
    #[arg(long, requires = "seed")]
    plan: bool,
    /// The number of threads. Default: one for each processor.
    #[arg(long)]
    threads: Option<usize>,
    /// The number of failures after which no further seed is begun.
    #[arg(long, default_value_t = 10)]
    failures: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    silence_planned_panics();
    if let Some(seed) = arguments.seed {
        if arguments.plan {
            println!("{:#?}", simulation::plan::Plan::draw(seed));
        }
        run(seed, false);
        let outcome = run(seed, arguments.trace);
        for line in &outcome.trace {
            println!("{line}");
        }
        println!("seed {seed}: {} steps, hash {:016x}", outcome.steps, outcome.hash);
        return verdict(&[outcome]);
    }
    let threads =
        arguments.threads.or_else(|| std::thread::available_parallelism().ok().map(Into::into));
    let sweep = sweep(arguments.seeds, threads.unwrap_or(1), arguments.failures);
    let seconds = sweep.time.as_secs_f64();
    println!(
        "{} seeds, {} steps in {seconds:.1} s: {:.0} seeds/s, {:.0} steps/s, hash {:016x}",
        sweep.seeds,
        sweep.steps,
        sweep.seeds as f64 / seconds,
        sweep.steps as f64 / seconds,
        sweep.hash,
    );
    verdict(&sweep.failures)
}

/// Prints the failures.
fn verdict(outcomes: &[Outcome]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for outcome in outcomes {
        if let Some(failure) = &outcome.failure {
            println!("FAILURE: seed {}, after {} steps: {failure}", outcome.seed, outcome.steps);
            code = ExitCode::FAILURE;
        }
    }
    code
}

/// Reads a range of seeds.
fn range(text: &str) -> Result<Range<u64>, String> {
    let ends =
        text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    ends.ok_or_else(|| format!("{text:?} is not FROM..TO"))
}

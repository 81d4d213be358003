//! One seed: its program is run, and what is left at the end is checked.

use std::time::Duration;

use corepoll::sim::Simulation;

use crate::counting;
use crate::model::Model;
use crate::plan::Plan;
use crate::{client, server};

/// How long a program may take in its own time: more than the longest that a connection is tried.
const TIME_LIMIT: Duration = Duration::from_secs(7200);

/// What became of a seed.
#[derive(Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The number of steps of the simulation.
    pub steps: u64,
    /// The hash of all that has happened.
    pub hash: u64,
    /// What was found wrong, if anything was.
    pub failure: Option<String>,
    /// What has happened, a line each, if that was asked for.
    pub trace: Vec<String>,
}

/// Runs the program of a seed.
pub fn run(seed: u64, keeps_trace: bool) -> Outcome {
    let (blocks, _) = counting::live_here();
    let mut outcome = run_program(seed, keeps_trace);
    let texts = outcome.trace.len() + outcome.failure.iter().len();
    let (left, _) = counting::live_here();
    let left = left - blocks - isize::from(!outcome.trace.is_empty()) - texts as isize;
    if left > 0 && outcome.failure.is_none() {
        outcome.failure = Some(format!("{left} blocks of memory are left at the end"));
    }
    outcome
}

/// Runs the program of a seed, and leaves nothing of it but what it has found.
fn run_program(seed: u64, keeps_trace: bool) -> Outcome {
    let plan = Plan::draw(seed);
    let mut sim = Simulation::new(seed);
    sim.time_limit(TIME_LIMIT);
    sim.tolerate_panics();
    sim.faults(plan.faults.clone());
    if keeps_trace {
        sim.keep_trace();
    }
    let (clients, lacks_descriptors) = (plan.clients, plan.lacks_descriptors);
    let model = Model::begin(plan);
    let checked = model.clone();
    sim.check(move |snapshot| checked.check(snapshot));
    sim.client("server", server::run());
    if model.plan.needs_backend() {
        sim.client("backend", server::run_backend());
    }
    for number in 0..clients {
        sim.client(format!("client {number}"), client::run(number));
    }
    let (step, failure) = match sim.run() {
        // A program that gets no descriptor for its poller doesn't begin.
        Err(failure) if lacks_descriptors && failure.message.contains("os error 24") => {
            (None, None)
        }
        Err(failure) => (Some(failure.step), Some(failure.message)),
        Ok(()) => (None, model.check_end().err()),
    };
    Model::end();
    let steps = step.unwrap_or(sim.steps());
    Outcome { seed, steps, hash: sim.trace_hash(), failure, trace: sim.trace() }
}

//! One seed: its program is run, and what is left at the end is checked.

use std::time::Duration;

use corepoll::sim::Simulation;

use crate::counting;
use crate::crashes::client_name;
use crate::model::Model;
use crate::plan::Plan;
use crate::{annex, client, crashes, server};

/// How long a program may take in its own time: more than the longest that a connection is tried, and
/// the time for which its end is watched.
const TIME_LIMIT: Duration = server::QUIET.saturating_add(Duration::from_secs(7200));

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
    // A host that crashes leaks what it has.
    if left > 0 && outcome.failure.is_none() && Plan::draw(seed).crash.is_none() {
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
    let model = Model::begin(plan);
    let checked = model.clone();
    sim.check(move |snapshot| checked.check(snapshot));
    if model.plan.crash.is_some() {
        sim.client("keeper", crashes::run());
        sim.host("server", server::run);
    } else {
        sim.client("server", server::run());
    }
    add_others(&mut sim, &model.plan);
    let (step, failure) = match sim.run() {
        // A program that gets no descriptor for its poller doesn't begin.
        Err(failure) if model.plan.may_fail_by(&failure.message) => (None, None),
        Err(failure) => (Some(failure.step), Some(failure.message)),
        Ok(()) => (None, model.check_end().err()),
    };
    Model::end();
    let steps = step.unwrap_or(sim.steps());
    Outcome { seed, steps, hash: sim.trace_hash(), failure, trace: sim.trace() }
}

/// Adds the backend and the clients: as hosts, if one of them crashes.
fn add_others(sim: &mut Simulation, plan: &Plan) {
    let clients = (0..plan.clients).map(|number| (client_name(number), number));
    match (plan.needs_backend(), plan.crash.is_some()) {
        (true, true) => sim.host("backend", server::run_backend),
        (true, false) => sim.client("backend", server::run_backend()),
        (false, _) => {}
    }
    if plan.has_annex() {
        sim.client(annex::HOST, annex::run());
    }
    for (name, number) in clients {
        if plan.crash.is_some() {
            sim.host(name, move || client::run(number));
        } else {
            sim.client(name, client::run(number));
        }
    }
}

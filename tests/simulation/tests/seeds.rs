//! Seeds of the workload: none is found wrong, and each is the same when it is run again.

use simulation::run::run;
use simulation::sweep::{silence_planned_panics, sweep};

/// What `cargo test` runs of each. The program runs as many as it is told to.
const SEEDS: u64 = 150;

#[test]
fn nothing_is_found_wrong() {
    silence_planned_panics();
    let sweep = sweep(0..SEEDS, 2, 1);
    assert!(sweep.failures.is_empty(), "{:?}", sweep.failures);
    assert_eq!(sweep.seeds, SEEDS);
}

#[test]
fn a_seed_gives_the_same_hash_again() {
    silence_planned_panics();
    let once: Vec<u64> = (0..SEEDS).map(|seed| run(seed, false).hash).collect();
    let again: Vec<u64> = (0..SEEDS).map(|seed| run(seed, false).hash).collect();
    assert_eq!(once, again);
    let distinct: std::collections::HashSet<u64> = once.into_iter().collect();
    // Few are so short that they are the same: those in which no poller gets a descriptor.
    assert!(distinct.len() as u64 > SEEDS * 9 / 10, "{}", distinct.len());
}

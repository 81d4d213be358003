//! Many seeds, on several threads.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::run::{Outcome, run};

/// What many seeds have shown.
#[derive(Debug, Default)]
pub struct Sweep {
    /// The number of seeds that were run.
    pub seeds: u64,
    /// The steps of all of them.
    pub steps: u64,
    /// A sum of the hashes of all of them, which does not depend on their order.
    pub hash: u64,
    /// The failures, by their seeds.
    pub failures: Vec<Outcome>,
    /// How long it took.
    pub time: Duration,
}

/// Runs `seeds` on so many threads. It ends early when there are `most` failures.
pub fn sweep(seeds: Range<u64>, threads: usize, most: usize) -> Sweep {
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicU64::new(0));
    let begun = Instant::now();
    let work = || {
        // What the first simulation of a thread leaves behind is made once.
        run(seeds.start, false);
        let mut part = Sweep::default();
        while failed.load(Ordering::Relaxed) < most as u64 {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let outcome = run(seed, false);
            part.seeds += 1;
            part.steps += outcome.steps;
            part.hash = part.hash.wrapping_add(outcome.hash);
            if outcome.failure.is_some() {
                failed.fetch_add(1, Ordering::Relaxed);
                part.failures.push(outcome);
            }
        }
        part
    };
    let mut total = Sweep::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            let part = worker.join().expect("a simulation keeps its panics");
            total.seeds += part.seeds;
            total.steps += part.steps;
            total.hash = total.hash.wrapping_add(part.hash);
            total.failures.extend(part.failures);
        }
    });
    total.failures.sort_by_key(|outcome| outcome.seed);
    total.time = begun.elapsed();
    total
}

/// Lets the panics that are planned pass without a word on standard error.
pub fn silence_planned_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref::<&str>() != Some(&"planned") {
            usual(panic);
        }
    }));
}

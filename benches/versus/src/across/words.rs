//! Two threads that wait for each other by spinning on a cache line each.

use std::hint;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often a wait looks before it lets another thread run: where both share a CPU.
const LOOKS: u32 = 10_000;

#[derive(Debug, Default)]
#[repr(align(128))]
struct Line(AtomicU64);

impl Line {
    fn wait_for(&self, round: u64) {
        let mut looks = 0;
        while self.0.load(Ordering::Acquire) != round {
            looks += 1;
            if looks % LOOKS == 0 {
                thread::yield_now();
            }
            hint::spin_loop();
        }
    }
}

pub(super) fn round_trips(rounds: u64) -> Duration {
    let [to, fro] = [Line::default(), Line::default()];
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=rounds {
                to.wait_for(round);
                fro.0.store(round, Ordering::Release);
            }
        });
        let start = Instant::now();
        for round in 1..=rounds {
            to.0.store(round, Ordering::Release);
            fro.wait_for(round);
        }
        start.elapsed()
    })
}

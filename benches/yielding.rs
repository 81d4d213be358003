//! What does a yield cost? Measured with one task, and with a thousand that take turns.

#![allow(missing_docs)] // criterion_group makes a function without any

use std::time::{Duration, Instant};

use corepoll::{block_on, spawn_local, yield_now};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn yields(tasks: u64, rounds: u64) -> Duration {
    block_on(async {
        let start = Instant::now();
        let spin = |_| {
            spawn_local(async move {
                for _ in 0..rounds {
                    yield_now().await;
                }
            })
        };
        let handles: Vec<_> = (0..tasks).map(spin).collect();
        for handle in handles {
            handle.await.unwrap();
        }
        start.elapsed()
    })
}

fn yielding(c: &mut Criterion) {
    let mut group = c.benchmark_group("yield");
    for tasks in [1, 1000] {
        group.throughput(Throughput::Elements(tasks));
        group.bench_function(format!("{tasks} tasks"), |b| {
            b.iter_custom(|rounds| yields(tasks, rounds));
        });
    }
    group.finish();
}

criterion_group!(benches, yielding);
criterion_main!(benches);

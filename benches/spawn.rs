//! What does a task cost from spawn to join? Measured for a thousand at a time, and one by one.

#![allow(missing_docs)] // criterion_group makes a function without any

use std::time::{Duration, Instant};

use corepoll::{block_on, spawn_local};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const BATCH: u64 = 1000;

fn in_batches(rounds: u64) -> Duration {
    block_on(async {
        let mut handles = Vec::with_capacity(BATCH as usize);
        let start = Instant::now();
        for _ in 0..rounds {
            handles.extend((0..BATCH).map(|n| spawn_local(async move { n })));
            for handle in handles.drain(..) {
                std::hint::black_box(handle.await.unwrap());
            }
        }
        start.elapsed()
    })
}

fn one_at_a_time(rounds: u64) -> Duration {
    block_on(async {
        let start = Instant::now();
        for n in 0..rounds {
            std::hint::black_box(spawn_local(async move { n }).await.unwrap());
        }
        start.elapsed()
    })
}

fn spawn(c: &mut Criterion) {
    let mut group = c.benchmark_group("spawn and join, a task");
    group.throughput(Throughput::Elements(BATCH));
    group.bench_function("batches of 1000", |b| b.iter_custom(in_batches));
    group.throughput(Throughput::Elements(1));
    group.bench_function("one at a time", |b| b.iter_custom(one_at_a_time));
    group.finish();
}

criterion_group!(benches, spawn);
criterion_main!(benches);

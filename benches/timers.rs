//! What does it cost to arm, postpone and cancel a timer while 100,000 others are pending? Each
//! reads the clock once, so a reading of the clock stands beside them, to be taken off.

#![allow(missing_docs)] // criterion_group makes a function without any

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use corepoll::block_on;
use corepoll::time::{Sleep, sleep, sleep_until};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const PENDING: usize = 100_000;
const BATCH: usize = 1000;

fn arm(sleep: &mut Sleep) {
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(sleep).poll(&mut cx).is_pending());
}

/// Times one step on batches of timers, among many others that are pending.
fn among_others(rounds: u64, step: impl Fn(&mut Vec<Sleep>) -> Duration) -> Duration {
    block_on(async {
        let hour = Duration::from_secs(3600);
        let mut others: Vec<Sleep> = (0..PENDING as u64)
            .map(|n| sleep(hour + Duration::from_micros(n * 7919 % 1_000_003)))
            .collect();
        others.iter_mut().for_each(arm);
        let mut batch: Vec<Sleep> = Vec::with_capacity(BATCH);
        (0..rounds).map(|_| step(&mut batch)).sum()
    })
}

fn fill(batch: &mut Vec<Sleep>) {
    let start = Instant::now() + Duration::from_secs(3600);
    batch.extend((0..BATCH as u64).map(|n| sleep_until(start + Duration::from_nanos(n))));
}

fn insert(batch: &mut Vec<Sleep>) -> Duration {
    fill(batch);
    let start = Instant::now();
    batch.iter_mut().for_each(arm);
    let elapsed = start.elapsed();
    batch.clear();
    elapsed
}

fn cancel(batch: &mut Vec<Sleep>) -> Duration {
    fill(batch);
    batch.iter_mut().for_each(arm);
    let start = Instant::now();
    batch.clear();
    start.elapsed()
}

fn reset(batch: &mut Vec<Sleep>) -> Duration {
    fill(batch);
    batch.iter_mut().for_each(arm);
    let later = Instant::now() + Duration::from_secs(7200);
    let start = Instant::now();
    batch.iter_mut().for_each(|sleep| Pin::new(sleep).reset(later));
    let elapsed = start.elapsed();
    batch.clear();
    elapsed
}

fn clock(_: &mut Vec<Sleep>) -> Duration {
    let start = Instant::now();
    for _ in 0..BATCH {
        std::hint::black_box(Instant::now());
    }
    start.elapsed()
}

fn timers(c: &mut Criterion) {
    let mut group = c.benchmark_group("timers, 100,000 pending");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("insert (one reading of the clock)", |b| {
        b.iter_custom(|rounds| among_others(rounds, insert));
    });
    group.bench_function("cancel", |b| b.iter_custom(|rounds| among_others(rounds, cancel)));
    group.bench_function("postpone", |b| b.iter_custom(|rounds| among_others(rounds, reset)));
    group.bench_function("reading the clock", |b| {
        b.iter_custom(|rounds| among_others(rounds, clock));
    });
    group.finish();
}

criterion_group!(benches, timers);
criterion_main!(benches);

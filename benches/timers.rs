//! What does it cost to arm, postpone and cancel a timer while 100,000 others are pending, for tasks
//! and for handlers? A reading of the clock is measured too: subtract it where an operation has one.

#![allow(missing_docs)] // criterion_group makes a function without any

use std::future::Future;
use std::io;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use corepoll::time::{Sleep, sleep, sleep_until};
use corepoll::{Action, EvContext, EvHandler, Interest, Reactor, TimerId, block_on};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const PENDING: usize = 100_000;
const BATCH: usize = 1000;
const HOUR: Duration = Duration::from_secs(3600);

fn arm(sleep: &mut Sleep) {
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(sleep).poll(&mut cx).is_pending());
}

/// Times one step on batches of timers, among many others that are pending.
fn among_others(rounds: u64, step: impl Fn(&mut Vec<Sleep>) -> Duration) -> Duration {
    block_on(async {
        let mut others: Vec<Sleep> = (0..PENDING as u64)
            .map(|n| sleep(HOUR + Duration::from_micros(n * 7919 % 1_000_003)))
            .collect();
        others.iter_mut().for_each(arm);
        let mut batch: Vec<Sleep> = Vec::with_capacity(BATCH);
        (0..rounds).map(|_| step(&mut batch)).sum()
    })
}

fn fill(batch: &mut Vec<Sleep>) {
    let start = Instant::now() + HOUR;
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
    let later = Instant::now() + HOUR * 2;
    let start = Instant::now();
    batch.iter_mut().for_each(|sleep| Pin::new(sleep).reset(later));
    let elapsed = start.elapsed();
    batch.clear();
    elapsed
}

type Step = fn(&mut EvContext<'_>) -> Duration;

/// Times one step in a callback, among many other timers that are pending.
struct Handler {
    rounds: u64,
    step: Step,
    done: mpsc::Sender<Duration>,
}

impl EvHandler for Handler {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        for n in 0..PENDING as u64 {
            cx.set_timer(HOUR + Duration::from_micros(n * 7919 % 1_000_003));
        }
        let sum = (0..self.rounds).map(|_| (self.step)(cx)).sum();
        self.done.send(sum).expect("the main thread waits");
        Ok(Action::Close)
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Close)
    }
}

fn in_a_handler(rounds: u64, step: Step) -> Duration {
    let running = Reactor::builder().pollers(1).build().unwrap().start().unwrap();
    let (near, _far) = UnixStream::pair().unwrap();
    let (done, took) = mpsc::channel();
    let handler = move || Handler { rounds, step, done };
    running.handle().pollers()[0].register(near.into(), Interest::READABLE, handler).unwrap();
    let sum = took.recv().unwrap();
    running.handle().shutdown(Duration::ZERO);
    running.join().unwrap();
    sum
}

fn set(cx: &mut EvContext<'_>) -> Vec<TimerId> {
    (0..BATCH as u64).map(|n| cx.set_timer(HOUR + Duration::from_nanos(n))).collect()
}

fn set_timers(cx: &mut EvContext<'_>) -> Duration {
    let start = Instant::now();
    let timers = set(cx);
    let elapsed = start.elapsed();
    timers.into_iter().for_each(|timer| assert!(cx.cancel_timer(timer)));
    elapsed
}

fn cancel_timers(cx: &mut EvContext<'_>) -> Duration {
    let timers = set(cx);
    let start = Instant::now();
    timers.into_iter().for_each(|timer| assert!(cx.cancel_timer(timer)));
    start.elapsed()
}

fn reset_timers(cx: &mut EvContext<'_>) -> Duration {
    let timers = set(cx);
    let start = Instant::now();
    timers.iter().for_each(|timer| assert!(cx.reset_timer(*timer, HOUR * 2)));
    let elapsed = start.elapsed();
    timers.into_iter().for_each(|timer| assert!(cx.cancel_timer(timer)));
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
    for (name, step) in [
        ("set_timer (one reading of the clock)", set_timers as Step),
        ("cancel_timer", cancel_timers),
        ("reset_timer (one reading of the clock)", reset_timers),
    ] {
        group.bench_function(name, |b| b.iter_custom(|rounds| in_a_handler(rounds, step)));
    }
    group.bench_function("reading the clock", |b| {
        b.iter_custom(|rounds| among_others(rounds, clock));
    });
    group.finish();
}

criterion_group!(benches, timers);
criterion_main!(benches);

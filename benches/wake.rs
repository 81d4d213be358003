//! What does a wake cost on the task's own thread? Measured for a wake of another task, for a wake of
//! a task that is queued already, and for a clone and drop of a waker.

#![allow(missing_docs)] // criterion_group makes a function without any

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::hint::black_box;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use corepoll::{block_on, spawn_local};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// One turn of two tasks: each wakes the other and waits.
#[derive(Default)]
struct Court {
    /// Whose turn it is.
    turn: Cell<usize>,
    players: RefCell<[Option<Waker>; 2]>,
}

async fn play(court: Rc<Court>, me: usize, rounds: u64) {
    for _ in 0..rounds {
        poll_fn(|cx| {
            let mut players = court.players.borrow_mut();
            if players[me].is_none() {
                players[me] = Some(cx.waker().clone());
            }
            if court.turn.get() != me {
                return Poll::Pending;
            }
            court.turn.set(1 - me);
            if let Some(other) = &players[1 - me] {
                other.wake_by_ref();
            }
            Poll::Ready(())
        })
        .await;
    }
}

fn hand_over(rounds: u64) -> Duration {
    block_on(async {
        let court = Rc::new(Court::default());
        let start = Instant::now();
        let players = [0, 1].map(|me| spawn_local(play(court.clone(), me, rounds)));
        for player in players {
            player.await.unwrap();
        }
        start.elapsed()
    })
}

/// Times `each` on the waker of a running task.
fn on_a_waker(rounds: u64, each: impl Fn(&Waker)) -> Duration {
    block_on(poll_fn(|cx| {
        // The first one queues it.
        cx.waker().wake_by_ref();
        let start = Instant::now();
        for _ in 0..rounds {
            each(black_box(cx.waker()));
        }
        Poll::Ready(start.elapsed())
    }))
}

fn wake(c: &mut Criterion) {
    let mut group = c.benchmark_group("wake");
    group.throughput(Throughput::Elements(2));
    group.bench_function("hand over between two tasks", |b| b.iter_custom(hand_over));
    group.throughput(Throughput::Elements(1));
    group.bench_function("a task already queued", |b| {
        b.iter_custom(|rounds| on_a_waker(rounds, Waker::wake_by_ref));
    });
    group.bench_function("clone and drop", |b| {
        b.iter_custom(|rounds| on_a_waker(rounds, |waker| drop(black_box(waker.clone()))));
    });
    group.finish();
}

criterion_group!(benches, wake);
criterion_main!(benches);

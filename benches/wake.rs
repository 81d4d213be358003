//! What does a wake cost on the task's own thread? Measured for a wake of another task, for a wake of
//! a task that is queued already, and for a clone and drop of a waker.

#![allow(missing_docs)] // criterion_group makes a function without any

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use corepoll::{block_on, spawn_local, yield_now};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// One of two tasks that wake each other in turn. It does as little as it can by itself: what is
/// measured is the wake, and the poll that follows.
struct Player {
    /// Whose turn it is.
    turn: Rc<Cell<usize>>,
    me: usize,
    other: Waker,
    /// How many turns this one has left.
    left: u64,
}

impl Future for Player {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.left == 0 {
            return Poll::Ready(());
        }
        if self.turn.get() == self.me {
            self.turn.set(1 - self.me);
            self.left -= 1;
            self.other.wake_by_ref();
        }
        Poll::Pending
    }
}

async fn play(
    turn: Rc<Cell<usize>>,
    wakers: Rc<RefCell<[Option<Waker>; 2]>>,
    me: usize,
    left: u64,
) {
    poll_fn(|cx| {
        wakers.borrow_mut()[me] = Some(cx.waker().clone());
        Poll::Ready(())
    })
    .await;
    yield_now().await;
    let other = wakers.borrow()[1 - me].clone().expect("both have been polled once");
    let last = other.clone();
    Player { turn, me, other, left }.await;
    // The one that has had its last turn first waits for nothing any more.
    last.wake();
}

fn hand_over(rounds: u64) -> Duration {
    block_on(async {
        let (turn, wakers) = (Rc::default(), Rc::default());
        let start = Instant::now();
        let players =
            [0, 1].map(|me| spawn_local(play(Rc::clone(&turn), Rc::clone(&wakers), me, rounds)));
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

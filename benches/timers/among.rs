//! Nanoseconds to arm, postpone and cancel a timer while many others are armed, for tasks and for
//! handlers. All are measured in turn with the clock, which arming reads once. The table shows the
//! lower quartile of the rounds.

use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::io;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use corepoll::time::{Sleep, sleep};
use corepoll::{Action, EvContext, EvHandler, Interest, Reactor, TimerId, block_on};

use super::{HOUR, OTHERS, spread};

/// How many timers are measured together.
const BATCH: u64 = 1000;

/// The nanoseconds of each row in one round, for one timer.
type Round = [f64; 4];

const ROWS: [&str; 4] = ["arm", "postpone", "cancel", "read the clock"];

/// Prints the table.
pub(super) fn table(rounds: u64) {
    let (tasks, handlers) = (of_tasks(rounds), of_handlers(rounds));
    println!("{:<44}{:>16}{:>16}", "among 100,000 others, ns", "Sleep of a task", "of a handler");
    for (row, name) in ROWS.iter().enumerate() {
        let [task, handler] = [&tasks, &handlers].map(|rounds| lower_quartile(rounds, row));
        println!("{name:<44}{task:>16.1}{handler:>16.1}");
    }
}

fn lower_quartile(rounds: &[Round], row: usize) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(|round| round[row]).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 4]
}

/// Returns the time that `work` takes for each timer of a batch.
fn timed(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as f64 / BATCH as f64
}

fn read_the_clock() -> f64 {
    timed(|| {
        (0..BATCH).for_each(|_| {
            black_box(Instant::now());
        });
    })
}

fn of_tasks(rounds: u64) -> Vec<Round> {
    block_on(poll_fn(|cx| {
        let mut others: Vec<Sleep> = (0..OTHERS).map(|n| sleep(HOUR + spread(n))).collect();
        others.iter_mut().for_each(|other| arm(other, cx));
        Poll::Ready((0..rounds).map(|_| task_round(cx)).collect())
    }))
}

fn arm(sleep: &mut Sleep, cx: &mut Context<'_>) {
    assert!(Pin::new(sleep).poll(cx).is_pending());
}

fn task_round(cx: &mut Context<'_>) -> Round {
    let mut batch = Vec::with_capacity(BATCH as usize);
    let armed = timed(|| {
        for n in 0..BATCH {
            let mut sleep = sleep(HOUR + Duration::from_nanos(n));
            arm(&mut sleep, cx);
            batch.push(sleep);
        }
    });
    let later = Instant::now() + HOUR * 2;
    let postponed = timed(|| batch.iter_mut().for_each(|sleep| Pin::new(sleep).reset(later)));
    let cancelled = timed(|| drop(batch));
    [armed, postponed, cancelled, read_the_clock()]
}

/// Measures all rounds in its first callback.
struct Handler {
    rounds: u64,
    done: mpsc::Sender<Vec<Round>>,
}

impl EvHandler for Handler {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        for n in 0..OTHERS {
            cx.set_timer(HOUR + spread(n));
        }
        let rounds = (0..self.rounds).map(|_| handler_round(cx)).collect();
        self.done.send(rounds).expect("the main thread waits");
        Ok(Action::Close)
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Close)
    }
}

fn handler_round(cx: &mut EvContext<'_>) -> Round {
    let mut batch: Vec<TimerId> = Vec::with_capacity(BATCH as usize);
    let armed = timed(|| {
        batch.extend((0..BATCH).map(|n| cx.set_timer(HOUR + Duration::from_nanos(n))));
    });
    let postponed = timed(|| {
        batch.iter().for_each(|timer| assert!(cx.reset_timer(*timer, HOUR * 2)));
    });
    let cancelled = timed(|| {
        batch.into_iter().for_each(|timer| assert!(cx.cancel_timer(timer)));
    });
    [armed, postponed, cancelled, read_the_clock()]
}

fn of_handlers(rounds: u64) -> Vec<Round> {
    let running = Reactor::builder().pollers(1).build().expect("a reactor");
    let running = running.start().expect("a thread");
    let (near, _far) = UnixStream::pair().expect("two sockets");
    let (done, took) = mpsc::channel();
    let handler = move || Handler { rounds, done };
    let handle = running.handle();
    let registered = handle.pollers()[0].register(near.into(), Interest::READABLE, handler);
    registered.expect("it runs");
    let rounds = took.recv().expect("the handler sends its times");
    handle.shutdown(Duration::ZERO);
    running.join().expect("it ends");
    rounds
}

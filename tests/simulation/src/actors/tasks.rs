//! Tasks that are spawned on their poller and on others, aborted, and woken by others.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use corepoll::{ReactorHandle, TaskGroup, spawn_local, time, yield_now};
use fastrand::Rng;
use futures::channel::oneshot;

use crate::model::{model, now};

/// Uses tasks in all ways, a few times.
pub async fn use_tasks(reactor: ReactorHandle, mut rng: Rng) {
    for _ in 0..rng.u32(1..10) {
        let pause = Duration::from_micros(rng.u64(0..100_000));
        match rng.u32(0..4) {
            0 => abort(pause).await,
            1 => panic_apart().await,
            2 => group(&mut rng).await,
            _ => be_woken(&reactor, &mut rng).await,
        }
        time::sleep(pause).await;
    }
}

/// Notes that what holds it was dropped.
struct Dropped(Rc<Cell<u32>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Aborts a task, which drops its future once.
async fn abort(pause: Duration) {
    let count = Rc::new(Cell::new(0));
    let dropped = Dropped(count.clone());
    let task = spawn_local(async move {
        let _held = dropped;
        std::future::pending::<()>().await;
    });
    time::sleep(pause).await;
    task.abort();
    if !matches!(task.await, Err(error) if error.is_cancelled()) {
        model().violated("an aborted task has not been cancelled");
    }
    if count.get() != 1 {
        model().violated(format_args!("the future of an aborted task was dropped {count:?} times"));
    }
}

/// Lets a task panic, which reaches its handle alone.
async fn panic_apart() {
    let task = spawn_local(async {
        yield_now().await;
        panic!("planned");
    });
    if !matches!(task.await, Err(error) if error.is_panic()) {
        model().violated("the panic of a task has not reached its handle");
    }
}

/// Waits for a group of tasks, each of which ends once.
async fn group(rng: &mut Rng) {
    let mut group = TaskGroup::new();
    let count = rng.u64(0..6);
    for number in 0..count {
        let pause = Duration::from_micros(rng.u64(0..20_000));
        group.spawn(async move {
            time::sleep(pause).await;
            number
        });
    }
    let mut sum = 0;
    while let Some(result) = group.next().await {
        sum += result.unwrap_or(1000);
    }
    if sum != count * count.saturating_sub(1) / 2 {
        model().violated(format_args!("a group of {count} tasks has the sum {sum}"));
    }
}

/// Waits for another poller, which wakes this task after a while.
async fn be_woken(reactor: &ReactorHandle, rng: &mut Rng) {
    let pollers = reactor.pollers();
    let other = &pollers[rng.usize(0..pollers.len())];
    let pause = Duration::from_micros(rng.u64(0..20_000));
    let (wake, woken) = oneshot::channel();
    let sent = now();
    let task = other.spawn_on(move || async move {
        model().check_prompt("a task for another poller", now() - sent);
        time::sleep(pause).await;
        let _ = wake.send(now());
    });
    match woken.await {
        Ok(at) => model().check_prompt("the wake of a task by another poller", now() - at),
        Err(_) if model().is_shut_down.get() => {}
        Err(_) => model().violated("a task was dropped on another poller"),
    }
    if task.await.is_err() && !model().is_shut_down.get() {
        model().violated("a task has not ended on another poller");
    }
}

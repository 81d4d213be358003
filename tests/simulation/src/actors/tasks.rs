//! Tasks that are spawned on their poller and on others, aborted, and woken by others.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use corepoll::{ReactorHandle, TaskGroup, spawn_local, time, yield_now};
use fastrand::Rng;
use futures::channel::oneshot;

use super::blocking::block;
use super::mail::use_mail;
use crate::model::{model, now};

/// Uses tasks in all ways, a few times.
pub async fn use_tasks(reactor: ReactorHandle, mut rng: Rng) {
    for _ in 0..rng.u32(1..10) {
        let pause = Duration::from_micros(rng.u64(0..100_000));
        match rng.u32(0..8) {
            0 => abort(pause).await,
            1 => panic_apart().await,
            2 => group(&mut rng).await,
            3 => block(&mut rng).await,
            4 => use_mail(&reactor, &mut rng).await,
            5 => abort_elsewhere(&reactor, &mut rng, pause).await,
            6 => sleep_moved_elsewhere(&reactor, &mut rng, pause).await,
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

/// Aborts a task of another poller, which drops its future there, and tells of it at once.
async fn abort_elsewhere(reactor: &ReactorHandle, rng: &mut Rng, pause: Duration) {
    let other = &reactor.pollers()[rng.usize(0..reactor.pollers().len())];
    let task = other.spawn_on(std::future::pending::<()>);
    time::sleep(pause).await;
    let begun = now();
    task.abort();
    if !matches!(task.await, Err(error) if error.is_cancelled()) {
        model().violated("a task of another poller that was aborted has not been cancelled");
    }
    if !model().is_shut_down.get() {
        model().check_prompt("the abort of a task of another poller", now() - begun);
    }
}

/// Waits for a sleep that another poller moves to now, by which it wakes this task.
async fn sleep_moved_elsewhere(reactor: &ReactorHandle, rng: &mut Rng, pause: Duration) {
    let other = &reactor.pollers()[rng.usize(0..reactor.pollers().len())];
    let sleep = Arc::new(Mutex::new(Box::pin(time::sleep(Duration::from_secs(3600)))));
    let moved = sleep.clone();
    let due = other.spawn_on(move || async move {
        time::sleep(pause).await;
        let due = now();
        moved.lock().expect("no panic").as_mut().reset(due);
        due
    });
    poll_fn(|cx| sleep.lock().expect("no panic").as_mut().poll(cx)).await;
    let woken = now();
    match due.await {
        Ok(due) => model().check_due("a sleep that another poller has moved", due, woken),
        Err(_) if model().is_shut_down.get() => {}
        Err(error) => model().violated(format_args!("a task that moves a sleep: {error}")),
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

//! The task floor alone, with real threads and without a poller: which thread drops what, and how often,
//! whatever foreign code does meanwhile. The orderings are held by `loom_models`.

mod allowance;
mod drive;
mod ends;
mod notification;
mod panics;
mod reentry;
mod remote;
mod slot;
mod threads;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread, ThreadId};
use std::time::Duration;

use super::executor::{Executor, UnboundExecutor};
use super::join::JoinHandle;
use super::shared::Bell;

/// Unparks the owner's thread: a poller without a kernel.
struct Unpark(Thread);

impl Bell for Unpark {
    fn ring(&self) {
        self.0.unpark();
    }
}

/// An executor on this thread.
fn executor() -> Executor {
    UnboundExecutor::new(Arc::new(Unpark(thread::current()))).bind()
}

/// Turns until `done`, and sleeps in between as a poller does. A lost wake-up panics.
fn turn_until(executor: &Executor, mut done: impl FnMut() -> bool) {
    let _entered = executor.enter();
    loop {
        executor.run_up_to(16);
        if done() {
            return;
        }
        if !executor.has_work() && executor.park() {
            sleep_until_rung(executor);
            executor.unpark();
        }
    }
}

/// The sleep of [`turn_until`]. A token of an earlier bell ends a `park` too soon: so it looks.
fn sleep_until_rung(executor: &Executor) {
    for _ in 0..60 {
        if executor.has_work() {
            return;
        }
        thread::park_timeout(Duration::from_millis(500));
    }
    panic!("no bell for half a minute: a wake-up was lost");
}

/// Turns until nothing is runnable.
fn turn(executor: &Executor) {
    let _entered = executor.enter();
    while executor.has_work() {
        executor.run_up_to(16);
    }
}

/// Spawns on the executor that this thread has entered.
fn spawn<F: Future + 'static>(future: F) -> JoinHandle<F::Output> {
    super::spawn(future).ok().expect("an entered executor")
}

/// Panics without the noise of the panic hook.
fn throw<T: Send + 'static>(payload: T) -> ! {
    std::panic::resume_unwind(Box::new(payload))
}

/// Polls a join handle from outside of any task.
fn join_now<F: Future + Unpin>(handle: &mut F) -> Poll<F::Output> {
    Pin::new(handle).poll(&mut Context::from_waker(Waker::noop()))
}

/// What a join handle gave: it is known to have ended.
fn joined<F: Future + Unpin>(mut handle: F) -> F::Output {
    match join_now(&mut handle) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the task has not ended"),
    }
}

/// Waits once, until something else wakes the task.
async fn wait_once() {
    let mut waited = false;
    poll_fn(|_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending })
        .await;
}

/// Counts its guests.
#[derive(Default)]
struct Census {
    made: AtomicUsize,
    dropped: AtomicUsize,
    dropped_elsewhere: AtomicUsize,
}

/// A value that must be dropped once, on the thread where it belongs.
struct Guest {
    census: Arc<Census>,
    belongs_on: ThreadId,
}

impl Census {
    /// A guest that belongs on this thread.
    fn guest(self: &Arc<Census>) -> Guest {
        self.guest_of(thread::current().id())
    }

    fn guest_of(self: &Arc<Census>, belongs_on: ThreadId) -> Guest {
        self.made.fetch_add(1, SeqCst);
        Guest { census: self.clone(), belongs_on }
    }

    fn left(&self) -> usize {
        self.made.load(SeqCst) - self.dropped.load(SeqCst)
    }

    #[track_caller]
    fn assert_all_dropped_by_owner(&self) {
        assert_eq!(self.left(), 0, "guests that were not dropped");
        assert_eq!(self.dropped_elsewhere.load(SeqCst), 0, "guests dropped on a foreign thread");
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.census.dropped.fetch_add(1, SeqCst);
        // Not an assert: a panic in a drop is caught, and would be lost.
        if thread::current().id() != self.belongs_on {
            self.census.dropped_elsewhere.fetch_add(1, SeqCst);
        }
    }
}

/// Calls something in its destructor.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A foreign waker: not of a task, and so in a box of the join waiter's.
#[derive(Default)]
struct CountingWaker {
    wakes: AtomicUsize,
}

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, SeqCst);
    }
}

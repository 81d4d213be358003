//! Models of everything that threads share here, checked by loom: every order in which the threads
//! of a model can run (up to a bound on preemptions), and every value that a load may see.
//!
//! Run them with `RUSTFLAGS="--cfg loom" cargo test --release --lib loom_models`, together with those of
//! `parts::watched`.
//!
//! | file | property |
//! |---|---|
//! | `sleep` | mail for an owner that is about to sleep wakes it |
//! | `wake` | each wake is followed by a poll that sees what came before; a node is pushed once |
//! | `complete` | a task that ends while it is woken is freed once, after the last use |
//! | `ends` | so is one whose executor ends, and the executor; jobs are run, dropped or given back |
//! | `join` | an abort from elsewhere against a completion: one result, the future dropped once |
//! | `notification` | what is posted again while it is on its way is run once more, or its run sees it |
//! | `count` | the two counts of a task give its true number of references at the end |
//!
//! The owner's cells and links are loom's too (`base::sync`): code that breaks **Owner** or **Link**
//! breaks a model. And what is freed by hand has a `Witness` in it, which knows a use after that, a
//! use that is not ordered with it, a second time, and none at all. So every function that begins to
//! work with such memory calls `Witness::used`: where one doesn't, its orderings go unseen.
//!
//! Each file says by which breaks its models were seen to fail, and how; all of them with two
//! preemptions.

mod complete;
mod count;
mod ends;
mod join;
mod notification;
mod sleep;
mod wake;

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Once};
use std::task::{Context, Poll, Waker};

use loom::sync::Notify;
use loom::thread::{self, ThreadId};

use super::join::JoinHandle;
use super::shared::Bell;
use super::{Executor, UnboundExecutor};

thread_local! {
    /// Panics so far. All threads of a model run on one real thread.
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

/// Checks a model, with at most so many preemptions in each of its executions. The bounds are such
/// that all models together take less than half a minute; the breaks that they are known to find
/// were all found with two. `LOOM_MAX_PREEMPTIONS` overrides them.
///
/// What loom or an assertion throws inside of a future or a destructor is caught by the executor,
/// as any foreign panic is. So panics are counted where they begin.
fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            before(panic);
        }));
    });
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(preemptions);
    builder.max_branches = 10_000;
    builder.check(move || {
        PANICS.set(0);
        model();
        assert_eq!(PANICS.get(), 0, "a panic was caught on the way");
    });
}

/// The bell of a model: what an eventfd and a wait are outside.
#[derive(Default)]
struct Doorbell(Notify);

impl Bell for Doorbell {
    fn ring(&self) {
        self.0.notify();
    }
}

/// An executor on this thread, and its bell.
fn executor() -> (Executor, Arc<Doorbell>) {
    let bell = Arc::new(Doorbell::default());
    (UnboundExecutor::new(bell.clone()).bind(), bell)
}

/// Turns until `done`, and sleeps in between as a poller does. If a wake-up is lost it sleeps for
/// ever, which loom calls a deadlock.
fn turn_until(executor: &Executor, bell: &Doorbell, mut done: impl FnMut() -> bool) {
    let _entered = executor.enter();
    loop {
        executor.run_up_to(8);
        if done() {
            return;
        }
        if !executor.has_work() && executor.park() {
            bell.0.wait();
            executor.unpark();
        }
    }
}

/// Turns for as long as there is something to do.
fn turn(executor: &Executor) {
    let _entered = executor.enter();
    while executor.has_work() {
        executor.run_up_to(8);
    }
}

/// Spawns a task and polls it once, which gives its waker; `poll` says how later polls go.
fn spawn_polled(
    executor: &Executor,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<()> + 'static,
) -> (JoinHandle<()>, Waker) {
    let _entered = executor.enter();
    let slot = Rc::new(Cell::new(None));
    let its_slot = slot.clone();
    let mut first = true;
    let spawned = super::spawn(poll_fn(move |cx| {
        if std::mem::replace(&mut first, false) {
            its_slot.set(Some(cx.waker().clone()));
            return Poll::Pending;
        }
        poll(cx)
    }));
    executor.run_up_to(1);
    let waker = slot.take().expect("it has been polled");
    let Ok(task) = spawned else { unreachable!("an executor was entered") };
    (task, waker)
}

/// Waits for the end of threads.
fn join_all<const N: usize>(threads: [thread::JoinHandle<()>; N]) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Counts the drops of a model.
#[derive(Clone, Default)]
struct Drops(Arc<AtomicUsize>);

impl Drops {
    /// A value that has to be dropped on this thread.
    fn here(&self) -> OwnersOnly {
        OwnersOnly { owner: thread::current().id(), drops: self.clone() }
    }

    fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

/// Has to be dropped on the thread on which it was made.
struct OwnersOnly {
    owner: ThreadId,
    drops: Drops,
}

impl Drop for OwnersOnly {
    fn drop(&mut self) {
        self.drops.0.fetch_add(1, SeqCst);
        assert_eq!(thread::current().id(), self.owner, "dropped on a foreign thread");
    }
}

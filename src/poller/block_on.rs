//! A poller on the caller's thread.

use std::future::Future;
use std::io;
use std::panic::resume_unwind;
use std::rc::Rc;

use crate::parts::budget::Budget;

use super::{Poller, PollerSeed};
use crate::local::state::Local;

/// Bytes of the shared read buffer, unless the builder says otherwise.
pub(crate) const READ_BUFFER_SIZE: usize = 64 * 1024;

/// Runs a whole poller on this thread until `future` has its output: sockets, timers and tasks all
/// work inside. Tasks that are still there at the end are dropped.
///
/// ```
/// use corepoll::{block_on, spawn_local, time};
/// use std::time::Duration;
///
/// let answer = block_on(async {
///     let task = spawn_local(async {
///         time::sleep(Duration::from_millis(1)).await;
///         42
///     });
///     task.await.unwrap()
/// });
/// assert_eq!(answer, 42);
/// ```
///
/// # Panics
/// If this thread is inside a poller already, which would stand still meanwhile; if the kernel
/// gives no epoll instance; and with whatever `future` panics with.
#[track_caller]
pub fn block_on<F: Future>(future: F) -> F::Output {
    assert_outside("block_on", INSTEAD);
    run_here(Budget::default(), future)
}

/// Runs a future as [`block_on`] does, with limits of the caller's choice.
///
/// ```
/// use corepoll::{Budget, block_on_with, yield_now};
/// use std::time::Duration;
///
/// let mut budget = Budget::default();
/// // Events and timers are looked at after each poll.
/// budget.slice = Duration::ZERO;
/// block_on_with(budget, yield_now());
/// ```
///
/// # Panics
/// As [`block_on`].
#[track_caller]
pub fn block_on_with<F: Future>(budget: Budget, future: F) -> F::Output {
    assert_outside("block_on_with", INSTEAD);
    run_here(budget, future)
}

/// What to do where blocking is not allowed.
const INSTEAD: &str = "Await the future instead, or spawn it with spawn_local";

fn run_here<F: Future>(budget: Budget, future: F) -> F::Output {
    let result = Poller::on_this_thread(budget).and_then(|poller| poller.block_on(future));
    match result {
        Ok(output) => output,
        Err(error) => panic!("block_on: the poller failed: {error}"),
    }
}

/// Panics inside of a poller: `what` was called, which waits. `instead` is what to do.
#[track_caller]
pub(crate) fn assert_outside(what: &str, instead: &str) {
    let is_outside = Local::current().is_none();
    assert!(is_outside, "{what} was called inside a poller, which would stand still. {instead}");
}

impl Poller {
    /// A poller that no reactor has.
    pub(crate) fn on_this_thread(budget: Budget) -> io::Result<Poller> {
        Ok(Poller::adopt(PollerSeed::new(0, budget, READ_BUFFER_SIZE)?))
    }

    fn block_on<F: Future>(self, future: F) -> io::Result<F::Output> {
        let entered = self.enter();
        let hurry = Hurry(self.local().clone());
        let told = async move {
            let _hurry = hurry;
            future.await
        };
        let result = self.executor().drive(told, || self.turn(None));
        drop(entered);
        drop(self);
        match result? {
            Ok(output) => Ok(output),
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            Err(_) => unreachable!("nobody else can cancel it"),
        }
    }
}

/// Keeps the poller from waiting in the turn in which it is dropped.
struct Hurry(Rc<Local>);

impl Drop for Hurry {
    fn drop(&mut self) {
        self.0.skip_wait();
    }
}

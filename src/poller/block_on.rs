//! Running a future on the caller's thread, with a poller of its own.
//!
//! Such a poller is a whole one, with sockets, timers and tasks; it only belongs to no reactor, and
//! lives for as long as its future. Tests and small programs need nothing else.

use std::future::Future;
use std::io;
use std::panic::resume_unwind;
use std::rc::Rc;

use crate::parts::budget::Budget;

use super::{Poller, UnboundPoller};
use crate::local::state::Local;

/// The size of a poller's shared read buffer in bytes, unless the reactor's builder sets another.
pub(crate) const READ_BUFFER_SIZE: usize = 64 * 1024;

/// Runs a poller on the calling thread until `future` completes, and returns its output.
///
/// Sockets, timers and tasks of this crate all work inside. The future need not be `Send` or
/// `'static`. Tasks that it has spawned and that have not ended are dropped at the end.
///
/// # Panics
///
/// Panics if this thread is inside a poller already, which would stand still meanwhile; if the
/// kernel refuses an epoll instance or an eventfd; and if epoll_wait(2) fails. A panic of `future`
/// is passed on, after the poller has ended.
///
/// # Examples
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
#[track_caller]
pub fn block_on<F: Future>(future: F) -> F::Output {
    assert_outside("block_on", ADVICE);
    run_here(Budget::default(), future)
}

/// Runs a future like [`block_on`], on a poller that keeps to `budget`.
///
/// # Panics
///
/// Panics in the cases of [`block_on`].
///
/// # Examples
///
/// ```
/// use corepoll::{Budget, block_on_with, yield_now};
/// use std::time::Duration;
///
/// let mut budget = Budget::default();
/// // The poller looks at events and timers after each poll of a task.
/// budget.slice = Duration::ZERO;
/// block_on_with(budget, yield_now());
/// ```
#[track_caller]
pub fn block_on_with<F: Future>(budget: Budget, future: F) -> F::Output {
    assert_outside("block_on_with", ADVICE);
    run_here(budget, future)
}

/// What the panic of a nested `block_on` advises.
const ADVICE: &str = "Await the future instead, or spawn it with spawn_local";

/// Runs `future` on a new poller on this thread.
fn run_here<F: Future>(budget: Budget, future: F) -> F::Output {
    match try_run_here(budget, future) {
        Ok(output) => output,
        Err(error) => panic!("block_on: the poller failed: {error}"),
    }
}

/// Runs `future` on a new poller on this thread.
///
/// # Errors
///
/// Returns the kernel's error if it refuses what a poller needs, or if the poller fails.
pub(crate) fn try_run_here<F: Future>(budget: Budget, future: F) -> io::Result<F::Output> {
    Poller::on_this_thread(budget).and_then(|poller| poller.block_on(future))
}

/// Panics if this thread is inside a poller, whose loop the blocking function `what` would stop.
/// `advice` is a sentence that says what to do.
#[track_caller]
pub(crate) fn assert_outside(what: &str, advice: &str) {
    let is_outside = Local::current().is_none();
    assert!(is_outside, "{what} was called inside a poller, which would stand still. {advice}");
}

impl Poller {
    /// Makes a poller on this thread that belongs to no reactor.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`UnboundPoller::new`].
    pub(crate) fn on_this_thread(budget: Budget) -> io::Result<Poller> {
        Ok(UnboundPoller::new(0, budget, READ_BUFFER_SIZE)?.bind())
    }

    /// Turns the loop until `future` completes, and ends the poller.
    fn block_on<F: Future>(self, future: F) -> io::Result<F::Output> {
        let entered = self.enter();
        // Without it the turn in which the future completes would sleep until the next event.
        let skip_wait = SkipWaitOnDrop(self.local().clone());
        let future = async move {
            let _skip_wait = skip_wait;
            future.await
        };
        let result = self.executor().drive(future, || self.turn(None));
        // The poller ends before a panic of the future goes on, so no destructor runs in an
        // unwinding.
        drop(entered);
        drop(self);
        match result? {
            Ok(output) => Ok(output),
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            Err(_) => unreachable!("only a join handle cancels, and `drive` has kept it"),
        }
    }
}

/// Keeps the poller from waiting in the turn in which this is dropped. The future of `block_on`
/// owns one: when it completes, the turn ends without a wait for events that nothing needs.
struct SkipWaitOnDrop(Rc<Local>);

impl Drop for SkipWaitOnDrop {
    fn drop(&mut self) {
        self.0.skip_wait();
    }
}

//! How a poller is shut down: it is told, its connections and tasks get a grace, and what is left
//! is dropped.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use super::Poller;
use crate::base::token::Token;
use crate::connection::{call, close, connect, flush, linger, request_close};
use crate::local::action::CloseReason;
use crate::local::connection::{Connection, State};
use crate::local::deferred::TimerTarget;
use crate::local::errors::gone;
use crate::local::flags::Flags;
use crate::local::state::Local;
use crate::local::table::Entry;
use crate::local::{calls, registry};
use crate::poller::dispatch;
use crate::source::wake;
use crate::task::{drop_ignoring_panic, executor};

/// What became of the connections and tasks of one poller.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Drained {
    /// Ended within the grace.
    pub(crate) drained: usize,
    /// Dropped at its end.
    pub(crate) cancelled: usize,
    /// Blocking calls that outlive the poller.
    pub(crate) leaked_blocking: usize,
}

/// Begins the shutdown, or brings its deadline forward: stops accepting, and tells handlers
/// and tasks.
pub(crate) fn begin(local: &Local, deadline: u64) {
    let deadline = deadline.max(1);
    let begun = local.shutdown.is_requested();
    if begun && deadline >= local.shutdown.deadline.get() {
        return;
    }
    local.shutdown.deadline.set(deadline);
    local.arm(deadline, TimerTarget::Turn);
    // From now on the clock is looked at before each poll.
    executor::interrupt();
    if begun {
        return;
    }
    local.shutdown.ended_before.set(local.census.ended_so_far() + executor::tasks_ended());
    for token in registry::tokens(local) {
        let Some(Entry::Handler(connection)) = registry::entry(local, token) else { continue };
        if connection.has(Flags::LISTENER) {
            request_close::connection(local, &connection, CloseReason::Requested);
        } else if connection.state() == State::Opening {
            call::on_open(local, &connection);
        } else {
            call::on_shutdown(local, &connection);
        }
        local.recorder.step();
    }
    local.shutdown.wake_all();
}

/// How many blocking calls of this poller are not over.
pub(crate) fn blocking_calls(local: &Local) -> usize {
    Arc::strong_count(&local.blocking_calls) - 1
}

/// Ends every connection at once: the poller is ending.
pub(crate) fn close_all(local: &Local) {
    dispatch::finish_turn(local);
    for token in registry::tokens(local) {
        match registry::entry(local, token) {
            Some(Entry::Handler(connection)) => close_now(local, &connection),
            // A stream may outlive its poller, in the hands of another poller's task: what
            // waits on it is woken, and finds the poller gone.
            Some(Entry::Readiness(source)) => {
                drop(registry::remove(local, token));
                wake::wake_all(&source);
            }
            Some(Entry::Connecting(_)) => connect::fail(local, token, gone()),
            None => {}
        }
        // What the callbacks asked for.
        dispatch::finish_turn(local);
        local.recorder.step();
    }
    // Nothing new is registered any more; but what was begun in the last callbacks has failed.
    while local.has_due() {
        dispatch::finish_turn(local);
    }
    // Tasks of another poller on this thread may wait for the shutdown of this one.
    local.shutdown.wake_all();
    local.clear();
}

pub(crate) fn close_now(local: &Local, connection: &Connection) {
    match connection.state() {
        State::Flushing => return close::finish_flushing(local, connection, None),
        State::Lingering => {
            linger::discard_all_input(local, connection);
            return linger::end(local, connection);
        }
        _ => call::on_open(local, connection),
    }
    if connection.state() == State::Relaying {
        request_close::connection(local, connection, CloseReason::Shutdown);
    }
    if connection.state() == State::Open {
        request_close::close_writers(connection);
        if connection.has(Flags::HAS_OUTPUT) {
            let _ = flush::queued(local, connection);
        }
        connection.advance(State::Closing);
        close::finish(local, connection, CloseReason::Shutdown);
    }
}

impl Poller {
    /// Whether the shutdown is over: nothing is left, or the grace has passed.
    pub(crate) fn is_drained(&self) -> bool {
        self.local.shutdown.is_requested() && (self.is_empty() || self.local.shutdown.is_over())
    }

    /// Returns `true` if nothing is left that the shutdown waits for.
    fn is_empty(&self) -> bool {
        self.alive() == 0 && !self.local.census.has_detached()
    }

    fn alive(&self) -> usize {
        self.executor.tasks() + self.local.census.handlers()
    }

    /// Runs until it has been shut down.
    pub(crate) fn run(self) -> std::io::Result<Drained> {
        let entered = self.enter();
        while !self.is_drained() {
            self.turn(None)?;
        }
        let ended = self.local.census.ended_so_far() + executor::tasks_ended();
        let drained = (ended - self.local.shutdown.ended_before.get()) as usize;
        let cancelled = self.alive();
        drop(entered);
        let local = self.local.clone();
        // The end of a task may cancel a call that has not begun.
        drop(self);
        Ok(Drained { drained, cancelled, leaked_blocking: blocking_calls(&local) })
    }
}

/// Waits until the reactor of this poller is asked to shut down, or the poller ends. Returns at once
/// if that has happened. A poller that has no reactor, as that of [`block_on`](crate::block_on), is
/// never asked.
///
/// # Panics
///
/// Panics if it is first polled outside of a poller.
///
/// # Cancel safety
///
/// Dropping the future loses nothing.
///
/// # Examples
///
/// ```
/// use corepoll::{Reactor, block_on, shutdown_requested};
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// let running = Reactor::builder().pollers(1).build()?.start()?;
/// let task = running.handle().pollers()[0].spawn_on(|| async {
///     shutdown_requested().await;
///     "goodbye"
/// });
/// running.handle().shutdown(Duration::from_secs(5));
/// assert_eq!(block_on(task).unwrap(), "goodbye");
/// running.join()?;
/// # Ok(())
/// # }
/// ```
pub async fn shutdown_requested() {
    let local = Local::current().expect("shutdown_requested was awaited outside of a poller");
    let mut waiting = Waiting { local, place: None };
    poll_fn(|cx| {
        let Waiting { local, place } = &mut waiting;
        // Nothing asks a poller that has ended.
        if local.is_gone() {
            return Poll::Ready(());
        }
        local.shutdown.poll(cx, place)
    })
    .await;
}

/// A place in the list of those who wait, given up on drop.
struct Waiting {
    local: Rc<Local>,
    place: Option<Token>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        drop_ignoring_panic(self.local.shutdown.forget(&mut self.place));
    }
}

impl Drop for Poller {
    /// Ends everything that lives in the poller, on its thread.
    fn drop(&mut self) {
        let entered = self.enter();
        self.local.refuse_new();
        calls::nothing_runs(&self.local);
        self.executor.cancel_tasks();
        close_all(&self.local);
        // In here, and not when the executor is dropped: destructors of mail find the poller that it
        // was for, and not one around it. What they have begun in it ends like all before.
        self.executor.refuse_mail();
        close_all(&self.local);
        calls::fall_asleep(&self.local);
        self.report();
        #[cfg(feature = "test-util")]
        self.forget_the_pause();
        drop(entered);
    }
}

//! How a poller is shut down. [`begin`] tells its connections and tasks, the loop of
//! [`Poller::run`] gives them a grace, and the drop of the [`Poller`] ends what is left.
//!
//! 1. [`begin`] comes by mail, on the poller's thread. Listeners close, `on_shutdown` is called of
//!    each connection, and the tasks in [`shutdown_requested`] are woken.
//! 2. The loop goes on. During the grace it reads the clock before each call, so that no call
//!    begins after its end.
//! 3. When nothing is left, or the grace has passed, the loop ends and the poller is dropped:
//!    tasks, then connections, then mail. Each connection gets its `on_close`, with the reason
//!    `Shutdown`.

use std::sync::Arc;

use super::Poller;
use crate::connection::{call, close, connect, flush, linger, request_close};
use crate::local::action::CloseReason;
use crate::local::connection::Connection;
use crate::local::deferred::TimerTarget;
use crate::local::errors::poller_ended;
use crate::local::flags::{Flags, State};
use crate::local::state::Local;
use crate::local::table::Entry;
use crate::local::{calls, registry};
use crate::poller::dispatch;
use crate::source::wake;
use crate::task::executor;

/// The connections and tasks of one poller, by how the shutdown ended them.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct ShutdownOutcome {
    /// The number of those that ended by themselves within the grace.
    pub(crate) drained: usize,
    /// The number of those that were dropped at its end.
    pub(crate) cancelled: usize,
    /// The number of blocking calls that outlive the poller.
    pub(crate) leaked_blocking: usize,
}

/// Begins the shutdown, whose grace ends at `end` (nanoseconds of the kernel's monotonic clock): closes
/// the listeners, calls `on_shutdown` of the connections, and wakes the tasks that wait for it. A
/// later call can only bring the end forward.
pub(crate) fn begin(local: &Local, end: u64) {
    let has_begun = local.shutdown.has_begun();
    let Some(deadline) = local.shutdown.begin(end) else { return };
    // The loop must not sleep past the end of the grace.
    local.arm(deadline, TimerTarget::Turn);
    // Ends the run of tasks that has opened this mail, as it was granted many polls at once. The
    // next run reads the clock before each.
    executor::interrupt();
    if has_begun {
        return;
    }
    local.shutdown.ended_before.set(local.census.ended_so_far() + executor::tasks_ended());
    // A list of tokens, as callbacks change the table: what they close is no longer found in it.
    for token in registry::tokens(local) {
        let Some(Entry::Handler(connection)) = registry::entry(local, token) else { continue };
        if connection.has(Flags::LISTENER) {
            request_close::connection(local, connection, CloseReason::Requested);
        } else if connection.state() == State::Opening {
            // `on_shutdown` follows at once, as the shutdown has begun.
            call::on_open(local, connection);
        } else {
            call::on_shutdown(local, connection);
        }
        local.recorder.step();
    }
    local.shutdown.wake_all();
}

/// Returns the number of blocking calls of this poller that are not over.
fn blocking_calls(local: &Local) -> usize {
    // Each call holds a clone, and the poller the original.
    Arc::strong_count(&local.blocking_calls) - 1
}

/// Ends all connections, sources and attempts to connect at once, as the poller is ending.
fn close_all(local: &Local) {
    // Calls that waited for the end of the turn are not lost.
    dispatch::finish_turn(local);
    for token in registry::tokens(local) {
        match registry::entry(local, token) {
            Some(Entry::Handler(connection)) => close_now(local, connection),
            // A stream may outlive its poller, held by a task of another poller on this thread.
            // Tasks that wait on it are woken, and find the poller gone.
            Some(Entry::Readiness(source)) => {
                drop(registry::remove(local, token));
                wake::wake_all(&source);
            }
            Some(Entry::Connecting(_)) => connect::fail(local, token, poller_ended()),
            None => {}
        }
        // What the callbacks have asked for.
        dispatch::finish_turn(local);
        local.recorder.step();
    }
    // Nothing new is registered any more. What the last callbacks have tried to begin has failed,
    // and their `on_connect_fail`s are called here.
    while local.has_deferred() {
        dispatch::finish_turn(local);
    }
    // Tasks of another poller on this thread may wait for this one's shutdown.
    local.shutdown.wake_all();
    local.clear();
}

/// Closes a connection without waiting for its peer. Its output is sent as far as the kernel takes
/// it now.
fn close_now(local: &Local, connection: &Connection) {
    // Each arm may call a callback and so change the state, which is read anew below.
    match connection.state() {
        State::Flushing => return close::finish_flushing(local, connection, None),
        State::Lingering => {
            // Closing with unread input would reset the connection, and destroy the last answer.
            linger::discard_all_input(local, connection);
            return linger::end(local, connection);
        }
        // A connection that is registered but not open yet gets both calls, `on_open` and
        // `on_close`.
        _ => call::on_open(local, connection),
    }
    if connection.state() == State::Relaying {
        request_close::connection(local, connection, CloseReason::Shutdown);
    }
    if connection.state() == State::Open {
        request_close::close_writers(connection);
        if connection.has(Flags::HAS_OUTPUT) {
            // An error is no news: the connection ends in any case.
            let _ = flush::queued(local, connection);
        }
        connection.advance(State::Closing);
        close::finish(local, connection, CloseReason::Shutdown);
    }
}

impl Poller {
    /// Returns `true` if a shutdown has begun and is over: nothing is left, or its grace has passed.
    pub(crate) fn is_shut_down(&self) -> bool {
        self.local.shutdown.has_begun() && (self.is_empty() || self.local.shutdown.is_over())
    }

    /// Returns `true` if nothing is left that the shutdown waits for.
    fn is_empty(&self) -> bool {
        self.count_alive() == 0 && !self.local.census.has_detached()
    }

    /// Returns the number of tasks and of handlers' connections that have not ended.
    fn count_alive(&self) -> usize {
        self.executor.tasks() + self.local.census.handlers()
    }

    /// Turns the loop until the poller has been shut down, and ends the poller.
    ///
    /// # Errors
    ///
    /// Returns the error of epoll_wait(2).
    pub(crate) fn run(self) -> std::io::Result<ShutdownOutcome> {
        let entered = self.enter();
        while !self.is_shut_down() {
            self.turn(None)?;
        }
        let ended = self.local.census.ended_so_far() + executor::tasks_ended();
        let drained = (ended - self.local.shutdown.ended_before.get()) as usize;
        let cancelled = self.count_alive();
        drop(entered);
        let local = self.local.clone();
        // Counted after the drop of the tasks, which cancels blocking calls that have not begun.
        drop(self);
        Ok(ShutdownOutcome { drained, cancelled, leaked_blocking: blocking_calls(&local) })
    }
}

impl Drop for Poller {
    /// Ends everything that lives in the poller, on the poller's thread: tasks first, then
    /// connections, then the mail that is left.
    fn drop(&mut self) {
        let entered = self.enter();
        // From here on destructors can register nothing any more. What they spawn is dropped.
        registry::end(&self.local);
        calls::end_calls(&self.local);
        self.executor.cancel_tasks();
        close_all(&self.local);
        // Done here, and not in the drop of the executor, so that destructors of mail find this
        // poller and not one around it. What they begin in it ends by the second `close_all`.
        self.executor.refuse_mail();
        close_all(&self.local);
        calls::begin_wait(&self.local);
        self.report();
        #[cfg(feature = "test-util")]
        self.restore_clock();
        drop(entered);
    }
}

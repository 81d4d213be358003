//! The deadlines of connections: one timer each, which looks at what was stored since.

use std::io;

use crate::base::token::Token;
use crate::connection::request_close;
use crate::local::action::CloseReason;
use crate::local::connection::{Connection, State};
use crate::local::context::EvContext;
use crate::local::deadline_timer::DeadlineTimer;
use crate::local::deferred::TimerTarget;
use crate::local::errors::ending;
use crate::local::flags::Flags;
use crate::local::state::Local;
use crate::parts::deadlines::Deadlines;
use crate::sys::clock;

impl EvContext<'_> {
    /// Gives this connection deadlines, from now on, in place of those that it had. When one is
    /// missed the connection ends with [`CloseReason::Error`], of the kind
    /// [`TimedOut`](io::ErrorKind::TimedOut), which says which one.
    ///
    /// The read deadline runs while the handler is interested in reading, and the end has not been
    /// read; the write deadline, while output is queued. They end when it becomes a stream. When it
    /// [relays](EvContext::relay) they go on: the read deadline until the peer's end, and the write
    /// deadline while bytes are on their way to it.
    ///
    /// ```
    /// use corepoll::{Action, Deadlines, EvContext, EvHandler};
    /// use std::{io, time::Duration};
    ///
    /// struct Impatient;
    ///
    /// impl EvHandler for Impatient {
    ///     fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         let idle = Some(Duration::from_secs(60));
    ///         cx.set_deadlines(Deadlines { idle, ..Deadlines::default() })?;
    ///         Ok(Action::Keep)
    ///     }
    ///     fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         let is_end = cx.read()?.is_empty();
    ///         Ok(if is_end { Action::Close } else { Action::Keep })
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// The connection is ending.
    pub fn set_deadlines(&mut self, deadlines: Deadlines) -> io::Result<()> {
        if !matches!(self.connection.state(), State::Open | State::Relaying) {
            return Err(ending());
        }
        remove(self.local, self.connection);
        if deadlines != Deadlines::default() {
            let timing = Box::new(DeadlineTimer::new(deadlines));
            self.connection.with_extra(|extra| extra.timing = Some(timing));
            self.connection.turn_on(Flags::HAS_DEADLINES);
            // What it waits for is seen after the callback.
        }
        Ok(())
    }
}

/// Sees to it that the timer looks in time at the deadlines that end after `after`. Nothing is done
/// while it is set to look before.
pub(crate) fn arm(local: &Local, token: Token, timing: &mut DeadlineTimer, after: u64) {
    let Some(next) = timing.next_look(after) else { return };
    let timer = match timing.timer {
        Some((timer, _)) => {
            local.reset(timer, next);
            timer
        }
        None => local.arm(next, TimerTarget::Deadline(token)),
    };
    timing.timer = Some((timer, next));
}

/// Something has been done with a connection that has deadlines.
#[cold]
pub(crate) fn note(local: &Local, connection: &Connection, has_read: bool, has_written: bool) {
    // A relay knows what it waits for, and notes it by itself.
    let waits = (connection.state() != State::Relaying).then(|| {
        let reads = connection.interest().is_readable() && !connection.has(Flags::READ_EOF);
        (reads, connection.has(Flags::HAS_OUTPUT))
    });
    note_waits(local, connection, has_read, has_written, waits);
}

/// As [`note`]; `waits` says whether the connection waits to read, and whether to write.
/// Without it, that is as it was.
pub(crate) fn note_waits(
    local: &Local,
    connection: &Connection,
    has_read: bool,
    has_written: bool,
    waits: Option<(bool, bool)>,
) {
    let now = local.now();
    connection.with_present_extra(|extra| {
        let Some(timing) = &mut extra.timing else { return };
        let watch = &mut timing.tracker;
        if has_read {
            watch.has_read(now, waits.is_some_and(|(reads, _)| reads));
        }
        if has_written {
            watch.has_written(now);
        }
        // A wait begins at a time of its own: the turn may be old by now.
        if let Some((reads, writes)) = waits {
            watch.waits_to_read(clock::now, reads);
            watch.waits_to_write(clock::now, writes);
        }
        // Also one that has ended in this very callback.
        arm(local, connection.token, timing, 0);
    });
}

/// Looks at the deadlines of a connection, whose timer has fired.
pub(crate) fn check(local: &Local, connection: &Connection) {
    // What came before a deadline has been told; what came since may not have been.
    let now = local.looked_at();
    let missed = connection.with_present_extra(|extra| {
        let timing = extra.timing.as_mut()?;
        timing.timer = None;
        let missed = timing.tracker.missed(now);
        if missed.is_none() {
            arm(local, connection.token, timing, now);
        }
        missed
    });
    let Some(missed) = missed.flatten() else { return };
    match connection.state() {
        State::Open => {
            request_close::connection(local, connection, CloseReason::Error(missed.into()));
        }
        State::Relaying => {
            if let Some(relay) = connection.relay() {
                relay.fail(local, connection, Some(missed.into()));
            }
        }
        _ => {}
    }
}

/// The connection has no deadlines any more.
pub(crate) fn remove(local: &Local, connection: &Connection) {
    if connection.has(Flags::HAS_DEADLINES) {
        connection.turn_off(Flags::HAS_DEADLINES);
        let timing = connection.with_present_extra(|extra| extra.timing.take()).flatten();
        if let Some(timer) = timing.and_then(|mut timing| timing.take_timer()) {
            drop(local.disarm(timer));
        }
    }
}

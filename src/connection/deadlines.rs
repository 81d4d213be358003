//! The deadlines of handlers' connections.
//!
//! Each connection that has deadlines has one timer. A byte that moves only stores its time: the
//! timer looks at what was stored when it fires, and is armed anew for the rest.
//!
//! For example, with a read deadline of 10 s: bytes come at 3 s, and at 8 s. The timer, armed for
//! 10 s, fires, finds that the deadline has moved to 18 s, and is armed for then. So a busy
//! connection costs a timer that fires once in each limit, and a store for each read.

use std::io;

use crate::base::token::Token;
use crate::connection::request_close;
use crate::local::action::CloseReason;
use crate::local::connection::Connection;
use crate::local::context::EvContext;
use crate::local::deadline_timer::DeadlineTimer;
use crate::local::deferred::TimerTarget;
use crate::local::flags::{Flags, State};
use crate::local::state::Local;
use crate::parts::deadlines::Deadlines;
use crate::sys::clock;

/// Whether a connection has just read or written anything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transferred {
    /// Bytes have come from the peer.
    pub(crate) read: bool,
    /// Bytes have gone into the kernel.
    pub(crate) written: bool,
}

impl Transferred {
    /// Neither: only what is waited for may have changed.
    pub(crate) const NOTHING: Transferred = Transferred { read: false, written: false };
    /// Output has gone into the kernel.
    pub(crate) const OUTPUT: Transferred = Transferred { read: false, written: true };
}

/// What a connection waits for its peer to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Awaited {
    /// To send something: the read deadline runs.
    pub(crate) input: bool,
    /// To take output: the write deadline runs.
    pub(crate) room: bool,
}

impl EvContext<'_> {
    /// Gives this connection deadlines, from now on, in place of those that it had. When one is
    /// missed the connection ends with [`CloseReason::Error`]; the error is of the kind
    /// [`TimedOut`](io::ErrorKind::TimedOut) and says which deadline it was.
    ///
    /// The read deadline runs while the handler is interested in reading and the end of the input
    /// has not been read. The write deadline runs while output is queued. The deadlines end when a
    /// stream takes the connection over ([`EvContext::take_stream`]). When it
    /// [relays](EvContext::relay) they go on: the read deadline until the peer's end, and the write
    /// deadline while bytes are on their way to the peer.
    ///
    /// # Errors
    ///
    /// Returns [`BrokenPipe`](io::ErrorKind::BrokenPipe) if the connection is ending.
    ///
    /// # Examples
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
    pub fn set_deadlines(&mut self, deadlines: Deadlines) -> io::Result<()> {
        if !matches!(self.connection.state(), State::Open | State::Relaying) {
            return Err(self.not_open_error());
        }
        // Anew, and not changed: what has passed of the old ones doesn't count.
        remove(self.local, self.connection);
        if deadlines != Deadlines::default() {
            let timer = Box::new(DeadlineTimer::new(deadlines));
            self.connection.with_extra(|extra| extra.deadlines = Some(timer));
            // When the callback has returned, this flag makes `note` find out what is waited for,
            // and arm the timer.
            self.connection.set(Flags::HAS_DEADLINES);
        }
        Ok(())
    }
}

/// Arms the timer so that it fires no later than the next deadline that ends after `after`. A timer
/// that fires earlier already is left as it is: it looks, and is armed anew.
pub(crate) fn arm(local: &Local, token: Token, deadlines: &mut DeadlineTimer, after: u64) {
    let Some(next) = deadlines.next_look(after) else { return };
    let timer = match deadlines.timer {
        Some((timer, _)) => {
            local.reset_timer(timer, next);
            timer
        }
        None => local.arm(next, TimerTarget::Deadline(token)),
    };
    deadlines.timer = Some((timer, next));
}

/// Notes what a connection with deadlines has transferred, and what it waits for now.
#[cold]
pub(crate) fn note(local: &Local, connection: &Connection, transferred: Transferred) {
    // What a relay waits for only the relay knows: it calls `note_awaited` itself.
    let awaited = (connection.state() != State::Relaying).then(|| Awaited {
        input: connection.interest().is_readable() && !connection.has(Flags::READ_EOF),
        room: connection.has(Flags::HAS_OUTPUT),
    });
    note_awaited(local, connection, transferred, awaited);
}

/// Notes what a connection with deadlines has transferred, and what it waits for now. Without
/// `awaited` it waits for the same as before.
pub(crate) fn note_awaited(
    local: &Local,
    connection: &Connection,
    transferred: Transferred,
    awaited: Option<Awaited>,
) {
    let now = local.now();
    connection.with_present_extra(|extra| {
        let Some(deadlines) = &mut extra.deadlines else { return };
        let tracker = &mut deadlines.tracker;
        if transferred.read {
            tracker.has_read(now, awaited.is_some_and(|awaited| awaited.input));
        }
        if transferred.written {
            tracker.has_written(now);
        }
        // A wait that begins is timed by the clock, not by the turn: the turn may have taken long.
        if let Some(Awaited { input, room }) = awaited {
            tracker.waits_to_read(clock::now, input);
            tracker.waits_to_write(clock::now, room);
        }
        // After 0, so that a deadline that ended during the callback counts as well.
        arm(local, connection.token(), deadlines, 0);
    });
}

/// Looks at the deadlines of a connection, whose timer has fired, and ends the connection if one
/// was missed.
pub(crate) fn check(local: &Local, connection: &Connection) {
    // What was ready before this time has been handled. A deadline that ended later is not missed
    // yet: what came in time may not have been read.
    let now = local.dispatched_until();
    let missed = connection.with_present_extra(|extra| {
        let deadlines = extra.deadlines.as_mut()?;
        // It has fired, and the poller has taken it out.
        deadlines.timer = None;
        let missed = deadlines.tracker.missed(now);
        if missed.is_none() {
            arm(local, connection.token(), deadlines, now);
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

/// Removes the deadlines of a connection, and their timer.
pub(crate) fn remove(local: &Local, connection: &Connection) {
    if connection.has(Flags::HAS_DEADLINES) {
        connection.clear(Flags::HAS_DEADLINES);
        let deadlines = connection.with_present_extra(|extra| extra.deadlines.take()).flatten();
        if let Some(timer) = deadlines.and_then(|mut deadlines| deadlines.take_timer()) {
            drop(local.disarm(timer));
        }
    }
}

//! The deadlines of connections: one timer each, which looks at what was stored since.

use std::cell::Cell;
use std::io;

use crate::base::token::Token;
use crate::parts::deadlines::{Deadlines, Watch};
use crate::parts::readiness::Direction;
use crate::sys::clock;

use crate::connection::flush::ending;
use crate::local::connection::{Connection, State, bits};
use crate::local::context::EvContext;
use crate::local::handler::CloseReason;
use crate::local::registration::{Registration, Source};
use crate::local::state::{Local, TimerTarget};
use crate::local::table::Entry;

/// A connection with deadlines.
pub(crate) struct DeadlineTimer {
    watch: Watch,
    /// The timer that looks at the watch. It may be set to an earlier time than it would have to:
    /// then it looks, and is set anew.
    timer: Option<(Token, u64)>,
    /// A task has been told that a deadline was missed.
    has_missed: bool,
}

impl DeadlineTimer {
    fn new(limits: Deadlines) -> DeadlineTimer {
        DeadlineTimer { watch: Watch::new(limits, clock::now()), timer: None, has_missed: false }
    }

    /// Sees to it that the timer looks in time at the deadlines that end after `after`. Nothing is
    /// done while it is set to look before.
    fn arm(&mut self, local: &Local, token: Token, after: u64) {
        let Some(next) = self.watch.next(after) else { return };
        match self.timer {
            Some((_, at)) if at <= next => {}
            Some((timer, _)) => {
                local.reset(timer, next);
                self.timer = Some((timer, next));
            }
            None => self.timer = Some((local.arm(next, TimerTarget::Deadline(token)), next)),
        }
    }

    /// Takes the timer away, at the end.
    pub(crate) fn disarm(&mut self, local: &Local) {
        // It carries nothing foreign.
        drop(self.timer.take().and_then(|(timer, _)| local.disarm(timer)));
    }
}

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
        self.local.end_timing(self.connection);
        if deadlines != Deadlines::default() {
            let timing = Box::new(DeadlineTimer::new(deadlines));
            self.connection.with_extra(|extra| extra.timing = Some(timing));
            self.connection.turn_on(bits::HAS_DEADLINES);
            // What it waits for is seen after the callback.
        }
        Ok(())
    }
}

impl Local {
    /// Something has been done with a connection that has deadlines.
    #[cold]
    pub(crate) fn note(&self, connection: &Connection, has_read: bool, has_written: bool) {
        // A relay knows what it waits for, and notes it by itself.
        let waits = (connection.state() != State::Relaying).then(|| {
            let reads = connection.interest().is_readable() && !connection.has(bits::READ_EOF);
            (reads, connection.has(bits::OUTPUT))
        });
        self.note_waits(connection, has_read, has_written, waits);
    }

    /// As [`Local::note`]; `waits` says whether the connection waits to read, and whether to write.
    /// Without it, that is as it was.
    pub(crate) fn note_waits(
        &self,
        connection: &Connection,
        has_read: bool,
        has_written: bool,
        waits: Option<(bool, bool)>,
    ) {
        let now = self.now();
        connection.with_present_extra(|extra| {
            let Some(timing) = &mut extra.timing else { return };
            let watch = &mut timing.watch;
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
            timing.arm(self, connection.token, 0);
        });
    }

    /// The timer of some deadlines looks at them.
    pub(crate) fn deadline_has_come(&self, token: Token) {
        match self.entry(token) {
            Some(Entry::Handler(connection)) => self.look_at_handlers(&connection),
            Some(Entry::Readiness(source)) => self.look_at_streams(&source),
            _ => {}
        }
    }

    fn look_at_handlers(&self, connection: &Connection) {
        // What came before a deadline has been told; what came since may not have been.
        let now = self.looked_at();
        let missed = connection.with_present_extra(|extra| {
            let timing = extra.timing.as_mut()?;
            timing.timer = None;
            let missed = timing.watch.missed(now);
            if missed.is_none() {
                timing.arm(self, connection.token, now);
            }
            missed
        });
        let Some(missed) = missed.flatten() else { return };
        match connection.state() {
            State::Open => {
                self.request_close(connection, CloseReason::Error(missed.into()));
            }
            State::Relaying => self.relay_is_late(connection, missed.into()),
            _ => {}
        }
    }

    /// Wakes who waits: the poll finds the deadline missed.
    fn look_at_streams(&self, source: &Source) {
        let now = self.looked_at();
        let Some(mut timing) = source.timing.take() else { return };
        timing.timer = None;
        let is_missed = timing.watch.missed(now).is_some();
        timing.arm(self, source.token, now);
        source.timing.set(Some(timing));
        if is_missed {
            source.wake_all();
        }
    }

    /// The connection has no deadlines any more.
    pub(crate) fn end_timing(&self, connection: &Connection) {
        if connection.has(bits::HAS_DEADLINES) {
            connection.turn_off(bits::HAS_DEADLINES);
            let timing = connection.with_present_extra(|extra| extra.timing.take()).flatten();
            timing.into_iter().for_each(|mut timing| timing.disarm(self));
        }
    }
}

impl Registration {
    /// Gives the stream deadlines, in place of those that it had.
    pub(crate) fn set_deadlines(&self, deadlines: Deadlines) {
        let is_timed = deadlines != Deadlines::default();
        let new = is_timed.then(|| Box::new(DeadlineTimer::new(deadlines)));
        self.source().timed.set(is_timed);
        self.end_timing();
        self.source().timing.set(new);
        // Whoever waits already waits by the new ones.
        self.source().wake_all();
    }

    /// Whether a task has been told that a deadline of those that there are now was missed.
    pub(crate) fn has_missed_deadline(&self) -> bool {
        self.source().timed.get()
            && with(&self.source().timing, |timing| timing.has_missed).unwrap_or(false)
    }

    /// Goes on without deadlines, when no task waits.
    pub(crate) fn forget_deadlines(&self) {
        if self.source().timed.replace(false) {
            self.end_timing();
        }
    }

    /// The stream has no deadlines any more.
    pub(crate) fn end_timing(&self) {
        let timing = self.source().timing.take();
        timing.into_iter().for_each(|mut timing| timing.disarm(self.local()));
    }

    /// An operation of a stream with deadlines has succeeded.
    #[cold]
    pub(crate) fn note_moved(&self, direction: Direction) {
        let now = self.local().now();
        with(&self.source().timing, |timing| match direction {
            Direction::Read => timing.watch.has_read(now, false),
            Direction::Write => timing.watch.has_written(now),
        });
    }

    /// An operation of a stream with deadlines has to wait, or nothing but its end is waited for: an
    /// error, if that has taken long enough.
    #[cold]
    pub(crate) fn wait_in_time(&self, direction: Option<Direction>) -> io::Result<()> {
        let now = clock::now();
        let reads = direction == Some(Direction::Read);
        let writes = direction == Some(Direction::Write);
        // A deadline that has passed since the last look at the events is not missed yet: what
        // came in time may not have been told.
        let looked_at = self.local().looked_at();
        let missed = with(&self.source().timing, |timing| {
            if let Some(missed) = timing.watch.take_missed(looked_at, reads, writes) {
                timing.has_missed = true;
                return Some(missed);
            }
            if reads {
                timing.watch.waits_to_read(|| now, true);
            }
            if writes {
                timing.watch.waits_to_write(|| now, true);
            }
            timing.arm(self.local(), self.source().token, looked_at);
            None
        });
        missed.flatten().map_or(Ok(()), |missed| Err(missed.into()))
    }
}

/// Changes what is in the cell, if there is something. Nothing foreign runs in `change`.
fn with<R>(
    timing: &Cell<Option<Box<DeadlineTimer>>>,
    change: impl FnOnce(&mut DeadlineTimer) -> R,
) -> Option<R> {
    let mut present = timing.take()?;
    let result = change(&mut present);
    timing.set(Some(present));
    Some(result)
}

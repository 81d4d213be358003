//! How a connection ends.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use crate::base::token::Token;
use crate::sys::clock;
use crate::sys::epoll::Event;
use crate::sys::socket;
use crate::task::drop_ignoring_panic;

use crate::connection::linger::Thrown;
use crate::local::connection::{Connection, State, bits};
use crate::local::context::EvContext;
use crate::local::handle::gone;
use crate::local::handler::{Action, CloseReason};
use crate::local::state::{Deferred, Local, TimerTarget};
use crate::local::table::Entry;

impl Local {
    /// Ends a connection at the end of the turn, after its output. False: it is ending already.
    pub(crate) fn request_close(&self, connection: &Connection, reason: CloseReason) -> bool {
        if connection.state() >= State::Closing {
            return false;
        }
        if connection.state() == State::Opening {
            // on_open and on_close are one to one: both come, when the close is due.
            connection.turn_on(bits::UNOPENED);
        }
        connection.advance(State::Closing);
        if connection.has(bits::WRITER) {
            self.close_writers(connection);
        }
        self.defer(Deferred::Close(connection.token, reason));
        true
    }

    /// Ends the connection that `token` stands for, if it is still there.
    pub(crate) fn close_token(&self, token: Token) -> bool {
        match self.entry(token) {
            Some(Entry::Handler(it)) => self.request_close(&it, CloseReason::Requested),
            Some(Entry::Connecting(attempt)) => self.abort_connect(&attempt),
            Some(Entry::Readiness(_)) | None => false,
        }
    }

    /// Takes the descriptor of a listener away, to be closed now; `on_close` comes at the end of
    /// the turn. `None` if one of the listener's own callbacks is running, or if it has ended.
    pub(crate) fn take_listener(&self, token: Token) -> Option<OwnedFd> {
        let connection = self.connection(token)?;
        let fd = connection.try_take_fd()?;
        self.request_close(&connection, CloseReason::Requested);
        Some(fd)
    }

    /// The close is due: a requested one waits for the output.
    pub(crate) fn close(&self, connection: &Connection, reason: CloseReason) {
        if connection.state() != State::Closing {
            return;
        }
        if connection.has(bits::UNOPENED) {
            connection.turn_off(bits::UNOPENED);
            self.call(connection, |handler, cx| handler.on_open(cx));
        }
        self.cut_relay(connection, &reason);
        let wants_flush = matches!(reason, CloseReason::Requested | CloseReason::Shutdown);
        let is_unsent = wants_flush && connection.has(bits::OUTPUT);
        if is_unsent {
            connection.turn_on(bits::WROTE_BEFORE_CLOSE);
        }
        match if is_unsent { self.flush(connection) } else { Ok(true) } {
            // A poller that is ending waits for nobody any more.
            Ok(false) if !self.is_gone() => self.keep_flushing(connection, reason),
            Ok(_) => self.finish(connection, reason),
            Err(error) => self.finish(connection, CloseReason::Error(error)),
        }
    }

    /// There is still more to send: that has `Budget::close_linger`.
    fn keep_flushing(&self, connection: &Connection, reason: CloseReason) {
        let deadline = clock::after(clock::now(), self.budget.close_linger);
        let patience = self.arm(deadline, TimerTarget::Linger(connection.token));
        // No callback comes for them any more.
        self.remove_timers(connection);
        connection.with_extra(|extra| extra.ending = Some((reason, patience)));
        connection.advance(State::Flushing);
        self.refresh(connection);
    }

    /// An event for a closing connection: there is room for the rest of its output, or its peer
    /// sends on. A peer that won't read before it has said all would wait for us as we for it, so
    /// what it says is thrown away.
    pub(crate) fn flush_the_rest(&self, connection: &Connection, event: Event) {
        if event.is_readable() && connection.throws_input_away() {
            match self.throw_away(connection) {
                Thrown::Some | Thrown::All => {}
                Thrown::End => connection.turn_on(bits::READ_EOF),
                Thrown::Failed(error) => {
                    return self.finish_flushing(connection, Some(CloseReason::Error(error)));
                }
            }
        }
        let flushed = if event.is_writable() { self.flush(connection) } else { Ok(false) };
        match flushed {
            Ok(false) => self.refresh(connection),
            Ok(true) => self.finish_flushing(connection, None),
            Err(error) => self.finish_flushing(connection, Some(CloseReason::Error(error))),
        }
    }

    /// The patience with a closing connection is over.
    pub(crate) fn patience_is_over(&self, token: Token) {
        match self.entry(token) {
            Some(Entry::Handler(connection)) => match connection.state() {
                State::Flushing => self.finish_flushing(&connection, None),
                State::Lingering => self.let_go(&connection),
                State::Relaying => self.relay_patience_is_over(&connection),
                _ => {}
            },
            Some(Entry::Readiness(source)) => self.close_detached(&source),
            _ => {}
        }
    }

    fn finish_flushing(&self, connection: &Connection, failure: Option<CloseReason>) {
        let ending = connection.with_extra(|extra| extra.ending.take());
        let Some((reason, patience)) = ending else { return };
        drop(self.disarm(patience));
        self.finish(connection, failure.unwrap_or(reason));
    }

    /// `on_close`, and away with everything: timers, output, registration, handler, descriptor.
    pub(crate) fn finish(&self, connection: &Connection, reason: CloseReason) {
        let is_in_peace = matches!(reason, CloseReason::Requested) && !connection.has(bits::OUTPUT);
        connection.advance(State::Closed);
        self.remove_timers(connection);
        connection.turn_off(bits::WRITER | bits::HAS_WATERMARKS);
        if let Some(mut extra) = connection.take_extra() {
            self.lose(std::mem::take(&mut extra.outbox));
        }
        if !connection.has(bits::INTERNAL) {
            self.census.ended();
        }
        self.call(connection, |handler, cx: &mut EvContext<'_>| {
            handler.on_close(cx, reason);
            Ok(Action::Keep)
        });
        let Some(fd) = connection.take_fd() else {
            return drop(self.remove(connection.token));
        };
        let handler = connection.take_handler();
        let lingers = is_in_peace && self.deserves_lingering(connection, fd.as_fd());
        let closing = if lingers { self.linger(connection, fd).err() } else { Some(fd) };
        if closing.is_some() {
            drop(self.remove(connection.token));
        }
        drop_ignoring_panic(handler);
        if connection.has(bits::COUNTED) {
            self.handle.leave();
        }
        let Some(fd) = closing else { return };
        if connection.has(bits::FD_EXPOSED) {
            // Somebody may hold the same open file: closing ours would not end the registration.
            let _ = self.epoll.remove(fd.as_fd());
            // Nor may its close wait, if whoever knew of it has asked for that.
            socket::never_linger(fd.as_raw_fd());
        }
        drop(fd);
        self.fd_freed();
    }

    /// Ends every connection at once: the poller is ending.
    pub(crate) fn close_all(&self) {
        self.finish_turn();
        for token in self.tokens() {
            match self.entry(token) {
                Some(Entry::Handler(connection)) => self.end_at_once(&connection),
                // A stream may outlive its poller, in the hands of another poller's task: what
                // waits on it is woken, and finds the poller gone.
                Some(Entry::Readiness(source)) => {
                    drop(self.remove(token));
                    source.wake_all();
                }
                Some(Entry::Connecting(_)) => self.connect_failed(token, gone()),
                None => {}
            }
            // What the callbacks asked for.
            self.finish_turn();
            self.recorder.step();
        }
        // Nothing new is registered any more; but what was begun in the last callbacks has failed.
        while self.has_due() {
            self.finish_turn();
        }
        self.clear();
    }

    fn end_at_once(&self, connection: &Connection) {
        match connection.state() {
            State::Flushing => return self.finish_flushing(connection, None),
            State::Lingering => {
                self.throw_all_away(connection);
                return self.let_go(connection);
            }
            _ => self.open(connection),
        }
        if connection.state() == State::Relaying {
            self.request_close(connection, CloseReason::Shutdown);
        }
        if connection.state() == State::Open {
            self.close_writers(connection);
            if connection.has(bits::OUTPUT) {
                let _ = self.flush(connection);
            }
            connection.advance(State::Closing);
            self.finish(connection, CloseReason::Shutdown);
        }
    }
}

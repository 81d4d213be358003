//! How a connection ends.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use crate::base::interest::Interest;
use crate::base::token::Token;
use crate::sys::clock;
use crate::sys::{socket, stream};
use crate::task::drop_quietly;

use super::connecting::poller_ended;
use super::connection::{Body, Connection, State, bits};
use super::context::EvContext;
use super::handler::{Action, CloseReason, EvHandler, TimerId};
use super::local::{Due, Entry, Expiry, Local};

impl Local {
    /// Ends a connection at the end of the turn, after its output. False: it is ending already.
    pub(super) fn request_close(&self, connection: &Connection, reason: CloseReason) -> bool {
        if connection.state() >= State::Closing {
            return false;
        }
        if connection.state() == State::Opening {
            // on_open and on_close are one to one: both come, when the close is due.
            connection.turn_on(bits::UNOPENED);
        }
        connection.advance(State::Closing);
        self.later(Due::Close(connection.token, reason));
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

    /// The close is due: a requested one waits for the output.
    pub(super) fn close(&self, connection: &Connection, reason: CloseReason) {
        if connection.state() != State::Closing {
            return;
        }
        if connection.has(bits::UNOPENED) {
            connection.turn_off(bits::UNOPENED);
            self.call(connection, |handler, cx| handler.on_open(cx));
        }
        let wants_flush = matches!(reason, CloseReason::Requested | CloseReason::Shutdown);
        let is_unsent = wants_flush && connection.has(bits::OUTPUT);
        // A poller that is ending waits for nobody any more.
        if is_unsent && self.is_still_sending(connection) && !self.is_gone() {
            let deadline = clock::after(clock::now(), self.budget.close_linger);
            let patience = self.arm(deadline, Expiry::Linger(connection.token));
            connection.with_extra(|extra| extra.ending = Some((reason, patience)));
            connection.advance(State::Flushing);
            return self.refresh(connection);
        }
        self.finish(connection, reason);
    }

    /// Tries to send the rest; true: there is still more of it.
    fn is_still_sending(&self, connection: &Connection) -> bool {
        matches!(self.flush(connection), Ok(false))
    }

    /// There is room for the rest of a closing connection's output.
    pub(super) fn flush_the_rest(&self, connection: &Connection) {
        let reason = match self.flush(connection) {
            Ok(false) => return,
            Ok(true) => None,
            Err(error) => Some(CloseReason::Error(error)),
        };
        self.finish_flushing(connection, reason);
    }

    /// The patience with a closing connection is over.
    pub(super) fn patience_is_over(&self, token: Token) {
        match self.entry(token) {
            Some(Entry::Handler(connection)) if connection.state() == State::Flushing => {
                self.finish_flushing(&connection, None);
            }
            Some(Entry::Readiness(source)) => self.bury(&source),
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
    pub(super) fn finish(&self, connection: &Connection, reason: CloseReason) {
        connection.advance(State::Closed);
        self.remove_timers(connection);
        drop(connection.take_extra());
        let is_requested = matches!(reason, CloseReason::Requested);
        if !connection.has(bits::INTERNAL) {
            self.connections.set(self.connections.get() - 1);
        }
        self.call(connection, |handler, cx: &mut EvContext<'_>| {
            handler.on_close(cx, reason);
            Ok(Action::Keep)
        });
        let entry = self.remove(connection.token);
        drop(entry);
        let Some(Body { handler, fd }) = connection.take_body() else { return };
        drop_quietly(handler);
        if connection.has(bits::COUNTED) {
            self.handle.leave();
        }
        if connection.has(bits::LENT) {
            // Somebody may hold the same open file: closing ours would not end the registration.
            let _ = self.epoll.remove(fd.as_fd());
            // Nor may its close wait, if whoever knew of it has asked for that.
            socket::never_linger(fd.as_raw_fd());
        }
        let is_one_sided = connection.has(bits::SOCKET) && !connection.has(bits::END | bits::LENT);
        if is_requested && is_one_sided && !connection.has(bits::LISTENER) {
            return self.close_without_reset(fd, connection.has(bits::LAST_WORDS));
        }
        drop(fd);
        self.descriptor_closed();
    }

    /// Closes a socket. If the peer is still sending, a plain close would answer with a reset, which
    /// destroys what the peer has not read yet: RFC 9112, section 9.6. So if it is, or if we have
    /// just said something, we listen, for a while, without keeping what comes.
    pub(super) fn close_without_reset(&self, fd: std::os::fd::OwnedFd, last_words: bool) {
        let is_quiet = !last_words && stream::unread(fd.as_fd()).unwrap_or(0) == 0;
        if is_quiet || socket::shutdown(fd.as_fd(), std::net::Shutdown::Write).is_err() {
            drop(fd);
            return self.descriptor_closed();
        }
        let _ = self.epoll.remove(fd.as_fd());
        let facts = bits::SOCKET | bits::INTERNAL;
        // If that fails, the descriptor is closed: no worse than without the attempt.
        drop(self.add_connection(fd, Interest::READABLE, Box::new(Discard), facts));
    }

    /// Ends every connection at once: the poller is ending.
    pub(super) fn close_all(&self) {
        self.finish_turn();
        for token in self.tokens() {
            match self.entry(token) {
                Some(Entry::Handler(connection)) => self.end_at_once(&connection),
                // A stream outlives its poller in somebody's hands: it finds the poller gone.
                Some(Entry::Readiness(_)) => drop(self.remove(token)),
                Some(Entry::Connecting(_)) => self.connect_failed(token, poller_ended()),
                None => {}
            }
            // What the callbacks asked for.
            self.finish_turn();
        }
        // Nothing new is registered any more; but what was begun in the last callbacks has failed.
        while self.has_due() {
            self.finish_turn();
        }
        self.clear();
    }

    fn end_at_once(&self, connection: &Connection) {
        if connection.state() == State::Flushing {
            return self.finish_flushing(connection, None);
        }
        self.open(connection);
        if connection.state() == State::Open {
            if connection.has(bits::OUTPUT) {
                let _ = self.flush(connection);
            }
            connection.advance(State::Closing);
            self.finish(connection, CloseReason::Shutdown);
        }
    }
}

/// Reads and forgets, until the peer ends or patience does.
struct Discard;

impl EvHandler for Discard {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_timer(cx.local.budget.close_linger);
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
    }

    fn on_timeout(&mut self, _: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        Ok(Action::Close)
    }
}

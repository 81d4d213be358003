//! From events to callbacks.

use std::io;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::sys::epoll::Event;
use crate::sys::{socket, stream};
use crate::task::drop_quietly;

use super::connection::{Body, Connection, State, bits};
use super::context::EvContext;
use super::handler::{Action, CloseReason, EvHandler};
use super::local::{Due, Local};

impl Local {
    /// An event for a handler's connection. Reading comes first: what was sent before an end is
    /// read before the end is acted on.
    pub(super) fn on_event(&self, connection: &Connection, event: Event) {
        match connection.state() {
            State::Open => {}
            State::Opening => self.open(connection),
            State::Flushing => return self.flush_the_rest(connection),
            State::Closing | State::Closed => return,
        }
        if event.is_readable() && connection.interest().is_readable() && is_open(connection) {
            self.readable(connection);
        }
        if event.is_writable() && is_open(connection) {
            self.writable(connection);
        }
        if event.is_hung_up() && is_open(connection) {
            self.hung_up(connection);
        }
    }

    /// Calls `on_open`, unless the connection has been closed before it came to that.
    pub(super) fn open(&self, connection: &Connection) {
        if connection.state() == State::Opening {
            connection.advance(State::Open);
            self.call(connection, |handler, cx| handler.on_open(cx));
        }
    }

    fn readable(&self, connection: &Connection) {
        connection.turn_off(bits::PROGRESS);
        self.call(connection, |handler, cx| handler.on_read(cx));
    }

    /// There is room: flushes first, and tells the handler when nothing is left to flush.
    fn writable(&self, connection: &Connection) {
        let mut tell = connection.interest().is_writable();
        if connection.has(bits::OUTPUT) {
            match self.flush(connection) {
                Ok(drained) => tell = drained,
                Err(error) => {
                    self.request_close(connection, CloseReason::Error(error));
                    return;
                }
            }
        }
        self.refresh(connection);
        if tell && is_open(connection) {
            self.call(connection, |handler, cx| handler.on_write(cx));
        }
    }

    /// Both directions have ended or the connection has failed, and the handler has been told. As
    /// long as it makes progress it may go on reading; then the connection ends.
    fn hung_up(&self, connection: &Connection) {
        if connection.interest().is_readable() && !connection.has(bits::END) {
            if connection.has(bits::PROGRESS) {
                return;
            }
        } else if !connection.has(bits::END) && self.unread(connection) > 0 {
            // The handler doesn't want to read now, but it may want to later.
            connection.turn_on(bits::HUNG_UP | bits::DIRTY);
            return self.refresh(connection);
        }
        let error = connection.with_fd(|fd| socket::take_error(fd).ok().flatten()).flatten();
        let reason = error.map_or(CloseReason::PeerClosed, CloseReason::Error);
        self.request_close(connection, reason);
    }

    fn unread(&self, connection: &Connection) -> usize {
        connection.with_fd(|fd| stream::unread(fd).unwrap_or(0)).unwrap_or(0)
    }

    /// Calls a callback: the one place from which all of them are called.
    #[inline]
    pub(super) fn call<C>(&self, connection: &Connection, callback: C)
    where
        C: FnOnce(&mut dyn EvHandler, &mut EvContext<'_>) -> io::Result<Action>,
    {
        let Some(Body { mut handler, fd }) = connection.take_body() else { return };
        assert!(!self.in_callback.replace(true), "callbacks never nest");
        let mut cx = EvContext::new(self, connection, fd);
        let result = catch_unwind(AssertUnwindSafe(|| callback(&mut *handler, &mut cx)));
        self.in_callback.set(false);
        match cx.into_fd() {
            Some(fd) => connection.put_body(Body { handler, fd }),
            // A stream has taken the connection over; it is not the handler's any more.
            None => return drop_quietly((handler, result)),
        }
        if connection.has(bits::DIRTY) {
            self.refresh(connection);
        }
        match result {
            Ok(Ok(Action::Keep)) => {}
            other => self.settle(connection, other),
        }
    }

    /// Anything but Keep.
    #[cold]
    fn settle(&self, connection: &Connection, result: std::thread::Result<io::Result<Action>>) {
        match result {
            Ok(Ok(Action::Keep)) => {}
            Ok(Ok(Action::Close)) => {
                self.request_close(connection, CloseReason::Requested);
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(Err(error)) => {
                self.request_close(connection, CloseReason::Error(error));
            }
            Err(panic) => {
                drop_quietly(panic);
                self.request_close(connection, CloseReason::Panic);
            }
        }
    }

    /// Tells epoll what the connection wants to hear of, if that has changed.
    pub(super) fn refresh(&self, connection: &Connection) {
        connection.turn_off(bits::DIRTY);
        let wanted = connection.wanted_mask();
        if connection.mask.get() == wanted || connection.state() == State::Closed {
            return;
        }
        let told = connection.with_fd(|fd| self.epoll.modify(fd, connection.token, wanted));
        match told {
            Some(Err(error)) => {
                self.request_close(connection, CloseReason::Error(error));
            }
            _ => connection.mask.set(wanted),
        }
    }

    /// Another `on_read` for a connection whose budget was spent; or the listener that found no
    /// descriptor.
    pub(super) fn again(&self, connection: &Connection) {
        let wants = connection.interest().is_readable() || connection.has(bits::LISTENER);
        if is_open(connection) && wants {
            self.readable(connection);
        }
    }

    /// The end of a turn: the calls that waited for their phase.
    pub(super) fn finish_turn(&self) {
        let mut due = self.take_due();
        for due in due.drain(..) {
            match due {
                Due::Open(token) => self.with_connection(token, |this, it| this.open(it)),
                Due::Again(token) => self.with_connection(token, |this, it| this.again(it)),
                Due::Close(token, reason) => {
                    self.with_connection(token, |this, it| this.close(it, reason));
                }
            }
        }
        self.return_due(due);
    }

    fn with_connection(
        &self,
        token: crate::base::token::Token,
        act: impl FnOnce(&Local, &Connection),
    ) {
        if let Some(connection) = self.connection(token) {
            act(self, &connection);
        }
    }

    /// Looks at a connection's descriptor.
    pub(super) fn flush(&self, connection: &Connection) -> io::Result<bool> {
        let Some(body) = connection.take_body() else { return Ok(true) };
        let result = super::context::flush(connection, body.fd.as_fd());
        connection.put_body(body);
        result
    }
}

fn is_open(connection: &Connection) -> bool {
    connection.state() == State::Open
}

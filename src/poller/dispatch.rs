//! From events to callbacks.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::base::token::Token;
use crate::sys::epoll::Event;
use crate::sys::{socket, stream};
use crate::task::drop_quietly;

use super::connection::{Body, Connection, State, bits};
use super::context::EvContext;
use super::handler::{Action, CloseReason, EvHandler};
use super::local::{Due, Local};
use super::table::Entry;

impl Local {
    /// An event for a handler's connection.
    #[inline]
    pub(super) fn on_event(&self, connection: &Connection, event: Event) {
        if event.is_plain_read() && is_open(connection) && connection.interest().is_readable() {
            return self.readable(connection);
        }
        self.on_rare_event(connection, event);
    }

    /// Any other event. Reading comes first: what was sent before an end is read before the end is
    /// acted on.
    #[cold]
    fn on_rare_event(&self, connection: &Connection, event: Event) {
        match connection.state() {
            State::Open => {}
            State::Opening => self.open(connection),
            State::Relaying => return self.relay_event(connection, event),
            State::Flushing => return self.flush_the_rest(connection, event),
            State::Lingering => return self.linger_on(connection),
            State::Closing | State::Closed => return,
        }
        self.has_read.set(false);
        if event.is_readable() && wants_to_read(connection) {
            self.readable(connection);
        }
        let has_read = self.has_read.get();
        if event.is_writable() && is_open(connection) {
            self.writable(connection);
        }
        if event.is_hung_up() && is_open(connection) {
            self.hung_up(connection, has_read);
        }
    }

    /// Calls `on_open`, unless the connection has been closed before it came to that. In the grace
    /// of a shutdown it hears of that right away.
    pub(super) fn open(&self, connection: &Connection) {
        if connection.state() == State::Opening {
            connection.advance(State::Open);
            self.call(connection, |handler, cx| handler.on_open(cx));
            if self.drain.is_requested() {
                self.tell_of_shutdown(connection);
            }
        }
    }

    /// The caller catches panics.
    #[inline]
    fn readable(&self, connection: &Connection) {
        self.call_bare(connection, |handler, cx| handler.on_read(cx));
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

    /// More of the output whose budget was spent.
    fn flush_again(&self, token: Token) {
        match self.entry(token) {
            Some(Entry::Handler(it)) if is_open(&it) && it.has(bits::OUTPUT) => self.writable(&it),
            Some(Entry::Handler(it)) => self.relay_flush_again(&it),
            Some(Entry::Readiness(source)) => source.pay_on(),
            _ => {}
        }
    }

    /// Both directions have ended or the connection has failed, and the handler has been told. As
    /// long as it makes progress it may go on reading; then the connection ends.
    fn hung_up(&self, connection: &Connection, has_read: bool) {
        if connection.interest().is_readable() && !connection.has(bits::END) {
            if has_read {
                return;
            }
        } else if !connection.has(bits::END) && self.unread(connection) > 0 {
            // The handler doesn't want to read now, but it may want to later.
            connection.turn_on(bits::HUNG_UP | bits::DIRTY);
            return self.refresh(connection);
        }
        let error = connection.with_fd(|fd| socket::take_error(fd).ok().flatten()).flatten();
        if connection.has(bits::DATAGRAMS) {
            // It was one datagram's; the others go on.
            return;
        }
        let reason = error.map_or(CloseReason::PeerClosed, CloseReason::Error);
        self.request_close(connection, reason);
    }

    fn unread(&self, connection: &Connection) -> usize {
        connection.with_fd(|fd| stream::unread(fd).unwrap_or(0)).unwrap_or(0)
    }

    /// Calls a callback, and catches its panic.
    pub(super) fn call<C>(&self, connection: &Connection, callback: C)
    where
        C: FnOnce(&mut dyn EvHandler, &mut EvContext<'_>) -> io::Result<Action>,
    {
        let call = AssertUnwindSafe(|| self.call_bare(connection, callback));
        if let Err(panic) = catch_unwind(call) {
            self.callback_panicked(connection.token, panic);
        }
    }

    /// Calls a callback: the one place from which all of them are called. The caller catches its
    /// panic.
    #[inline]
    fn call_bare<C>(&self, connection: &Connection, callback: C)
    where
        C: FnOnce(&mut dyn EvHandler, &mut EvContext<'_>) -> io::Result<Action>,
    {
        let Some(Body { mut handler, fd }) = connection.take_body() else { return };
        assert!(!self.in_callback.replace(true), "callbacks never nest");
        self.has_written.set(false);
        let mut call = Call { cx: EvContext::new(self, connection, fd), handler: &mut handler };
        let result = callback(&mut **call.handler, &mut call.cx);
        self.in_callback.set(false);
        let has_read = call.cx.has_read();
        let fd = call.cx.take_fd();
        std::mem::forget(call);
        match fd {
            Some(fd) => connection.put_body(Body { handler, fd }),
            // A stream has taken the connection over; it is not the handler's any more.
            None => return drop_quietly(handler),
        }
        if connection.has(bits::DIRTY | bits::TIMED) {
            self.look_after(connection, has_read);
        }
        if !matches!(result, Ok(Action::Keep)) {
            self.settle(connection, result);
        }
    }

    /// A callback has changed what epoll is to be told, or the connection has deadlines.
    #[inline(never)]
    fn look_after(&self, connection: &Connection, has_read: bool) {
        if connection.has(bits::TIMED) {
            self.note(connection, has_read, self.has_written.get());
        }
        if connection.has(bits::DIRTY) {
            self.refresh(connection);
        }
    }

    /// A callback of `token` has thrown: its connection ends, and nothing else.
    #[cold]
    pub(super) fn callback_panicked(&self, token: Token, panic: Box<dyn Any + Send>) {
        drop_quietly(panic);
        if let Some(connection) = self.connection(token) {
            self.request_close(&connection, CloseReason::Panic);
        }
    }

    /// Anything but Keep.
    #[cold]
    fn settle(&self, connection: &Connection, result: io::Result<Action>) {
        let reason = match result {
            Ok(Action::Keep) => return,
            Ok(Action::Close) => {
                if self.has_written.get() || connection.has(bits::OUTPUT) {
                    connection.turn_on(bits::LAST_WORDS);
                }
                CloseReason::Requested
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => CloseReason::Error(error),
        };
        self.request_close(connection, reason);
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
        if connection.state() == State::Relaying {
            return self.relay_again(connection);
        }
        let is_listener = is_open(connection) && connection.has(bits::LISTENER);
        if is_listener || wants_to_read(connection) {
            self.call(connection, |handler, cx| handler.on_read(cx));
        }
    }

    /// The end of a turn: the calls that waited for their phase.
    pub(super) fn finish_turn(&self) {
        let mut due = self.take_due();
        for due in due.drain(..) {
            match due {
                Due::Open(token) => self.with_connection(token, |this, it| this.open(it)),
                Due::Again(token) => self.with_connection(token, |this, it| this.again(it)),
                Due::ConnectFail(token, error) => self.connect_failed(token, error),
                Due::Refuse(handler, error) => self.connect_fail(handler, error),
                Due::Flush(token) => self.flush_again(token),
                Due::WriteHigh(token) => {
                    self.with_connection(token, |this, it| this.write_high(it))
                }
                Due::WriteLow(token) => self.with_connection(token, |this, it| this.write_low(it)),
                Due::Close(token, reason) => {
                    self.with_connection(token, |this, it| this.close(it, reason));
                }
            }
        }
        self.return_due(due);
    }

    fn with_connection(&self, token: Token, act: impl FnOnce(&Local, &Connection)) {
        if let Some(connection) = self.connection(token) {
            act(self, &connection);
        }
    }
}

fn is_open(connection: &Connection) -> bool {
    connection.state() == State::Open
}

/// The end is told once, whatever the kernel reports after it.
fn wants_to_read(connection: &Connection) -> bool {
    is_open(connection) && connection.interest().is_readable() && !connection.has(bits::END)
}

/// A callback under way: should it throw, what was taken out is put back.
struct Call<'a, 'b> {
    cx: EvContext<'a>,
    handler: &'b mut Box<dyn EvHandler>,
}

impl Drop for Call<'_, '_> {
    #[cold]
    fn drop(&mut self) {
        self.cx.local.in_callback.set(false);
        let handler = std::mem::replace(self.handler, Box::new(Gone));
        match self.cx.take_fd() {
            Some(fd) => self.cx.connection.put_body(Body { handler, fd }),
            None => drop_quietly(handler),
        }
    }
}

/// Stands where a handler was that has been put back.
struct Gone;

impl EvHandler for Gone {
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Close)
    }
}

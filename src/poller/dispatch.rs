//! From events to callbacks.

use std::any::Any;
use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::base::token::Token;
use crate::sys::epoll::{Event, RawEvent};
use crate::sys::{socket, stream};
use crate::task::drop_ignoring_panic;

use super::CALLS_PER_LAP;
use crate::local::connection::{Body, Connection, State, bits};
use crate::local::context::EvContext;
use crate::local::handler::{Action, CloseReason, EvHandler};
use crate::local::state::{Deferred, Local};
use crate::local::table::{Addressee, Entry};

impl Local {
    /// Hands events to what they are for, counting them in `done` as they go. Throws what a callback
    /// throws.
    #[inline]
    pub(crate) fn hand_out(&self, events: &[RawEvent], done: &Cell<usize>) {
        for lap in events.chunks(self.calls_per_lap()) {
            for raw in lap {
                done.set(done.get() + 1);
                let (token, event) = (raw.token(), raw.event());
                match self.table.address(token, event) {
                    Addressee::Handler(connection) => self.on_event(&connection, event),
                    Addressee::Noted => {}
                    Addressee::Rare(entry) => self.on_event_of(entry, token, event),
                }
            }
            if !self.goes_on() {
                return;
            }
        }
    }

    /// A look at the clock: false if the grace of a shutdown has ended.
    fn goes_on(&self) -> bool {
        self.lap();
        self.recorder.step();
        !self.drain.is_over()
    }

    /// In the grace of a shutdown the clock is looked at after each callback: when the grace ends, no
    /// other one begins.
    fn calls_per_lap(&self) -> usize {
        if self.drain.is_requested() { 1 } else { CALLS_PER_LAP }
    }

    /// An event for anything but a handler's connection; it may have been closed earlier in the
    /// batch, and the mailbox has none.
    #[cold]
    fn on_event_of(&self, entry: Option<Entry>, token: Token, event: Event) {
        match entry {
            Some(Entry::Readiness(source)) => source.on_event(event),
            Some(Entry::Connecting(attempt)) => self.connect_event(&attempt, token),
            Some(Entry::Handler(_)) | None => {}
        }
    }

    /// An event for a handler's connection.
    #[inline]
    pub(crate) fn on_event(&self, connection: &Connection, event: Event) {
        if event.is_plain_read() && connection.has(bits::READING) {
            self.readable(connection);
        } else {
            self.on_rare_event(connection, event);
        }
    }

    /// Any other event. Reading comes first: what was sent before an end is read before the end is
    /// acted on.
    #[cold]
    fn on_rare_event(&self, connection: &Connection, event: Event) {
        match connection.state() {
            State::Open => self.on_event_of_open(connection, event),
            State::Opening => {
                self.open(connection);
                self.on_event_of_open(connection, event);
            }
            State::Relaying => self.relay_event(connection, event),
            State::Flushing => self.flush_the_rest(connection, event),
            State::Lingering => self.linger_on(connection),
            State::Closing | State::Closed => {}
        }
        self.look_at_what_stands(connection, event);
    }

    fn on_event_of_open(&self, connection: &Connection, event: Event) {
        let is_urgent = event.is_priority() && wants_priority(connection);
        let is_due = is_urgent || (event.is_readable() && wants_to_read(connection));
        let has_read = is_due && self.readable_rarely(connection, event);
        // An error that isn't read is met with by writing, if there is something to write.
        let collects = connection.has(bits::OUTPUT) || !connection.has(bits::SOCKET);
        if (event.has_room() || (event.is_writable() && collects)) && is_open(connection) {
            self.writable(connection);
        }
        if event.is_hung_up() && is_open(connection) {
            self.hung_up(connection, event, has_read);
        }
    }

    /// Calls `on_read`, which may ask what the event is about.
    fn readable_rarely(&self, connection: &Connection, event: Event) -> bool {
        if event.is_priority() {
            connection.turn_on(bits::PRIORITY);
        }
        let has_read = self.readable(connection);
        connection.turn_off(bits::PRIORITY);
        has_read
    }

    /// Calls `on_open`, unless the connection has been closed before it came to that. In the grace
    /// of a shutdown it hears of that right away.
    pub(crate) fn open(&self, connection: &Connection) {
        if connection.state() == State::Opening {
            connection.advance(State::Open);
            self.call(connection, |handler, cx| handler.on_open(cx));
            if self.drain.is_requested() {
                self.tell_of_shutdown(connection);
            }
        }
    }

    /// Says whether bytes were read. The caller catches panics.
    #[inline]
    fn readable(&self, connection: &Connection) -> bool {
        self.call_bare(connection, |handler, cx| handler.on_read(cx))
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
    fn hung_up(&self, connection: &Connection, event: Event, has_read: bool) {
        let is_told = connection.interest().is_readable();
        let reads = has_read && is_told && !connection.has(bits::READ_EOF);
        if reads && !self.is_shut_down(connection, event) {
            return self.reads_on(connection);
        }
        if event.is_error_alone() {
            return self.error_reported(connection, event);
        }
        let mut failure = None;
        if !connection.has(bits::READ_EOF) {
            let may_read_later = !is_told || connection.interest().is_edge();
            match self.has_input(connection) {
                Ok(true) if may_read_later => {
                    self.end_skipping(connection);
                    connection.turn_on(bits::HUNG_UP | bits::DIRTY);
                    return self.refresh(connection);
                }
                Ok(true) if self.tells_again(connection) => return,
                looked => failure = looked.err(),
            }
        }
        let taken = connection.with_fd(|fd| socket::take_error(fd).ok().flatten()).flatten();
        // Of a socket for datagrams an error is one datagram's.
        let error = failure.or(taken).filter(|_| !connection.has(bits::DATAGRAMS));
        let reason = error.map_or(CloseReason::PeerClosed, CloseReason::Error);
        self.request_close(connection, reason);
    }

    /// Whether a hang-up is that of a socket for datagrams that this process has shut down, with nothing
    /// left to be read: each further read would bring an empty one.
    fn is_shut_down(&self, connection: &Connection, event: Event) -> bool {
        let is_hang_up = connection.has(bits::DATAGRAMS) && !event.is_error_alone();
        is_hang_up && !matches!(self.has_input(connection), Ok(true))
    }

    /// Whether there is something to read.
    ///
    /// # Errors
    /// The connection's error: the kernel tells of it only this once.
    fn has_input(&self, connection: &Connection) -> io::Result<bool> {
        let has_input = connection.with_fd(|fd| {
            if connection.has_only(bits::SOCKET, bits::DATAGRAMS) {
                return stream::has_input(fd);
            }
            // In a pipe whose reader has gone there may be bytes as well: not for us.
            let is_in_vain = !connection.has(bits::SOCKET) && stream::is_write_only(fd);
            Ok(!is_in_vain && stream::unread(fd).unwrap_or(0) > 0)
        });
        has_input.unwrap_or(Ok(false))
    }

    /// Calls a callback, and catches its panic. Not for a connection that a stream has taken.
    pub(crate) fn call<C>(&self, connection: &Connection, callback: C)
    where
        C: FnOnce(&mut dyn EvHandler, &mut EvContext<'_>) -> io::Result<Action>,
    {
        let call = AssertUnwindSafe(|| self.call_bare(connection, callback));
        if let Err(panic) = catch_unwind(call) {
            self.callback_panicked(connection.token, panic);
        }
    }

    /// Calls a callback: the one place from which all of them are called. Says whether it has read
    /// any bytes. The caller catches its panic; what was lent to the callback is back by then.
    #[inline]
    fn call_bare<C>(&self, connection: &Connection, callback: C) -> bool
    where
        C: FnOnce(&mut dyn EvHandler, &mut EvContext<'_>) -> io::Result<Action>,
    {
        let mut body = connection.body();
        let Body { handler, fd } = &mut *body;
        let running = self.begin_callback(&**handler);
        let mut cx = EvContext::new(self, connection, fd);
        let result = callback(&mut **handler, &mut cx);
        let read_left = cx.read_left;
        drop(body);
        drop(running);
        let has_read = || read_left < self.budget.read_per_event as isize;
        if connection.has(bits::DIRTY | bits::HAS_DEADLINES | bits::STANDING) {
            self.look_after(connection, has_read());
        }
        if !matches!(result, Ok(Action::Keep)) {
            self.settle(connection, result);
        }
        has_read()
    }

    /// A callback has changed what epoll is to be told or given the connection away, or the
    /// connection has deadlines.
    #[inline(never)]
    fn look_after(&self, connection: &Connection, has_read: bool) {
        if !connection.has_fd() {
            // A stream has taken the connection over; it is not the handler's any more.
            connection.turn_off(bits::DIRTY | bits::HAS_DEADLINES | bits::STANDING);
            return drop_ignoring_panic(connection.take_handler());
        }
        if connection.has(bits::HAS_DEADLINES) {
            self.note(connection, has_read, self.has_written.get());
        }
        if connection.has(bits::DIRTY) {
            self.refresh(connection);
        }
        self.look_later(connection);
    }

    /// A callback of `token` has thrown: its connection ends, and nothing else.
    #[cold]
    pub(crate) fn callback_panicked(&self, token: Token, panic: Box<dyn Any + Send>) {
        drop_ignoring_panic(panic);
        if let Some(connection) = self.connection(token) {
            connection.turn_off(bits::RELEASED);
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
                    connection.turn_on(bits::WROTE_BEFORE_CLOSE);
                }
                CloseReason::Requested
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => {
                connection.turn_off(bits::RELEASED);
                CloseReason::Error(error)
            }
        };
        self.request_close(connection, reason);
    }

    /// Tells epoll what the connection wants to hear of, if that has changed.
    pub(crate) fn refresh(&self, connection: &Connection) {
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
    pub(crate) fn again(&self, connection: &Connection) {
        if connection.state() == State::Relaying {
            return self.relay_again(connection);
        }
        let is_listener = is_open(connection) && connection.has(bits::LISTENER);
        if is_listener || wants_to_read(connection) {
            self.call(connection, |handler, cx| handler.on_read(cx));
        }
    }

    /// The end of a turn: the calls that waited for their phase.
    pub(crate) fn finish_turn(&self) {
        if !self.has_due() {
            return;
        }
        let mut due = self.take_due();
        for due in due.drain(..) {
            match due {
                Deferred::Open(token) => self.with_connection(token, |this, it| this.open(it)),
                Deferred::Look(token) => self.with_connection(token, |this, it| this.look(it)),
                Deferred::Reread(token) => self.with_connection(token, |this, it| this.again(it)),
                Deferred::ConnectFail(token, error) => self.connect_failed(token, error),
                Deferred::Refuse(handler, error) => self.connect_fail(handler, error),
                Deferred::Flush(token) => self.flush_again(token),
                Deferred::WriteHigh(token) => {
                    self.with_connection(token, |this, it| this.write_high(it))
                }
                Deferred::WriteLow(token) => {
                    self.with_connection(token, |this, it| this.write_low(it))
                }
                Deferred::Closed => self.fd_freed(),
                Deferred::Close(token, reason) => {
                    self.with_connection(token, |this, it| this.close(it, reason));
                }
            }
            self.recorder.step();
        }
        self.return_due(due);
        self.lap();
    }

    fn with_connection(&self, token: Token, act: impl FnOnce(&Local, &Connection)) {
        if let Some(connection) = self.connection(token) {
            act(self, &connection);
        }
    }
}

fn is_open(connection: &Connection) -> bool {
    connection.has(bits::OPEN)
}

/// After the end of the input as well: what is out of band is not a part of it.
fn wants_priority(connection: &Connection) -> bool {
    is_open(connection) && connection.interest().is_priority()
}

/// The end is told once, whatever the kernel reports after it.
fn wants_to_read(connection: &Connection) -> bool {
    is_open(connection) && connection.interest().is_readable() && !connection.has(bits::READ_EOF)
}

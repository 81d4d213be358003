//! What writers have brought, on its way into the kernel.

use std::io;

use bytes::Bytes;

use crate::sys::stream;
use crate::task::drop_ignoring_panic;

use crate::local::connection::{Connection, State, bits};
use crate::local::context::EvContext;
use crate::local::handler::CloseReason;
use crate::local::state::Local;
use crate::local::writer::{Stage, WriterQueue};

impl Local {
    /// A writer of `line`, which is the connection's, has called: sends what there is, unless the
    /// kernel has no room anyway.
    pub(crate) fn on_writer_wake(&self, connection: &Connection, line: &WriterQueue) {
        if connection.state() != State::Open {
            return;
        }
        if connection
            .has_only(bits::SOCKET, bits::OUTPUT | bits::DATAGRAMS | bits::SHUTDOWN_AFTER_FLUSH)
            && let Some(bytes) = line.take_only()
        {
            return self.send_only(connection, line, bytes);
        }
        let has_room = !connection.has(bits::OUTPUT);
        let asked = self.collect(connection, false);
        if has_room
            && connection.has(bits::OUTPUT)
            && let Err(error) = self.flush(connection)
        {
            self.request_close(connection, CloseReason::Error(error));
        }
        self.settle_line(connection, asked);
        if connection.has(bits::DIRTY) {
            self.refresh(connection);
        }
    }

    /// Sends the one piece that writers have brought, while nothing is queued: it is queued only if
    /// there is no room for it.
    fn send_only(&self, connection: &Connection, line: &WriterQueue, bytes: Bytes) {
        match connection.with_fd(|fd| stream::send(fd, &bytes)) {
            Some(Ok(sent)) if sent == bytes.len() => {
                line.tell_counts(0, 0);
                if connection.has(bits::HAS_DEADLINES) {
                    self.note(connection, false, true);
                }
                drop_ignoring_panic(bytes);
            }
            result => self.queue_rest(connection, bytes, result.unwrap_or(Ok(0))),
        }
    }

    /// Queues what is left of a piece of which the kernel has taken so much, or nothing.
    #[cold]
    fn queue_rest(&self, connection: &Connection, bytes: Bytes, sent: io::Result<usize>) {
        let count = *sent.as_ref().unwrap_or(&0);
        connection.with_extra(|extra| {
            extra.outbox.push_apart(bytes);
            extra.outbox.advance(count);
        });
        connection.turn_on(bits::OUTPUT | bits::DIRTY);
        if count > 0 && connection.has(bits::HAS_DEADLINES) {
            self.note(connection, false, true);
        }
        match sent {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                self.request_close(connection, CloseReason::Error(error));
            }
            _ => self.output_changed(connection),
        }
        self.refresh(connection);
    }

    /// Moves what writers have brought to the end of the connection's output.
    fn collect(&self, connection: &Connection, last: bool) -> Stage {
        let collected = connection.with_present_extra(|extra| {
            let line = extra.writer_end.as_ref()?.line();
            let asked = line.collect_into(&mut extra.outbox, last);
            Some((asked, !extra.outbox.is_empty()))
        });
        let Some((asked, has_output)) = collected.flatten() else { return Stage::Closed };
        if has_output {
            connection.turn_on(bits::OUTPUT | bits::DIRTY);
        }
        asked
    }

    /// Does what was asked for beside bytes, and holds the limit.
    fn settle_line(&self, connection: &Connection, asked: Stage) {
        let kept = connection.with_present_extra(|extra| extra.outbox.in_memory());
        if asked == Stage::Overflown || kept > Some(self.budget.output_per_connection) {
            self.request_close(connection, CloseReason::Overflow);
        } else if asked == Stage::CloseAsked {
            self.request_close(connection, CloseReason::Requested);
        }
        self.output_changed(connection);
    }

    /// Takes over what writers have brought, and lets them bring nothing more: the connection is
    /// ending, or goes to a stream. They learn what is still pending as long as there is an
    /// `Extra`.
    #[cold]
    pub(crate) fn close_writers(&self, connection: &Connection) {
        self.collect(connection, true);
        // Who knows when they wrote last.
        connection.turn_on(bits::WROTE_BEFORE_CLOSE);
    }
}

impl EvContext<'_> {
    /// Before something is written here: what writers were told is accepted goes first. True: it
    /// has gone, and nothing is queued.
    #[cold]
    pub(crate) fn let_writers_go_first(&mut self) -> bool {
        let connection = self.connection;
        let something = connection
            .with_present_extra(|extra| extra.writer_end.as_ref()?.line().has_something().into());
        if something.flatten() == Some(true) {
            let has_room = !connection.has(bits::OUTPUT);
            let asked = self.local.collect(connection, false);
            if has_room && connection.has(bits::OUTPUT) {
                // An error ends the connection, and is this call's to tell.
                let _ = self.flush();
            }
            self.local.settle_line(connection, asked);
        }
        !connection.has(bits::OUTPUT)
    }

    /// Bytes that writers have brought and the poller hasn't collected.
    pub(crate) fn uncollected(&self) -> usize {
        let count = self
            .connection
            .with_present_extra(|extra| Some(extra.writer_end.as_ref()?.line().uncollected()));
        count.flatten().unwrap_or(0)
    }
}

//! What writers have brought, on its way into the kernel.

use std::io;

use bytes::Bytes;

use crate::connection::{deadlines, flush, registration, request_close};
use crate::local::action::CloseReason;
use crate::local::connection::{Connection, State};
use crate::local::context::EvContext;
use crate::local::flags::Flags;
use crate::local::registry;
use crate::local::state::Local;
use crate::local::writer::{Stage, Writer, WriterEnd, WriterQueue};
use crate::sys::stream;
use crate::task::{OnNotify, drop_ignoring_panic};

impl OnNotify for WriterQueue {
    /// The poller has been called.
    fn on_notify(&self) {
        let Some(local) = Local::current() else { return };
        if let Some(connection) = registry::connection(&local, self.token) {
            on_writer_wake(&local, &connection, self);
        }
    }
}

/// A writer of `line`, which is the connection's, has called: sends what there is, unless the
/// kernel has no room anyway.
pub(crate) fn on_writer_wake(local: &Local, connection: &Connection, line: &WriterQueue) {
    if connection.state() != State::Open {
        return;
    }
    if connection.has_without(
        Flags::SOCKET,
        Flags::HAS_OUTPUT | Flags::DATAGRAMS | Flags::SHUTDOWN_AFTER_FLUSH,
    ) && let Some(bytes) = line.take_only()
    {
        return send_only(local, connection, line, bytes);
    }
    let has_room = !connection.has(Flags::HAS_OUTPUT);
    let asked = connection.collect_writers(false);
    if has_room
        && connection.has(Flags::HAS_OUTPUT)
        && let Err(error) = flush::queued(local, connection)
    {
        request_close::connection(local, connection, CloseReason::Error(error));
    }
    settle(local, connection, asked);
    if connection.has(Flags::DIRTY) {
        registration::refresh(local, connection);
    }
}

/// Sends the one piece that writers have brought, while nothing is queued: it is queued only if
/// there is no room for it.
fn send_only(local: &Local, connection: &Connection, line: &WriterQueue, bytes: Bytes) {
    match connection.with_fd(|fd| stream::send(fd, &bytes)) {
        Some(Ok(sent)) if sent == bytes.len() => {
            line.tell_counts(0, 0);
            if connection.has(Flags::HAS_DEADLINES) {
                deadlines::note(local, connection, false, true);
            }
            drop_ignoring_panic(bytes);
        }
        result => queue_rest(local, connection, bytes, result.unwrap_or(Ok(0))),
    }
}

/// Queues what is left of a piece of which the kernel has taken so much, or nothing.
#[cold]
fn queue_rest(local: &Local, connection: &Connection, bytes: Bytes, sent: io::Result<usize>) {
    let count = *sent.as_ref().unwrap_or(&0);
    connection.with_extra(|extra| {
        extra.outbox.push_apart(bytes);
        extra.outbox.advance(count);
    });
    connection.turn_on(Flags::HAS_OUTPUT | Flags::DIRTY);
    if count > 0 && connection.has(Flags::HAS_DEADLINES) {
        deadlines::note(local, connection, false, true);
    }
    match sent {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
            request_close::connection(local, connection, CloseReason::Error(error));
        }
        _ => flush::output_changed(local, connection),
    }
    registration::refresh(local, connection);
}

/// Does what was asked for beside bytes, and holds the limit.
fn settle(local: &Local, connection: &Connection, asked: Stage) {
    let kept = connection.with_present_extra(|extra| extra.outbox.in_memory());
    if asked == Stage::Overflown || kept > Some(local.budget.output_per_connection) {
        request_close::connection(local, connection, CloseReason::Overflow);
    } else if asked == Stage::CloseAsked {
        request_close::connection(local, connection, CloseReason::Requested);
    }
    flush::output_changed(local, connection);
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
            let has_room = !connection.has(Flags::HAS_OUTPUT);
            let asked = connection.collect_writers(false);
            if has_room && connection.has(Flags::HAS_OUTPUT) {
                // An error ends the connection, and is this call's to tell.
                let _ = self.flush();
            }
            settle(self.local, connection, asked);
        }
        !connection.has(Flags::HAS_OUTPUT)
    }

    /// Bytes that writers have brought and the poller hasn't collected.
    pub(crate) fn uncollected(&self) -> usize {
        let count = self
            .connection
            .with_present_extra(|extra| Some(extra.writer_end.as_ref()?.line().uncollected()));
        count.flatten().unwrap_or(0)
    }
}

impl EvContext<'_> {
    /// A way to write to this connection from any thread: see [`Writer`]. On a connection that is
    /// ending, every write of it is an error.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     let writer = cx.writer();
    ///     std::thread::spawn(move || {
    ///         let _ = writer.write(&b"from a thread"[..]);
    ///         writer.close();
    ///     });
    /// # let _ = cx.read()?;
    ///     Ok(Action::Keep)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "from a thread");
    /// ```
    pub fn writer(&self) -> Writer {
        let connection = self.connection;
        if connection.state() != State::Open {
            return self.new_writer(Stage::Closed);
        }
        connection.turn_on(Flags::HAS_WRITER);
        connection.with_extra(|extra| {
            let writer_end = extra.writer_end.get_or_insert_with(|| {
                let writer = self.new_writer(Stage::Open);
                WriterEnd::new(writer, &extra.outbox)
            });
            writer_end.writer()
        })
    }

    fn new_writer(&self, stage: Stage) -> Writer {
        let most = self.local.budget.output_per_connection;
        let keeps_apart = self.connection.has(Flags::MESSAGES);
        Writer::new(self.local.handle.executor(), self.connection.token, most, keeps_apart, stage)
    }
}

//! Moves what writers have brought into the output of their connection, and sends it.
//!
//! Other threads push into a [`WriterQueue`] and post its notification to the poller's mailbox.
//! Here the poller is notified: it looks the connection up by its token, so that bytes never reach
//! another one. A callback that writes drains the queue first, to keep the order of the calls.
//!
//! One piece with nothing before it takes the short way ([`send_only`]): from the queue to the
//! socket, without passing through the outbox. Everything else is collected into the outbox, behind
//! what the connection had queued, and is sent by `flush`.

use std::io;

use bytes::Bytes;

use crate::connection::deadlines::{self, Transferred};
use crate::connection::{flush, registration, request_close};
use crate::local::action::CloseReason;
use crate::local::connection::Connection;
use crate::local::context::EvContext;
use crate::local::flags::{Flags, State};
use crate::local::registry;
use crate::local::state::Local;
use crate::local::writer::{Writer, WriterEnd};
use crate::local::writer_queue::{Stage, WriterQueue};
use crate::sys::stream;
use crate::task::{OnNotify, drop_ignoring_panic};

impl EvContext<'_> {
    /// Returns a [`Writer`], which writes to this connection from any thread. On a connection that
    /// is ending, every write of it fails.
    ///
    /// # Examples
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
        connection.set(Flags::HAS_WRITER);
        connection.with_extra(|extra| {
            let writer_end = extra.writer_end.get_or_insert_with(|| {
                let writer = self.new_writer(Stage::Open);
                WriterEnd::new(writer, &extra.outbox)
            });
            writer_end.writer()
        })
    }

    /// Makes a writer with a queue of its own.
    fn new_writer(&self, stage: Stage) -> Writer {
        let most = self.local.budget.output_per_connection;
        let keeps_apart = self.connection.has(Flags::MESSAGES);
        Writer::new(self.local.handle.executor(), self.connection.token(), most, keeps_apart, stage)
    }

    /// Sends what writers have brought, before the callback writes: it was accepted first. Returns
    /// `true` if nothing is queued now.
    #[cold]
    pub(crate) fn drain_writers_first(&mut self) -> bool {
        let connection = self.connection;
        let something = connection
            .with_present_extra(|extra| extra.writer_end.as_ref()?.queue().has_something().into());
        if something.flatten() == Some(true) {
            let had_room = !connection.has(Flags::HAS_OUTPUT);
            let stage = connection.collect_writers(false);
            if had_room && connection.has(Flags::HAS_OUTPUT) {
                // An error ends the connection, and the write that follows returns one.
                let _ = self.flush();
            }
            apply_stage(self.local, connection, stage);
        }
        !connection.has(Flags::HAS_OUTPUT)
    }

    /// Returns how many bytes writers have brought that the poller hasn't collected.
    pub(crate) fn uncollected(&self) -> usize {
        let count = self
            .connection
            .with_present_extra(|extra| Some(extra.writer_end.as_ref()?.queue().uncollected()));
        count.flatten().unwrap_or(0)
    }
}

impl OnNotify for WriterQueue {
    /// Sends what the queue holds, on the poller's thread.
    fn on_notify(&self) {
        // The notification comes by the mail of the connection's own poller. A token that has
        // become stale finds nothing: the connection has ended, and its queue is closed.
        let Some(local) = Local::current() else { return };
        if let Some(connection) = registry::connection(&local, self.token) {
            on_writer_wake(&local, connection, self);
        }
    }
}

/// Sends what is in the queue of `connection`, unless the kernel has no room for it anyway.
fn on_writer_wake(local: &Local, connection: &Connection, queue: &WriterQueue) {
    if connection.state() != State::Open {
        return;
    }
    // The usual case: one piece, and nothing before it. It goes to the socket without being queued.
    let goes_straight = connection.has_without(
        Flags::SOCKET,
        Flags::HAS_OUTPUT | Flags::DATAGRAMS | Flags::SHUTDOWN_AFTER_FLUSH,
    );
    if goes_straight && let Some(bytes) = queue.take_only() {
        return send_only(local, connection, queue, bytes);
    }
    let had_room = !connection.has(Flags::HAS_OUTPUT);
    let stage = connection.collect_writers(false);
    if had_room
        && connection.has(Flags::HAS_OUTPUT)
        && let Err(error) = flush::queued(local, connection)
    {
        request_close::connection(local, connection, CloseReason::Error(error));
    }
    apply_stage(local, connection, stage);
    if connection.has(Flags::DIRTY) {
        registration::refresh(local, connection);
    }
}

/// Sends the one piece that writers have brought, and queues what there is no room for.
fn send_only(local: &Local, connection: &Connection, queue: &WriterQueue, bytes: Bytes) {
    match connection.with_fd(|fd| stream::send(fd, &bytes)) {
        Some(Ok(sent)) if sent == bytes.len() => {
            // Writers check the limit by these counts.
            queue.tell_counts(0, 0);
            if connection.has(Flags::HAS_DEADLINES) {
                deadlines::note(local, connection, Transferred::OUTPUT);
            }
            drop_ignoring_panic(bytes);
        }
        result => queue_rest(local, connection, bytes, result.unwrap_or(Ok(0))),
    }
}

/// Queues what is left of `bytes` after an attempt to send them.
#[cold]
fn queue_rest(local: &Local, connection: &Connection, bytes: Bytes, sent: io::Result<usize>) {
    let count = *sent.as_ref().unwrap_or(&0);
    connection.with_extra(|extra| {
        extra.outbox.push_apart(bytes);
        extra.outbox.advance(count);
    });
    connection.set(Flags::HAS_OUTPUT | Flags::DIRTY);
    if count > 0 && connection.has(Flags::HAS_DEADLINES) {
        deadlines::note(local, connection, Transferred::OUTPUT);
    }
    match sent {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
            request_close::connection(local, connection, CloseReason::Error(error));
        }
        _ => flush::output_changed(local, connection),
    }
    registration::refresh(local, connection);
}

/// Ends the connection if a writer has asked for that, or if more is queued than the limit allows.
fn apply_stage(local: &Local, connection: &Connection, stage: Stage) {
    // Writers check the limit by counts that the poller has given them before, and this
    // connection's own callbacks may have written since. So the sum is checked again.
    let in_memory = connection.with_present_extra(|extra| extra.outbox.in_memory());
    if stage == Stage::Overflowed || in_memory > Some(local.budget.output_per_connection) {
        request_close::connection(local, connection, CloseReason::Overflow);
    } else if stage == Stage::CloseRequested {
        request_close::connection(local, connection, CloseReason::Requested);
    }
    flush::output_changed(local, connection);
}

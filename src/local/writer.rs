//! `Writer`: output from any thread.
//!
//! This is the user's side. The queue behind it is `writer_queue`, and the poller's side is
//! `connection/writer_drain.rs`.

use std::{fmt, io};

use bytes::Bytes;

use crate::base::token::Token;
use crate::local::errors::poller_ended;
use crate::local::writer_queue::{Stage, WriterQueue};
use crate::parts::outbox::Outbox;
use crate::task::{Notification, SharedRef};

/// A handle that writes to one connection, from any thread. Clones write to the same connection.
///
/// The order of the bytes is the order of the calls, on whatever threads they are made, and those
/// of [`EvContext::write`](crate::EvContext::write) count as well: bytes that were accepted before
/// another call began are sent before its bytes. Bytes are handed over without a copy, so that one
/// payload can go to a thousand connections. Several writes in a row cost one notification of the
/// poller, and are sent together.
///
/// The limit of what is queued is [`Budget::output_per_connection`]. It counts the bytes that are
/// to be sent, and not the memory behind them. A [`Bytes`] is a slice of a buffer, and keeps the
/// whole buffer alive until it has been sent: a thousand slices of ten bytes, each of another
/// buffer of a megabyte, count for ten kilobytes and keep a gigabyte. If slices are small parts of
/// large buffers, as when they are cut out of what another peer has sent, hand over copies:
/// `Bytes::copy_from_slice(&slice)`. A buffer that is queued for many connections exists once, and
/// counts for each of them.
///
/// A writer belongs to its connection, and not to the descriptor: once the connection is ending,
/// every write fails, and bytes never reach another connection. Bytes that were accepted before are
/// sent if the connection ends gracefully, as after [`Action::Close`]; otherwise they are lost with
/// it, as on every socket. A writer does not keep its connection open.
///
/// [`Bytes`]: https://docs.rs/bytes/latest/bytes/struct.Bytes.html
/// [`Budget::output_per_connection`]: crate::Budget::output_per_connection
///
/// # Examples
///
/// ```
/// use corepoll::{Acceptor, Action, EvContext, EvHandler, Reactor};
/// use std::io::{self, Read};
/// use std::thread;
///
/// struct Slow;
///
/// impl EvHandler for Slow {
///     fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
///         let writer = cx.writer();
///         thread::spawn(move || -> io::Result<()> {
///             writer.write("worked ")?;
///             writer.write("hard")?;
///             writer.close();
///             Ok(())
///         });
///         Ok(Action::Keep)
///     }
///     fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
///         Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
///     }
/// }
///
/// # fn main() -> io::Result<()> {
/// let reactor = Reactor::builder().pollers(1).build()?;
/// let listening = Acceptor::new("127.0.0.1:0").listen(&reactor.handle(), || Slow)?;
/// let running = reactor.start()?;
///
/// let mut client = std::net::TcpStream::connect(listening.local_addr()?)?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer)?;
/// assert_eq!(answer, "worked hard");
/// # running.handle().shutdown(std::time::Duration::ZERO);
/// # running.join()?;
/// # Ok(())
/// # }
/// ```
///
/// [`Action::Close`]: crate::Action::Close
#[derive(Clone)]
pub struct Writer {
    /// The queue, with the notification that calls the poller to it.
    queue: Notification<WriterQueue>,
}

/// The poller's end of a queue. When it is dropped, the queue is closed and what is in it is lost.
pub(crate) struct WriterEnd {
    /// The writer of which all others are clones.
    writer: Writer,
}

impl Writer {
    /// Makes the first writer of a connection. `most` bytes may be queued in memory.
    pub(crate) fn new(
        home: &SharedRef,
        token: Token,
        most: usize,
        keeps_apart: bool,
        stage: Stage,
    ) -> Writer {
        let queue = WriterQueue::new(token, most, keeps_apart, stage);
        Writer { queue: Notification::new(home.clone(), queue) }
    }

    /// Sends `bytes` after everything that was accepted before. It never blocks. An empty `bytes`
    /// sends nothing.
    ///
    /// # Errors
    ///
    /// Nothing of `bytes` is sent if this fails.
    ///
    /// Returns [`BrokenPipe`](io::ErrorKind::BrokenPipe) if the connection is ending, if a stream
    /// has taken it, or if [`Writer::close`] has been called. Returns
    /// [`NotConnected`](io::ErrorKind::NotConnected) if its poller has ended.
    ///
    /// Returns [`OutOfMemory`](io::ErrorKind::OutOfMemory) if more than
    /// [`Budget::output_per_connection`] bytes would be queued in memory. As with
    /// [`EvContext::write`](crate::EvContext::write), the connection then ends with
    /// [`CloseReason::Overflow`](crate::CloseReason::Overflow). A thread that may write faster than
    /// the peer reads looks at [`Writer::pending`], or the handler sets watermarks.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     let (writer, data) = (cx.writer(), cx.read()?.to_vec());
    ///     std::thread::spawn(move || {
    ///         // An error says that the connection is gone.
    ///         let _ = writer.write(data);
    ///         writer.close();
    ///     });
    ///     Ok(Action::Keep)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "hello");
    /// ```
    ///
    /// [`Budget::output_per_connection`]: crate::Budget::output_per_connection
    pub fn write(&self, bytes: impl Into<Bytes>) -> io::Result<()> {
        // Dropping bytes that were not accepted is foreign code. It happens at the end of this
        // function, without the lock.
        let (_left_over, result) = self.queue.push(bytes.into());
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(error),
            result => self.notify_poller().and(result),
        }
    }

    /// Returns how many bytes were accepted for this connection and are not in the kernel yet.
    ///
    /// They count whether they wait for the poller or for room in the send buffer, and whether this
    /// writer, one of its clones, [`EvContext::write`](crate::EvContext::write) or
    /// [`EvContext::send_file`](crate::EvContext::send_file) has brought them. Once the connection
    /// has ended it is 0. Other threads may write and the poller may send at any time, so the
    /// number may be old when it is returned.
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
    ///     cx.write(b"sent")?;
    ///     assert_eq!(writer.pending(), 0);
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "sent");
    /// ```
    pub fn pending(&self) -> usize {
        self.queue.pending()
    }

    /// Ends the connection when everything that was accepted before has been sent.
    ///
    /// It does what [`Action::Close`](crate::Action::Close) does: the connection ends with
    /// [`CloseReason::Requested`](crate::CloseReason::Requested). Later writes fail, by all writers
    /// of the connection. On a connection that is ending already it does nothing.
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
    ///     writer.write(&b"bye"[..])?;
    ///     writer.close();
    ///     assert!(writer.write(&b"too late"[..]).is_err());
    /// # let _ = cx.read()?;
    ///     Ok(Action::Keep)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "bye");
    /// ```
    pub fn close(&self) {
        if self.queue.request_close() {
            // If the poller has ended, the connection has ended with it.
            let _ = self.notify_poller();
        }
    }

    /// Notifies the poller. One that has ended will never collect anything: the queue is closed
    /// then.
    fn notify_poller(&self) -> io::Result<()> {
        if self.queue.post() {
            return Ok(());
        }
        self.queue.close();
        Err(poller_ended())
    }
}

impl WriterEnd {
    /// Makes the poller's end of the queue of `writer`, whose connection has `queued` output.
    pub(crate) fn new(writer: Writer, queued: &Outbox) -> WriterEnd {
        writer.queue.tell(queued);
        WriterEnd { writer }
    }

    /// Returns another writer of the connection.
    pub(crate) fn writer(&self) -> Writer {
        self.writer.clone()
    }

    /// Returns the queue.
    pub(crate) fn queue(&self) -> &WriterQueue {
        &self.writer.queue
    }

    /// Tells the writers how much is queued on the poller's side.
    pub(crate) fn tell(&self, outbox: &Outbox) {
        self.writer.queue.tell(outbox);
    }
}

impl Drop for WriterEnd {
    fn drop(&mut self) {
        self.writer.queue.close();
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("token", &self.queue.token)
            .field("pending", &self.pending())
            .field("is_open", &self.queue.is_open())
            .finish()
    }
}

const _: () = {
    const fn send_and_sync<T: Send + Sync + Clone>() {}
    send_and_sync::<Writer>();
};

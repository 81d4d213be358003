//! Output from any thread.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fmt, io};

use bytes::Bytes;

use crate::base::token::Token;
use crate::local::errors::{closing_error, gone, too_much};
use crate::parts::outbox::Outbox;
use crate::task::{Notification, SharedRef};

/// Writes to one connection, from any thread. Clones write to the same one.
///
/// Order is the order of the calls, from whichever thread, those of
/// [`EvContext::write`](crate::EvContext::write) included:
/// what was accepted before another call began is sent before it. Bytes are handed over without a
/// copy, so one payload goes to a thousand connections; a burst is handed over once and sent
/// together.
///
/// What is queued has a limit, `Budget::output_per_connection`. It counts the bytes that are to be
/// sent, and not the memory behind them: a [`Bytes`] is a slice of a buffer, and keeps the whole
/// buffer alive until it has been sent. A thousand slices of ten bytes, each of another buffer of a
/// megabyte, count for ten kilobytes and keep a gigabyte. Where slices are small parts of large
/// buffers, as those that are cut out of what another peer has sent, hand over a copy:
/// `Bytes::copy_from_slice(&slice)`. The same buffer queued for many connections is kept once, and
/// counts for each of them.
///
/// A writer belongs to its connection, not to the descriptor: once the connection is ending every
/// write is an error, and bytes never reach another connection. What was accepted before that is
/// sent if the connection ends in peace, as after [`Action::Close`], and lost with it otherwise, as
/// with every socket. A writer does not keep its connection open.
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
    line: Notification<WriterQueue>,
}

/// What the writers of a connection and its poller share.
pub(crate) struct WriterQueue {
    /// Whose it is: the connection is looked up on arrival, and by no other name.
    pub(crate) token: Token,
    /// `Budget::output_per_connection`.
    most: usize,
    /// Each write is one datagram or record.
    keeps_apart: bool,
    /// Held for a push or a swap, never while foreign code runs.
    queue: Mutex<Queue>,
    /// Whether the poller has something to collect. Written under the lock.
    is_waiting: AtomicBool,
    /// Bytes that the poller has, and the kernel hasn't. Written on the poller's thread.
    unsent: AtomicUsize,
    /// As many of these as are in memory.
    unsent_in_memory: AtomicUsize,
}

struct Queue {
    /// What the poller hasn't collected.
    outbox: Outbox,
    stage: Stage,
}

/// Where a line is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Bytes are accepted.
    Open,
    /// [`Writer::close`] was called, and the poller hasn't seen it.
    CloseAsked,
    /// Somebody wrote more than may be queued, and the poller hasn't seen it.
    Overflown,
    /// The connection is ending.
    Closed,
}

/// The poller's end of a line. When it is dropped, the line is closed and what is in it is lost.
pub(crate) struct WriterEnd {
    writer: Writer,
}

impl Writer {
    /// Makes the first writer of a connection; `most` bytes may be queued in memory.
    pub(crate) fn new(
        home: &SharedRef,
        token: Token,
        most: usize,
        keeps_apart: bool,
        stage: Stage,
    ) -> Writer {
        let line = WriterQueue {
            token,
            most,
            keeps_apart,
            queue: Mutex::new(Queue { outbox: Outbox::default(), stage }),
            is_waiting: AtomicBool::new(false),
            unsent: AtomicUsize::new(0),
            unsent_in_memory: AtomicUsize::new(0),
        };
        Writer { line: Notification::new(home.clone(), line) }
    }

    /// Sends `bytes` after everything that was accepted before. Never blocks; an empty `bytes`
    /// sends nothing.
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
    /// # Errors
    /// Nothing of `bytes` is sent if
    /// - the connection is ending, a stream has taken it, or [`Writer::close`] has been called
    ///   ([`io::ErrorKind::BrokenPipe`]), or its poller has ended
    ///   ([`io::ErrorKind::NotConnected`]);
    /// - more than `Budget::output_per_connection` bytes would be queued in memory
    ///   ([`io::ErrorKind::OutOfMemory`]). As with
    ///   [`EvContext::write`](crate::EvContext::write), the connection then ends
    ///   with [`CloseReason::Overflow`](crate::CloseReason::Overflow). Who writes faster than the
    ///   peer reads looks at [`Writer::pending`], or has watermarks.
    pub fn write(&self, bytes: impl Into<Bytes>) -> io::Result<()> {
        // Dropping what is left over is foreign code: at the end, without the lock.
        let (_left_over, result) = self.line.push(bytes.into());
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(error),
            result => self.call_poller().and(result),
        }
    }

    /// Bytes that were accepted for this connection, from this writer and its clones, from
    /// [`EvContext::write`](crate::EvContext::write) and from
    /// [`EvContext::send_file`](crate::EvContext::send_file), and that are not in the kernel yet,
    /// whether they still wait for the poller or for room in the send buffer. 0 once the
    /// connection has ended.
    ///
    /// Every thread may ask. Between two calls other threads write and the poller sends.
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
        let queue = self.line.lock();
        // Under the lock, as bytes pass from the one to the other under it.
        queue.outbox.pending().saturating_add(self.line.unsent.load(Ordering::Relaxed))
    }

    /// Ends the connection when everything that was accepted before is sent, as
    /// [`Action::Close`](crate::Action::Close) would: with
    /// [`CloseReason::Requested`](crate::CloseReason::Requested). What is written after this, by
    /// whomever, is an error. On a connection that is ending already it does nothing.
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
        if self.line.ask_for_close() {
            // A poller that has ended has closed it.
            let _ = self.call_poller();
        }
    }

    /// Calls the poller to the line.
    fn call_poller(&self) -> io::Result<()> {
        if self.line.post() {
            return Ok(());
        }
        self.line.shut();
        Err(gone())
    }
}

impl WriterQueue {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts `bytes` at the end; or gives them back, to be dropped without the lock.
    fn push(&self, bytes: Bytes) -> (Option<Bytes>, io::Result<()>) {
        let mut queue = self.lock();
        if queue.stage != Stage::Open {
            return (Some(bytes), Err(closing_error()));
        }
        let kept = queue.outbox.in_memory() + self.unsent_in_memory.load(Ordering::Relaxed);
        // Release: who sees it by `has_something` finds it behind the lock.
        self.is_waiting.store(true, Ordering::Release);
        if kept.saturating_add(bytes.len()) > self.most {
            queue.stage = Stage::Overflown;
            return (Some(bytes), Err(too_much(self.most)));
        }
        if self.keeps_apart {
            queue.outbox.push_apart(bytes);
            return (None, Ok(()));
        }
        (queue.outbox.push_shared(bytes), Ok(()))
    }

    /// True: the poller is to be told.
    fn ask_for_close(&self) -> bool {
        let mut queue = self.lock();
        if queue.stage != Stage::Open {
            return false;
        }
        queue.stage = Stage::CloseAsked;
        self.is_waiting.store(true, Ordering::Release);
        true
    }

    /// Whether there is something to collect: bytes, or the wish that it end. Acquire: a write
    /// that has returned before this is seen.
    pub(crate) fn has_something(&self) -> bool {
        self.is_waiting.load(Ordering::Acquire)
    }

    /// Moves everything to the end of `outbox`, and says what else was asked for. Accepts nothing
    /// any more if this is the `last` time.
    pub(crate) fn collect_into(&self, outbox: &mut Outbox, last: bool) -> Stage {
        let mut queue = self.lock();
        self.is_waiting.store(false, Ordering::Relaxed);
        outbox.append(&mut queue.outbox);
        self.tell(outbox);
        let asked = queue.stage;
        if last {
            queue.stage = Stage::Closed;
        }
        asked
    }

    /// Takes out what writers have brought, if it is one piece and nothing else was asked for. Until
    /// they are told otherwise it is unsent.
    pub(crate) fn take_only(&self) -> Option<Bytes> {
        let mut queue = self.lock();
        if queue.stage != Stage::Open {
            return None;
        }
        let bytes = queue.outbox.take_only_shared()?;
        self.is_waiting.store(false, Ordering::Relaxed);
        self.tell_counts(bytes.len(), bytes.len());
        Some(bytes)
    }

    /// Lets the writers know what is queued.
    fn tell(&self, outbox: &Outbox) {
        self.tell_counts(outbox.pending(), outbox.in_memory());
    }

    pub(crate) fn tell_counts(&self, unsent: usize, in_memory: usize) {
        self.unsent.store(unsent, Ordering::Relaxed);
        self.unsent_in_memory.store(in_memory, Ordering::Relaxed);
    }

    /// Bytes that the poller hasn't collected.
    pub(crate) fn uncollected(&self) -> usize {
        self.lock().outbox.pending()
    }

    /// Accepts nothing any more, and loses what is in it.
    fn shut(&self) {
        let lost = {
            let mut queue = self.lock();
            queue.stage = Stage::Closed;
            self.unsent.store(0, Ordering::Relaxed);
            std::mem::take(&mut queue.outbox)
        };
        lost.discard();
    }
}

impl WriterEnd {
    /// Makes the poller's end of the line of `writer`, whose connection has `queued` output.
    pub(crate) fn new(writer: Writer, queued: &Outbox) -> WriterEnd {
        writer.line.tell(queued);
        WriterEnd { writer }
    }

    /// Returns another writer of the connection.
    pub(crate) fn writer(&self) -> Writer {
        self.writer.clone()
    }

    pub(crate) fn line(&self) -> &WriterQueue {
        &self.writer.line
    }

    /// Lets the writers know what is queued.
    pub(crate) fn tell(&self, outbox: &Outbox) {
        self.writer.line.tell(outbox);
    }
}

impl Drop for WriterEnd {
    fn drop(&mut self) {
        self.writer.line.shut();
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_open = self.line.lock().stage == Stage::Open;
        f.debug_struct("Writer")
            .field("token", &self.line.token)
            .field("pending", &self.pending())
            .field("is_open", &is_open)
            .finish()
    }
}

const _: () = {
    const fn send_and_sync<T: Send + Sync + Clone>() {}
    send_and_sync::<Writer>();
};

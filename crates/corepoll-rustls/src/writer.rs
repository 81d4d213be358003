//! `TlsWriter`: plaintext from any thread.
//!
//! Writers push under a lock, and notify the handler of the connection, which encrypts on the
//! poller's thread. A callback that writes encrypts what is queued first, to keep the order.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fmt, io};

use bytes::Bytes;
use corepoll::{EvContext, Notifier, Writer};

use crate::failure::closing_error;

/// A handle that writes to one TLS connection, from any thread. Clones write to the same one.
///
/// It is what [`corepoll::Writer`] is to a plain connection, and keeps the same promises: the order
/// of the bytes is the order of the calls, those of [`TlsContext::write`](crate::TlsContext::write)
/// included, and the limit is
/// [`Budget::output_per_connection`](corepoll::Budget::output_per_connection). Several writes in a
/// row cost one notification of the poller, and small ones share a record.
///
/// # Examples
///
/// ```
/// use corepoll::Action;
/// use corepoll_rustls::{TlsContext, TlsHandler};
/// use std::{io, thread};
///
/// struct Slow;
///
/// impl TlsHandler for Slow {
///     fn on_open(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
///         let writer = cx.writer();
///         thread::spawn(move || -> io::Result<()> {
///             writer.write("worked ")?;
///             writer.write("hard")?;
///             writer.close();
///             Ok(())
///         });
///         Ok(Action::Keep)
///     }
///     fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
///         Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
///     }
/// }
/// ```
#[derive(Clone)]
pub struct TlsWriter {
    /// What the writers and the poller share.
    queue: Arc<Queue>,
    /// Calls the handler of the connection.
    notifier: Notifier,
    /// A writer of the connection itself, which knows what is unsent.
    raw: Writer,
}

/// What the writers of a connection and its poller share.
struct Queue {
    /// What writers have brought. Locked for a push or a swap.
    shared: Mutex<Shared>,
    /// The poller has something to collect. Written under the lock.
    is_waiting: AtomicBool,
    /// How many bytes may be queued.
    most: usize,
}

/// The part of the queue behind the lock.
#[derive(Default)]
struct Shared {
    /// The pieces, in the order of the calls.
    pieces: VecDeque<Bytes>,
    /// How many bytes they have.
    length: usize,
    /// Whether more are accepted.
    stage: WriterStage,
}

/// Where a queue is in its life. It only moves down this list.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum WriterStage {
    /// Bytes are accepted.
    #[default]
    Open,
    /// `TlsWriter::close` was called.
    CloseRequested,
    /// A writer has brought more than may be queued.
    Overflowed,
    /// The connection is ending.
    Closed,
}

impl Queue {
    /// Locks the queue. A panic of another thread can't have left it half changed.
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TlsWriter {
    /// Sends `bytes` after everything that was accepted before. It never blocks. An empty `bytes`
    /// sends nothing.
    ///
    /// # Errors
    ///
    /// Nothing of `bytes` is sent if this fails.
    ///
    /// Returns [`BrokenPipe`](io::ErrorKind::BrokenPipe) if the connection is ending, and
    /// [`NotConnected`](io::ErrorKind::NotConnected) if its poller has ended. Returns
    /// [`OutOfMemory`](io::ErrorKind::OutOfMemory) if more would be queued than the budget allows;
    /// the connection then ends with [`CloseReason::Overflow`](corepoll::CloseReason::Overflow).
    pub fn write(&self, bytes: impl Into<Bytes>) -> io::Result<()> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return Ok(());
        }
        let unsent = self.raw.pending();
        let mut shared = self.queue.lock();
        if shared.stage != WriterStage::Open {
            return Err(closing_error());
        }
        let length = shared.length + bytes.len();
        let fits = length.saturating_add(unsent) <= self.queue.most;
        if fits {
            shared.pieces.push_back(bytes);
            shared.length = length;
        } else {
            shared.stage = WriterStage::Overflowed;
        }
        // Release: a thread that sees it by `has_something` finds the bytes behind the lock.
        self.queue.is_waiting.store(true, Ordering::Release);
        drop(shared);
        self.notifier.notify()?;
        if fits {
            return Ok(());
        }
        let text = format!("more than {} bytes of output would be queued", self.queue.most);
        Err(io::Error::new(io::ErrorKind::OutOfMemory, text))
    }

    /// Returns how many bytes were accepted and are not in the kernel yet. What waits for the
    /// poller counts as plaintext, and what waits for room as records, which are a little longer.
    #[must_use]
    pub fn pending(&self) -> usize {
        let queued = self.queue.lock().length;
        queued + self.raw.pending()
    }

    /// Ends the connection once everything that was accepted before is sent, with a close_notify,
    /// as [`Action::Close`](corepoll::Action::Close) does. Later writes fail.
    pub fn close(&self) {
        let mut shared = self.queue.lock();
        if shared.stage == WriterStage::Open {
            shared.stage = WriterStage::CloseRequested;
            self.queue.is_waiting.store(true, Ordering::Release);
            drop(shared);
            // If the poller has ended, the connection has ended with it.
            let _ = self.notifier.notify();
        }
    }
}

impl fmt::Debug for TlsWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsWriter").field("pending", &self.pending()).finish_non_exhaustive()
    }
}

/// The poller's end of a queue. When it is dropped, the queue is closed and what is in it is lost.
pub(crate) struct WriterEnd {
    /// The writer of which all others are clones.
    writer: TlsWriter,
    /// The pieces that are collected; swapped with those of the queue, so that none is allocated.
    collected: VecDeque<Bytes>,
}

impl WriterEnd {
    /// Makes the queue of a connection.
    pub(crate) fn new(cx: &EvContext<'_>, notifier: Notifier) -> WriterEnd {
        let queue = Queue {
            shared: Mutex::default(),
            is_waiting: AtomicBool::new(false),
            most: cx.budget().output_per_connection,
        };
        let writer = TlsWriter { queue: Arc::new(queue), notifier, raw: cx.writer() };
        WriterEnd { writer, collected: VecDeque::new() }
    }

    /// Returns another writer.
    pub(crate) fn writer(&self) -> TlsWriter {
        self.writer.clone()
    }

    /// Returns `true` if there is something to collect. A write that has returned before is seen.
    pub(crate) fn has_something(&self) -> bool {
        self.writer.queue.is_waiting.load(Ordering::Acquire)
    }

    /// Returns how many bytes are to be collected.
    pub(crate) fn uncollected(&self) -> usize {
        self.writer.queue.lock().length
    }

    /// Takes out what writers have brought. With `last` nothing is accepted any more.
    pub(crate) fn collect(&mut self, last: bool) -> (VecDeque<Bytes>, WriterStage) {
        let mut pieces = std::mem::take(&mut self.collected);
        let mut shared = self.writer.queue.lock();
        self.writer.queue.is_waiting.store(false, Ordering::Relaxed);
        std::mem::swap(&mut shared.pieces, &mut pieces);
        shared.length = 0;
        let stage = shared.stage;
        if last {
            shared.stage = WriterStage::Closed;
        }
        (pieces, stage)
    }

    /// Takes the empty queue back, for the next collection.
    pub(crate) fn reuse(&mut self, pieces: VecDeque<Bytes>) {
        self.collected = pieces;
    }
}

impl Drop for WriterEnd {
    fn drop(&mut self) {
        // Dropped without the lock: a `Bytes` may have a destructor of the user.
        let (lost, _) = self.collect(true);
        drop(lost);
    }
}

const _: () = {
    const fn send_and_sync<T: Send + Sync + Clone>() {}
    send_and_sync::<TlsWriter>();
};

//! The queue between a connection's writers, on any thread, and its poller.
//!
//! Writers push under a lock that is held for a push or a swap, and post a notification to the
//! poller's mailbox. The poller moves what is in the queue into the connection's output
//! (`connection/writer_drain.rs`), and tells the queue how much of it is still unsent.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::base::token::Token;
use crate::local::errors::{closing_error, output_overflow};
use crate::parts::outbox::Outbox;

/// What the writers of a connection and its poller share.
pub(crate) struct WriterQueue {
    /// The token of the connection, by which the poller looks it up when it is notified. So bytes
    /// never reach another connection.
    pub(crate) token: Token,
    /// How many bytes may be queued in memory: `Budget::output_per_connection`.
    most: usize,
    /// Each write is one datagram or record.
    keeps_apart: bool,
    /// What writers have brought. Locked for a push or a swap, and never while foreign code runs.
    shared: Mutex<Shared>,
    /// The poller has something to collect. Written under the lock.
    is_waiting: AtomicBool,
    /// How many bytes the poller has collected that are not in the kernel. Written by the poller's
    /// thread.
    unsent: AtomicUsize,
    /// How many of these are in memory, and not in files.
    unsent_in_memory: AtomicUsize,
}

/// The part of the queue behind the lock.
struct Shared {
    /// What the poller hasn't collected.
    outbox: Outbox,
    /// Whether bytes are accepted.
    stage: Stage,
}

/// Where a queue is in its life. It only moves down this list, and may leave out what is between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Bytes are accepted.
    Open,
    /// `Writer::close` was called, and the poller hasn't seen it.
    CloseRequested,
    /// A writer has brought more than may be queued, and the poller hasn't seen it.
    Overflowed,
    /// The connection is ending.
    Closed,
}

impl WriterQueue {
    /// Makes an empty queue in which `most` bytes may be queued in memory.
    pub(crate) fn new(token: Token, most: usize, keeps_apart: bool, stage: Stage) -> WriterQueue {
        WriterQueue {
            token,
            most,
            keeps_apart,
            shared: Mutex::new(Shared { outbox: Outbox::default(), stage }),
            is_waiting: AtomicBool::new(false),
            unsent: AtomicUsize::new(0),
            unsent_in_memory: AtomicUsize::new(0),
        }
    }

    /// Locks the queue. A panic of another thread can't have left it half changed.
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts `bytes` at the end. Those that are not accepted are given back, for the caller to drop
    /// them without the lock: dropping them is foreign code.
    pub(crate) fn push(&self, bytes: Bytes) -> (Option<Bytes>, io::Result<()>) {
        let mut shared = self.lock();
        if shared.stage != Stage::Open {
            return (Some(bytes), Err(closing_error()));
        }
        let kept = shared.outbox.in_memory() + self.unsent_in_memory.load(Ordering::Relaxed);
        // Release: a thread that sees it by `has_something` finds the bytes behind the lock.
        self.is_waiting.store(true, Ordering::Release);
        if kept.saturating_add(bytes.len()) > self.most {
            shared.stage = Stage::Overflowed;
            return (Some(bytes), Err(output_overflow(self.most)));
        }
        if self.keeps_apart {
            shared.outbox.push_apart(bytes);
            return (None, Ok(()));
        }
        (shared.outbox.push_shared(bytes), Ok(()))
    }

    /// Asks the poller to end the connection. Returns `false` if it is ending already.
    pub(crate) fn request_close(&self) -> bool {
        let mut shared = self.lock();
        if shared.stage != Stage::Open {
            return false;
        }
        shared.stage = Stage::CloseRequested;
        self.is_waiting.store(true, Ordering::Release);
        true
    }

    /// Returns `true` if there is something to collect: bytes, or a request to close. A write that
    /// has returned before this call is seen (Acquire).
    pub(crate) fn has_something(&self) -> bool {
        self.is_waiting.load(Ordering::Acquire)
    }

    /// Moves everything to the end of `outbox`, and returns the stage, which says whether a close
    /// was requested. With `last` nothing is accepted any more.
    pub(crate) fn collect_into(&self, outbox: &mut Outbox, last: bool) -> Stage {
        let mut shared = self.lock();
        self.is_waiting.store(false, Ordering::Relaxed);
        outbox.append(&mut shared.outbox);
        self.tell(outbox);
        let stage = shared.stage;
        if last {
            shared.stage = Stage::Closed;
        }
        stage
    }

    /// Takes out what writers have brought, if it is one piece and no close was requested. Writers
    /// count it as unsent until `tell_counts` is called again.
    pub(crate) fn take_only(&self) -> Option<Bytes> {
        let mut shared = self.lock();
        if shared.stage != Stage::Open {
            return None;
        }
        let bytes = shared.outbox.take_only_shared()?;
        self.is_waiting.store(false, Ordering::Relaxed);
        self.tell_counts(bytes.len(), bytes.len());
        Some(bytes)
    }

    /// Tells the writers how much is queued on the poller's side.
    pub(crate) fn tell(&self, outbox: &Outbox) {
        self.tell_counts(outbox.pending(), outbox.in_memory());
    }

    /// Tells the writers how many bytes are queued on the poller's side, and how many of them in
    /// memory.
    pub(crate) fn tell_counts(&self, unsent: usize, in_memory: usize) {
        self.unsent.store(unsent, Ordering::Relaxed);
        self.unsent_in_memory.store(in_memory, Ordering::Relaxed);
    }

    /// Returns how many bytes are queued, here and on the poller's side.
    pub(crate) fn pending(&self) -> usize {
        let shared = self.lock();
        // Both counts under the lock, as bytes pass from one side to the other under it.
        shared.outbox.pending().saturating_add(self.unsent.load(Ordering::Relaxed))
    }

    /// Returns `true` if bytes are accepted.
    pub(crate) fn is_open(&self) -> bool {
        self.lock().stage == Stage::Open
    }

    /// Returns how many bytes the poller hasn't collected.
    pub(crate) fn uncollected(&self) -> usize {
        self.lock().outbox.pending()
    }

    /// Accepts nothing any more, and drops what is in the queue, without the lock.
    pub(crate) fn close(&self) {
        let lost = {
            let mut shared = self.lock();
            shared.stage = Stage::Closed;
            self.unsent.store(0, Ordering::Relaxed);
            std::mem::take(&mut shared.outbox)
        };
        lost.discard();
    }
}

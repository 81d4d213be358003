//! What hyper does on a connection of HTTP/1, seen from outside: whether output is left, and when the
//! connection is idle, so that hyper may be taken off it between two requests.
//!
//! hyper does not say when it is idle, and keeps two buffers of 8 KiB until it ends. So what it does to its
//! connection and to its timer is watched. These facts of hyper 1.12 prove that it holds nothing (paths are in
//! its `src/proto/h1`):
//!
//! 1. It asks for the sleep that limits a head, and polls it, in `Conn::poll_read_head` (`conn.rs`) alone, and drops
//!    it when a head has been parsed. It gets there if no service is at work (`Dispatcher::poll_read_head`) and if
//!    both directions of the message before are over (`State::idle` alone sets `Reading::Init` again, and
//!    `Writing::Init` with it). A connection that is to be closed, upgraded or shut down does not get there again.
//!    So while the sleep is polled, nothing is left of the request before but what is in the buffers.
//! 2. It polls that sleep after a read that was pending (`Buffered::parse`), so that nothing waits to be read but what
//!    stands in its read buffer. [`Parts::read_buf`](hyper::server::conn::http1::Parts::read_buf) gives that
//!    back.
//! 3. It flushes its connection when its write buffer is empty (`Buffered::poll_flush` in `io.rs`). So a flush
//!    that has succeeded after the sleep was polled, with no write since, shows that all is sent.
//! 4. One thing may be left yet: if the body of a request ends after its answer, the end of that body is told to
//!    its reader at the next head (`Dispatcher::body_tx`), and as an error if there is none. Then hyper asks for the
//!    sleep while it reads, before anything is flushed in this poll; in every other case it has flushed the
//!    answer first, in the same poll. A sleep that is asked for before a flush never reports an idle connection.
//!
//! 2 and 3 are seen within one poll of hyper, so no assumption is made about what happened before. If a later hyper
//! does these steps in another order, the connection is not given back; nothing is cut off.
//!
//! A request costs a few stores for that, and no timer beyond that of its head, which is set for the earlier of its two
//! times.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The least time until a connection is found idle: a sleep that reports is set again after that.
const LEAST: Duration = Duration::from_millis(1);

/// What is known of hyper on one connection.
///
/// hyper asks for a timer that is `Send`, hence the atomics. It is one thread's all the same.
#[derive(Debug, Clone)]
pub(super) struct Watch(Arc<State>);

/// The state of a [`Watch`].
#[derive(Debug)]
struct State {
    /// A write has been tried, and no flush has succeeded since: hyper may have more to write.
    has_output: AtomicBool,
    /// A flush has succeeded in the present poll, or since the sleep has reported.
    has_flushed: AtomicBool,
    /// The sleep for the next head has reported in the present poll, and no byte has come since.
    is_asked: AtomicBool,
    /// When that head is due. Locked when the sleep reports, which is at most once in `release_after`.
    due: Mutex<Option<Instant>>,
    /// How long the wait for a head takes before its sleep reports it; `None` is for ever.
    release_after: Option<Duration>,
}

impl Watch {
    /// Returns a watch of a connection on which hyper begins, which is reported when it is idle for `release_after`.
    pub(super) fn new(release_after: Option<Duration>) -> Watch {
        Watch(Arc::new(State {
            has_output: AtomicBool::new(false),
            has_flushed: AtomicBool::new(false),
            is_asked: AtomicBool::new(false),
            due: Mutex::new(None),
            release_after: release_after.map(|after| after.max(LEAST)),
        }))
    }

    /// Notes that hyper is polled.
    #[inline]
    pub(super) fn begin_poll(&self) {
        self.0.has_flushed.store(false, Relaxed);
    }

    /// Notes that bytes or the end have come.
    #[inline]
    pub(super) fn note_read(&self) {
        self.0.is_asked.store(false, Relaxed);
    }

    /// Notes that a write is tried: until hyper flushes, there may be more to write.
    #[inline]
    pub(super) fn note_write(&self) {
        self.0.has_output.store(true, Relaxed);
    }

    /// Notes that a flush has succeeded.
    #[inline]
    pub(super) fn note_flush(&self) {
        self.0.has_output.store(false, Relaxed);
        self.0.has_flushed.store(true, Relaxed);
    }

    /// Returns `true` if hyper may have output that its connection has not taken.
    #[inline]
    pub(super) fn has_output(&self) -> bool {
        self.0.has_output.load(Relaxed)
    }

    /// Returns whether a flush has succeeded since the present poll began.
    #[inline]
    pub(super) fn has_flushed(&self) -> bool {
        self.0.has_flushed.load(Relaxed)
    }

    /// Returns when a wait for a head that is there at `now` is to be reported.
    #[inline]
    pub(super) fn report_at(&self, now: Instant) -> Option<Instant> {
        now.checked_add(self.0.release_after?)
    }

    /// Reports that a head, which is due at `due`, is awaited and that nothing waits to be read. If a flush
    /// succeeds next, the connection is idle.
    #[cold]
    pub(super) fn ask(&self, due: Instant) {
        *self.0.due.lock().unwrap_or_else(PoisonError::into_inner) = Some(due);
        self.0.has_flushed.store(false, Relaxed);
        self.0.is_asked.store(true, Relaxed);
    }

    /// Returns, after a poll that was pending, when the next head is due if the connection has been found idle in
    /// it.
    #[inline]
    pub(super) fn take_idle(&self) -> Option<Instant> {
        if self.0.is_asked.load(Relaxed) { self.take_asked() } else { None }
    }

    /// Does the work of [`Watch::take_idle`] when the sleep has reported.
    #[cold]
    fn take_asked(&self) -> Option<Instant> {
        self.0.is_asked.store(false, Relaxed);
        let due = self.0.due.lock().unwrap_or_else(PoisonError::into_inner).take();
        due.filter(|_| self.has_flushed() && !self.has_output())
    }
}

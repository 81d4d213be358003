//! The time for the heads of a connection of HTTP/1.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use corepoll::time;
use hyper::rt::{Sleep, Timer};

/// Whether hyper has output that its connection has not taken.
///
/// hyper asks for a timer that is `Send`, hence the atomic. It is one thread's all the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Output(Arc<AtomicBool>);

impl Output {
    /// Notes that a write is tried: until hyper flushes, there may be more to write.
    #[inline]
    pub(super) fn set_waiting(&self, is_waiting: bool) {
        self.0.store(is_waiting, Relaxed);
    }
}

/// hyper's timer of one connection, which has no other use for it than to limit how long a head may take.
///
/// It differs from [`LocalTimer`](crate::LocalTimer) where hyper's time is not the time that a client has had:
///
/// - It begins when hyper waits for a head. The client has had time for its first one before: while its first
///   bytes were awaited, which tell the protocol.
/// - It begins when hyper has the whole answer, if the body of the request came after that. A client that is
///   still receiving would be cut off in the middle of the answer.
#[derive(Debug)]
pub(super) struct HeadTimer {
    /// When the first head is due.
    due: Instant,
    /// The first sleep has been asked for.
    is_used: AtomicBool,
    /// What is still to be sent.
    output: Output,
}

impl HeadTimer {
    /// Returns a timer for a first head that is due at `due`, and for those that follow `output`.
    pub(super) fn new(due: Instant, output: Output) -> HeadTimer {
        HeadTimer { due, is_used: AtomicBool::new(false), output }
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(time::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let limit = deadline.saturating_duration_since(time::now());
        let due = if self.is_used.swap(true, Relaxed) { deadline } else { deadline.min(self.due) };
        Box::pin(HeadSleep { sleep: time::sleep_until(due), limit, output: self.output.clone() })
    }

    fn now(&self) -> Instant {
        time::now()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        *sleep = self.sleep_until(deadline);
    }
}

/// The time for one head.
struct HeadSleep {
    /// Ends when the head is due.
    sleep: time::Sleep,
    /// How long a head may take.
    limit: Duration,
    /// What is still to be sent.
    output: Output,
}

impl Sleep for HeadSleep {}

impl Future for HeadSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        ready!(Pin::new(&mut self.sleep).poll(cx));
        if !self.output.0.load(Relaxed) {
            return Poll::Ready(());
        }
        // The client is receiving an answer. Whether it takes any of it is the deadline's matter.
        let due = time::now() + self.limit;
        Pin::new(&mut self.sleep).reset(due);
        Pin::new(&mut self.sleep).poll(cx)
    }
}

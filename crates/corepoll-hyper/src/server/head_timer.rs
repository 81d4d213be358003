//! The time for the heads of a connection of HTTP/1.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use corepoll::time;
use hyper::rt::{Sleep, Timer};

use super::watch::Watch;

/// hyper's timer of one connection, which has no other use for it than to limit how long a head may take.
///
/// It differs from [`LocalTimer`](crate::LocalTimer) where hyper's time is not the time that a client has had:
///
/// - It begins when hyper waits for a head. The client has had time for its first one before: while its first
///   bytes were awaited, which tell the protocol, or which hyper was made for.
/// - It begins when hyper has the whole answer, if the body of the request came after that. A client that is
///   still receiving would be cut off in the middle of the answer.
///
/// It also reports connections that are idle: see [`Watch`].
#[derive(Debug)]
pub(super) struct HeadTimer {
    /// When the first head is due.
    due: Instant,
    /// The first sleep has been asked for.
    is_used: AtomicBool,
    /// What hyper does on the connection.
    watch: Watch,
}

impl HeadTimer {
    /// Returns a timer for a first head that is due at `due`, and for those that follow `watch`.
    pub(super) fn new(due: Instant, watch: Watch) -> HeadTimer {
        HeadTimer { due, is_used: AtomicBool::new(false), watch }
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(time::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let (now, is_first) = (time::now(), !self.is_used.swap(true, Relaxed));
        let limit = deadline.saturating_duration_since(now);
        let due = if is_first { deadline.min(self.due) } else { deadline };
        // hyper begins on a connection when bytes of its first head are there: that one is not idle.
        let reports = !is_first && self.watch.has_flushed();
        let report = if reports { self.watch.report_at(now).filter(|at| *at < due) } else { None };
        Box::pin(HeadSleep {
            sleep: time::sleep_until(report.unwrap_or(due)),
            due,
            limit,
            reports: report.is_some(),
            watch: self.watch.clone(),
        })
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
    /// Ends when the head is due, or before that when the wait for it is to be reported.
    sleep: time::Sleep,
    /// When the head is due.
    due: Instant,
    /// How long a head may take.
    limit: Duration,
    /// The end of the sleep is a report. Only where nothing but bytes of the request before may be left.
    reports: bool,
    /// What hyper does on the connection.
    watch: Watch,
}

impl Sleep for HeadSleep {}

impl Future for HeadSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(Pin::new(&mut self.sleep).poll(cx));
            let (now, has_output) = (time::now(), self.watch.has_output());
            if self.reports {
                if !has_output {
                    self.watch.ask(self.due);
                }
                // Reported again later, if there is an obstacle now.
                let report = self.watch.report_at(now).filter(|at| *at < self.due);
                self.reports = report.is_some();
                let next = report.unwrap_or(self.due);
                Pin::new(&mut self.sleep).reset(next);
            } else if has_output {
                // The client is receiving an answer. Whether it takes any of it is the deadline's matter.
                let due = now + self.limit;
                self.due = due;
                Pin::new(&mut self.sleep).reset(due);
            } else {
                return Poll::Ready(());
            }
        }
    }
}

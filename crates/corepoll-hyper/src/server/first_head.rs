//! The time for the first head of a connection, which begins when the connection does.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use hyper::rt::{Sleep, Timer};

use crate::LocalTimer;

/// [`LocalTimer`], whose first sleep ends at a given time.
///
/// hyper's time for the head of a request begins when hyper waits for it. For the first one the
/// client has had time before: while its first bytes were awaited, which tell the protocol.
#[derive(Debug)]
pub(super) struct FirstHead {
    /// When the first head is due.
    due: Instant,
    /// The first sleep has been asked for.
    is_used: AtomicBool,
}

impl FirstHead {
    /// Returns a timer for a first head that is due at `due`.
    pub(super) fn new(due: Instant) -> FirstHead {
        FirstHead { due, is_used: AtomicBool::new(false) }
    }
}

impl Timer for FirstHead {
    fn sleep(&self, duration: std::time::Duration) -> Pin<Box<dyn Sleep>> {
        LocalTimer.sleep(duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        // A connection of HTTP/1 has no other timer. Relaxed: it is one thread's.
        let is_used = self.is_used.swap(true, Ordering::Relaxed);
        LocalTimer.sleep_until(if is_used { deadline } else { deadline.min(self.due) })
    }

    fn now(&self) -> Instant {
        LocalTimer.now()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        LocalTimer.reset(sleep, deadline);
    }
}

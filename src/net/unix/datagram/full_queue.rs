//! A receiver of datagrams whose queue is full, and to which the sender isn't connected.
//!
//! Only a connected sender is told of new room by the kernel (unix(7)). Any other one counts as
//! writable all the time, and each attempt that fails gives its own buffer back, which epoll
//! reports as new room. A sender that waited for that event would spin, so it waits in pauses that
//! grow.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::time::{self, Sleep};

/// How long the first pause is.
const SHORTEST_PAUSE: Duration = Duration::from_micros(100);
/// How long a pause may become: each one is twice as long as the one before.
const LONGEST_PAUSE: Duration = Duration::from_millis(16);

/// What a sender knows of the queues of its receivers.
pub(crate) struct FullQueue {
    /// Whether the last attempt has found no room, with no pause since.
    is_full: Cell<bool>,
    /// How long the next pause is.
    pause: Cell<Duration>,
    /// The pause of [`FullQueue::poll_wait`] that is under way.
    sleep: Cell<Option<Pin<Box<Sleep>>>>,
}

impl Default for FullQueue {
    fn default() -> FullQueue {
        FullQueue {
            is_full: Cell::new(false),
            pause: Cell::new(SHORTEST_PAUSE),
            sleep: Cell::new(None),
        }
    }
}

impl FullQueue {
    /// Takes note of the result of an attempt, and returns it.
    pub(crate) fn note(&self, sent: io::Result<usize>) -> io::Result<usize> {
        match &sent {
            Ok(_) => {
                self.is_full.set(false);
                self.pause.set(SHORTEST_PAUSE);
            }
            Err(error) => self.is_full.set(error.kind() == io::ErrorKind::WouldBlock),
        }
        sent
    }

    /// Waits for a pause, if the last attempt has found no room. Any number of tasks may wait.
    /// Cancel-safe: a pause that is cut short comes again.
    pub(crate) async fn wait(&self) {
        if self.is_full.get() {
            let pause = self.pause.get();
            time::sleep(pause).await;
            // With the pause that was waited for: of several tasks that waited together, each sets
            // the same next one.
            self.end_pause(pause);
        }
    }

    /// Polls for the end of the pause that [`FullQueue::wait`] waits for. One waker can wait.
    pub(crate) fn poll_wait(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_full.get() {
            // The room that ended the wait may have come before the pause was over.
            self.sleep.set(None);
            return Poll::Ready(());
        }
        let pause = self.pause.get();
        // Taken out of its cell while it is polled, since a waker that it clones is foreign code.
        let mut sleep = self.sleep.take().unwrap_or_else(|| Box::pin(time::sleep(pause)));
        if sleep.as_mut().poll(cx).is_pending() {
            self.sleep.set(Some(sleep));
            return Poll::Pending;
        }
        self.end_pause(pause);
        Poll::Ready(())
    }

    /// Lets the next attempt be made, and makes the pause after it longer than `pause`.
    fn end_pause(&self, pause: Duration) {
        self.is_full.set(false);
        self.pause.set((2 * pause).min(LONGEST_PAUSE));
    }
}

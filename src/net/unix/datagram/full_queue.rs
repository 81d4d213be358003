//! A receiver of datagrams whose queue is full, and to which the sender isn't connected.
//!
//! unix(7) tells only a connected sender when there is room again. Any other one counts as writable
//! all the time; and each attempt that fails gives its own buffer back, which epoll reports as new
//! room. A sender that waited for that would spin, so it waits in pauses that grow.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use crate::time;

/// The first pause.
const SHORTEST_PAUSE: Duration = Duration::from_micros(100);
/// And after a while.
const LONGEST_PAUSE: Duration = Duration::from_millis(16);

/// What a sender knows of its receivers' queues.
pub(crate) struct FullQueue {
    /// The last attempt has found no room, and there has been no pause since.
    is_full: Cell<bool>,
    /// The next pause.
    pause: Cell<Duration>,
}

impl Default for FullQueue {
    fn default() -> FullQueue {
        FullQueue { is_full: Cell::new(false), pause: Cell::new(SHORTEST_PAUSE) }
    }
}

impl FullQueue {
    /// Takes note of how an attempt went.
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

    /// Pauses, if the last attempt has found no room.
    ///
    /// Cancel-safe: a pause that is cut short comes again.
    pub(crate) async fn wait(&self) {
        if self.is_full.get() {
            let pause = self.pause.get();
            time::sleep(pause).await;
            self.is_full.set(false);
            self.pause.set((2 * pause).min(LONGEST_PAUSE));
        }
    }
}

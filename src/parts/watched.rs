//! A poller as its watchdog sees it, and where the watchdog naps.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};

use crate::task::Calls;

/// The two words of a poller that is watched: what it runs, and whether it is asleep.
pub(crate) struct Watched {
    /// What it runs.
    pub(crate) calls: Arc<Calls>,
    /// It waits for events, or has ended: nothing of it can stall.
    asleep: AtomicBool,
    /// Where its watchdog naps.
    nap: Arc<Nap>,
}

/// The watchdog sleeps for as long as all of its pollers do, and is woken by the first of them.
#[derive(Debug, Default)]
pub(crate) struct Nap {
    /// It naps, or is about to.
    napping: AtomicBool,
    /// It is to end.
    over: AtomicBool,
    /// The watchdog's thread: there before anybody needs it.
    thread: OnceLock<Thread>,
}

impl Watched {
    pub(crate) fn new(nap: Arc<Nap>) -> Watched {
        Watched { calls: Arc::default(), asleep: AtomicBool::new(false), nap }
    }

    /// The poller is about to wait for events, or has ended.
    pub(crate) fn fall_asleep(&self) {
        self.calls.none();
        self.asleep.store(true, Ordering::Relaxed);
    }

    /// The poller has waited.
    pub(crate) fn wake_up(&self) {
        self.asleep.store(false, Ordering::Relaxed);
        // With the one in `Nap::take`: we see that the watchdog naps, or it sees that we are awake.
        fence(Ordering::SeqCst);
        if self.nap.napping.load(Ordering::Relaxed) {
            self.nap.interrupt();
        }
    }

    /// Whether nothing of it can stall.
    pub(crate) fn is_asleep(&self) -> bool {
        self.asleep.load(Ordering::Relaxed)
    }
}

impl Nap {
    /// Whose nap it is: told before there are pollers that could interrupt it.
    pub(crate) fn belongs_to(&self, thread: &Thread) {
        let _ = self.thread.set(thread.clone());
    }

    /// Sleeps until a poller wakes up, or it is all over; not at all if `may` says no.
    pub(crate) fn take(&self, may: impl FnOnce() -> bool) {
        self.napping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if may() {
            thread::park();
        }
        self.napping.store(false, Ordering::Relaxed);
    }

    #[cold]
    fn interrupt(&self) {
        // The first of several pollers is enough.
        if self.napping.swap(false, Ordering::Relaxed) {
            self.wake();
        }
    }

    /// The watchdog is to end.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
        // If it hasn't gone to sleep yet, it won't.
        self.wake();
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Whether the watchdog is to end.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

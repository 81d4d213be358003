//! A poller as its watchdog sees it, and where the watchdog naps.

use std::sync::{Arc, OnceLock};

use crate::base::sync::thread::{self, Thread};
use crate::base::sync::{AtomicBool, Ordering, fence};
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
        // Swaps, as in `interrupt`: each write follows the one that it has found.
        self.napping.swap(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if may() {
            thread::park();
        }
        self.napping.swap(false, Ordering::Relaxed);
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

/// Seen to fail by a deadlock, since the watchdog naps for ever: without either fence; when `take`
/// doesn't ask once more whether it may; when it asks before it says that it naps; when `end` doesn't
/// wake it, or wakes it first; when `take` stores and doesn't swap.
#[cfg(all(test, loom))]
mod loom_models {
    use super::{Arc, Nap, Watched};
    use loom::thread;

    /// Some pollers, all asleep, and a nap of this thread.
    fn sleepers<const N: usize>() -> ([Arc<Watched>; N], Arc<Nap>) {
        let nap = Arc::new(Nap::default());
        nap.belongs_to(&thread::current());
        let sleepers = [(); N].map(|()| Arc::new(Watched::new(nap.clone())));
        sleepers.iter().for_each(|sleeper| sleeper.fall_asleep());
        (sleepers, nap)
    }

    /// Checks a model, with three preemptions: all of them take two minutes, and find no more.
    fn check(model: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound.get_or_insert(3);
        builder.check(model);
    }

    /// What the watchdog does until `done`. If it isn't woken it sleeps for ever, which loom calls a
    /// deadlock.
    fn watch(pollers: &[Arc<Watched>], nap: &Nap, done: impl Fn() -> bool) {
        let all_asleep = || pollers.iter().all(|poller| poller.is_asleep());
        while !done() {
            if all_asleep() {
                nap.take(|| all_asleep() && !nap.is_over());
            } else {
                thread::yield_now();
            }
        }
    }

    #[test]
    fn a_poller_that_wakes_up_ends_a_nap() {
        check(|| {
            let ([one], nap) = sleepers();
            let poller = one.clone();
            let thread = thread::spawn(move || poller.wake_up());
            watch(&[one.clone()], &nap, || !one.is_asleep());
            thread.join().unwrap();
        });
    }

    /// The first one wakes the watchdog, and is asleep again when that looks.
    #[test]
    fn so_does_the_second_of_two() {
        check(|| {
            let ([one, two], nap) = sleepers();
            let (first, second) = (one.clone(), two.clone());
            let threads = [
                thread::spawn(move || {
                    first.wake_up();
                    first.fall_asleep();
                }),
                thread::spawn(move || second.wake_up()),
            ];
            watch(&[one, two.clone()], &nap, || !two.is_asleep());
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }

    /// Its end is heard of beside a poller that wakes it as well.
    #[test]
    fn so_does_the_end() {
        check(|| {
            let ([one], nap) = sleepers();
            let (poller, its_nap) = (one.clone(), nap.clone());
            let thread = thread::spawn(move || {
                poller.wake_up();
                poller.fall_asleep();
                its_nap.end();
            });
            watch(&[one], &nap, || nap.is_over());
            thread.join().unwrap();
        });
    }
}

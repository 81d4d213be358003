//! A poller as its watchdog sees it, and where the watchdog naps.

use std::sync::{Arc, OnceLock};

use crate::base::sync::thread::{self, Thread};
use crate::base::sync::{AtomicBool, Ordering, fence};
use crate::task::CurrentCall;

/// The two words of a poller that is watched: what it runs, and whether it is asleep.
pub(crate) struct Activity {
    /// What it runs.
    pub(crate) current_call: Arc<CurrentCall>,
    /// It waits for events, or has ended: nothing of it can stall.
    asleep: AtomicBool,
    /// Where its watchdog naps.
    parker: Arc<Parker>,
}

/// The watchdog sleeps for as long as all of its pollers do, and is woken by the first of them.
#[derive(Debug, Default)]
pub(crate) struct Parker {
    /// It naps, or is about to.
    is_parked: AtomicBool,
    /// It is to end.
    over: AtomicBool,
    /// The watchdog's thread: there before anybody needs it.
    thread: OnceLock<Thread>,
}

impl Activity {
    pub(crate) fn new(parker: Arc<Parker>) -> Activity {
        Activity { current_call: Arc::default(), asleep: AtomicBool::new(false), parker }
    }

    /// The poller is about to wait for events, or has ended.
    pub(crate) fn fall_asleep(&self) {
        self.current_call.end();
        self.asleep.store(true, Ordering::Relaxed);
    }

    /// The poller has waited.
    pub(crate) fn wake_up(&self) {
        self.asleep.store(false, Ordering::Relaxed);
        // With the one in `Parker::take`: we see that the watchdog naps, or it sees that we are awake.
        fence(Ordering::SeqCst);
        if self.parker.is_parked.load(Ordering::Relaxed) {
            self.parker.unpark();
        }
    }

    /// Whether nothing of it can stall.
    pub(crate) fn is_asleep(&self) -> bool {
        self.asleep.load(Ordering::Relaxed)
    }
}

impl Parker {
    /// Whose parker it is: told before there are pollers that could unpark it.
    pub(crate) fn set_thread(&self, thread: &Thread) {
        let _ = self.thread.set(thread.clone());
    }

    /// Sleeps until a poller wakes up, or it is all over; not at all if `may` says no.
    pub(crate) fn park_if(&self, may: impl FnOnce() -> bool) {
        // Swaps, as in `unpark`: each write follows the one that it has found.
        self.is_parked.swap(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if may() {
            thread::park();
        }
        self.is_parked.swap(false, Ordering::Relaxed);
    }

    #[cold]
    fn unpark(&self) {
        // The first of several pollers is enough.
        if self.is_parked.swap(false, Ordering::Relaxed) {
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
    use super::{Activity, Arc, Parker};
    use loom::thread;

    /// Some pollers, all asleep, and a parker of this thread.
    fn sleepers<const N: usize>() -> ([Arc<Activity>; N], Arc<Parker>) {
        let parker = Arc::new(Parker::default());
        parker.set_thread(&thread::current());
        let sleepers = [(); N].map(|()| Arc::new(Activity::new(parker.clone())));
        sleepers.iter().for_each(|sleeper| sleeper.fall_asleep());
        (sleepers, parker)
    }

    /// Checks a model, with three preemptions: all of them take two minutes, and find no more.
    fn check(model: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound.get_or_insert(3);
        builder.check(model);
    }

    /// What the watchdog does until `done`. If it isn't woken it sleeps for ever, which loom calls a
    /// deadlock.
    fn watch(pollers: &[Arc<Activity>], parker: &Parker, done: impl Fn() -> bool) {
        let all_asleep = || pollers.iter().all(|poller| poller.is_asleep());
        while !done() {
            if all_asleep() {
                parker.park_if(|| all_asleep() && !parker.is_over());
            } else {
                thread::yield_now();
            }
        }
    }

    #[test]
    fn a_poller_that_wakes_up_ends_a_nap() {
        check(|| {
            let ([one], parker) = sleepers();
            let poller = one.clone();
            let thread = thread::spawn(move || poller.wake_up());
            watch(&[one.clone()], &parker, || !one.is_asleep());
            thread.join().unwrap();
        });
    }

    /// The first one wakes the watchdog, and is asleep again when that looks.
    #[test]
    fn so_does_the_second_of_two() {
        check(|| {
            let ([one, two], parker) = sleepers();
            let (first, second) = (one.clone(), two.clone());
            let threads = [
                thread::spawn(move || {
                    first.wake_up();
                    first.fall_asleep();
                }),
                thread::spawn(move || second.wake_up()),
            ];
            watch(&[one, two.clone()], &parker, || !two.is_asleep());
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }

    /// Its end is heard of beside a poller that wakes it as well.
    #[test]
    fn so_does_the_end() {
        check(|| {
            let ([one], parker) = sleepers();
            let (poller, its_nap) = (one.clone(), parker.clone());
            let thread = thread::spawn(move || {
                poller.wake_up();
                poller.fall_asleep();
                its_nap.end();
            });
            watch(&[one], &parker, || parker.is_over());
            thread.join().unwrap();
        });
    }
}

//! What a poller is doing, as the thread of a stall watch sees it.
//!
//! A watchdog that looked every few milliseconds would wake an idle machine for nothing. So it
//! parks while all pollers sleep, and the first one to wake up unparks it. Neither may miss the
//! other.

use std::sync::{Arc, OnceLock};

use crate::base::sync::thread::{self, Thread};
use crate::base::sync::{AtomicBool, Ordering, fence};
use crate::task::CurrentCall;

/// What a watched poller runs, and whether it is asleep. The poller writes it, and the watchdog
/// reads it.
pub(crate) struct Activity {
    /// The call that the poller is in.
    pub(crate) current_call: Arc<CurrentCall>,
    /// `true` while the poller waits for events, and when it has ended: it can't stall then.
    asleep: AtomicBool,
    /// Where the watchdog waits while all pollers sleep.
    parker: Arc<Parker>,
}

/// The place where the watchdog waits until one of its pollers wakes up.
#[derive(Debug, Default)]
pub(crate) struct Parker {
    /// `true` while the watchdog waits, or is about to.
    is_parked: AtomicBool,
    /// `true` once the watchdog is to end.
    over: AtomicBool,
    /// The watchdog's thread. It is set before a poller could want to wake it.
    thread: OnceLock<Thread>,
}

impl Activity {
    /// Creates the activity of a poller that is awake and runs nothing.
    pub(crate) fn new(parker: Arc<Parker>) -> Activity {
        Activity { current_call: Arc::default(), asleep: AtomicBool::new(false), parker }
    }

    /// Notes that the poller is about to wait for events, or has ended.
    pub(crate) fn fall_asleep(&self) {
        self.current_call.end();
        // Relaxed: a watchdog that reads the old value looks once more, and finds no call.
        self.asleep.store(true, Ordering::Relaxed);
    }

    /// Notes that the poller has waited, and wakes a watchdog that waits.
    pub(crate) fn wake_up(&self) {
        self.asleep.store(false, Ordering::Relaxed);
        // Pairs with the fence in `Parker::park_if`. Either this thread sees that the watchdog
        // waits, or the watchdog sees that this poller is awake.
        fence(Ordering::SeqCst);
        if self.parker.is_parked.load(Ordering::Relaxed) {
            self.parker.unpark();
        }
    }

    /// Returns `true` if the poller can't stall now.
    pub(crate) fn is_asleep(&self) -> bool {
        // Relaxed: the fences of `wake_up` and `park_if` order what has to be.
        self.asleep.load(Ordering::Relaxed)
    }
}

impl Parker {
    /// Sets the watchdog's thread. It must be called before there are pollers that could wake it.
    pub(crate) fn set_thread(&self, thread: &Thread) {
        let _ = self.thread.set(thread.clone());
    }

    /// Waits until a poller wakes up or the watchdog is to end, unless `may_park` returns `false`.
    pub(crate) fn park_if(&self, may_park: impl FnOnce() -> bool) {
        // Swaps and not stores, as in `unpark`: each then follows in the modification order the
        // value that it has read.
        self.is_parked.swap(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if may_park() {
            thread::park();
        }
        self.is_parked.swap(false, Ordering::Relaxed);
    }

    /// Wakes the watchdog, if no other poller has.
    #[cold]
    fn unpark(&self) {
        // The first of several pollers wakes it.
        if self.is_parked.swap(false, Ordering::Relaxed) {
            self.wake();
        }
    }

    /// Tells the watchdog to end.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
        // A thread that is not parked yet won't park: the token of `unpark` stays.
        self.wake();
    }

    /// Unparks the watchdog's thread.
    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Returns `true` if the watchdog is to end.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// These models were seen to fail, by a deadlock, with each of these changes: either fence left
/// out; `park_if` that does not ask once more whether it may; that asks before it says that it
/// waits; that stores instead of swapping; `end` that does not wake the watchdog, or wakes it
/// first.
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

    /// What the watchdog does until `done`. If it isn't woken it sleeps for ever, which loom calls
    /// a deadlock.
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

    /// The same holds for its end.
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

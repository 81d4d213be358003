//! A notification that is posted again while it is on its way is run once more, or its run sees it.
//!
//! Seen to fail by a deadlock, since the last run misses a write: when it is taken off its way
//! after the run. By two unordered accesses to the node's link: when either side of
//! `is_posted` is relaxed. By a leak: when a refused notification isn't taken back.

use loom::alloc::Track;
use loom::sync::atomic::{AtomicBool, Ordering::Relaxed};
use loom::thread;

use super::{check, executor, join_all, turn_until};
use crate::task::{Notification, OnNotify};

/// Notes what it has seen when it ran.
struct Looks {
    written: [AtomicBool; 2],
    has_seen_all: AtomicBool,
    _dropped: Track<()>,
}

impl Looks {
    fn new() -> Looks {
        let no = || AtomicBool::new(false);
        Looks { written: [no(), no()], has_seen_all: no(), _dropped: Track::new(()) }
    }
}

impl OnNotify for Looks {
    fn on_notify(&self) {
        if self.written.iter().all(|written| written.load(Relaxed)) {
            self.has_seen_all.store(true, Relaxed);
        }
    }
}

/// Two threads write and post. The last run has to see both writes: the owner waits for ever, if a
/// post is lost or doesn't carry them.
#[test]
fn two_posts_at_once_are_followed_by_a_run_that_sees_both() {
    check(2, || {
        let (executor, bell) = executor();
        let notification = Notification::new(executor.shared(), Looks::new());
        let producers = [0, 1].map(|number| {
            let notification = notification.clone();
            thread::spawn(move || {
                notification.written[number].store(true, Relaxed);
                assert!(notification.post());
            })
        });
        turn_until(&executor, &bell, || notification.has_seen_all.load(Relaxed));
        join_all(producers);
    });
}

/// A notification that is on its way when the executor ends is dropped with its last clone.
#[test]
fn a_notification_is_posted_while_the_executor_ends() {
    check(3, || {
        let (executor, _bell) = executor();
        let notification = Notification::new(executor.shared(), Looks::new());
        let producers = [notification.clone(), notification].map(|notification| {
            thread::spawn(move || {
                notification.post();
            })
        });
        drop(executor);
        join_all(producers);
    });
}

//! Notifications: each post is followed by a call, which many posts may share.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use super::*;
use crate::task::{Notification, OnNotify};

/// What was put in, and what calls have taken out.
#[derive(Default)]
struct Counter {
    waiting: AtomicUsize,
    taken: AtomicUsize,
    calls: AtomicUsize,
    _drops: Drops,
}

/// Counts its drops.
#[derive(Default)]
struct Drops(Arc<AtomicUsize>);

impl OnNotify for Counter {
    fn on_notify(&self) {
        self.calls.fetch_add(1, SeqCst);
        self.taken.fetch_add(self.waiting.swap(0, SeqCst), SeqCst);
    }
}

impl Drop for Drops {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn put(notification: &Notification<Counter>) -> bool {
    notification.waiting.fetch_add(1, SeqCst);
    notification.post()
}

#[test]
fn posts_before_a_call_share_it() {
    let executor = executor();
    let notification = Notification::new(executor.shared(), Counter::default());
    for round in 1..=3 {
        (0..10).for_each(|_| assert!(put(&notification)));
        let entered = executor.enter();
        executor.open_mail(10);
        drop(entered);
        assert_eq!(
            (notification.calls.load(SeqCst), notification.taken.load(SeqCst)),
            (round, round * 10)
        );
    }
}

#[test]
fn what_eight_threads_put_in_is_all_taken_out() {
    const EACH: usize = 20_000;
    let executor = executor();
    let notification = Notification::new(executor.shared(), Counter::default());
    thread::scope(|scope| {
        for _ in 0..8 {
            let notification = notification.clone();
            scope.spawn(move || (0..EACH).for_each(|_| assert!(put(&notification))));
        }
        let entered = executor.enter();
        while notification.taken.load(SeqCst) < 8 * EACH {
            executor.open_mail(100);
        }
        drop(entered);
    });
    assert_eq!(notification.taken.load(SeqCst), 8 * EACH);
}

#[test]
fn an_executor_that_has_ended_refuses_and_frees_what_is_on_its_way() {
    let drops = Arc::new(AtomicUsize::new(0));
    let counter = || Counter { _drops: Drops(drops.clone()), ..Counter::default() };
    let executor = executor();
    let on_its_way = Notification::new(executor.shared(), counter());
    let later = Notification::new(executor.shared(), counter());
    assert!(put(&on_its_way));
    drop(on_its_way);
    assert_eq!(drops.load(SeqCst), 0, "the mail holds it");
    drop(executor);
    assert_eq!(drops.load(SeqCst), 1);
    assert!(!put(&later) && !put(&later));
    assert_eq!(later.calls.load(SeqCst), 0);
    drop(later);
    assert_eq!(drops.load(SeqCst), 2);
}

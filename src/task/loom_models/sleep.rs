//! Mail for an owner that is about to sleep wakes it.
//!
//! Seen to fail, each by a deadlock, since the owner sleeps for ever: when `park` stores PARKED
//! without looking; when `unpark` clears the head without looking; when `push` makes up its mind
//! about the bell at its first look, and not at the one that succeeded; when `take` looks and then
//! clears; when the bell isn't rung. `a_wake` also when `unmail` comes after the poll.

use std::sync::Arc;
use std::task::Poll;

use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use loom::thread;

use super::{check, executor, join_all, spawn_polled, turn_until};

/// Two producers post to an owner that sleeps whenever it finds nothing: it gets both jobs.
#[test]
fn a_post_wakes_an_owner_that_is_about_to_sleep() {
    check(2, || {
        let (executor, bell) = executor();
        let arrived = Arc::new(AtomicUsize::new(0));
        let producers = [(); 2].map(|()| {
            let (shared, arrived) = (executor.shared(), arrived.clone());
            thread::spawn(move || {
                let posted = shared.post(move || {
                    arrived.fetch_add(1, Relaxed);
                });
                assert!(posted.is_ok());
            })
        });
        turn_until(&executor, &bell, || arrived.load(Relaxed) == 2);
        join_all(producers);
    });
}

/// A wake reaches a task whose owner is about to sleep, twice in a row: the second one meets an
/// owner that is being woken by the first.
#[test]
fn a_wake_wakes_an_owner_that_is_about_to_sleep() {
    check(3, || {
        let (executor, bell) = executor();
        let wakes = Arc::new(AtomicUsize::new(0));
        let (seen, mut polls) = (wakes.clone(), 0);
        let (task, waker) = spawn_polled(&executor, move |_| {
            polls += 1;
            assert!(polls <= 2, "a poll without a wake");
            if seen.load(Relaxed) == 2 { Poll::Ready(()) } else { Poll::Pending }
        });
        let producer = thread::spawn(move || {
            for _ in 0..2 {
                wakes.fetch_add(1, Relaxed);
                waker.wake_by_ref();
            }
        });
        turn_until(&executor, &bell, || task.is_finished());
        producer.join().unwrap();
    });
}

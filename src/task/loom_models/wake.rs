//! Each wake is followed by a poll that sees what came before it; a node is pushed once.
//!
//! Seen to fail by a deadlock, since the last poll misses a write: when `mail` writes nothing if
//! the bit is on already; when it doesn't release, or `unmail` doesn't acquire; when `unmail` comes
//! after the poll. By two unordered accesses to the node's link: when `mail` lets every thread
//! push; when it doesn't acquire, or `unmail` doesn't release; when `push` doesn't release or
//! `take` doesn't acquire.

use std::sync::Arc;
use std::task::Poll;

use loom::cell::Cell;
use loom::sync::atomic::{AtomicBool, Ordering::Relaxed};
use loom::thread;

use super::{check, executor, join_all, spawn_polled, turn_until};

/// Two threads write and wake. The last poll has to see both writes: the task waits for ever, if
/// a wake is lost or doesn't carry them.
#[test]
fn two_wakes_at_once_are_followed_by_a_poll_that_sees_both() {
    check(2, || {
        let (executor, bell) = executor();
        let written = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        let seen = written.clone();
        let (task, waker) = spawn_polled(&executor, move |_| {
            let all = seen.iter().all(|written| written.load(Relaxed));
            if all { Poll::Ready(()) } else { Poll::Pending }
        });
        let producers = [(0, waker.clone()), (1, waker)].map(|(number, waker)| {
            let written = written.clone();
            thread::spawn(move || {
                written[number].store(true, Relaxed);
                waker.wake();
            })
        });
        turn_until(&executor, &bell, || task.is_finished());
        join_all(producers);
    });
}

/// What one thread wrote in plain memory before its wake may be read by the poll that follows.
#[test]
fn a_wake_carries_plain_writes_to_the_poll() {
    check(5, || {
        let (executor, bell) = executor();
        let written = Arc::new(Watched(Cell::new(0)));
        let seen = written.clone();
        // Nothing else wakes it: the second poll is the one that follows the wake.
        let (task, waker) = spawn_polled(&executor, move |_| {
            assert_eq!(seen.0.get(), 7);
            Poll::Ready(())
        });
        let producer = thread::spawn(move || {
            // All of it, and not its field alone, which isn't Sync.
            let written = written;
            written.0.set(7);
            waker.wake();
        });
        turn_until(&executor, &bell, || task.is_finished());
        producer.join().unwrap();
    });
}

/// A cell on which loom panics, if two accesses are not ordered by what the model does.
struct Watched(Cell<i32>);

// SAFETY: its accesses are ordered: this is what the model is about.
unsafe impl Send for Watched {}
// SAFETY: as above.
unsafe impl Sync for Watched {}

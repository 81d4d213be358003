//! An abort from elsewhere against a completion: one result, the future dropped once.
//!
//! Seen to fail by a deadlock: when `abort` takes the task's waker before it sets the flag; when
//! the task looks at the flag before it leaves its waker, or not at all; when the handle looks for
//! the result before it leaves its waker; when `finish` wakes no joiner. By a result that isn't
//! true: when `finish` works twice. By a drop on a foreign thread: when `finish` keeps the output
//! for a handle that is gone, or the handle drops it by itself.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::Notify;
use loom::thread;

use super::{Drops, check, executor, turn_until};
use crate::task::remote::spawn_on;

/// Wakes a thread that has no executor.
struct Rings(Notify);

impl Wake for Rings {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

/// Waits for a future on such a thread.
fn block_on<F: Future>(future: F) -> F::Output {
    let bell = Arc::new(Rings(Notify::new()));
    let waker = Waker::from(bell.clone());
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        bell.0.wait();
    }
}

/// The task ends at its second poll, or the abort comes first: one result, and it is the true one.
#[test]
fn an_abort_and_a_completion_give_one_result() {
    check(4, || {
        let (executor, bell) = executor();
        let (drops, shared) = (Drops::default(), executor.shared());
        let ended = Arc::new(AtomicBool::new(false));
        let (its_drops, its_ended) = (drops.clone(), ended.clone());
        let handle = spawn_on(&shared, move || {
            let guest = its_drops.here();
            let mut polled = false;
            poll_fn(move |cx| {
                let _ = &guest;
                if std::mem::replace(&mut polled, true) {
                    its_ended.store(true, SeqCst);
                    return Poll::Ready(7);
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            })
        });
        let other = thread::spawn(move || {
            handle.abort();
            block_on(handle)
        });
        turn_until(&executor, &bell, || drops.count() == 1);
        drop(executor);
        let outcome = other.join().unwrap();
        assert_eq!(drops.count(), 1);
        assert_eq!(outcome.is_ok(), ended.load(SeqCst));
        assert!(outcome.map_or_else(|error| error.is_cancelled(), |output| output == 7));
    });
}

/// A task that never ends by itself is ended by the abort, whether its first poll was before it,
/// after it, or at the same time.
#[test]
fn an_abort_is_never_missed() {
    check(4, || {
        let (executor, bell) = executor();
        let (drops, shared) = (Drops::default(), executor.shared());
        let its_drops = drops.clone();
        let handle = spawn_on(&shared, move || {
            let guest = its_drops.here();
            poll_fn(move |_| {
                let _ = &guest;
                Poll::<()>::Pending
            })
        });
        let other = thread::spawn(move || {
            handle.abort();
            block_on(handle).unwrap_err()
        });
        turn_until(&executor, &bell, || drops.count() == 1);
        assert!(other.join().unwrap().is_cancelled());
    });
}

/// A handle that is dropped while its task ends: the output is dropped once, by the owner.
#[test]
fn an_output_of_a_dropped_handle_is_left_to_the_owner() {
    check(4, || {
        let (executor, bell) = executor();
        let (drops, shared) = (Drops::default(), executor.shared());
        let its_drops = drops.clone();
        let handle = spawn_on(&shared, move || async move { its_drops.here() });
        let other = thread::spawn(move || drop(handle));
        turn_until(&executor, &bell, || drops.count() == 1);
        other.join().unwrap();
    });
}

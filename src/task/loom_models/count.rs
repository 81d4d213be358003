//! The two counts of a task give its true number of references at its end.
//!
//! Seen to fail by a leak: when the owner's count is looked at and then added to the remote one, and
//! not at once; when it is added and stays the owner's as well; when `retire` leaves it out.

use std::task::{Poll, Waker};

use loom::thread;

use super::{Drops, check, executor, spawn_polled, turn};
use crate::task::state::MAX_LOCAL_DRIFT;

/// The owner clones and another thread drops, so that the counts drift apart and are evened out
/// (the limit is low in models), while the other thread changes its own; then the task ends.
#[test]
fn counts_that_are_evened_out_while_they_change_stay_true() {
    check(4, || {
        let (executor, _bell) = executor();
        let drops = Drops::default();
        let guest = drops.here();
        let (task, waker) = spawn_polled(&executor, move |_| {
            let _ = &guest;
            Poll::Ready(())
        });
        let entered = executor.enter();
        let (first, second) = (waker.clone(), waker.clone());
        let other = thread::spawn(move || {
            first.wake();
            let third = second.clone();
            drop(second);
            drop(third);
        });
        // The owner's count comes to its limit, and then to the lower one.
        let more: [Waker; MAX_LOCAL_DRIFT as usize] = std::array::from_fn(|_| waker.clone());
        drop(more);
        waker.wake();
        drop(entered);
        turn(&executor);
        assert_eq!(drops.count(), 1);
        other.join().unwrap();
        drop(task);
        turn(&executor);
    });
}

//! The two counts of a task give its true number of references at its end.
//!
//! Seen to fail by a leak: when the remote count is looked at and then taken, and not at once; when
//! `retire` leaves what the counts had drifted apart in the owner's. By a use after the freeing:
//! when MAILED is lost with the count.

use std::task::Poll;

use loom::thread;

use super::{Drops, check, executor, spawn_polled, turn};

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
        // Each of these finds the owner's count at its limit.
        let more = [waker.clone(), waker.clone()];
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

//! A task that ends while it is woken is freed once, after the last use.
//!
//! Seen to fail by a use that isn't ordered with the freeing, or comes after it: when `retire`
//! ignores the remote count, or loads it relaxed, or never makes the counts one; when either half
//! of `retire` doesn't look at MAILED, or `run_ended` doesn't; when `arrive` doesn't look at
//! QUEUED; when `mail` doesn't look at MERGED; when `drop_reference` doesn't release, or doesn't
//! acquire; when `counts_locally` is true on other threads.

use std::task::{Poll, Waker};

use loom::thread;

use super::{Drops, check, executor, join_all, spawn_polled, turn};

/// How a task ends on its owner's thread.
#[derive(Clone, Copy)]
struct End {
    /// The join handle is dropped after it and not before.
    keeps_handle: bool,
    /// It wakes itself in its last poll, and so is in the run queue when it has ended.
    wakes_itself: bool,
}

const PLAIN: End = End { keeps_handle: true, wakes_itself: false };
const DETACHED: End = End { keeps_handle: false, wakes_itself: false };
const QUEUED: End = End { keeps_handle: false, wakes_itself: true };

/// A task ends, while each of other threads does something to a waker of its own.
fn ends_against<const N: usize>(preemptions: usize, end: End, others: [fn(Waker); N]) {
    check(preemptions, move || {
        let (executor, _bell) = executor();
        let drops = Drops::default();
        let guest = drops.here();
        let (task, waker) = spawn_polled(&executor, move |cx| {
            let _ = &guest;
            if end.wakes_itself {
                cx.waker().wake_by_ref();
            }
            Poll::Ready(())
        });
        let kept = end.keeps_handle.then_some(task);
        let others = others.map(|torment| {
            let waker = waker.clone();
            thread::spawn(move || torment(waker))
        });
        {
            let _entered = executor.enter();
            waker.wake();
        }
        turn(&executor);
        assert_eq!(drops.count(), 1);
        drop(kept);
        join_all(others);
        // Its node may be in the inbox still.
        turn(&executor);
        drop(executor);
    });
}

#[test]
fn a_task_ends_while_it_is_woken() {
    ends_against(5, PLAIN, [Waker::wake]);
}

#[test]
fn a_detached_task_ends_while_it_is_woken_by_reference() {
    ends_against(5, DETACHED, [|waker| waker.wake_by_ref()]);
}

#[test]
fn a_task_ends_in_the_run_queue_while_it_is_woken() {
    ends_against(5, QUEUED, [Waker::wake]);
}

#[test]
fn a_task_ends_while_its_waker_is_cloned_and_dropped() {
    ends_against(5, PLAIN, [|waker| drop(waker.clone())]);
}

#[test]
fn a_task_ends_while_its_waker_is_cloned_and_both_wake() {
    let wakes_twice = |waker: Waker| {
        let clone = waker.clone();
        waker.wake();
        clone.wake();
    };
    ends_against(5, DETACHED, [wakes_twice]);
}

#[test]
fn a_task_ends_while_two_threads_wake_it() {
    ends_against(3, DETACHED, [Waker::wake, Waker::wake]);
}

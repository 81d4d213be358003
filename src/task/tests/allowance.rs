//! What a task may do in one poll, and that nothing lifts that limit for longer than it says.

use std::future::Ready;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;

use super::*;
use crate::task::coop::{OPERATIONS_PER_POLL, poll_proceed, unconstrained};
use crate::task::shared;

/// How many operations are left, which this takes.
fn take_the_rest(cx: &mut Context<'_>) -> u32 {
    (0..2 * OPERATIONS_PER_POLL).take_while(|_| poll_proceed(cx).is_ready()).count() as u32
}

/// Takes three operations, polls `within`, and gives how many operations are left after it.
fn left_after(mut within: impl FnMut(&mut Context<'_>) + 'static) -> u32 {
    let executor = executor();
    let _entered = executor.enter();
    let task = spawn(poll_fn(move |cx| {
        assert!((0..3).all(|_| poll_proceed(cx).is_ready()));
        within(cx);
        Poll::Ready(take_the_rest(cx))
    }));
    turn(&executor);
    joined(task).unwrap()
}

fn poll_unconstrained<T>(cx: &mut Context<'_>, poll: impl FnMut(&mut Context<'_>) -> Poll<T>) {
    let _ = pin!(unconstrained(poll_fn(poll))).poll(cx);
}

#[test]
fn a_poll_has_its_allowance_and_the_next_one_has_it_again() {
    let executor = executor();
    let _entered = executor.enter();
    let mut polls = Vec::new();
    let task = spawn(poll_fn(move |cx| {
        polls.push(take_the_rest(cx));
        // A task that has used it up is woken.
        if polls.len() == 3 { Poll::Ready(std::mem::take(&mut polls)) } else { Poll::Pending }
    }));
    turn(&executor);
    assert_eq!(joined(task).unwrap(), [OPERATIONS_PER_POLL; 3]);
}

/// As a task does that polls hundreds of sockets in each of its polls.
#[test]
fn a_task_that_asks_many_times_is_deferred_once() {
    let executor = executor();
    let _entered = executor.enter();
    let tasks = [(), ()].map(|()| {
        spawn(poll_fn(|cx| {
            take_the_rest(cx);
            assert!((0..1000).all(|_| poll_proceed(cx).is_pending()));
            // SAFETY: this is the owner's thread.
            Poll::Ready(shared::with_current_core(|core| unsafe { core.deferred() }))
        }))
    });
    executor.run_up_to(2);
    let counts = tasks.map(|task| joined(task).unwrap());
    assert_eq!(counts, [Some(1), Some(2)], "each task by itself");
}

#[test]
fn what_an_unconstrained_future_does_is_not_counted_and_what_comes_after_it_is() {
    let rest = OPERATIONS_PER_POLL - 3;
    assert_eq!(left_after(|_| ()), rest);
    for is_ready in [true, false] {
        let left = left_after(move |cx| {
            poll_unconstrained(cx, |cx| {
                assert_eq!(take_the_rest(cx), 2 * OPERATIONS_PER_POLL);
                if is_ready { Poll::Ready(()) } else { Poll::Pending }
            });
        });
        assert_eq!(left, rest, "ready: {is_ready}");
    }
}

#[test]
fn an_unconstrained_future_that_throws_lifts_the_limit_no_longer() {
    let left = left_after(|cx| {
        let thrown = catch_unwind(AssertUnwindSafe(|| {
            poll_unconstrained(cx, |_| -> Poll<()> { throw("a poll") });
        }));
        assert!(thrown.is_err());
    });
    assert_eq!(left, OPERATIONS_PER_POLL - 3);
}

#[test]
fn an_unconstrained_future_inside_of_another_ends_for_itself_alone() {
    let left = left_after(|cx| {
        poll_unconstrained(cx, |cx| {
            poll_unconstrained(cx, |_| Poll::Ready(()));
            assert_eq!(take_the_rest(cx), 2 * OPERATIONS_PER_POLL, "the outer one goes on");
            Poll::Ready(())
        });
    });
    assert_eq!(left, OPERATIONS_PER_POLL - 3);
}

#[test]
fn outside_of_a_task_nothing_is_counted() {
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(take_the_rest(&mut cx), 2 * OPERATIONS_PER_POLL);
    let mut ready: Pin<&mut _> = pin!(unconstrained(std::future::ready(7)));
    let _: &Pin<&mut crate::Unconstrained<Ready<i32>>> = &ready;
    assert_eq!(ready.as_mut().poll(&mut cx), Poll::Ready(7));
    let executor = executor();
    let _entered = executor.enter();
    assert_eq!(take_the_rest(&mut cx), 2 * OPERATIONS_PER_POLL);
    turn(&executor);
    drop(spawn(async {}));
    turn(&executor);
    assert_eq!(take_the_rest(&mut cx), 2 * OPERATIONS_PER_POLL, "a run of tasks is over");
}

//! A future that borrows from its caller ends before its borrows do, however `drive` is left.

use std::cell::Cell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::task::shared;

/// Says in a borrowed cell that it is there.
struct Borrows<'a>(&'a Cell<bool>);

impl<'a> Borrows<'a> {
    fn new(there: &'a Cell<bool>) -> Borrows<'a> {
        there.set(true);
        Borrows(there)
    }
}

impl Drop for Borrows<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

#[test]
fn a_driven_future_may_borrow_and_gives_its_output() {
    let executor = executor();
    let _entered = executor.enter();
    let there = Cell::new(false);
    let output = executor.drive(async { Borrows::new(&there) }, || {
        executor.run_up_to(1);
        Ok::<(), ()>(())
    });
    assert!(there.get());
    drop(output);
    assert!(!there.get());
}

#[test]
fn an_error_of_a_turn_drops_the_driven_future() {
    for turns in 0..2 {
        let executor = executor();
        let _entered = executor.enter();
        let there = Cell::new(false);
        let borrows = Borrows::new(&there);
        let mut waker = None;
        let future = poll_fn(|cx| -> Poll<()> {
            let _ = &borrows;
            waker = Some(cx.waker().clone());
            Poll::Pending
        });
        let mut left = turns;
        let outcome = executor.drive(future, || {
            if left == 0 {
                return Err("no more turns");
            }
            left -= 1;
            executor.run_up_to(1);
            Ok(())
        });
        assert_eq!(outcome.map(|output| output.is_ok()), Err("no more turns"));
        drop(waker);
    }
}

#[test]
fn a_panic_of_a_turn_drops_the_driven_future_and_its_output() {
    for ends_first in [false, true] {
        let executor = executor();
        let _entered = executor.enter();
        let there = Cell::new(false);
        let borrows = Borrows::new(&there);
        let mut slot = Some(borrows);
        let future = poll_fn(|_| if ends_first { Poll::Ready(slot.take()) } else { Poll::Pending });
        let caught = catch_unwind(AssertUnwindSafe(|| {
            executor.drive(future, || -> Result<(), ()> {
                executor.run_up_to(1);
                throw("a turn")
            })
        }));
        assert!(caught.is_err());
        assert_eq!(there.get(), !ends_first, "the output is gone, what was borrowed is not");
        drop(slot);
        // The executor still works.
        let task = spawn(async { 7 });
        turn(&executor);
        assert_eq!(joined(task).unwrap(), 7);
    }
}

/// Else a task that was aborted and queued would be dropped a second time, inside of its drop.
#[test]
fn a_driven_futures_drop_cannot_run_the_executor() {
    let executor = executor();
    let _entered = executor.enter();
    let was_refused = Cell::new(false);
    let guard = OnDrop(|| {
        let nested = catch_unwind(AssertUnwindSafe(|| executor.open_mail(1)));
        // Asserted below: a panic in here would be caught.
        was_refused.set(nested.is_err());
    });
    assert!(executor.shared().post(|| {}).is_ok());
    let future = async {
        let _guard = guard;
        std::future::pending::<()>().await;
    };
    let outcome = executor.drive(future, || Err("no turn"));
    assert!(outcome.is_err());
    assert!(was_refused.get());
}

#[test]
fn what_is_polled_outside_of_tasks_goes_on_when_the_allowance_is_used_up_there() {
    let executor = executor();
    let _entered = executor.enter();
    let allowance = executor.allowance();
    let mut cx = Context::from_waker(Waker::noop());
    // As after all but one of 2³² operations.
    shared::with_current_core(|core| core.allowance.set(1));
    assert!(allowance.poll_proceed(&mut cx).is_ready());
    assert!(allowance.poll_proceed(&mut cx).is_pending());
    // The poller has looked at the rest, and has no task to run.
    executor.wake_deferred();
    assert!((0..1000).all(|_| allowance.poll_proceed(&mut cx).is_ready()));
}

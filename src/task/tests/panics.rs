//! A panic of foreign code, wherever it happens, is the output of its task or has no effect.

use std::future::poll_fn;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::*;

/// A payload whose own destructor panics.
struct PanicsAgain;

impl Drop for PanicsAgain {
    fn drop(&mut self) {
        throw(());
    }
}

/// Panics when it is dropped.
fn panics_in_drop() -> OnDrop<impl FnMut()> {
    OnDrop(|| throw(PanicsAgain))
}

/// Runs a task, and a bystander that has to survive it.
fn beside_a_bystander<F: Future + 'static>(
    future: F,
) -> Result<F::Output, crate::task::join_error::JoinError> {
    let executor = executor();
    let (task, bystander) = {
        let _entered = executor.enter();
        (spawn(future), spawn(async { wait_once().await }))
    };
    turn(&executor);
    let _entered = executor.enter();
    assert!(!bystander.is_finished());
    bystander.abort();
    executor.run_up_to(1);
    assert!(joined(bystander).unwrap_err().is_cancelled());
    joined(task)
}

#[test]
fn a_panic_of_a_poll_reaches_the_join_handle() {
    let census = Arc::new(Census::default());
    let guest = census.guest();
    let error = beside_a_bystander(async move { throw(guest) }).unwrap_err();
    assert!(error.is_panic());
    assert_eq!(census.left(), 1, "the payload is in the error");
    drop(error.into_panic());
    census.assert_all_dropped_by_owner();
}

#[test]
fn a_panic_while_the_future_is_dropped_reaches_the_join_handle() {
    let census = Arc::new(Census::default());
    let output = census.guest();
    let mut guard = Some(panics_in_drop());
    let future = poll_fn(move |_| {
        let _ = &mut guard;
        Poll::Ready(7)
    });
    let error = beside_a_bystander(future).unwrap_err();
    assert!(error.is_panic());
    // Its drop would panic again.
    std::mem::forget(error);
    drop(output);
    census.assert_all_dropped_by_owner();
}

/// A task is half way from its future to its output when a simulation hears of the panic.
#[cfg(feature = "sim")]
#[test]
fn a_simulated_kernel_that_is_in_a_call_has_no_future_dropped_twice() {
    use crate::sys::sim::{World, enter};
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    let kernel = Rc::new(RefCell::new(World::new(1).expect("/dev/null can be opened")));
    let (_inside, _call) = (enter(kernel.clone()), kernel.borrow_mut());
    let drops = Rc::new(Cell::new(0));
    let counted = drops.clone();
    let mut guard = OnDrop(move || {
        counted.set(counted.get() + 1);
        throw(());
    });
    let future = poll_fn(move |_| {
        let _ = &mut guard;
        Poll::Ready(7)
    });
    assert!(beside_a_bystander(future).unwrap_err().is_panic());
    assert_eq!(drops.get(), 1);
}

#[test]
fn poll_and_drop_and_payload_may_all_panic() {
    let mut guard = Some(panics_in_drop());
    let future = poll_fn(move |_| -> Poll<()> {
        let _ = &mut guard;
        throw(PanicsAgain)
    });
    let error = beside_a_bystander(future).unwrap_err();
    assert!(error.is_panic());
    std::mem::forget(error);
}

#[test]
fn an_output_that_is_not_taken_may_panic_in_its_drop() {
    let executor = executor();
    let _entered = executor.enter();
    drop(spawn(async { panics_in_drop() }));
    let late = spawn(async { panics_in_drop() });
    executor.run_up_to(2);
    drop(late);
    assert_eq!(executor.tasks(), 0);
}

#[test]
fn every_future_is_dropped_with_its_executor_though_each_drop_panics() {
    let census = Arc::new(Census::default());
    let executor = executor();
    let handles: Vec<_> = {
        let _entered = executor.enter();
        let future = |polls_first: bool| {
            let (guest, guard) = (census.guest(), panics_in_drop());
            async move {
                let _kept = (guard, guest);
                if polls_first {
                    std::future::pending::<()>().await;
                }
            }
        };
        (0..10).map(|number| spawn(future(number % 2 == 0))).collect()
    };
    drop(executor);
    for handle in handles {
        let error = joined(handle).unwrap_err();
        assert!(error.is_panic(), "the destructor's panic takes the place of the cancellation");
        std::mem::forget(error);
    }
    census.assert_all_dropped_by_owner();
}

/// A waker of which one function panics: the one whose number is in its data.
fn waker_that_panics_in(function: usize) -> Waker {
    fn clone(data: *const ()) -> RawWaker {
        if data.addr() == 1 {
            throw("clone");
        }
        RawWaker::new(data, &VTABLE)
    }
    fn wake(data: *const ()) {
        if data.addr() == 2 {
            throw("wake");
        }
    }
    fn drop(data: *const ()) {
        if data.addr() == 3 {
            throw("drop");
        }
    }
    static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, drop);
    // SAFETY: the data is a number, and the functions only look at it.
    unsafe { Waker::new(std::ptr::without_provenance(function), &VTABLE) }
}

#[test]
fn a_waker_of_a_joiner_may_panic_in_each_of_its_functions() {
    for function in 1..=3 {
        let executor = executor();
        let _entered = executor.enter();
        let mut task = spawn(async { wait_once().await });
        executor.run_up_to(1);
        let waker = std::mem::ManuallyDrop::new(waker_that_panics_in(function));
        let mut poll = || Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending();
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(&mut poll));
        assert_eq!(polled.is_err(), function == 1, "only the clone is called by the poll");
        // Another waker takes its place: its drop may panic.
        let counting = Arc::new(CountingWaker::default());
        if function == 3 {
            let waker = Waker::from(counting.clone());
            assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
        }
        task.abort();
        executor.run_up_to(1);
        assert_eq!(counting.wakes.load(SeqCst), usize::from(function == 3));
        assert!(joined(task).unwrap_err().is_cancelled());
    }
}

#[test]
fn a_handle_whose_waker_panics_in_drop_can_be_dropped() {
    let executor = executor();
    let _entered = executor.enter();
    let mut task = spawn(async { wait_once().await });
    let waker = std::mem::ManuallyDrop::new(waker_that_panics_in(3));
    assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
    drop(task);
    assert_eq!(executor.tasks(), 1);
}

#[test]
fn a_job_may_panic_when_it_runs_and_when_it_is_refused() {
    let executor = executor();
    let ran = Arc::new(AtomicUsize::new(0));
    let post = || {
        let (ran, guard) = (ran.clone(), panics_in_drop());
        let posted = executor.shared().post(move || {
            let _guard = guard;
            ran.fetch_add(1, SeqCst);
        });
        assert!(posted.is_ok());
    };
    post();
    post();
    turn(&executor);
    assert_eq!(ran.load(SeqCst), 2);
    post();
    post();
    drop(executor);
    assert_eq!(ran.load(SeqCst), 2);
}

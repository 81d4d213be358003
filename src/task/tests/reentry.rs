//! Foreign code that comes back into the executor: from a future's drop, an output's, a waker's.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::*;
use crate::task::join::JoinHandle;

#[test]
fn a_drop_may_spawn_at_completion_and_at_the_executors_end() {
    let census = Arc::new(Census::default());
    let spawned = Rc::new(Cell::new(0));
    let spawns_in_drop = || {
        let (census, spawned) = (census.clone(), spawned.clone());
        OnDrop(move || {
            let guest = census.guest();
            drop(spawn(async move {
                let _guest = guest;
                wait_once().await;
            }));
            spawned.set(spawned.get() + 1);
        })
    };
    let executor = executor();
    let entered = executor.enter();
    let ends_with = |guard| async move { drop(guard) };
    let waits_with = |guard| async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    };
    // In the output's drop, in the future's, at completion and at the end, polled and not polled.
    drop(spawn(std::future::ready(spawns_in_drop())));
    drop(spawn(ends_with(spawns_in_drop())));
    drop(spawn(waits_with(spawns_in_drop())));
    executor.run_up_to(3);
    drop(spawn(waits_with(spawns_in_drop())));
    drop(entered);
    let job = SendAnyway(spawns_in_drop());
    assert!(executor.shared().post(move || drop(job)).is_ok());
    drop(executor);
    assert_eq!(spawned.get(), 5);
    census.assert_all_dropped_by_owner();
}

/// For a job that in truth never leaves the thread.
struct SendAnyway<T>(#[allow(dead_code)] T);
// SAFETY: the tests that use it post to an executor of their own thread.
unsafe impl<T> Send for SendAnyway<T> {}

/// A place where a task finds its own join handle.
type OwnHandle = Rc<RefCell<Option<JoinHandle<Guest>>>>;

#[test]
fn a_future_may_drop_or_abort_or_await_itself_in_its_drop() {
    for variant in 0..6 {
        let census = Arc::new(Census::default());
        let executor = executor();
        let entered = executor.enter();
        let own: OwnHandle = Rc::default();
        let (in_drop, in_poll) = (own.clone(), own.clone());
        let guard = OnDrop(move || match variant % 3 {
            0 => drop(in_drop.borrow_mut().take()),
            1 => in_drop.borrow().as_ref().unwrap().abort(),
            _ => assert!(join_now(in_drop.borrow_mut().as_mut().unwrap()).is_pending()),
        });
        let guest = census.guest();
        let task = spawn(poll_fn(move |cx| {
            let _ = (&guard, &guest);
            if let Some(own) = in_poll.borrow_mut().as_mut() {
                // It waits for itself.
                assert!(Pin::new(own).poll(cx).is_pending());
            }
            if variant < 3 { Poll::Pending } else { Poll::Ready(census.guest()) }
        }));
        *own.borrow_mut() = Some(task);
        executor.run_up_to(1);
        drop(entered);
        drop(executor);
        let outcome = own.borrow_mut().take().map(joined);
        assert_eq!(outcome.is_none(), variant % 3 == 0);
        if let Some(outcome) = outcome {
            assert_eq!(outcome.is_ok(), variant >= 3);
        }
    }
}

#[test]
fn two_tasks_that_await_each_other_are_dropped_with_their_executor() {
    let census = Arc::new(Census::default());
    let executor = executor();
    let entered = executor.enter();
    let slot: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
    let (their_slot, guests) = (slot.clone(), (census.guest(), census.guest()));
    let one = spawn(async move {
        let _guest = guests.0;
        let other = their_slot.borrow_mut().take().unwrap();
        drop(other.await);
    });
    let other = spawn(async move {
        let _guest = guests.1;
        drop(one.await);
    });
    *slot.borrow_mut() = Some(other);
    executor.run_up_to(10);
    assert_eq!(executor.tasks(), 2);
    drop(entered);
    drop(executor);
    census.assert_all_dropped_by_owner();
}

#[test]
fn a_drop_may_wake_and_abort_its_neighbours() {
    let census = Arc::new(Census::default());
    let executor = executor();
    let entered = executor.enter();
    let wakers: Rc<RefCell<Vec<Waker>>> = Rc::default();
    let handles: Rc<RefCell<Vec<JoinHandle<()>>>> = Rc::default();
    for _ in 0..5 {
        let (all_wakers, all_handles) = (wakers.clone(), handles.clone());
        let guard = OnDrop(move || {
            all_wakers.borrow().iter().for_each(Waker::wake_by_ref);
            all_handles.borrow().iter().for_each(JoinHandle::abort);
        });
        let (guest, wakers) = (census.guest(), wakers.clone());
        handles.borrow_mut().push(spawn(poll_fn(move |cx| {
            let _ = (&guard, &guest);
            wakers.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })));
    }
    executor.run_up_to(5);
    handles.borrow()[2].abort();
    executor.run_up_to(1);
    assert_eq!(executor.tasks(), 4);
    drop(entered);
    drop(executor);
    for handle in handles.take() {
        assert!(joined(handle).unwrap_err().is_cancelled());
    }
    census.assert_all_dropped_by_owner();
}

/// What to call back; taken by the first call.
type Callback = Cell<Option<Box<dyn FnOnce()>>>;

/// A waker that calls back when it is cloned, woken or dropped.
#[derive(Default)]
struct CallsBack {
    on_clone: Callback,
    on_wake: Callback,
    on_drop: Callback,
}

impl CallsBack {
    /// Its waker, which counts nothing: `self` must outlive it and all its clones.
    fn waker(&self) -> Waker {
        static VTABLE: RawWakerVTable = RawWakerVTable::new(
            |data| {
                call(|waker| &waker.on_clone, data);
                RawWaker::new(data, &VTABLE)
            },
            |data| call(|waker| &waker.on_wake, data),
            |data| call(|waker| &waker.on_wake, data),
            |data| call(|waker| &waker.on_drop, data),
        );
        fn call(which: fn(&CallsBack) -> &Callback, data: *const ()) {
            // SAFETY: the data is a `CallsBack`, which in these tests outlives its wakers and stays
            // on its thread.
            if let Some(back) = which(unsafe { &*data.cast::<CallsBack>() }).take() {
                back();
            }
        }
        // SAFETY: as above.
        unsafe { Waker::new(std::ptr::from_ref(self).cast(), &VTABLE) }
    }
}

#[test]
fn a_task_that_ends_while_its_joiners_waker_is_cloned_is_not_missed() {
    let executor = Rc::new(executor());
    let mut task = {
        let _entered = executor.enter();
        spawn(async { 7 })
    };
    let back = CallsBack::default();
    let its_executor = executor.clone();
    back.on_clone.set(Some(Box::new(move || turn(&its_executor))));
    let waker = back.waker();
    let Poll::Ready(output) = Pin::new(&mut task).poll(&mut Context::from_waker(&waker)) else {
        panic!("it has ended, and no wake is going to come")
    };
    assert_eq!(output.unwrap(), 7);
    drop(task);
}

#[test]
fn a_task_that_ends_while_its_joiners_waker_is_dropped_leaves_no_output_behind() {
    let census = Arc::new(Census::default());
    let executor = Rc::new(executor());
    let mut task = {
        let _entered = executor.enter();
        let guest = census.guest();
        spawn(async { guest })
    };
    let back = CallsBack::default();
    let waker = back.waker();
    assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
    std::mem::forget(waker);
    let its_executor = executor.clone();
    back.on_drop.set(Some(Box::new(move || turn(&its_executor))));
    drop(task);
    census.assert_all_dropped_by_owner();
}

#[test]
fn a_joiners_waker_may_spawn_and_drop_the_handle_when_it_is_woken() {
    let census = Arc::new(Census::default());
    let executor = executor();
    let entered = executor.enter();
    let guest = census.guest();
    let handle = Rc::new(RefCell::new(Some(spawn(async { guest }))));
    let back = CallsBack::default();
    let waker = back.waker();
    let polled = Pin::new(handle.borrow_mut().as_mut().unwrap())
        .poll(&mut Context::from_waker(&waker))
        .is_pending();
    assert!(polled);
    let (its_handle, its_census) = (handle.clone(), census.clone());
    back.on_wake.set(Some(Box::new(move || {
        drop(its_handle.borrow_mut().take());
        let guest = its_census.guest();
        drop(spawn(async { drop(guest) }));
    })));
    executor.run_up_to(10);
    assert_eq!((executor.tasks(), handle.borrow().is_none()), (0, true));
    drop(entered);
    census.assert_all_dropped_by_owner();
}

#[test]
fn a_joiners_waker_is_cloned_only_when_it_changes() {
    let (back, cloned_again) = (CallsBack::default(), Rc::new(Cell::new(false)));
    let executor = executor();
    let _entered = executor.enter();
    let mut task = spawn(async { wait_once().await });
    let waker = back.waker();
    assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
    let in_clone = cloned_again.clone();
    back.on_clone.set(Some(Box::new(move || in_clone.set(true))));
    assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(!cloned_again.get());
    let counting = Arc::new(CountingWaker::default());
    let other = Waker::from(counting.clone());
    assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&other)).is_pending());
    assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(cloned_again.get());
    assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&other)).is_pending());
    task.abort();
    executor.run_up_to(1);
    assert_eq!(counting.wakes.load(SeqCst), 1);
}

#[test]
fn an_executor_cannot_be_run_from_inside_itself() {
    let executor = Rc::new(executor());
    let _entered = executor.enter();
    let its_executor = executor.clone();
    let task = spawn(async move { its_executor.run_up_to(1) });
    executor.run_up_to(1);
    assert!(joined(task).unwrap_err().is_panic());
    let still_works = spawn(async { 7 });
    executor.run_up_to(1);
    assert_eq!(joined(still_works).unwrap(), 7);
}

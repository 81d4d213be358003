//! Jobs, and executors without a thread: what was sent is run or dropped, once, and in order.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use super::*;

#[test]
fn jobs_run_in_the_order_of_their_posts_on_the_owners_thread() {
    let executor = executor();
    let owner = thread::current().id();
    let order = Arc::new(Mutex::new(Vec::new()));
    let done = Arc::new(AtomicUsize::new(0));
    thread::scope(|scope| {
        for number in 0..4 {
            let (shared, order, done) = (executor.shared(), order.clone(), done.clone());
            scope.spawn(move || {
                for step in 0..500 {
                    let order = order.clone();
                    let posted = shared.post(move || {
                        assert_eq!(thread::current().id(), owner);
                        order.lock().unwrap().push((number, step));
                    });
                    assert!(posted.is_ok());
                }
                done.fetch_add(1, SeqCst);
                assert!(shared.post(|| {}).is_ok());
            });
        }
        turn_until(&executor, || {
            executor.open_mail(7);
            done.load(SeqCst) == 4 && !executor.has_mail()
        });
    });
    let order = order.lock().unwrap();
    assert_eq!(order.len(), 2000);
    for number in 0..4 {
        let steps = order.iter().filter(|entry| entry.0 == number).map(|entry| entry.1);
        assert!(steps.eq(0..500), "the posts of one thread keep their order");
    }
}

/// A thread that waits for the executor's end would take it for stuck.
#[test]
fn an_owner_that_takes_a_mountain_of_mail_out_is_seen_to_go_on() {
    let executor = executor();
    for _ in 0..10_000 {
        assert!(executor.shared().post(|| {}).is_ok());
    }
    let before = executor.shared().steps();
    let _entered = executor.enter();
    executor.open_mail(1);
    assert!(executor.shared().steps() > before);
}

/// Each job is run, or dropped by the executor's end on its thread, or given back to its sender.
#[test]
fn a_job_posted_while_the_executor_ends_is_dropped_once() {
    for _ in 0..200 {
        let executor = executor();
        let owner = thread::current().id();
        let census = Arc::new(Census::default());
        let given_back = AtomicUsize::new(0);
        let accepted = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                let (shared, census) = (executor.shared(), census.clone());
                let (given_back, accepted) = (&given_back, &accepted);
                scope.spawn(move || {
                    let post = || {
                        let guest = census.guest_of(owner);
                        accepted.fetch_add(1, SeqCst);
                        shared.post(move || drop(guest))
                    };
                    // An end, as the owner may be late: memory is not to be filled meanwhile.
                    if (0..500).any(|_| post().is_err()) {
                        given_back.fetch_add(1, SeqCst);
                    }
                });
            }
            turn_until(&executor, || accepted.load(SeqCst) > 50);
            drop(executor);
        });
        assert_eq!(census.left(), 0);
        // Those that came back, and no others, were dropped by their senders.
        assert_eq!(census.dropped_elsewhere.load(SeqCst), given_back.load(SeqCst));
    }
}

#[test]
fn an_executor_that_is_never_bound_drops_its_mail_and_refuses_more() {
    let census = Arc::new(Census::default());
    let unbound = UnboundExecutor::new(Arc::new(Unpark(thread::current())));
    let shared = unbound.shared();
    for _ in 0..3 {
        let guest = census.guest();
        assert!(shared.post(move || drop(guest)).is_ok());
    }
    let remote = crate::task::remote::spawn_on(&shared, || async { 7 });
    let on_another_thread = thread::spawn(move || {
        let shared = unbound.shared();
        drop(unbound);
        shared
    });
    let other = on_another_thread.join().unwrap();
    assert_eq!(census.left(), 0);
    assert!(shared.post(|| {}).is_err());
    assert!(joined(remote).unwrap_err().is_cancelled());
    assert!(
        joined(crate::task::remote::spawn_on(&other, || async { 7 })).unwrap_err().is_cancelled()
    );
}

#[test]
fn an_executor_takes_mail_before_it_is_bound() {
    let unbound = UnboundExecutor::new(Arc::new(Unpark(thread::current())));
    let shared = unbound.shared();
    let task = crate::task::remote::spawn_on(&shared, || async { thread::current().id() });
    let owner = thread::spawn(move || {
        turn(&unbound.bind());
        thread::current().id()
    });
    assert_eq!(owner.join().unwrap(), joined(task).unwrap());
}

/// Whichever of the two lets the task go, the other one must not: what a sanitizer sees.
#[test]
fn a_task_that_ends_in_the_run_queue_and_in_the_mail_is_freed_once() {
    let executor = executor();
    let _entered = executor.enter();
    for wakes_itself_first in [false, true] {
        drop(spawn(std::future::poll_fn(move |cx| {
            if wakes_itself_first {
                cx.waker().wake_by_ref();
            }
            let waker = cx.waker();
            thread::scope(|scope| scope.spawn(|| waker.wake_by_ref()).join()).unwrap();
            if !wakes_itself_first {
                cx.waker().wake_by_ref();
            }
            Poll::Ready(())
        })));
        // The end, then what is left of it in the mail and in the queue.
        for _ in 0..3 {
            executor.run_up_to(1);
        }
        assert!(!executor.has_work());
        turn(&executor);
    }
}

/// Queued once more it would be freed twice: it would give up the executor's reference again.
#[test]
fn a_wake_on_the_owners_thread_after_the_end_of_a_task_does_nothing() {
    let executor = executor();
    let _entered = executor.enter();
    for (keeps_handle, is_aborted) in [(true, false), (true, true), (false, false)] {
        let slot = Rc::new(RefCell::new(None));
        let its_slot = slot.clone();
        let task = spawn(std::future::poll_fn(move |cx| {
            let clones: [Waker; 3] = std::array::from_fn(|_| cx.waker().clone());
            *its_slot.borrow_mut() = Some(clones);
            Poll::Ready(())
        }));
        let kept = keeps_handle.then_some(task);
        turn(&executor);
        let wakes = executor.wakes();
        let [one, other, last] = slot.take().unwrap();
        one.wake_by_ref();
        assert!(!executor.has_work(), "a task that has ended is in the run queue");
        one.wake();
        drop(other);
        if is_aborted {
            kept.as_ref().inspect(|task| task.abort());
        }
        last.wake();
        assert!(!executor.has_work());
        assert_eq!(executor.wakes(), wakes);
        if let Some(task) = kept {
            joined(task).unwrap();
        }
    }
}

#[test]
fn what_is_spawned_after_the_tasks_were_cancelled_is_cancelled_at_once() {
    let census = Arc::new(Census::default());
    let executor = executor();
    let _entered = executor.enter();
    executor.cancel_tasks();
    let guest = census.guest();
    let task = spawn(async move { drop(guest) });
    assert_eq!((census.left(), executor.tasks()), (0, 0));
    assert!(joined(task).unwrap_err().is_cancelled());
    turn(&executor);
}

/// Spawns two futures that hold one of these each, when it is dropped.
struct Doubles(Arc<AtomicUsize>);

impl Drop for Doubles {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
        for _ in 0..2 {
            let again = Doubles(self.0.clone());
            drop(spawn(async move { drop(again) }));
        }
    }
}

/// A stack of any size would overflow here, and a loop go on until the memory is full.
#[test]
fn destructors_that_spawn_their_own_kind_cannot_keep_the_end_from_coming() {
    let census = Arc::new(Census::default());
    let drops = Arc::new(AtomicUsize::new(0));
    let executor = executor();
    let entered = executor.enter();
    let doubles = Doubles(drops.clone());
    let endless = spawn(async move { drop(doubles) });
    let guests: Vec<_> = (0..10)
        .map(|_| {
            let mut guest = Some(census.guest());
            let polite = OnDrop(move || {
                drop(spawn({
                    let guest = guest.take();
                    async move { drop(guest) }
                }))
            });
            spawn(async move { drop(polite) })
        })
        .collect();
    executor.cancel_tasks();
    assert_eq!(executor.tasks(), 0);
    assert_eq!(census.left(), 0, "the others are none the worse");
    assert!(drops.load(SeqCst) > 1000);
    let after = drops.load(SeqCst);
    drop(spawn(async {}));
    drop(entered);
    drop(executor);
    assert_eq!(drops.load(SeqCst), after);
    assert!(joined(endless).unwrap_err().is_cancelled());
    guests.into_iter().for_each(|task| assert!(joined(task).unwrap_err().is_cancelled()));
}

/// What a destructor spawns is there when it gets the handle, and is gone when the end is through.
#[test]
fn what_a_destructor_spawns_at_the_end_is_dropped_after_it() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let executor = executor();
    let _entered = executor.enter();
    let late = Rc::new(RefCell::new(None));
    let first = {
        let (order, late) = (order.clone(), late.clone());
        OnDrop(move || {
            let inner = order.clone();
            let second = OnDrop(move || inner.borrow_mut().push("second"));
            *late.borrow_mut() = Some(spawn(async move { drop(second) }));
            order.borrow_mut().push("first");
        })
    };
    drop(spawn(async move { drop(first) }));
    executor.cancel_tasks();
    assert_eq!(*order.borrow(), ["first", "second"]);
    assert!(joined(late.take().unwrap()).unwrap_err().is_cancelled());
}

#[test]
fn mail_that_was_taken_out_and_not_opened_keeps_the_owner_awake() {
    let executor = executor();
    let _entered = executor.enter();
    for _ in 0..3 {
        assert!(executor.shared().post(|| {}).is_ok());
    }
    executor.open_mail(1);
    assert!(!executor.park() && executor.has_work());
    executor.open_mail(2);
    assert!(executor.park() && executor.park(), "announcing it twice is no harm");
    executor.unpark();
}

/// The thread-local's destructor runs when others of its thread may be gone already.
#[test]
fn an_executor_in_a_thread_local_is_dropped_at_the_threads_end() {
    thread_local! {
        static EXECUTOR: RefCell<Option<Executor>> = const { RefCell::new(None) };
    }
    let census = Arc::new(Census::default());
    let waker = Arc::new(Mutex::new(None));
    let (its_census, its_waker) = (census.clone(), waker.clone());
    thread::spawn(move || {
        let executor = executor();
        let guest = its_census.guest();
        let entered = executor.enter();
        drop(spawn(async move {
            let _guest = guest;
            std::future::poll_fn::<(), _>(|cx| {
                *its_waker.lock().unwrap() = Some(cx.waker().clone());
                Poll::Pending
            })
            .await;
        }));
        executor.run_up_to(1);
        drop(entered);
        EXECUTOR.set(Some(executor));
    })
    .join()
    .unwrap();
    census.assert_all_dropped_by_owner();
    let waker: Waker = waker.lock().unwrap().take().unwrap();
    waker.wake();
}

#[test]
fn a_join_handle_may_outlive_its_executor() {
    let census = Arc::new(Census::default());
    let executor = executor();
    let entered = executor.enter();
    let guest = census.guest();
    let ended = spawn(async { guest });
    let unread = spawn(async { [0u8; 4096] });
    executor.run_up_to(2);
    let cancelled = spawn(std::future::pending::<()>());
    drop(entered);
    drop(executor);
    let kept = Rc::new(joined(ended).unwrap());
    assert_eq!(census.left(), 1);
    drop(kept);
    drop(unread);
    cancelled.abort();
    assert!(cancelled.is_finished());
    assert!(joined(cancelled).unwrap_err().is_cancelled());
    census.assert_all_dropped_by_owner();
}

//! Wakers on eight threads: before, during and after completion, and after the executor's end.

use std::future::poll_fn;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::sync::mpsc::sync_channel;
use std::task::{Context, Poll, Waker};
use std::thread;

use super::*;

/// Fewer under valgrind, which is fifty times slower and runs one thread at a time.
fn rounds(of_a_real_run: usize) -> usize {
    if std::env::var_os("COREPOLL_SLOW").is_some() {
        of_a_real_run.div_ceil(40)
    } else {
        of_a_real_run
    }
}

/// Wakers that pass from thread to thread.
#[derive(Default)]
struct Pool {
    wakers: Mutex<Vec<Waker>>,
    closed: AtomicBool,
}

impl Pool {
    fn put(&self, waker: Waker) {
        self.wakers.lock().unwrap().push(waker);
    }

    /// Takes some waker out: another than one's own last one, most of the time.
    fn take(&self, unbound: usize) -> Option<Waker> {
        let mut wakers = self.wakers.lock().unwrap();
        let length = wakers.len();
        (length > 0).then(|| wakers.swap_remove(unbound % length))
    }

    /// Does everything that can be done to wakers, until the pool is closed and empty.
    fn torment(&self, thread: usize) {
        let mut step = thread;
        loop {
            step = step.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(3_037_000_493);
            let Some(waker) = self.take(step >> 32) else {
                if self.closed.load(Acquire) {
                    return;
                }
                thread::yield_now();
                continue;
            };
            match (step >> 40) % 6 {
                0 => waker.wake(),
                1 => drop(waker),
                2 => waker.wake_by_ref(),
                3 => {
                    let (one, other) = (waker.clone(), waker.clone());
                    one.wake();
                    drop(waker);
                    other.wake();
                }
                // Back into the pool, where another thread drops it. Never more than there were,
                // so that a closed pool runs empty.
                4 if !self.closed.load(Acquire) => self.put(waker),
                _ => waker.clone().wake_by_ref(),
            }
        }
    }
}

/// A task that gives its wakers away, and ends in one of four ways after some polls.
async fn tormented(pool: &'static Pool, census: Arc<Census>, number: usize) -> Guest {
    let _future = census.guest();
    let polls = 1 + number % 5;
    let mut left = polls;
    poll_fn(|cx| {
        for _ in 0..=number % 3 {
            pool.put(cx.waker().clone());
        }
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        // So that it ends even if all of its wakers are dropped.
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    if number.is_multiple_of(7) {
        throw(census.guest());
    }
    census.guest()
}

/// Spawns tasks, some of which are joined, aborted or let go, and lets the threads have them.
fn spawn_tormented(executor: &Executor, pool: &'static Pool, census: &Arc<Census>, tasks: usize) {
    let _entered = executor.enter();
    for number in 0..tasks {
        let handle = spawn(tormented(pool, census.clone(), number));
        match number % 4 {
            0 => drop(handle),
            1 => handle.abort(),
            2 => drop(spawn(async move { drop(handle.await) })),
            _ => drop(spawn(async move {
                wait_once().await;
                drop(handle);
            })),
        }
    }
}

#[test]
fn wakers_on_eight_threads_before_during_and_after_completion() {
    let census = Arc::new(Census::default());
    for _ in 0..rounds(40) {
        let pool: &'static Pool = Box::leak(Box::default());
        thread::scope(|scope| {
            for number in 0..8 {
                scope.spawn(move || pool.torment(number));
            }
            let executor = executor();
            for _ in 0..10 {
                spawn_tormented(&executor, pool, &census, 40);
                turn(&executor);
            }
            // While the threads go on: tasks that have not ended end here.
            drop(executor);
            assert_eq!(census.left(), 0, "all is dropped with the executor, wakers or no wakers");
            pool.closed.store(true, Release);
        });
        // SAFETY: it was leaked above, and all its users have been joined.
        drop(unsafe { Box::from_raw(std::ptr::from_ref(pool).cast_mut()) });
    }
    census.assert_all_dropped_by_owner();
}

#[test]
fn the_executor_ends_while_eight_threads_wake() {
    for _ in 0..rounds(400) {
        let census = Arc::new(Census::default());
        let executor = executor();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let newest = Arc::new(Mutex::new(None::<Waker>));
            let (task_newest, task_census) = (newest.clone(), census.clone());
            let entered = executor.enter();
            let task = spawn(async move {
                let _future = task_census.guest();
                poll_fn::<(), _>(|cx| {
                    // One at a time: how often it is polled is up to the threads.
                    *task_newest.lock().unwrap() = Some(cx.waker().clone());
                    Poll::Pending
                })
                .await;
            });
            executor.run_up_to(1);
            drop(entered);
            let waker = newest.lock().unwrap().take().unwrap();
            for _ in 0..8 {
                let (waker, stop) = (waker.clone(), &stop);
                scope.spawn(move || {
                    while !stop.load(Relaxed) {
                        let clone = waker.clone();
                        waker.wake_by_ref();
                        clone.wake();
                    }
                    waker.wake();
                });
            }
            drop(waker);
            // So many polls and no more: the threads find work for the executor for ever.
            let entered = executor.enter();
            executor.run_up_to(16);
            drop(entered);
            drop(newest);
            drop(executor);
            assert!(joined(task).unwrap_err().is_cancelled());
            stop.store(true, Relaxed);
        });
        census.assert_all_dropped_by_owner();
    }
}

/// No lock and no channel is in this one, nor anything else that orders the threads but wakers and
/// their end: so ThreadSanitizer sees what it is about, also where std is not instrumented.
#[test]
fn threads_that_have_nothing_but_wakers_see_each_others_memory_in_order() {
    struct Silent;
    impl Bell for Silent {
        fn ring(&self) {}
    }
    for round in 0..rounds(200) {
        let executor = UnboundExecutor::new(Arc::new(Silent)).bind();
        let entered = executor.enter();
        let slot = std::rc::Rc::new(std::cell::Cell::new(None));
        let its_slot = slot.clone();
        let mut polls = 0;
        let task = spawn(poll_fn(move |cx| {
            polls += 1;
            if polls == 1 {
                its_slot.set(Some(cx.waker().clone()));
            }
            // In some rounds it ends while it is woken, in others with its executor.
            if polls > 2 + round % 3 { Poll::Ready(()) } else { Poll::Pending }
        }));
        executor.run_up_to(1);
        let waker: Waker = slot.take().expect("it was polled");
        let threads = [(); 4].map(|()| {
            let waker = waker.clone();
            thread::spawn(move || {
                for _ in 0..20 {
                    let clone = waker.clone();
                    waker.wake_by_ref();
                    clone.wake();
                }
                waker.wake();
            })
        });
        drop(waker);
        executor.run_up_to(round % 8);
        drop(entered);
        drop(executor);
        for thread in threads {
            thread.join().unwrap();
        }
        drop(task);
    }
}

#[test]
fn every_wake_is_followed_by_a_poll_that_sees_what_was_written_before() {
    const THREADS: usize = 8;
    let each = rounds(20_000);
    let executor = executor();
    let counts: Arc<[AtomicUsize; THREADS]> = Arc::default();
    let seen = counts.clone();
    let slot = Arc::new(Mutex::new(None::<Waker>));
    let task_slot = slot.clone();
    let entered = executor.enter();
    let task = spawn(poll_fn(move |cx| {
        task_slot.lock().unwrap().get_or_insert_with(|| cx.waker().clone());
        let all = seen.iter().all(|count| count.load(Relaxed) == each);
        if all { Poll::Ready(()) } else { Poll::Pending }
    }));
    executor.run_up_to(1);
    drop(entered);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (counts, slot) = (&counts, &slot);
            scope.spawn(move || {
                let waker = slot.lock().unwrap().clone().unwrap();
                for _ in 0..each {
                    // Relaxed: the wake has to carry it over.
                    counts[number].fetch_add(1, Relaxed);
                    waker.wake_by_ref();
                }
            });
        }
        turn_until(&executor, || task.is_finished());
    });
    joined(task).unwrap();
}

/// The limits on counts are low in tests: either direction would abort the process here.
#[test]
fn references_made_on_one_side_and_dropped_on_the_other_do_not_add_up() {
    let executor = executor();
    let _entered = executor.enter();
    let (send, receive) = sync_channel::<Waker>(16);
    let (send_back, receive_back) = sync_channel::<Waker>(16);
    let census = Arc::new(Census::default());
    let guest = census.guest();
    let mut polls_left = rounds(20_000);
    let task = spawn(poll_fn(move |cx| {
        let _ = &guest;
        if polls_left == 0 {
            return Poll::Ready(());
        }
        polls_left -= 1;
        send.send(cx.waker().clone()).unwrap();
        Poll::Pending
    }));
    let other = thread::spawn(move || {
        for waker in receive {
            // One more here, dropped there; and one from there, dropped here, by its wake.
            let _ = send_back.try_send(waker.clone());
            waker.wake();
        }
    });
    turn_until(&executor, || {
        receive_back.try_iter().for_each(drop);
        task.is_finished()
    });
    other.join().unwrap();
    drop(receive_back);
    joined(task).unwrap();
    census.assert_all_dropped_by_owner();
}

/// More than the owner's own count can hold.
#[test]
fn references_made_by_the_owner_and_dropped_elsewhere_only_do_not_add_up() {
    let executor = executor();
    let _entered = executor.enter();
    let census = Arc::new(Census::default());
    let guest = census.guest();
    let each = rounds(400);
    let task = spawn(poll_fn(move |cx| {
        let _ = &guest;
        for _ in 0..100 {
            let clones: Vec<Waker> = (0..each).map(|_| cx.waker().clone()).collect();
            thread::spawn(move || drop(clones)).join().unwrap();
        }
        Poll::Ready(())
    }));
    turn(&executor);
    joined(task).unwrap();
    census.assert_all_dropped_by_owner();
}

#[test]
fn references_dropped_by_the_owner_only_do_not_add_up() {
    let executor = executor();
    let _entered = executor.enter();
    let (send, receive) = sync_channel::<Waker>(16);
    let mut first = None;
    let task = spawn(poll_fn::<(), _>(move |cx| {
        let waker = cx.waker().clone();
        first.get_or_insert_with(|| {
            let send = send.clone();
            // Never wakes: nothing but the clones and drops changes the counts.
            thread::spawn(move || while send.send(waker.clone()).is_ok() {})
        });
        Poll::Pending
    }));
    executor.run_up_to(1);
    receive.iter().take(rounds(20_000)).for_each(drop);
    drop(receive);
    task.abort();
    turn(&executor);
}

/// A waker that is borrowed by other threads for the time of one poll, and cloned there.
#[test]
fn a_poll_may_lend_its_waker_to_other_threads() {
    let executor = executor();
    let _entered = executor.enter();
    let mut polls = 0;
    let task = spawn(poll_fn(move |cx: &mut Context<'_>| {
        let waker = cx.waker();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(move || {
                    let clone = waker.clone();
                    waker.wake_by_ref();
                    clone.wake();
                });
            }
        });
        polls += 1;
        if polls == 5 { Poll::Ready(()) } else { Poll::Pending }
    }));
    turn_until(&executor, || task.is_finished());
    joined(task).unwrap();
}

#[test]
fn a_wake_after_the_end_of_the_poller_does_nothing() {
    let slot = Arc::new(Mutex::new(None::<Waker>));
    let executor = executor();
    let task_slot = slot.clone();
    let entered = executor.enter();
    let task = spawn(poll_fn::<(), _>(move |cx| {
        *task_slot.lock().unwrap() = Some(cx.waker().clone());
        Poll::Pending
    }));
    executor.run_up_to(1);
    drop(entered);
    drop(executor);
    let waker = slot.lock().unwrap().take().unwrap();
    let clones: Vec<Waker> = (0..8).map(|_| waker.clone()).collect();
    waker.wake();
    thread::scope(|scope| {
        for clone in clones {
            scope.spawn(move || {
                let increment_local = clone.clone();
                increment_local.wake();
                clone.wake_by_ref();
            });
        }
    });
    task.abort();
    assert!(joined(task).unwrap_err().is_cancelled());
}

#[test]
fn a_task_may_await_a_task_of_another_executor_of_its_thread() {
    let (here, there) = (executor(), executor());
    let inner = {
        let _entered = here.enter();
        spawn(async { 7 })
    };
    let outer = {
        let _entered = there.enter();
        spawn(inner)
    };
    turn(&there);
    turn(&here);
    assert!(!outer.is_finished());
    turn(&there);
    assert_eq!(joined(outer).unwrap().unwrap(), 7);
}

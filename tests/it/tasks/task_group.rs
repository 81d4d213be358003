//! Tasks that are awaited together: in the order of their ends, each once, and not after the group.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::common;
use corepoll::{AbortOnDrop, TaskGroup, block_on, spawn_local, time, unconstrained, yield_now};

/// Ends when it is told to, and counts how often it is polled.
#[derive(Default)]
struct Signal {
    open: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    polls: Cell<usize>,
}

impl Signal {
    fn fire(&self) {
        self.open.set(true);
        let waker = self.waker.take();
        waker.into_iter().for_each(Waker::wake);
    }

    async fn wait(self: Rc<Self>) {
        poll_fn(|cx| {
            self.polls.set(self.polls.get() + 1);
            if self.open.get() {
                return Poll::Ready(());
            }
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Says in a shared cell that it was dropped.
struct Dropped(Rc<Cell<usize>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn outputs_come_in_the_order_in_which_tasks_end() {
    block_on(async {
        let signals: Vec<Rc<Signal>> = (0..5).map(|_| Rc::default()).collect();
        let mut group = TaskGroup::new();
        for (n, signal) in signals.iter().enumerate() {
            let signal = signal.clone();
            group.spawn(async move {
                signal.wait().await;
                n
            });
        }
        yield_now().await;
        let order = [3, 0, 4, 1, 2];
        order.iter().for_each(|n| signals[*n].fire());
        for n in order {
            assert_eq!(group.next().await.unwrap().unwrap(), n);
        }
        assert!(group.next().await.is_none(), "an empty group ends at once");
    });
}

#[test]
fn an_end_polls_no_other_task() {
    const MEMBERS: usize = 3_000;
    block_on(async {
        let signals: Vec<Rc<Signal>> = (0..MEMBERS).map(|_| Rc::default()).collect();
        let mut group = TaskGroup::new();
        signals.iter().for_each(|signal| group.spawn(signal.clone().wait()));
        let polls = || signals.iter().map(|signal| signal.polls.get()).sum::<usize>();
        for _ in 0..MEMBERS / 100 {
            yield_now().await;
        }
        assert_eq!(polls(), MEMBERS);
        for (ended, signal) in signals.iter().rev().enumerate() {
            signal.fire();
            group.next().await.unwrap().unwrap();
            assert_eq!((polls(), group.len()), (MEMBERS + ended + 1, MEMBERS - ended - 1));
        }
    });
}

#[test]
fn dropping_next_loses_no_output() {
    block_on(async {
        let signal = Rc::new(Signal::default());
        let mut group = TaskGroup::new();
        group.spawn({
            let signal = signal.clone();
            async move {
                signal.wait().await;
                "kept"
            }
        });
        for _ in 0..3 {
            let late = time::timeout(Duration::ZERO, group.next()).await;
            assert!(late.is_err());
        }
        signal.fire();
        {
            // Polled once before the task ends, and dropped after.
            let mut next = pin!(group.next());
            let now = poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await;
            assert!(now.is_pending());
            yield_now().await;
            yield_now().await;
        }
        assert_eq!(group.next().await.unwrap().unwrap(), "kept");
    });
}

#[test]
fn a_dropped_join_all_takes_nothing() {
    block_on(async {
        let (first, second) = (Rc::new(Signal::default()), Rc::new(Signal::default()));
        let mut group = TaskGroup::new();
        group.spawn(first.clone().wait());
        group.spawn(second.clone().wait());
        first.fire();
        let late = time::timeout(Duration::from_millis(5), group.join_all()).await;
        assert!(late.is_err());
        assert_eq!(group.len(), 2);
        second.fire();
        assert_eq!(group.join_all().await.len(), 2);
        assert!(group.is_empty() && group.join_all().await.is_empty());
    });
}

#[test]
fn panics_and_aborts_come_out_as_errors() {
    block_on(async {
        let mut group: TaskGroup<u32> = TaskGroup::new();
        group.spawn(async { common::panic_on_purpose() });
        assert!(group.next().await.unwrap().unwrap_err().is_panic());
        let dropped = Rc::new(Cell::new(0));
        let witness = Dropped(dropped.clone());
        group.spawn(async { 7 });
        group.spawn(async move {
            let _witness = witness;
            pending().await
        });
        yield_now().await;
        group.abort_all();
        assert_eq!(group.len(), 2);
        assert_eq!(group.next().await.unwrap().unwrap(), 7, "it had ended before the abort");
        assert!(group.next().await.unwrap().unwrap_err().is_cancelled());
        assert_eq!(dropped.get(), 1);
        // The group goes on after an abort.
        group.spawn(async { 8 });
        assert_eq!(group.next().await.unwrap().unwrap(), 8);
    });
}

#[test]
fn the_tasks_end_with_the_group() {
    block_on(async {
        let dropped = Rc::new(Cell::new(0));
        let mut group = TaskGroup::new();
        for _ in 0..10 {
            let witness = Dropped(dropped.clone());
            group.spawn(async move {
                let _witness = witness;
                pending::<()>().await;
            });
        }
        yield_now().await;
        drop(group);
        yield_now().await;
        assert_eq!(dropped.get(), 10);
    });
}

/// A waker that polls the group from inside of its `wake`.
#[test]
fn a_waker_may_poll_the_group_from_inside_the_end_of_a_task() {
    struct Reenter;
    thread_local! {
        static GROUP: RefCell<Option<TaskGroup<u32>>> = const { RefCell::new(None) };
        static POLLED: Cell<usize> = const { Cell::new(0) };
    }
    impl std::task::Wake for Reenter {
        fn wake(self: std::sync::Arc<Self>) {
            let taken = GROUP.with(|group| group.borrow_mut().take());
            let Some(mut group) = taken else { return };
            POLLED.set(POLLED.get() + 1);
            let waker = Waker::noop();
            assert!(group.poll_next(&mut Context::from_waker(waker)).is_pending());
            GROUP.with(|slot| *slot.borrow_mut() = Some(group));
        }
    }
    block_on(async {
        let mut group = TaskGroup::new();
        group.spawn(async {
            yield_now().await;
            5
        });
        let waker = Waker::from(std::sync::Arc::new(Reenter));
        assert!(group.poll_next(&mut Context::from_waker(&waker)).is_pending());
        GROUP.with(|slot| *slot.borrow_mut() = Some(group));
        yield_now().await;
        yield_now().await;
        assert_eq!(POLLED.get(), 1);
        let mut group = GROUP.with(|slot| slot.borrow_mut().take()).unwrap();
        assert_eq!(group.next().await.unwrap().unwrap(), 5);
        assert!(group.next().await.is_none());
    });
}

#[test]
fn a_handle_that_aborts_on_drop_ends_its_task_and_no_other() {
    block_on(async {
        let dropped = Rc::new(Cell::new(0));
        let spawn = || {
            let witness = Dropped(dropped.clone());
            spawn_local(async move {
                let _witness = witness;
                pending::<()>().await;
            })
        };
        let (aborted, detached) = (AbortOnDrop::new(spawn()), spawn().abort_on_drop());
        yield_now().await;
        let handle = detached.detach();
        drop(aborted);
        yield_now().await;
        assert_eq!(dropped.get(), 1);
        assert!(!handle.is_finished());
        let mut last = AbortOnDrop::from(handle);
        last.abort();
        let ended = poll_fn(|cx| Pin::new(&mut last).poll(cx)).await;
        assert!(ended.unwrap_err().is_cancelled());
        assert_eq!(dropped.get(), 2);
    });
}

/// An interval without a period is always ready, and counts as I/O does.
async fn thousand_ticks() {
    let mut interval = time::interval(Duration::ZERO);
    for _ in 0..1000 {
        interval.tick().await;
    }
}

#[test]
fn an_always_ready_task_yields_unless_it_is_unconstrained() {
    let neighbours_turns = |unbounded: bool| {
        block_on(async move {
            let turns = Rc::new(Cell::new(0));
            let neighbour = spawn_local({
                let turns = turns.clone();
                async move {
                    loop {
                        turns.set(turns.get() + 1);
                        yield_now().await;
                    }
                }
            });
            if unbounded {
                unconstrained(thousand_ticks()).await;
            } else {
                thousand_ticks().await;
            }
            neighbour.abort();
            turns.get()
        })
    };
    assert!(neighbours_turns(false) >= 5);
    assert_eq!(neighbours_turns(true), 0);
}

/// Its destructor panics.
struct Explosive;

impl Drop for Explosive {
    fn drop(&mut self) {
        common::panic_on_purpose();
    }
}

/// What panics leaves that on which it was called as it was.
#[test]
fn a_group_that_was_called_outside_of_a_poller_goes_on() {
    let mut group = TaskGroup::new();
    let called_outside = |group: &mut TaskGroup<u32>| {
        // Two panics at a time would end the process.
        let explosive = Explosive;
        let future = async move {
            let _inside = &explosive;
            1
        };
        let caught = catch_unwind(AssertUnwindSafe(|| group.spawn(future)));
        let message = *caught.expect_err("there is no poller").downcast::<String>().unwrap();
        assert!(message.contains("TaskGroup::spawn"), "{message}");
    };
    called_outside(&mut group);
    assert!(group.is_empty());
    let mut group = block_on(async {
        assert!(group.next().await.is_none());
        assert!(group.join_all().await.is_empty());
        group.spawn(async { 2 });
        group
    });
    // One that is not empty.
    called_outside(&mut group);
    assert_eq!(group.len(), 1);
    block_on(async {
        // It may have been cancelled with its poller.
        assert!(group.next().await.is_some());
        for n in 0..3 {
            group.spawn(async move { n });
        }
        let outputs = group.join_all().await;
        assert_eq!(outputs.into_iter().map(Result::unwrap).sum::<u32>(), 3);
        assert!(group.next().await.is_none());
    });
}

//! Where one future waits: whatever a foreign waker does meanwhile, the newest waker waits.

use std::cell::Cell;
use std::rc::Rc;

use super::*;
use crate::task::{SharedRef, WakerSlot};

thread_local! {
    /// What the waker of [`Again`] puts its successor into.
    static SLOT: Cell<Option<Rc<WakerSlot>>> = const { Cell::new(None) };
}

fn set(slot: &WakerSlot, waker: &Arc<impl Wake + Send + Sync + 'static>) -> bool {
    slot.set(&Context::from_waker(&Waker::from(waker.clone())), &executor().shared())
}

/// Spawns a task on `executor`, which this thread has entered, that waits once in `slot`, whose events
/// come inside of `home`.
fn spawn_waiting(executor: &Executor, slot: &Rc<WakerSlot>, home: SharedRef) -> JoinHandle<()> {
    let (slot, mut has_waited) = (slot.clone(), false);
    let task = spawn(poll_fn(move |cx| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        assert!(slot.set(cx, &home));
        assert!(slot.holds(cx) && !slot.set(cx, &home));
        Poll::Pending
    }));
    executor.run_up_to(1);
    task
}

/// A foreign waker, whose task is polled inside of the wake, and waits with another waker then.
struct Again(Arc<CountingWaker>);

impl Wake for Again {
    fn wake(self: Arc<Self>) {
        let slot = SLOT.take().expect("it is woken once");
        assert!(set(&slot, &self.0));
    }
}

#[test]
fn a_waker_that_comes_while_the_one_before_it_is_woken_is_the_next_to_be_woken() {
    let slot = Rc::new(WakerSlot::new());
    SLOT.set(Some(slot.clone()));
    let newer = Arc::new(CountingWaker::default());
    let again = Arc::new(Again(newer.clone()));
    assert!(set(&slot, &again));
    slot.wake();
    assert_eq!(newer.wakes.load(SeqCst), 0);
    assert_eq!(Arc::strong_count(&again), 1, "the older one is dropped");
    slot.wake();
    slot.wake();
    assert_eq!(newer.wakes.load(SeqCst), 2);
    drop(slot);
    assert_eq!(Arc::strong_count(&newer), 2, "with the slot, its waker is dropped");
}

#[test]
fn a_foreign_waker_that_was_woken_stays_for_the_next_time() {
    let slot = WakerSlot::new();
    let waker = Arc::new(CountingWaker::default());
    assert!(set(&slot, &waker));
    assert!(!slot.wake_own_task(), "it takes foreign code");
    (1..=3).for_each(|wakes| {
        slot.wake();
        assert_eq!(waker.wakes.load(SeqCst), wakes);
        assert!(!set(&slot, &waker), "it is known");
    });
}

#[test]
fn the_newest_of_several_wakers_waits_and_the_others_are_dropped() {
    let slot = WakerSlot::new();
    let wakers: Vec<_> = (0..3).map(|_| Arc::new(CountingWaker::default())).collect();
    wakers.iter().for_each(|waker| assert!(set(&slot, waker)));
    slot.wake();
    let woken: Vec<_> = wakers.iter().map(|waker| waker.wakes.load(SeqCst)).collect();
    assert_eq!(woken, [0, 0, 1]);
    let counts: Vec<_> = wakers.iter().map(Arc::strong_count).collect();
    assert_eq!(counts, [1, 1, 2]);
}

#[test]
fn an_empty_slot_wakes_no_task() {
    let slot = WakerSlot::new();
    assert!(!slot.wake_own_task());
    slot.wake();
}

#[test]
fn a_task_of_the_poller_itself_is_woken_where_it_is() {
    let (executor, slot) = (executor(), Rc::new(WakerSlot::new()));
    let _entered = executor.enter();
    let task = spawn_waiting(&executor, &slot, executor.shared());
    assert!(slot.wake_own_task());
    assert_eq!(executor.wakes(), (1, 0));
    executor.run_up_to(1);
    assert!(task.is_finished());
    assert!(slot.wake_own_task(), "its memory is still there");
    assert!(!executor.has_work());
}

#[test]
fn a_task_of_another_poller_is_woken_by_its_mail() {
    let (executor, slot) = (executor(), Rc::new(WakerSlot::new()));
    let entered = executor.enter();
    let task = spawn_waiting(&executor, &slot, self::executor().shared());
    assert!(!slot.wake_own_task(), "the events of the slot come inside of another executor");
    drop(entered);
    slot.wake();
    assert!(executor.has_mail());
    turn(&executor);
    assert!(task.is_finished());
}

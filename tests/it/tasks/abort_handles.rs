use std::cell::{Cell, RefCell};
use std::future::pending;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use corepoll::{
    AbortHandle, AbortOnDrop, JoinHandle, Reactor, RemoteAbortHandle, RemoteJoinHandle, TaskGroup,
    block_on, spawn_local, with_local, with_local_or, yield_now,
};

/// Notes that it was dropped.
struct OnDrop(Rc<Cell<bool>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

/// Spawns a task that never ends by itself, and says when it is dropped.
fn spawn_pending() -> (JoinHandle<()>, Rc<Cell<bool>>) {
    let dropped = Rc::new(Cell::new(false));
    let guard = OnDrop(dropped.clone());
    let task = spawn_local(async move {
        let _guard = guard;
        pending().await
    });
    (task, dropped)
}

/// What code that catches panics may hold, whatever the output is.
#[test]
fn handles_are_unwind_safe() {
    fn holds<T: UnwindSafe + RefUnwindSafe>() {}
    holds::<JoinHandle<Rc<Cell<u8>>>>();
    holds::<AbortOnDrop<Rc<RefCell<u8>>>>();
    holds::<AbortHandle>();
    holds::<RemoteJoinHandle<Cell<u8>>>();
    holds::<RemoteAbortHandle>();
}

#[test]
fn a_remote_handle_may_go_to_any_thread_and_be_shared() {
    fn holds<T: Send + Sync>() {}
    holds::<RemoteAbortHandle>();
}

#[test]
fn any_clone_aborts_the_task_and_dropping_one_does_not() {
    block_on(async {
        let (task, dropped) = spawn_pending();
        let abort = task.abort_handle();
        drop((abort.clone(), task.abort_handle()));
        yield_now().await;
        assert!(!abort.is_finished() && !dropped.get());
        let clone = abort.clone();
        drop(abort);
        clone.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(dropped.get() && clone.is_finished());
        // It has ended: this does nothing.
        clone.abort();
    });
}

#[test]
fn a_task_without_a_join_handle_is_aborted() {
    block_on(async {
        let (task, dropped) = spawn_pending();
        let abort = task.abort_handle();
        drop(task);
        yield_now().await;
        assert!(!dropped.get());
        abort.abort();
        yield_now().await;
        assert!(dropped.get() && abort.is_finished());
    });
}

#[test]
fn a_handle_outlives_its_task_and_its_poller() {
    let abort = block_on(async {
        let ended = spawn_local(async { 7 });
        let abort = ended.abort_handle();
        assert_eq!(ended.await.unwrap(), 7);
        assert!(abort.is_finished());
        spawn_pending().0.abort_handle()
    });
    assert!(abort.is_finished(), "its poller has dropped it");
    abort.abort();
    let clone = abort.clone();
    drop(abort);
    assert!(clone.is_finished());
}

/// By then no references to the task are counted, inside of its poller or outside.
#[test]
fn a_handle_of_a_task_that_has_ended_has_no_task() {
    let (task, abort) = block_on(async {
        let ended = spawn_local(async { Rc::new(7) });
        yield_now().await;
        let abort = ended.abort_handle();
        assert!(abort.is_finished() && ended.is_finished());
        abort.abort();
        drop(abort.clone());
        (ended, abort)
    });
    let later = task.abort_handle();
    drop((abort, later.clone()));
    assert_eq!(block_on(task).unwrap(), Rc::new(7));
    later.abort();
    assert!(later.is_finished());
}

#[test]
fn a_task_may_abort_itself_by_its_handle() {
    block_on(async {
        let its_own: Rc<RefCell<Option<AbortHandle>>> = Rc::default();
        let slot = its_own.clone();
        let task = spawn_local(async move {
            slot.borrow().as_ref().expect("it was put there").abort();
            yield_now().await;
            unreachable!("it ends where it waits");
        });
        *its_own.borrow_mut() = Some(task.abort_handle());
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_remote_handle_aborts_from_another_thread_even_without_a_join_handle() {
    let running = Reactor::builder().pollers(1).build().unwrap().start().unwrap();
    let poller = running.handle().pollers()[0].clone();
    let task = poller.spawn_on(pending::<u8>);
    let abort = task.abort_handle();
    assert!(!abort.is_finished());
    let other = thread::spawn({
        let abort = abort.clone();
        move || abort.abort()
    });
    assert!(block_on(task).unwrap_err().is_cancelled());
    other.join().unwrap();
    assert!(abort.is_finished());

    // The task ends with what it holds, although no join handle is left.
    let (held, dropped) = std::sync::mpsc::channel::<()>();
    let task = poller.spawn_on(move || async move {
        let _held = held;
        pending::<()>().await;
    });
    let abort = task.abort_handle();
    drop(task);
    abort.abort();
    assert!(dropped.recv().is_err(), "the sender is gone");

    running.handle().shutdown(Duration::ZERO);
    running.join().unwrap();
    assert!(abort.is_finished());
    abort.abort();
}

#[test]
fn a_group_gives_what_has_ended_without_waiting() {
    block_on(async {
        let mut group = TaskGroup::new();
        assert!(group.try_next().is_none());
        let (first, second) = (group.spawn_abortable(pending()), group.spawn_abortable(pending()));
        group.spawn(async { 7 });
        assert!(group.try_next().is_none());
        yield_now().await;
        assert_eq!(group.try_next().unwrap().unwrap(), 7);
        assert!(group.try_next().is_none());
        second.abort();
        yield_now().await;
        assert!(second.is_finished() && !first.is_finished());
        assert!(group.try_next().unwrap().unwrap_err().is_cancelled());
        assert!(group.try_next().is_none());
        assert_eq!(group.len(), 1);
        first.abort();
        // A task that waits is woken although the group was looked at meanwhile.
        assert!(group.next().await.unwrap().unwrap_err().is_cancelled());
        assert!(group.next().await.is_none() && group.try_next().is_none());
    });
}

#[test]
fn tasks_that_a_group_has_let_go_run_on() {
    block_on(async {
        let mut group = TaskGroup::new();
        let abort = group.spawn_abortable(pending());
        group.spawn(async {});
        yield_now().await;
        // One has ended and one has not.
        group.detach_all();
        assert!(group.is_empty() && group.try_next().is_none());
        group.spawn(async {});
        assert!(group.next().await.unwrap().is_ok(), "the group goes on with what comes later");
        assert!(group.next().await.is_none());
        drop(group);
        yield_now().await;
        assert!(!abort.is_finished());
        abort.abort();
        yield_now().await;
        assert!(abort.is_finished());
    });
}

#[test]
fn a_value_of_the_poller_is_made_once() {
    struct Name(&'static str);
    block_on(async {
        assert_eq!(with_local_or(|| Name("first"), |name| name.0), "first");
        with_local_or(|| unreachable!("there is one"), |name: &mut Name| name.0 = "changed");
        assert_eq!(with_local_or(|| Name("second"), |name| name.0), "changed");
        // It is the value that `with_local` lends.
        assert_eq!(with_local_or(|| 5_u32, |number| *number), 5);
        assert_eq!(with_local(|number: &mut u32| *number), 5);
        // Making one may ask for another.
        let made = with_local_or(|| with_local_or(|| 1_i8, |one| i64::from(*one)) + 1, |two| *two);
        assert_eq!(made, 2_i64);
    });
}

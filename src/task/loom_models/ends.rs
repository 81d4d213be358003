//! What lives at an executor's end is freed once: tasks, the executor and jobs.
//!
//! Seen to fail by a leak: when `push` doesn't know CLOSED; when a thread that is refused doesn't give up
//! the executor's reference; when `close` looks and then closes. By a use that isn't ordered with
//! the freeing, or comes after it: when the executor's count doesn't release, or doesn't acquire, or
//! the executor's share of it is 1; when `close` doesn't acquire, or doesn't release; when `push` loads
//! CLOSED relaxed. The jobs: by a count of drops,
//! when `post` doesn't give a refused job back, or the mail that was taken out and not opened is
//! forgotten at the end; by their order, when `take` doesn't turn the stack round.

use std::sync::{Arc, Mutex};
use std::task::Poll;

use loom::thread;

use super::{Doorbell, Drops, check, executor, join_all, spawn_polled};
use crate::task::UnboundExecutor;

/// The executor is dropped while a thread clones, wakes and drops a waker of its task.
#[test]
fn an_executor_ends_while_its_task_is_woken() {
    check(5, || {
        let (executor, _bell) = executor();
        let drops = Drops::default();
        let guest = drops.here();
        let (task, waker) = spawn_polled(&executor, move |_| {
            let _ = &guest;
            Poll::Pending
        });
        drop(task);
        let other = thread::spawn(move || {
            let clone = waker.clone();
            clone.wake();
            drop(waker);
        });
        drop(executor);
        assert_eq!(drops.count(), 1);
        other.join().unwrap();
    });
}

/// As above, with two threads: one of them may hold the last reference to the task and the executor.
#[test]
fn an_executor_ends_while_two_threads_wake_its_task() {
    check(3, || {
        let (executor, _bell) = executor();
        let (task, waker) = spawn_polled(&executor, |_| Poll::Pending);
        let others = [waker.clone(), waker].map(|waker| thread::spawn(move || waker.wake()));
        drop(executor);
        join_all(others);
        assert!(task.is_finished());
    });
}

/// Jobs that are posted while the executor ends are run, or dropped by it, or given back; those of
/// one thread in their order, and none after one that was given back.
#[test]
fn jobs_posted_while_the_executor_ends_are_dropped_once_and_in_order() {
    check(5, || {
        let (executor, _bell) = executor();
        let shared = executor.shared();
        let (drops, ran) = (Drops::default(), Arc::new(Mutex::new(Vec::new())));
        let (its_drops, its_ran) = (drops.clone(), ran.clone());
        let other = thread::spawn(move || {
            let mut accepted = 0;
            for number in 0..3 {
                let (ran, drops) = (its_ran.clone(), its_drops.clone());
                let counts = Counts(drops, loom::alloc::Track::new(()));
                let posted = shared.post(move || {
                    let _counts = counts;
                    ran.lock().unwrap().push(number);
                });
                assert!(posted.is_err() || accepted == number, "accepted after a refusal");
                accepted += usize::from(posted.is_ok());
            }
            accepted
        });
        {
            let _entered = executor.enter();
            executor.open_mail(1);
            executor.open_mail(2);
        }
        drop(executor);
        let accepted = other.join().unwrap();
        assert_eq!(drops.count(), 3);
        let ran = ran.lock().unwrap();
        assert!(ran.len() <= accepted && ran.iter().copied().eq(0..ran.len()));
    });
}

/// Counts its drop, and must have one.
struct Counts(Drops, #[allow(dead_code)] loom::alloc::Track<()>);

impl Drop for Counts {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

/// A reference to an executor that is cloned, used and dropped elsewhere goes with its last reference.
#[test]
fn an_executors_state_goes_with_its_last_reference() {
    check(5, || {
        let (executor, _bell) = executor();
        let shared = {
            let _entered = executor.enter();
            // Counted by the owner, given up elsewhere.
            executor.shared()
        };
        let other = thread::spawn(move || {
            let clone = shared.clone();
            drop(shared);
            let _ = clone.post(|| {});
        });
        drop(executor);
        other.join().unwrap();
    });
}

/// So does the state of an executor that was never bound to a thread.
#[test]
fn an_unbound_executor_goes_while_it_is_posted_to() {
    check(5, || {
        let unbound = UnboundExecutor::new(Arc::new(Doorbell::default()));
        let (shared, drops) = (unbound.shared(), Drops::default());
        let counts = Counts(drops.clone(), loom::alloc::Track::new(()));
        let other = thread::spawn(move || shared.post(move || drop(counts)).is_ok());
        drop(unbound);
        other.join().unwrap();
        assert_eq!(drops.count(), 1);
    });
}

//! The future of `shutdown_requested` goes anywhere, and waits for the poller that first polled it.

use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use crate::common::{PATIENCE, Server, eventually, within_patience};
use corepoll::{LocalPoller, ShutdownRequested, block_on, shutdown_requested, yield_now};
use futures::FutureExt;

/// A waker that does nothing. Its count says how many hold a clone.
struct Idle;

impl Wake for Idle {
    fn wake(self: Arc<Self>) {}
}

fn poll(wait: &mut ShutdownRequested, waker: &Waker) -> Poll<()> {
    Pin::new(wait).poll(&mut Context::from_waker(waker))
}

/// Returns a future that `server` has polled, with this waker.
fn polled_in(server: &Server, waker: Waker) -> ShutdownRequested {
    let wait = block_on(server.poller().spawn_on(move || async move {
        let mut wait = shutdown_requested();
        assert!(poll(&mut wait, &waker).is_pending());
        Some(wait)
    }));
    wait.unwrap().expect("it is given")
}

#[test]
fn it_is_made_on_one_thread_and_awaited_in_a_poller() {
    let server = Server::start(1);
    let wait = shutdown_requested();
    let task = server.poller().spawn_on(move || wait);
    server.handle().shutdown(Duration::from_secs(60));
    within_patience(move || block_on(task).unwrap());
    assert_eq!(server.stop(Duration::from_secs(60)).cancelled, 0);
}

#[test]
fn dropped_on_another_thread_it_leaves_nothing_in_its_poller() {
    let server = Server::start(1);
    let idle = Arc::new(Idle);
    let wait = polled_in(&server, idle.clone().into());
    assert!(Arc::strong_count(&idle) > 1, "it waits");
    drop(wait);
    eventually("the waker is dropped", || Arc::strong_count(&idle) == 1);
    // The same with a future that has waited on this thread as well.
    let mut wait = polled_in(&server, idle.clone().into());
    assert!(poll(&mut wait, &idle.clone().into()).is_pending());
    drop(wait);
    eventually("the wakers are dropped", || Arc::strong_count(&idle) == 1);
}

#[test]
fn awaited_elsewhere_it_hears_of_the_shutdown_of_the_poller_that_polled_it_first() {
    within_patience(|| {
        let (first, second) = (Server::start(1), Server::start(1));
        let in_a_poller = polled_in(&first, Waker::noop().clone());
        let outside = polled_in(&first, Waker::noop().clone());
        let task = second.poller().spawn_on(move || in_a_poller);
        let waits = thread::spawn(move || futures::executor::block_on(outside));
        block_on(second.poller().spawn_on(yield_now)).unwrap();
        assert!(!task.is_finished());
        first.handle().shutdown(Duration::from_secs(60));
        block_on(task).unwrap();
        waits.join().unwrap();
        first.stop(Duration::ZERO);
        // The other one has not been asked.
        let mut wait = polled_in(&second, Waker::noop().clone());
        assert!(poll(&mut wait, Waker::noop()).is_pending());
    });
}

#[test]
fn awaited_elsewhere_it_goes_back_and_forth() {
    within_patience(|| {
        let server = Server::start(2);
        let mut wait = polled_in(&server, Waker::noop().clone());
        for _ in 0..3 {
            for poller in server.handle().pollers() {
                let polled = poller.spawn_on(move || async move {
                    assert!(poll(&mut wait, Waker::noop()).is_pending());
                    Some(wait)
                });
                wait = block_on(polled).unwrap().expect("it is given");
            }
        }
        let task = server.poller().spawn_on(move || wait);
        server.handle().shutdown(Duration::from_secs(60));
        block_on(task).unwrap();
    });
}

#[test]
fn it_is_ready_when_its_poller_has_ended() {
    let ready_after = |grace| {
        let server = Server::start(1);
        let mut unmoved = polled_in(&server, Waker::noop().clone());
        let mut moved = polled_in(&server, Waker::noop().clone());
        assert!(poll(&mut moved, Waker::noop()).is_pending());
        server.stop(grace);
        assert!(poll(&mut unmoved, Waker::noop()).is_ready());
        assert!(poll(&mut moved, Waker::noop()).is_ready());
    };
    ready_after(Duration::ZERO);
    ready_after(Duration::from_secs(60));
}

/// The request to move is still in the mailbox when the poller ends.
#[test]
fn it_is_woken_by_the_end_of_a_poller_that_never_turns_again() {
    let mut poller = LocalPoller::new().unwrap();
    let task = poller.spawn_local(async {
        let mut wait = shutdown_requested();
        assert!(poll(&mut wait, Waker::noop()).is_pending());
        Some(wait)
    });
    while !task.is_finished() {
        poller.turn(Some(Duration::ZERO)).unwrap();
    }
    let mut wait = task.now_or_never().unwrap().unwrap().expect("it is given");
    let (begins, has_begun) = mpsc::channel();
    let waits = thread::spawn(move || {
        assert!(poll(&mut wait, Waker::noop()).is_pending());
        begins.send(()).unwrap();
        futures::executor::block_on(wait);
    });
    has_begun.recv_timeout(PATIENCE).unwrap();
    drop(poller);
    within_patience(move || waits.join().unwrap());
}

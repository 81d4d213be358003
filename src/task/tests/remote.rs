//! The remote join handle: one result, whether the task, the abort or the drop comes first.

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{RawWaker, RawWakerVTable};
use std::thread;

use super::*;
use crate::task::remote::{RemoteJoinHandle, spawn_on};

/// Waits for a handle on a thread that has no executor.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unparks(Thread);
    impl Wake for Unparks {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unparks(thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

/// An executor whose thread turns it until it is told to stop.
struct Poller {
    shared: crate::task::SharedRef,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Poller {
    fn start() -> Poller {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let (send, receive) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let executor = executor();
            send.send(executor.shared()).unwrap();
            turn_until(&executor, || stopped.load(SeqCst));
        });
        Poller { shared: receive.recv().unwrap(), stop, thread: Some(thread) }
    }

    fn core(&self) -> ThreadId {
        self.thread.as_ref().unwrap().thread().id()
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        // Wakes it; refused if it has gone already.
        let _ = self.shared.post(|| {});
        self.thread.take().unwrap().join().unwrap();
    }
}

/// A task that holds guests and ends after some polls.
fn spawn_guest(poller: &Poller, census: &Arc<Census>, polls: usize) -> RemoteJoinHandle<()> {
    let (owner, census) = (poller.core(), census.clone());
    spawn_on(&poller.shared, move || {
        let guest = census.guest_of(owner);
        let mut left = polls;
        poll_fn(move |cx| {
            let _ = &guest;
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    })
}

#[test]
fn an_abort_from_elsewhere_and_a_completion_give_one_result() {
    let poller = Poller::start();
    let census = Arc::new(Census::default());
    let mut outcomes = [0, 0];
    for round in 0..600 {
        let handle = spawn_guest(&poller, &census, round % 6);
        if round % 3 != 0 {
            thread::yield_now();
        }
        handle.abort();
        handle.abort();
        let result = block_on(handle);
        outcomes[usize::from(result.is_ok())] += 1;
        assert!(result.is_ok() || result.unwrap_err().is_cancelled());
        assert_eq!(census.left(), 0, "the future is gone when the handle gives its result");
    }
    assert_eq!(outcomes.iter().sum::<usize>(), 600);
    census.assert_all_dropped_by_owner();
}

#[test]
fn a_handle_given_up_while_its_task_ends_leaves_the_output_to_the_owner() {
    let poller = Poller::start();
    let census = Arc::new(Census::default());
    for round in 0..600 {
        let (owner, its_census) = (poller.core(), census.clone());
        let handle = spawn_on(&poller.shared, move || async move { its_census.guest_of(owner) });
        for _ in 0..round % 4 {
            thread::yield_now();
        }
        drop(handle);
    }
    drop(poller);
    census.assert_all_dropped_by_owner();
}

#[test]
fn a_task_that_makes_no_future_gives_the_panic() {
    let poller = Poller::start();
    let make = || -> std::future::Ready<()> { throw("made nothing") };
    assert!(block_on(spawn_on(&poller.shared, make)).unwrap_err().is_panic());
    let polled = spawn_on(&poller.shared, || async { throw::<&str>("polled") });
    assert!(block_on(polled).map(|never: ()| never).unwrap_err().is_panic());
}

#[test]
fn handles_of_a_poller_that_goes_hear_of_it() {
    let census = Arc::new(Census::default());
    for _ in 0..100 {
        let poller = Poller::start();
        let handles: Vec<_> = (0..8).map(|_| spawn_guest(&poller, &census, usize::MAX)).collect();
        let waiting = handles.into_iter().map(|handle| thread::spawn(move || block_on(handle)));
        let waiting: Vec<_> = waiting.collect();
        drop(poller);
        for handle in waiting {
            assert!(handle.join().unwrap().unwrap_err().is_cancelled());
        }
    }
    census.assert_all_dropped_by_owner();
}

/// The future's drop panics, and so does the waker that is woken on the way: one panic must
/// not meet the other in a destructor.
#[test]
fn a_joiner_that_panics_in_wake_is_harmless_while_a_drop_panics() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            throw("in wake");
        }
    }
    let executor = executor();
    let guard = || OnDrop(|| throw("in drop"));
    let mut handle = spawn_on(&executor.shared(), move || {
        let guard = guard();
        async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        }
    });
    turn(&executor);
    let waker = Waker::from(Arc::new(Panics));
    assert!(Pin::new(&mut handle).poll(&mut Context::from_waker(&waker)).is_pending());
    drop(executor);
    assert!(joined(handle).unwrap_err().is_cancelled());
}

/// A waker that adds up in its data how often it has been cloned.
fn waker_that_counts_clones(clones: &'static AtomicUsize) -> Waker {
    fn clone(data: *const ()) -> RawWaker {
        // SAFETY: the data is a static counter.
        unsafe { &*data.cast::<AtomicUsize>() }.fetch_add(1, SeqCst);
        RawWaker::new(data, &VTABLE)
    }
    fn nothing(_: *const ()) {}
    static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, nothing, nothing, nothing);
    // SAFETY: the data lives for ever, may be used on any thread, and is never dropped.
    unsafe { Waker::new(std::ptr::from_ref(clones).cast(), &VTABLE) }
}

#[test]
fn a_waker_that_waits_already_is_not_cloned_again() {
    static CLONES: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
    let clones = || CLONES.each_ref().map(|clones| clones.load(SeqCst));
    let executor = executor();
    let mut handle = spawn_on(&executor.shared(), wait_once);
    let [one, other] = CLONES.each_ref().map(waker_that_counts_clones);
    let mut poll = |waker: &Waker| Pin::new(&mut handle).poll(&mut Context::from_waker(waker));
    for _ in 0..3 {
        assert!(poll(&one).is_pending());
    }
    assert_eq!(clones(), [1, 0]);
    assert!(poll(&other).is_pending());
    assert_eq!(clones(), [1, 1], "another takes its place");
    assert!(poll(&one).is_pending());
    assert_eq!(clones(), [2, 1]);
    drop(executor);
    assert!(poll(&other).is_ready());
    assert_eq!(clones(), [2, 1], "a result that is there needs no waker");
}

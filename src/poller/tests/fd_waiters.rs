//! Waiting for a free descriptor, through whole turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use crate::local::deferred::Deferred;
use crate::local::fd_waiters::FdWaiter;
use crate::parts::budget::Budget;
use crate::poller::Poller;

/// Counts its wakes.
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A listener asks at the end of each pause, as long as no descriptor is closed.
#[test]
fn a_waiter_is_woken_once_however_often_it_has_asked() {
    let poller = Poller::on_this_thread(Budget::default()).expect("a poller");
    let entered = poller.enter();
    let local = poller.local();
    let wakes = Arc::new(Count(AtomicUsize::new(0)));
    let (one, two) = (local.table.next_token(), crate::base::token::Token::new(7, 7));
    for _ in 0..100 {
        local.wait_for_fd(FdWaiter::Listener(one));
        local.wait_for_fd(FdWaiter::Listener(two));
        local.wait_for_fd(FdWaiter::Task(Waker::from(wakes.clone())));
    }
    assert_eq!(local.fd_waiters.borrow().len(), 3, "it grows with each pause");
    local.fd_freed();
    local.fd_freed();
    let deferred = local.take_deferred();
    let rereads = deferred.iter().filter_map(|deferred| match deferred {
        Deferred::Reread(token) => Some(*token),
        _ => None,
    });
    assert_eq!(rereads.collect::<Vec<_>>(), [one, two]);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    local.return_deferred(Vec::new());
    drop(entered);
}

/// Panics when it is dropped.
struct PanicsOnDrop(Arc<AtomicUsize>);

impl Wake for PanicsOnDrop {
    fn wake(self: Arc<Self>) {}
}

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        panic!("on purpose: a waker that is dropped");
    }
}

/// A second panic during the first one's unwinding would abort the process.
#[test]
fn wakers_that_panic_are_dropped_one_at_a_time() {
    let poller = Poller::on_this_thread(Budget::default()).expect("a poller");
    let drops = Arc::new(AtomicUsize::new(0));
    for _ in 0..3 {
        let waker = Waker::from(Arc::new(PanicsOnDrop(drops.clone())));
        poller.local().wait_for_fd(FdWaiter::Task(waker));
    }
    drop(poller);
    assert_eq!(drops.load(Ordering::Relaxed), 3);
}

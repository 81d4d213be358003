//! Who found no free descriptor, and hears of the next one that is closed.

use std::task::Waker;

use crate::base::token::Token;
use crate::task::ignore_panic;

use crate::local::state::{Deferred, Local};

/// Who found no free descriptor.
pub(crate) enum FdWaiter {
    /// A task that accepts.
    Task(Waker),
    /// A listener with a handler.
    Listener(Token),
}

impl FdWaiter {
    fn is_same(&self, other: &FdWaiter) -> bool {
        match (self, other) {
            (FdWaiter::Task(one), FdWaiter::Task(other)) => one.will_wake(other),
            (FdWaiter::Listener(one), FdWaiter::Listener(other)) => one == other,
            _ => false,
        }
    }
}

impl Local {
    /// Lets `who` know when a descriptor of this poller has been closed.
    pub(crate) fn wait_for_fd(&self, who: FdWaiter) {
        let mut fd_waiters = self.fd_waiters.borrow_mut();
        if !fd_waiters.iter().any(|known| known.is_same(&who)) {
            fd_waiters.push(who);
        }
        drop(fd_waiters);
        if self.census.has_lingering() {
            self.let_all_go();
        }
    }

    /// A descriptor has been closed: whoever found none may try again.
    #[inline]
    pub(crate) fn fd_freed(&self) {
        if !self.fd_waiters.borrow().is_empty() {
            self.wake_fd_waiters();
        }
    }

    #[cold]
    fn wake_fd_waiters(&self) {
        for who in self.fd_waiters.take() {
            match who {
                FdWaiter::Task(waker) => ignore_panic(|| waker.wake()),
                FdWaiter::Listener(token) => self.defer(Deferred::Reread(token)),
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::FdWaiter;
    use crate::local::state::Deferred;
    use crate::parts::budget::Budget;
    use crate::poller::Poller;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A listener asks at the end of each pause, for as long as no descriptor is closed.
    #[test]
    fn each_hears_once_of_the_next_close_however_often_it_asked() {
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
        let due = local.take_due();
        let again = due.iter().filter_map(|due| match due {
            Deferred::Reread(token) => Some(*token),
            _ => None,
        });
        assert_eq!(again.collect::<Vec<_>>(), [one, two]);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        local.return_due(Vec::new());
        drop(entered);
    }

    /// Panics when it is dropped.
    struct Bad(Arc<AtomicUsize>);

    impl Wake for Bad {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Bad {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
            panic!("on purpose: a waker that is dropped");
        }
    }

    /// Two panics at a time would end the process.
    #[test]
    fn wakers_that_panic_are_dropped_one_at_a_time() {
        let poller = Poller::on_this_thread(Budget::default()).expect("a poller");
        let drops = Arc::new(AtomicUsize::new(0));
        for _ in 0..3 {
            let bad = Waker::from(Arc::new(Bad(drops.clone())));
            poller.local().wait_for_fd(FdWaiter::Task(bad));
        }
        drop(poller);
        assert_eq!(drops.load(Ordering::Relaxed), 3);
    }
}

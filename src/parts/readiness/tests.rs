//! Readiness and the tasks that wait for it, without a descriptor.

use super::{Direction, Readiness, ReadySet};
use crate::task::{Bell, SharedRef, UnboundExecutor};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Returns an executor that none of the wakers here is of.
fn home() -> SharedRef {
    struct Silent;
    impl Bell for Silent {
        fn ring(&self) {}
    }
    UnboundExecutor::new(Arc::new(Silent)).shared()
}

fn counting() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count(AtomicUsize::new(0)));
    (count.clone(), Waker::from(count))
}

#[test]
fn the_directions_wait_apart() {
    let readiness = Readiness::new();
    let ((reads, reader), (writes, writer)) = (counting(), counting());
    let home = home();
    for direction in [Direction::Read, Direction::Write] {
        assert_eq!(
            readiness.poll(&mut Context::from_waker(&reader), direction, &home),
            Poll::Ready(())
        );
        readiness.clear(direction);
    }
    assert!(readiness.poll(&mut Context::from_waker(&reader), Direction::Read, &home).is_pending());
    assert!(
        readiness.poll(&mut Context::from_waker(&writer), Direction::Write, &home).is_pending()
    );
    let read = Direction::Read.into();
    readiness.set(read, true);
    readiness.wake(read);
    assert_eq!((reads.0.load(Ordering::Relaxed), writes.0.load(Ordering::Relaxed)), (1, 0));
    let write = Direction::Write.into();
    readiness.set(write, true);
    readiness.wake(write);
    assert_eq!((reads.0.load(Ordering::Relaxed), writes.0.load(Ordering::Relaxed)), (1, 1));
}

#[test]
fn a_future_that_leaves_the_list_is_not_woken() {
    let readiness = Readiness::new();
    readiness.clear(Direction::Read);
    let ((first, one), (second, two)) = (counting(), counting());
    let (mut key_one, mut key_two) = (None, None);
    let read = Direction::Read.into();
    assert!(readiness.poll_listed(&mut Context::from_waker(&one), read, &mut key_one).is_pending());
    assert!(readiness.poll_listed(&mut Context::from_waker(&two), read, &mut key_two).is_pending());
    readiness.unlist(&mut key_one);
    assert_eq!(readiness.waiting(), 1);
    readiness.set(ReadySet::ALL, true);
    readiness.wake(ReadySet::ALL);
    readiness.next_waiter(read).unwrap().wake();
    assert!(readiness.next_waiter(read).is_none());
    assert_eq!((first.0.load(Ordering::Relaxed), second.0.load(Ordering::Relaxed)), (0, 1));
}

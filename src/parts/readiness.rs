//! What a descriptor is ready for, and who waits for it.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use crate::task::{call_quietly, drop_quietly};

/// One of the two directions of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// Readiness of one edge-triggered descriptor, for the tasks of its poller.
///
/// A new descriptor counts as ready for everything: the first system call finds out. A bit goes
/// off when a call would block, and on again with the next event.
///
/// Each direction has one slot for the future that reads or writes the stream, which the last
/// one to poll has; and all share a list for futures that only wait, of which there may be many.
pub(crate) struct Readiness {
    readable: Cell<bool>,
    writable: Cell<bool>,
    /// A read that comes back short has taken all there is.
    trust_short: Cell<bool>,
    reader: Slot,
    writer: Slot,
    /// Somebody may be waiting in the list.
    has_waiters: Cell<bool>,
    /// Made when somebody first waits in it.
    waiters: OnceCell<Box<RefCell<Waiters>>>,
}

/// Where one future waits. Its waker stays here after it was woken: the same task nearly always
/// comes back, and then nothing is cloned or dropped.
struct Slot {
    waker: Cell<Option<Waker>>,
    /// The waker is to be woken by the next event.
    is_waiting: Cell<bool>,
}

impl Slot {
    const fn new() -> Slot {
        Slot { waker: Cell::new(None), is_waiting: Cell::new(false) }
    }

    /// Waits with the waker of `cx`.
    #[inline]
    fn wait(&self, cx: &Context<'_>) {
        match self.waker.take() {
            Some(waker) if waker.will_wake(cx.waker()) => self.waker.set(Some(waker)),
            other => self.replace(cx, other),
        }
        self.is_waiting.set(true);
    }

    /// Cloning and dropping wakers is foreign code: the slot is empty meanwhile.
    #[cold]
    fn replace(&self, cx: &Context<'_>, old: Option<Waker>) {
        let waker = cx.waker().clone();
        drop_quietly(old);
        drop_quietly(self.waker.replace(Some(waker)));
    }

    /// Wakes who waits. Waking is foreign code: the slot is empty meanwhile, and may be full when
    /// it comes back.
    #[inline]
    fn wake(&self) {
        if self.is_waiting.replace(false)
            && let Some(waker) = self.waker.take()
        {
            waker.wake_by_ref();
            let newer = self.waker.replace(Some(waker));
            if newer.is_some() {
                drop_quietly(self.waker.replace(newer));
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        drop_quietly(self.waker.take());
    }
}

#[derive(Default)]
struct Waiters {
    /// The key of the next one.
    next_key: u64,
    /// Who waits, in the order of their coming.
    list: VecDeque<Waiter>,
}

struct Waiter {
    key: u64,
    direction: Direction,
    waker: Waker,
}

impl Readiness {
    pub(crate) const fn new() -> Readiness {
        Readiness {
            readable: Cell::new(true),
            writable: Cell::new(true),
            trust_short: Cell::new(true),
            reader: Slot::new(),
            writer: Slot::new(),
            has_waiters: Cell::new(false),
            waiters: OnceCell::new(),
        }
    }

    fn bit(&self, direction: Direction) -> &Cell<bool> {
        match direction {
            Direction::Read => &self.readable,
            Direction::Write => &self.writable,
        }
    }

    fn slot(&self, direction: Direction) -> &Slot {
        match direction {
            Direction::Read => &self.reader,
            Direction::Write => &self.writer,
        }
    }

    /// Whether a call in this direction may succeed.
    #[inline]
    pub(crate) fn is_ready(&self, direction: Direction) -> bool {
        self.bit(direction).get()
    }

    /// A call in this direction would have blocked.
    #[inline]
    pub(crate) fn clear(&self, direction: Direction) {
        self.bit(direction).set(false);
    }

    /// A read came back short. Saves the next one, unless an end or urgent data has been reported:
    /// then there may be more without another event.
    #[inline]
    pub(crate) fn short_read(&self) {
        if self.trust_short.get() {
            self.readable.set(false);
        }
    }

    /// An event has come: sets the bits. Whoever waits is to be woken next.
    #[inline]
    pub(crate) fn set(&self, readable: bool, writable: bool, trust_short: bool) {
        if readable {
            self.readable.set(true);
        }
        if writable {
            self.writable.set(true);
        }
        if !trust_short {
            self.trust_short.set(false);
        }
    }

    /// Wakes who waits in the slots of the directions. Nothing of ours is borrowed meanwhile, and
    /// a waker may panic.
    #[inline]
    pub(crate) fn wake(&self, readable: bool, writable: bool) {
        // The rarer one first, and such that its panic doesn't cost the other one its wake-up.
        if writable && self.writer.is_waiting.get() {
            call_quietly(|| self.writer.wake());
        }
        if readable {
            self.reader.wake();
        }
    }

    /// The first who waits in the list for `direction`, to be woken. The caller asks
    /// [`Readiness::waiting`] before, and not more often than that.
    pub(crate) fn next_waiter(&self, direction: Direction) -> Option<Waker> {
        let mut waiters = self.waiters.get()?.borrow_mut();
        let place = waiters.list.iter().position(|waiter| waiter.direction == direction)?;
        let waiter = waiters.list.remove(place);
        self.has_waiters.set(!waiters.list.is_empty());
        waiter.map(|waiter| waiter.waker)
    }

    /// Whether anybody may be waiting in the list.
    #[inline]
    pub(crate) fn has_waiters(&self) -> bool {
        self.has_waiters.get()
    }

    /// How many wait in the list.
    pub(crate) fn waiting(&self) -> usize {
        self.waiters.get().map_or(0, |waiters| waiters.borrow().list.len())
    }

    /// Waits in the slot of `direction`.
    #[inline]
    pub(crate) fn poll(&self, cx: &mut Context<'_>, direction: Direction) -> Poll<()> {
        if self.is_ready(direction) {
            return Poll::Ready(());
        }
        self.slot(direction).wait(cx);
        Poll::Pending
    }

    /// Waits in the list; `key` is the future's place in it.
    pub(crate) fn poll_listed(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        key: &mut Option<u64>,
    ) -> Poll<()> {
        if self.is_ready(direction) {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        self.unlist(key);
        let mut waiters = self.waiters.get_or_init(Box::default).borrow_mut();
        waiters.next_key += 1;
        *key = Some(waiters.next_key);
        self.has_waiters.set(true);
        let waiter = Waiter { key: waiters.next_key, direction, waker };
        waiters.list.push_back(waiter);
        Poll::Pending
    }

    /// Leaves the list.
    pub(crate) fn unlist(&self, key: &mut Option<u64>) {
        let (Some(key), Some(waiters)) = (key.take(), self.waiters.get()) else { return };
        let mut waiters = waiters.borrow_mut();
        let place = waiters.list.iter().position(|waiter| waiter.key == key);
        let left = place.and_then(|place| waiters.list.remove(place));
        drop(waiters);
        drop_quietly(left);
    }
}

#[cfg(test)]
mod tests {
    use super::{Direction, Readiness};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counting() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        (count.clone(), Waker::from(count))
    }

    #[test]
    fn the_directions_wait_apart() {
        let readiness = Readiness::new();
        let ((reads, reader), (writes, writer)) = (counting(), counting());
        for direction in [Direction::Read, Direction::Write] {
            assert_eq!(
                readiness.poll(&mut Context::from_waker(&reader), direction),
                Poll::Ready(())
            );
            readiness.clear(direction);
        }
        assert!(readiness.poll(&mut Context::from_waker(&reader), Direction::Read).is_pending());
        assert!(readiness.poll(&mut Context::from_waker(&writer), Direction::Write).is_pending());
        readiness.set(true, false, true);
        readiness.wake(true, false);
        assert_eq!((reads.0.load(Ordering::Relaxed), writes.0.load(Ordering::Relaxed)), (1, 0));
        readiness.set(false, true, true);
        readiness.wake(false, true);
        assert_eq!((reads.0.load(Ordering::Relaxed), writes.0.load(Ordering::Relaxed)), (1, 1));
    }

    #[test]
    fn a_future_that_leaves_the_list_is_not_woken() {
        let readiness = Readiness::new();
        readiness.clear(Direction::Read);
        let ((first, one), (second, two)) = (counting(), counting());
        let (mut key_one, mut key_two) = (None, None);
        let read = Direction::Read;
        assert!(
            readiness.poll_listed(&mut Context::from_waker(&one), read, &mut key_one).is_pending()
        );
        assert!(
            readiness.poll_listed(&mut Context::from_waker(&two), read, &mut key_two).is_pending()
        );
        readiness.unlist(&mut key_one);
        assert_eq!(readiness.waiting(), 1);
        readiness.set(true, true, true);
        readiness.wake(true, true);
        readiness.next_waiter(read).unwrap().wake();
        assert!(readiness.next_waiter(read).is_none());
        assert_eq!((first.0.load(Ordering::Relaxed), second.0.load(Ordering::Relaxed)), (0, 1));
    }
}

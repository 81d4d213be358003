//! What a descriptor is ready for, and who waits for it.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use crate::base::interest::Interest;
use crate::sys::epoll::Event;
use crate::task::{WakerSlot, drop_ignoring_panic, ignore_panic};

/// One of the two directions of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

impl Direction {
    /// The bit of a word that says that a call in this direction may succeed: as epoll has it.
    #[inline]
    const fn ready(self) -> u32 {
        match self {
            Direction::Read => Event::IN,
            Direction::Write => Event::OUT,
        }
    }

    /// The bit beside it, which says that somebody waits in the slot of this direction.
    #[inline]
    const fn waits(self) -> u32 {
        self.ready() << 1
    }

    /// The bit that says that `ready` is a guess: no event has come yet.
    #[inline]
    const fn guessed(self) -> u32 {
        self.ready() << GUESSED_BY
    }
}

/// How far the bit of a guess stands from the one that is guessed.
const GUESSED_BY: u32 = 6;

/// ReadySet of readiness: of a direction or out of band, or several of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReadySet(u32);

impl ReadySet {
    /// Both directions, and what is out of band.
    pub(crate) const ALL: ReadySet = ReadySet(READ | WRITE | PRIORITY);

    /// The kinds that are told by `true`.
    pub(crate) const fn new(readable: bool, writable: bool, priority: bool) -> ReadySet {
        let directions = (readable as u32 * READ) | (writable as u32 * WRITE);
        ReadySet(directions | (priority as u32 * PRIORITY))
    }

    /// What `interest` asks for.
    pub(crate) const fn from_interest(interest: Interest) -> ReadySet {
        ReadySet::new(interest.is_readable(), interest.is_writable(), interest.is_priority())
    }

    #[inline]
    const fn has(self, bits: u32) -> bool {
        self.0 & bits != 0
    }

    /// Whether it is one kind, and no more.
    pub(crate) const fn is_one(self) -> bool {
        self.0.is_power_of_two()
    }

    /// The direction that has to wait: what is out of band is read.
    pub(crate) fn direction(self) -> Direction {
        if self.0 == WRITE { Direction::Write } else { Direction::Read }
    }
}

impl From<Direction> for ReadySet {
    #[inline]
    fn from(direction: Direction) -> ReadySet {
        ReadySet(direction.ready())
    }
}

const READ: u32 = Direction::Read.ready();
const WRITE: u32 = Direction::Write.ready();
/// There is something out of band. A future that waits for it is in the list; it is never guessed.
const PRIORITY: u32 = 1 << 13;
/// The end of a stream or urgent data has been reported: a read that comes back short may have
/// more behind it.
const DISTRUST_SHORT: u32 = 1 << 4;
/// Somebody may be waiting in the list.
const LISTED: u32 = 1 << 5;
/// A hang-up or an error has been reported, and not been looked into since.
const HUNG_UP: u32 = 1 << 12;
/// What is said of either direction is a guess.
const GUESSED: u32 = Direction::Read.guessed() | Direction::Write.guessed();

/// Readiness of one edge-triggered descriptor, for the tasks of its poller.
///
/// A new descriptor counts as ready for everything to whoever reads and writes: the first system
/// call finds out. Who only waits isn't given a guess: the first event says how it is. Readiness
/// goes off when a call would block, and on again with the next event.
///
/// Each direction has one slot for the future that reads or writes the stream, which the last
/// one to poll has; and all share a list for futures that only wait, of which there may be many.
pub(crate) struct Readiness {
    /// For each direction whether it is ready, whether that is a guess, and whether somebody waits in
    /// its slot; and the bits above.
    word: Cell<u32>,
    reader: WakerSlot,
    writer: WakerSlot,
    /// Made when somebody first waits in it.
    waiters: OnceCell<Box<RefCell<Waiters>>>,
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
    kinds: ReadySet,
    waker: Waker,
}

impl Readiness {
    pub(crate) const fn new() -> Readiness {
        Readiness {
            word: Cell::new(Direction::Read.ready() | Direction::Write.ready() | GUESSED),
            reader: WakerSlot::new(),
            writer: WakerSlot::new(),
            waiters: OnceCell::new(),
        }
    }

    #[inline]
    fn has(&self, any: u32) -> bool {
        self.word.get() & any != 0
    }

    #[inline]
    fn turn_on(&self, bits: u32) {
        self.word.set(self.word.get() | bits);
    }

    #[inline]
    fn turn_off(&self, bits: u32) {
        self.word.set(self.word.get() & !bits);
    }

    #[inline]
    fn slot(&self, direction: Direction) -> &WakerSlot {
        match direction {
            Direction::Read => &self.reader,
            Direction::Write => &self.writer,
        }
    }

    /// Whether a call of one of these kinds may succeed.
    #[inline]
    pub(crate) fn is_ready(&self, kinds: impl Into<ReadySet>) -> bool {
        self.has(kinds.into().0)
    }

    /// As [`Readiness::is_ready`], and that is no guess.
    fn is_known_ready(&self, kinds: ReadySet) -> bool {
        let word = self.word.get();
        word & !(word >> GUESSED_BY) & kinds.0 != 0
    }

    /// A call of all of these kinds would have blocked.
    #[inline]
    pub(crate) fn clear(&self, kinds: impl Into<ReadySet>) {
        let ReadySet(bits) = kinds.into();
        self.turn_off(bits | (bits << GUESSED_BY));
    }

    /// A read came back short. Saves the next one, unless an end or urgent data has been reported:
    /// then there may be more without another event.
    #[inline]
    pub(crate) fn short_read(&self) {
        if !self.has(DISTRUST_SHORT) {
            self.clear(Direction::Read);
        }
    }

    /// An event has come that tells of bytes or room and of nothing else: `ready`, as epoll has it.
    /// Sets the bits and wakes who waits, if that runs nothing foreign. False: it would, and all is
    /// still to be done.
    #[inline]
    pub(crate) fn mark(&self, ready: u32) -> bool {
        let word = self.word.get();
        let woken = word & (ready << 1);
        let wakes = |direction: Direction| woken & direction.waits() != 0;
        if word & (LISTED | GUESSED) != 0
            || (wakes(Direction::Read) && !self.reader.wake_task())
            || (wakes(Direction::Write) && !self.writer.wake_task())
        {
            return false;
        }
        self.word.set((word | ready) & !woken);
        true
    }

    /// An event has come: sets the bits. Whoever waits is to be woken next.
    pub(crate) fn set(&self, ready: ReadySet, trust_short: bool) {
        self.turn_on(ready.0);
        self.turn_off((ready.0 & (READ | WRITE)) << GUESSED_BY);
        if !trust_short {
            self.distrust_short_reads();
        }
    }

    /// From now on a short read says nothing of what is left.
    pub(crate) fn distrust_short_reads(&self) {
        self.turn_on(DISTRUST_SHORT);
    }

    /// Whether a short read says nothing of what is left.
    pub(crate) fn distrusts_short_reads(&self) -> bool {
        self.has(DISTRUST_SHORT)
    }

    /// A hang-up or an error has been reported.
    pub(crate) fn note_hang_up(&self) {
        self.turn_on(HUNG_UP);
    }

    /// Whether a hang-up or an error has been reported since the last call.
    pub(crate) fn take_hang_up(&self) -> bool {
        let has_come = self.has(HUNG_UP);
        self.turn_off(HUNG_UP);
        has_come
    }

    /// Wakes who waits in the slots of the directions. Nothing of ours is borrowed meanwhile, and
    /// a waker may panic: that of one direction does not cost the other one its wake-up.
    pub(crate) fn wake(&self, ready: ReadySet) {
        for direction in [Direction::Write, Direction::Read] {
            if ready.has(direction.ready()) && self.has(direction.waits()) {
                self.turn_off(direction.waits());
                ignore_panic(|| self.slot(direction).wake());
            }
        }
    }

    /// The first who waits in the list for something that is `ready`, to be woken. The caller asks
    /// [`Readiness::waiting`] before, and not more often than that.
    pub(crate) fn next_waiter(&self, ready: ReadySet) -> Option<Waker> {
        let mut waiters = self.waiters.get()?.borrow_mut();
        let place = waiters.list.iter().position(|waiter| waiter.kinds.has(ready.0))?;
        let waiter = waiters.list.remove(place);
        if waiters.list.is_empty() {
            self.turn_off(LISTED);
        }
        waiter.map(|waiter| waiter.waker)
    }

    /// Whether anybody may be waiting in the list.
    #[inline]
    pub(crate) fn has_waiters(&self) -> bool {
        self.has(LISTED)
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
        self.wait(cx, direction);
        Poll::Pending
    }

    /// As [`Readiness::poll`], but a guess doesn't count as ready.
    pub(crate) fn poll_known(&self, cx: &mut Context<'_>, direction: Direction) -> Poll<()> {
        if self.is_known_ready(direction.into()) {
            return Poll::Ready(());
        }
        self.wait(cx, direction);
        Poll::Pending
    }

    /// Waits in the slot of `direction`, for the next event.
    #[inline]
    pub(crate) fn wait(&self, cx: &Context<'_>, direction: Direction) {
        let is_news = self.slot(direction).set(cx);
        self.turn_on(direction.waits());
        if is_news && self.is_ready(direction) {
            // An event has come while the waker was cloned, and nobody was there to be woken.
            self.wake(direction.into());
        }
    }

    /// Waits in the list, until readiness is known; `key` is the future's place in it.
    pub(crate) fn poll_listed(
        &self,
        cx: &mut Context<'_>,
        kinds: ReadySet,
        key: &mut Option<u64>,
    ) -> Poll<()> {
        if self.is_known_ready(kinds) {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        self.unlist(key);
        if self.is_known_ready(kinds) {
            // An event has come meanwhile.
            drop_ignoring_panic(waker);
            return Poll::Ready(());
        }
        let mut waiters = self.waiters.get_or_init(Box::default).borrow_mut();
        waiters.next_key += 1;
        *key = Some(waiters.next_key);
        self.turn_on(LISTED);
        let waiter = Waiter { key: waiters.next_key, kinds, waker };
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
        drop_ignoring_panic(left);
    }
}

#[cfg(test)]
mod tests {
    use super::{Direction, Readiness, ReadySet};
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
        assert!(
            readiness.poll_listed(&mut Context::from_waker(&one), read, &mut key_one).is_pending()
        );
        assert!(
            readiness.poll_listed(&mut Context::from_waker(&two), read, &mut key_two).is_pending()
        );
        readiness.unlist(&mut key_one);
        assert_eq!(readiness.waiting(), 1);
        readiness.set(ReadySet::ALL, true);
        readiness.wake(ReadySet::ALL);
        readiness.next_waiter(read).unwrap().wake();
        assert!(readiness.next_waiter(read).is_none());
        assert_eq!((first.0.load(Ordering::Relaxed), second.0.load(Ordering::Relaxed)), (0, 1));
    }
}

//! What a descriptor is ready for, and which tasks wait for it.
//!
//! An edge-triggered descriptor is registered once, and its events are remembered here in one word.
//! A call that would block clears its bit; while the bit is clear, no call is made. That is the
//! whole protocol between epoll and the sockets of tasks.

mod ready_set;
#[cfg(test)]
mod tests;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use crate::task::{SharedRef, WakerSlot, drop_ignoring_panic, ignore_panic};

use ready_set::{
    CARRYOVER, DISTRUST_SHORT, ENDED, GUESSED, GUESSED_BY, HUNG_UP, LISTED, PRIORITY, READ, TIMED,
    WRITE, unusual,
};
pub(crate) use ready_set::{Direction, ReadySet};

/// The readiness of one edge-triggered descriptor, for the tasks of its poller.
///
/// A new descriptor counts as ready, so that the first read or write makes its system call at once.
/// That is a guess, which the first event confirms or the call disproves. A task that only waits
/// for readiness gets no guess and waits for the event. A call that would block clears the
/// readiness of its direction, and the next event sets it.
///
/// For each direction the word has three bits, so that one event is one look at it:
///
/// - *blocked*, at epoll's own bit, EPOLLIN or EPOLLOUT: a call would block. It is this and not its
///   opposite, so that a usual call is one for which none of several bits is set: one test;
/// - *waits*, the bit beside it: a task waits in the slot;
/// - *guessed*, six bits above: no event has come yet. While it is not blocked, that is a guess.
///
/// Each direction has a slot for the task that reads or writes; it belongs to the last task that
/// has polled. Tasks that only wait share a list, as there may be many.
pub(crate) struct Readiness {
    /// For each direction: whether it is blocked, whether no event has come yet, and whether a task
    /// waits in its slot. Also the bits above.
    word: Cell<u32>,
    /// The task that reads.
    reader: WakerSlot,
    /// The task that writes.
    writer: WakerSlot,
    /// The list of tasks that only wait. It is allocated for the first of them.
    waiters: OnceCell<Box<RefCell<Waiters>>>,
}

/// The tasks that wait for readiness, without a read or a write.
#[derive(Default)]
struct Waiters {
    /// The key of the task that came last. Keys are not reused.
    next_key: u64,
    /// The tasks in the order in which they came.
    list: VecDeque<Waiter>,
}

/// A task that waits for readiness.
struct Waiter {
    /// The key by which its future finds it.
    key: u64,
    /// What it waits for.
    kinds: ReadySet,
    /// What wakes it.
    waker: Waker,
}

impl Readiness {
    /// Returns the readiness of a new descriptor: a guess that it is ready.
    pub(crate) const fn new() -> Readiness {
        Readiness {
            word: Cell::new(PRIORITY | GUESSED),
            reader: WakerSlot::new(),
            writer: WakerSlot::new(),
            waiters: OnceCell::new(),
        }
    }

    /// Returns `true` if one of the bits in `any` is set.
    #[inline]
    fn has(&self, any: u32) -> bool {
        self.word.get() & any != 0
    }

    /// Sets `bits`.
    #[inline]
    fn turn_on(&self, bits: u32) {
        self.word.set(self.word.get() | bits);
    }

    /// Clears `bits`.
    #[inline]
    fn turn_off(&self, bits: u32) {
        self.word.set(self.word.get() & !bits);
    }

    /// Returns the slot of `direction`.
    #[inline]
    fn slot(&self, direction: Direction) -> &WakerSlot {
        match direction {
            Direction::Read => &self.reader,
            Direction::Write => &self.writer,
        }
    }

    /// Returns `true` if a call of one of these kinds may succeed.
    #[inline]
    pub(crate) fn is_ready(&self, kinds: impl Into<ReadySet>) -> bool {
        !self.word.get() & kinds.into().0 != 0
    }

    /// Returns `true` if a call of one of these kinds may succeed, and an event has said so.
    fn is_known_ready(&self, kinds: ReadySet) -> bool {
        let word = self.word.get();
        !(word | (word >> GUESSED_BY)) & kinds.0 != 0
    }

    /// Clears the readiness of these kinds, after a call that would block.
    #[inline]
    pub(crate) fn clear(&self, kinds: impl Into<ReadySet>) {
        self.turn_on(kinds.into().0);
    }

    /// Notes that a read came back short, which means that the socket is empty and saves the next
    /// read. It means nothing once an end or urgent data has been reported: then there may be more,
    /// without another event.
    #[inline]
    pub(crate) fn short_read(&self) {
        if !self.has(DISTRUST_SHORT) {
            self.clear(Direction::Read);
        }
    }

    /// Returns `true` if a call in `direction` may succeed, and its success needs no more than to be
    /// counted: there are no deadlines, and a short read means that the socket is empty.
    #[inline(always)]
    pub(crate) fn is_usual(&self, direction: Direction) -> bool {
        !self.has(direction.bit() | unusual(direction))
    }

    /// Notes that a usual read came back short.
    #[inline(always)]
    pub(crate) fn drained(&self) {
        self.turn_on(Direction::Read.bit());
    }

    /// Returns `true` if progress restarts a deadline.
    #[inline]
    pub(crate) fn is_timed(&self) -> bool {
        self.has(TIMED)
    }

    /// Notes whether there are deadlines.
    pub(crate) fn set_timed(&self, is_timed: bool) {
        self.turn(TIMED, is_timed);
    }

    /// Notes that no event comes any more.
    pub(crate) fn set_ended(&self) {
        self.turn_on(ENDED);
    }

    /// Returns `true` if there is carryover.
    #[inline]
    pub(crate) fn has_carryover(&self) -> bool {
        self.has(CARRYOVER)
    }

    /// Notes whether there is carryover.
    pub(crate) fn set_carryover(&self, has_carryover: bool) {
        self.turn(CARRYOVER, has_carryover);
    }

    /// Returns `true` if a wait may be an error: there are deadlines, or the poller has ended.
    #[inline]
    pub(crate) fn may_fail(&self) -> bool {
        self.has(TIMED | ENDED)
    }

    /// Sets or clears `bits`.
    fn turn(&self, bits: u32, on: bool) {
        if on { self.turn_on(bits) } else { self.turn_off(bits) }
    }

    /// Notes an event that reports bytes or room and nothing else: `ready`, as epoll has it. It
    /// wakes the tasks in the slots if that runs no foreign code.
    ///
    /// Returns `false` if it would. Then the caller does all of it by [`Readiness::set`] and
    /// [`Readiness::wake`].
    #[inline(always)]
    pub(crate) fn mark(&self, ready: u32) -> bool {
        let word = self.word.get();
        // The bit that says that a task waits stands beside the one that it waits for.
        let woken = word & (ready << 1);
        let wakes = |direction: Direction| woken & direction.waits() != 0;
        // A guess has bits of its own to clear, wakers in the list may be foreign code, and
        // carryover has the room.
        if word & (LISTED | GUESSED | CARRYOVER) != 0
            || (wakes(Direction::Read) && !self.reader.wake_own_task())
            || (wakes(Direction::Write) && !self.writer.wake_own_task())
        {
            return false;
        }
        self.word.set(word & !(ready | woken));
        true
    }

    /// Notes an event. The caller then wakes the tasks that wait.
    pub(crate) fn set(&self, ready: ReadySet, trust_short: bool) {
        // What an event has said is no guess any more.
        self.turn_off(ready.0 | ((ready.0 & (READ | WRITE)) << GUESSED_BY));
        if !trust_short {
            self.distrust_short_reads();
        }
    }

    /// Notes that from now on a short read does not mean that the socket is empty.
    pub(crate) fn distrust_short_reads(&self) {
        self.turn_on(DISTRUST_SHORT);
    }

    /// Returns `true` if a short read does not mean that the socket is empty.
    pub(crate) fn distrusts_short_reads(&self) -> bool {
        self.has(DISTRUST_SHORT)
    }

    /// Notes that a hang-up or an error has been reported.
    pub(crate) fn note_hang_up(&self) {
        self.turn_on(HUNG_UP);
    }

    /// Returns `true` if a hang-up or an error has been reported since the last call.
    pub(crate) fn take_hang_up(&self) -> bool {
        let has_come = self.has(HUNG_UP);
        self.turn_off(HUNG_UP);
        has_come
    }

    /// Wakes the tasks in the slots of the directions in `ready`.
    ///
    /// Nothing is borrowed meanwhile. A waker may panic; the panic of one direction's waker does
    /// not keep the other from being woken.
    pub(crate) fn wake(&self, ready: ReadySet) {
        for direction in [Direction::Write, Direction::Read] {
            if ready.has(direction.bit()) && self.has(direction.waits()) {
                // Before the wake, in which the task may be polled and wait again.
                self.turn_off(direction.waits());
                ignore_panic(|| self.slot(direction).wake());
            }
        }
    }

    /// Takes out the first task in the list that waits for one of the kinds in `ready`. The caller
    /// asks [`Readiness::waiting`] before and takes no more tasks than that, as a task may come
    /// back while it is woken.
    pub(crate) fn next_waiter(&self, ready: ReadySet) -> Option<Waker> {
        let mut waiters = self.waiters.get()?.borrow_mut();
        // One at a time, so that nothing is borrowed while the caller wakes it.
        let place = waiters.list.iter().position(|waiter| waiter.kinds.has(ready.0))?;
        let waiter = waiters.list.remove(place);
        if waiters.list.is_empty() {
            self.turn_off(LISTED);
        }
        waiter.map(|waiter| waiter.waker)
    }

    /// Returns `true` if a task may be waiting in the list.
    #[inline]
    pub(crate) fn has_waiters(&self) -> bool {
        self.has(LISTED)
    }

    /// Returns the number of tasks in the list.
    pub(crate) fn waiting(&self) -> usize {
        self.waiters.get().map_or(0, |waiters| waiters.borrow().list.len())
    }

    /// Polls for readiness. If there is none, the task waits in the slot of `direction`.
    #[inline]
    pub(crate) fn poll(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        home: &SharedRef,
    ) -> Poll<()> {
        if self.is_ready(direction) {
            return Poll::Ready(());
        }
        self.wait(cx, direction, home);
        Poll::Pending
    }

    /// Polls as [`Readiness::poll`] does, but a guess does not count as ready.
    pub(crate) fn poll_known(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        home: &SharedRef,
    ) -> Poll<()> {
        if self.is_known_ready(direction.into()) {
            return Poll::Ready(());
        }
        self.wait(cx, direction, home);
        Poll::Pending
    }

    /// Makes the task wait in the slot of `direction` for the next event, if it has waited there
    /// before, nothing is ready, and the wait can't be an error. Otherwise it returns `false`, and
    /// nothing has been done. It is asked where [`Readiness::is_usual`] has said no.
    #[inline(always)]
    pub(crate) fn wait_again(&self, cx: &Context<'_>, direction: Direction) -> bool {
        debug_assert!(!self.is_usual(direction));
        let word = self.word.get();
        // Where a call is not usual, and not for one of these reasons, it would block.
        let is_usual = word & (unusual(direction) | ENDED) == 0 && self.slot(direction).holds(cx);
        if is_usual {
            self.word.set(word | direction.waits());
        }
        is_usual
    }

    /// Makes the task wait in the slot of `direction` for the next event. `home` is the executor of the
    /// poller that the descriptor is registered with, whose events wake the slot.
    #[inline(always)]
    pub(crate) fn wait(&self, cx: &Context<'_>, direction: Direction, home: &SharedRef) {
        let is_news = self.slot(direction).set(cx, home);
        self.turn_on(direction.waits());
        // A guess is no event: the task may wait because nothing is known.
        if is_news && self.is_known_ready(direction.into()) {
            // The waker's clone is foreign code, and an event may have come meanwhile, when there
            // was no task to wake.
            self.wake(direction.into());
        }
    }

    /// Polls for readiness that is no guess. If there is none, the task waits in the list; `key` is
    /// its place there.
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
        // A task that is polled again goes to the end with its new waker.
        self.unlist(key);
        if self.is_known_ready(kinds) {
            // An event has come while the waker was cloned.
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

    /// Takes a task out of the list, if it is still there.
    pub(crate) fn unlist(&self, key: &mut Option<u64>) {
        let (Some(key), Some(waiters)) = (key.take(), self.waiters.get()) else { return };
        let mut waiters = waiters.borrow_mut();
        let place = waiters.list.iter().position(|waiter| waiter.key == key);
        let left = place.and_then(|place| waiters.list.remove(place));
        drop(waiters);
        drop_ignoring_panic(left);
    }
}

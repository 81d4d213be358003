//! `Local`: all the parts of a poller together, as the code on its thread reaches them.
//!
//! The floors above take a `&Local`. Code that has none, such as a future, finds the poller of its
//! thread by [`Local::current`]. Here is the only `impl Local` of the crate: what files above do
//! with a poller are functions, so that each call is an import that a reader sees.

use std::cell::{Cell, RefCell};
use std::io;
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use crate::base::token::Token;
use crate::local::connection::Connection;
use crate::local::deferred::{Deferred, TimerTarget};
use crate::local::fd_waiters::FdWaiter;
use crate::local::handle::PollerHandle;
use crate::local::pipes::Pipes;
use crate::local::shutdown::ShutdownState;
use crate::local::table::Table;
use crate::parts::activity::Activity;
use crate::parts::budget::Budget;
use crate::parts::census::Census;
use crate::parts::stats::Recorder;
use crate::parts::time_slice::TimeSlice;
use crate::parts::timers::Timers;
use crate::parts::type_map::TypeMap;
use crate::sys::buffers::Buffers;
use crate::sys::clock;
use crate::sys::epoll::Epoll;
use crate::task::coop::Allowance;
use crate::task::{drop_ignoring_panic, ignore_panic};

#[cfg(feature = "test-util")]
use std::sync::atomic::AtomicUsize;

/// The number of cached values that are dropped at the end, with those that destructors make anew.
/// It is far more than a program has types, and it ends two destructors that make each other's
/// value.
const MAX_LAST_VALUES: usize = 10_000;

thread_local! {
    /// The poller that this thread is running. Code that enters a poller puts back what was here.
    ///
    /// It has no destructor, so that it can still be used when the thread ends: the destructor of
    /// another thread-local value may run a poller.
    static CURRENT: Cell<ManuallyDrop<Option<Rc<Local>>>> =
        const { Cell::new(ManuallyDrop::new(None)) };
}

/// A poller, as the code on its thread sees it.
///
/// The loop, the callbacks and the tasks share it by an `Rc`, so what changes is in cells. The
/// invariant: nothing in here is borrowed while foreign code runs. Foreign code is a callback, a
/// waker, and the destructor of any value that is not the crate's own. So a method takes out what
/// it needs, gives the borrow back, and calls or drops after that.
// In this order: a chunk's home, which is at the address of the poller, takes no other register.
#[repr(C)]
pub(crate) struct Local {
    /// The spare read buffers of the poller.
    pub(crate) buffers: Buffers,
    /// How many bytes the callback that runs may still read, as `local::context` counts them.
    pub(crate) read_left: Cell<isize>,
    /// The connection whose callback has written last, until other callbacks begin.
    pub(crate) last_writer: Cell<*const Connection>,
    /// The numbers that `PollerHandle::stats` shows.
    pub(crate) recorder: Recorder,
    /// What each token stands for.
    pub(crate) table: Table,
    /// How many operations the task that runs may still make in this turn.
    pub(crate) allowance: Allowance,
    /// The epoll instance that all descriptors of the poller are registered with.
    pub(crate) epoll: Epoll,
    /// The limits of one turn, one event and one connection. They never change.
    pub(crate) budget: Budget,
    /// The values that `with_local` lends, one of each type.
    pub(crate) values: TypeMap,
    /// The poller as other threads see it.
    pub(crate) handle: PollerHandle,
    /// The progress of the poller's shutdown.
    pub(crate) shutdown: ShutdownState,
    /// Held once by each blocking call of this poller until it is over. The number of holders says
    /// how many are under way.
    pub(crate) blocking_calls: Arc<()>,
    /// How many things that are under way keep a paused clock from moving by itself.
    #[cfg(feature = "test-util")]
    pub(crate) clock_holds: Arc<AtomicUsize>,
    /// Empty pipes, for relays.
    pub(crate) pipes: Pipes,
    /// The timers of handlers, of tasks and of the crate itself.
    pub(crate) timers: RefCell<Timers<TimerTarget>>,
    /// What is done at the end of this turn, in the order in which it was asked for.
    deferred: RefCell<Vec<Deferred>>,
    /// The empty vector that `deferred` is exchanged for, so that a turn allocates neither.
    deferred_spare: Cell<Vec<Deferred>>,
    /// The time of this turn, once it has been asked for; 0 before.
    now: Cell<u64>,
    /// The time until which all events have been dispatched. It is kept only while timers are
    /// armed: see [`Local::dispatched_until`].
    dispatched_until: Cell<u64>,
    /// The time that one phase of a turn may take, measured by the tick counter.
    pub(crate) slice: TimeSlice,
    /// Whether a callback runs, and whether callbacks are reported: bits of `local::calls`.
    pub(crate) callback_bits: Cell<u8>,
    /// The connection whose callback runs, unless its event is usual.
    pub(crate) called: Cell<Option<Token>>,
    /// Whether the poller has ended. Nothing new is registered then.
    ended: Cell<bool>,
    /// The counts of this poller's connections.
    pub(crate) census: Census,
    /// Whether this poller has paused the clock of its thread.
    #[cfg(feature = "test-util")]
    pub(crate) has_paused: Cell<bool>,
    /// The poller's side of a stall watch, if there is one.
    pub(crate) activity: Option<Arc<Activity>>,
    /// Whether this turn must not wait for events.
    skips_wait: Cell<bool>,
    /// Listeners that ran out of descriptors, and wait for one to be closed.
    pub(crate) fd_waiters: RefCell<Vec<FdWaiter>>,
}

impl Local {
    /// Makes a poller without connections.
    pub(crate) fn new(
        epoll: Epoll,
        handle: PollerHandle,
        budget: Budget,
        read_buffer_size: usize,
        allowance: Allowance,
    ) -> Local {
        let recorder = Recorder::new(handle.shared_stats().clone());
        let slice = TimeSlice::new(budget.slice);
        Local {
            epoll,
            budget,
            buffers: Buffers::new(read_buffer_size),
            read_left: Cell::new(0),
            last_writer: Cell::new(std::ptr::null()),
            values: TypeMap::default(),
            shutdown: ShutdownState::new(handle.shutdown_request().clone()),
            handle,
            allowance,
            blocking_calls: Arc::default(),
            #[cfg(feature = "test-util")]
            clock_holds: Arc::default(),
            pipes: Pipes::new(),
            table: Table::new(),
            timers: RefCell::new(Timers::new()),
            deferred: RefCell::default(),
            deferred_spare: Cell::default(),
            now: Cell::new(0),
            dispatched_until: Cell::new(0),
            slice,
            callback_bits: Cell::new(0),
            called: Cell::new(None),
            ended: Cell::new(false),
            census: Census::default(),
            #[cfg(feature = "test-util")]
            has_paused: Cell::new(false),
            recorder,
            activity: None,
            skips_wait: Cell::new(false),
            fd_waiters: RefCell::default(),
        }
    }

    /// Returns the poller of this thread, if it is running one.
    #[inline]
    pub(crate) fn current() -> Option<Rc<Local>> {
        CURRENT.with(|current| {
            let local = current.replace(ManuallyDrop::new(None));
            // No code runs that could find the cell empty.
            let copy = (*local).clone();
            current.set(local);
            copy
        })
    }

    /// Lends the poller of this thread to `look`, if it is running one: no clone of the `Rc`. No
    /// foreign code may run in `look`, which would find no poller on this thread.
    #[inline]
    pub(crate) fn with_current<R>(look: impl FnOnce(&Local) -> R) -> Option<R> {
        // Two short accesses are inlined where one around `look` is not.
        let local = CURRENT.replace(ManuallyDrop::new(None));
        let result = local.as_ref().map(|local| look(local));
        CURRENT.set(local);
        result
    }

    /// Returns the poller of this thread, or an error that names the operation `what`.
    pub(crate) fn expect_current(what: &str) -> io::Result<Rc<Local>> {
        Local::current().ok_or_else(|| {
            io::Error::other(format!("{what}: there is no poller on this thread (see block_on)"))
        })
    }

    /// Makes `local` the poller of this thread, and returns the one that it was before.
    pub(crate) fn set_current(local: Option<Rc<Local>>) -> Option<Rc<Local>> {
        let before = CURRENT.with(|current| current.replace(ManuallyDrop::new(local)));
        ManuallyDrop::into_inner(before)
    }

    // ---- time ----

    /// Returns the time of this turn. The clock is read when it is first asked for.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        // A reading takes about sixty instructions, a third of a small request: one a turn, if any.
        if self.now.get() == 0 {
            self.now.set(clock::now());
        }
        self.now.get()
    }

    /// Returns the time until which all events have been dispatched, or are being dispatched now. A
    /// timer fires if it was due by then, and a deadline is missed if it had passed. So what was ready
    /// before is reported first, however long a callback has held the poller up.
    #[inline]
    pub(crate) fn dispatched_until(&self) -> u64 {
        self.dispatched_until.get()
    }

    /// Notes that all events that were ready at `time` are dispatched before any timer fires.
    #[inline]
    pub(crate) fn set_dispatched_until(&self, time: u64) {
        self.dispatched_until.set(time);
    }

    /// Returns `true` if any timer is armed.
    #[inline]
    pub(crate) fn has_timers(&self) -> bool {
        self.timers.borrow().armed() > 0
    }

    /// Forgets the time of this turn, after the paused clock has been moved.
    #[cfg(feature = "test-util")]
    pub(crate) fn forget_now(&self) {
        self.now.set(0);
    }

    /// Begins a turn, which has a time of its own and may wait.
    #[inline]
    pub(crate) fn new_turn(&self) {
        self.now.set(0);
        self.skips_wait.set(false);
    }

    /// Arms a new timer that is due at `deadline`, in nanoseconds of `sys::clock`.
    pub(crate) fn arm(&self, deadline: u64, target: TimerTarget) -> Token {
        self.timers.borrow_mut().insert(deadline, target)
    }

    /// Arms a new timer that wakes a task at `deadline`.
    #[inline(always)]
    pub(crate) fn arm_task(&self, deadline: u64, waker: Waker) -> Token {
        self.timers.borrow_mut().insert_with(deadline, move || TimerTarget::Task(waker))
    }

    /// Disarms a task's timer, and returns its waker for the caller to drop; `None` if it has fired.
    #[inline]
    pub(crate) fn disarm_task(&self, timer: Token) -> Option<Waker> {
        self.timers.borrow_mut().remove(timer)?.into_waker()
    }

    /// Disarms a timer, and returns what it was for, which the caller drops; `None` if it has fired.
    pub(crate) fn disarm(&self, timer: Token) -> Option<TimerTarget> {
        self.timers.borrow_mut().remove(timer)
    }

    /// Makes a timer due at another time. Returns `false` if it has fired.
    pub(crate) fn reset_timer(&self, timer: Token, deadline: u64) -> bool {
        self.timers.borrow_mut().reset(timer, deadline)
    }

    /// Returns `true` if `timer` is a task's timer that has not fired, and wakes `waker`.
    #[inline]
    pub(crate) fn timer_wakes(&self, timer: Token, waker: &Waker) -> bool {
        let timers = self.timers.borrow();
        matches!(timers.get(timer), Some(TimerTarget::Task(present)) if present.will_wake(waker))
    }

    /// Makes a task's timer wake `waker`. Returns `false` if it has fired.
    pub(crate) fn set_timer_waker(&self, timer: Token, waker: &Waker) -> bool {
        if self.timer_wakes(timer, waker) {
            return true;
        }
        // Cloning is foreign code, which may disarm the timer: it is looked up after that.
        let mut new = waker.clone();
        let mut is_there = false;
        if let Some(TimerTarget::Task(present)) = self.timers.borrow_mut().get_mut(timer) {
            std::mem::swap(present, &mut new);
            is_there = true;
        }
        drop_ignoring_panic(new);
        is_there
    }

    /// Returns when the next timer is due; `None` without one that ever fires.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        // A timer at `NEVER`, as of a sleep of centuries, is armed but doesn't limit the wait.
        self.timers.borrow_mut().next_deadline().filter(|deadline| *deadline != clock::NEVER)
    }

    // ---- phases ----

    /// Defers something to the end of the turn.
    pub(crate) fn defer(&self, deferred: Deferred) {
        self.deferred.borrow_mut().push(deferred);
    }

    /// Takes what was deferred to the end of this turn. What comes now waits for the next one.
    pub(crate) fn take_deferred(&self) -> Vec<Deferred> {
        self.deferred.replace(self.deferred_spare.take())
    }

    /// Gives back the emptied vector of [`Local::take_deferred`].
    pub(crate) fn return_deferred(&self, emptied: Vec<Deferred>) {
        self.deferred_spare.set(emptied);
    }

    /// Returns `true` if the next turn must not wait for events.
    #[inline]
    pub(crate) fn has_work(&self) -> bool {
        self.has_deferred() || self.skips_wait.get()
    }

    /// Returns `true` if something waits for the end of the turn.
    #[inline]
    pub(crate) fn has_deferred(&self) -> bool {
        !self.deferred.borrow().is_empty()
    }

    /// Keeps this turn from waiting for events: the code that runs the poller has something to do.
    pub(crate) fn skip_wait(&self) {
        self.skips_wait.set(true);
    }

    // ---- descriptors ----

    /// Tells `waiter` when a descriptor of this poller is closed.
    pub(crate) fn wait_for_fd(&self, waiter: FdWaiter) {
        let mut fd_waiters = self.fd_waiters.borrow_mut();
        if !fd_waiters.iter().any(|known| known.is_same(&waiter)) {
            fd_waiters.push(waiter);
        }
        drop(fd_waiters);
        // Connections that only linger have no handler: their descriptors are given up first.
        if self.census.has_lingering() {
            self.defer(Deferred::MakeRoom);
        }
    }

    /// Notes that a descriptor has been closed, so that listeners which found none try again.
    #[inline]
    pub(crate) fn fd_freed(&self) {
        if !self.fd_waiters.borrow().is_empty() {
            self.wake_fd_waiters();
        }
    }

    /// Tells all listeners that wait for a descriptor to try again.
    #[cold]
    fn wake_fd_waiters(&self) {
        for waiter in self.fd_waiters.take() {
            match waiter {
                FdWaiter::Task(waker) => ignore_panic(|| waker.wake()),
                FdWaiter::Listener(token) => self.defer(Deferred::Reread(token)),
            }
        }
    }

    // ---- the end ----

    /// Notes that the poller ends: from now on nothing new is registered.
    pub(crate) fn set_ended(&self) {
        self.ended.set(true);
    }

    /// Returns `true` if the poller has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// Drops everything that waits or is kept, after all connections have ended.
    pub(crate) fn clear(&self) {
        // One at a time, with nothing borrowed: each drop is foreign code, and may panic.
        for payload in self.timers.take().into_payloads() {
            ignore_panic(|| payload.end());
            self.recorder.step();
        }
        for value in std::iter::from_fn(|| self.values.pop()).take(MAX_LAST_VALUES) {
            drop_ignoring_panic(value);
            self.recorder.step();
        }
        // Past the limit they are leaked, without a destructor that could make another one.
        std::iter::from_fn(|| self.values.pop()).for_each(std::mem::forget);
        self.fd_waiters.take().into_iter().for_each(drop_ignoring_panic);
    }
}

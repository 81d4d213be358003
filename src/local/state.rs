//! The parts put together: what code on a poller's thread reaches.

use std::cell::{Cell, RefCell};
use std::io;
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use crate::base::token::Token;
use crate::local::deferred::{Deferred, TimerTarget};
use crate::local::fd_waiters::FdWaiter;
use crate::local::handle::PollerHandle;
use crate::local::pipes::Pipes;
use crate::local::shutdown::ShutdownState;
use crate::local::table::Table;
use crate::parts::activity::Activity;
use crate::parts::budget::Budget;
use crate::parts::buffers::Buffers;
use crate::parts::census::Census;
use crate::parts::stats::Recorder;
use crate::parts::time_slice::TimeSlice;
use crate::parts::timers::Timers;
use crate::parts::type_map::TypeMap;
use crate::sys::clock;
use crate::sys::epoll::Epoll;
use crate::task::coop::Allowance;
use crate::task::{drop_ignoring_panic, ignore_panic};

#[cfg(feature = "test-util")]
use std::sync::atomic::AtomicUsize;

/// Cached values that are dropped at the end, those that the destructors make anew included. Far
/// more than there are types in a program; but two that make each other must come to an end.
const MOST_LAST_VALUES: usize = 10_000;

thread_local! {
    /// The poller of this thread, while it runs.
    ///
    /// It has no destructor, so that a poller may be driven and dropped by the thread's own
    /// destructors: whoever enters a poller puts back what was here.
    static CURRENT: Cell<ManuallyDrop<Option<Rc<Local>>>> =
        const { Cell::new(ManuallyDrop::new(None)) };
}

/// One poller, as its own thread sees it. Nothing in here is borrowed while foreign code runs.
pub(crate) struct Local {
    pub(crate) epoll: Epoll,
    pub(crate) budget: Budget,
    pub(crate) buffers: Buffers,
    pub(crate) values: TypeMap,
    /// The remote side of this poller.
    pub(crate) handle: PollerHandle,
    /// How this poller is told to end.
    pub(crate) shutdown: ShutdownState,
    /// How much the task that runs may still do.
    pub(crate) allowance: Allowance,
    /// Each blocking call of this poller holds one of these until it is over.
    pub(crate) blocking_calls: Arc<()>,
    /// How many things that are under way keep a paused clock from moving by itself.
    #[cfg(feature = "test-util")]
    pub(crate) clock_holds: Arc<AtomicUsize>,
    /// Empty pipes, for relays.
    pub(crate) pipes: Pipes,
    pub(crate) table: Table,
    pub(crate) timers: RefCell<Timers<TimerTarget>>,
    deferred: RefCell<Vec<Deferred>>,
    /// The vector that `due` is exchanged for, so that neither is allocated in every turn.
    deferred_spare: Cell<Vec<Deferred>>,
    /// The time of this turn, once it has been asked for; 0 before.
    now: Cell<u64>,
    /// What was ready at this time has been told, while timers are armed: no timer that is due later
    /// is fired.
    dispatched_until: Cell<u64>,
    /// The time that one phase of a turn may take.
    pub(crate) slice: TimeSlice,
    /// Bits: a callback is running, and its beginning is to be told. See `watching`.
    pub(crate) callback: Cell<u8>,
    /// This callback has written something.
    pub(crate) has_written: Cell<bool>,
    /// The poller is ending: nothing new is registered.
    ended: Cell<bool>,
    /// The counts of this poller's connections.
    pub(crate) census: Census,
    /// It has paused the clock of this thread.
    #[cfg(feature = "test-util")]
    pub(crate) has_paused: Cell<bool>,
    /// What the poller does, in numbers.
    pub(crate) recorder: Recorder,
    /// Its side of a stall watch, if there is one.
    pub(crate) activity: Option<Arc<Activity>>,
    /// This turn must not wait.
    skips_wait: Cell<bool>,
    /// Who wants to hear of descriptors that come free: listeners that found none.
    pub(crate) fd_waiters: RefCell<Vec<FdWaiter>>,
}

impl Local {
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
            values: TypeMap::default(),
            handle,
            shutdown: ShutdownState::default(),
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
            callback: Cell::new(0),
            has_written: Cell::new(false),
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

    /// The poller of this thread, if it is running one.
    #[inline]
    pub(crate) fn current() -> Option<Rc<Local>> {
        CURRENT.with(|current| {
            let local = current.replace(ManuallyDrop::new(None));
            let copy = (*local).clone();
            current.set(local);
            copy
        })
    }

    /// Looks at the poller of this thread, if it is running one. Nothing foreign runs in `look`.
    #[inline]
    pub(crate) fn with_current<R>(look: impl FnOnce(&Local) -> R) -> Option<R> {
        CURRENT.with(|current| {
            let local = current.replace(ManuallyDrop::new(None));
            let result = local.as_ref().map(|local| look(local));
            current.set(local);
            result
        })
    }

    /// As [`Local::current`], with an error that says what is missing.
    pub(crate) fn expect_current(what: &str) -> io::Result<Rc<Local>> {
        Local::current().ok_or_else(|| {
            io::Error::other(format!("{what}: there is no poller on this thread (see block_on)"))
        })
    }

    pub(crate) fn set_current(local: Option<Rc<Local>>) -> Option<Rc<Local>> {
        let before = CURRENT.with(|current| current.replace(ManuallyDrop::new(local)));
        ManuallyDrop::into_inner(before)
    }

    // ---- time ----

    /// The time of this turn: read once, when it is first asked for.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        if self.now.get() == 0 {
            self.now.set(clock::now());
        }
        self.now.get()
    }

    /// The time until which everything that was ready has been told, or is being told in this turn.
    /// A timer fires when it was due by then, so that what came before it fell due is told before,
    /// however long something has held the poller up.
    #[inline]
    pub(crate) fn dispatched_until(&self) -> u64 {
        self.dispatched_until.get()
    }

    /// A look at all events begins now, or was over at `time`.
    #[inline]
    pub(crate) fn set_dispatched_until(&self, time: u64) {
        self.dispatched_until.set(time);
    }

    /// Whether timers are armed.
    #[inline]
    pub(crate) fn has_timers(&self) -> bool {
        self.timers.borrow().armed() > 0
    }

    /// The clock has been moved: the time of this turn is another one.
    #[cfg(feature = "test-util")]
    pub(crate) fn forget_now(&self) {
        self.now.set(0);
    }

    /// A turn begins: it has a time of its own.
    #[inline]
    pub(crate) fn new_turn(&self) {
        self.now.set(0);
        self.skips_wait.set(false);
    }

    /// A new timer that is due at `deadline`.
    pub(crate) fn arm(&self, deadline: u64, expiry: TimerTarget) -> Token {
        self.timers.borrow_mut().insert(deadline, expiry)
    }

    /// A new timer that wakes a task at `deadline`.
    pub(crate) fn arm_task(&self, deadline: u64, waker: Waker) -> Token {
        self.timers.borrow_mut().insert(deadline, TimerTarget::Task(waker))
    }

    /// Takes a timer of a task away. Its waker is the caller's to drop, after this.
    pub(crate) fn disarm_task(&self, timer: Token) -> Option<Waker> {
        match self.timers.borrow_mut().remove(timer) {
            Some(TimerTarget::Task(waker)) => Some(waker),
            other => {
                debug_assert!(other.is_none(), "the timers of tasks carry wakers");
                None
            }
        }
    }

    /// Takes a timer away; what it carried is the caller's to drop, after this.
    pub(crate) fn disarm(&self, timer: Token) -> Option<TimerTarget> {
        self.timers.borrow_mut().remove(timer)
    }

    /// Makes a timer due at another time. False: it has fired.
    pub(crate) fn reset_timer(&self, timer: Token, deadline: u64) -> bool {
        self.timers.borrow_mut().reset(timer, deadline)
    }

    /// Sees to it that a task's timer wakes `waker`. False: it has fired.
    pub(crate) fn set_timer_waker(&self, timer: Token, waker: &Waker) -> bool {
        match self.timers.borrow().get(timer) {
            Some(TimerTarget::Task(present)) if present.will_wake(waker) => return true,
            Some(TimerTarget::Task(_)) => {}
            _ => return false,
        }
        // Cloning is foreign code: nothing is borrowed meanwhile.
        let mut new = Some(waker.clone());
        let mut is_there = false;
        if let Some(TimerTarget::Task(present)) = self.timers.borrow_mut().get_mut(timer)
            && let Some(new) = &mut new
        {
            std::mem::swap(present, new);
            is_there = true;
        }
        drop_ignoring_panic(new);
        is_there
    }

    /// When the next timer is due.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.timers.borrow_mut().next_deadline().filter(|deadline| *deadline != clock::NEVER)
    }

    // ---- phases ----

    /// Has something done at the end of the turn.
    pub(crate) fn defer(&self, deferred: Deferred) {
        self.deferred.borrow_mut().push(deferred);
    }

    /// What is due at the end of this turn. What comes meanwhile is for the next one.
    pub(crate) fn take_deferred(&self) -> Vec<Deferred> {
        self.deferred.replace(self.deferred_spare.take())
    }

    /// Gives the emptied vector of [`Local::take_deferred`] back.
    pub(crate) fn return_deferred(&self, emptied: Vec<Deferred>) {
        self.deferred_spare.set(emptied);
    }

    /// Whether the next turn has something to do without waiting.
    #[inline]
    pub(crate) fn has_work(&self) -> bool {
        self.has_deferred() || self.skips_wait.get()
    }

    /// Whether calls wait for their phase.
    #[inline]
    pub(crate) fn has_deferred(&self) -> bool {
        !self.deferred.borrow().is_empty()
    }

    /// Keeps this turn from waiting: whoever runs the poller has something to look at.
    pub(crate) fn skip_wait(&self) {
        self.skips_wait.set(true);
    }

    // ---- descriptors ----

    /// Lets `who` know when a descriptor of this poller has been closed.
    pub(crate) fn wait_for_fd(&self, who: FdWaiter) {
        let mut fd_waiters = self.fd_waiters.borrow_mut();
        if !fd_waiters.iter().any(|known| known.is_same(&who)) {
            fd_waiters.push(who);
        }
        drop(fd_waiters);
        if self.census.has_lingering() {
            self.defer(Deferred::MakeRoom);
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

    // ---- the end ----

    /// From now on nothing new is registered.
    pub(crate) fn set_ended(&self) {
        self.ended.set(true);
    }

    /// Whether the poller has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// Takes away everything that waits or is kept, when all connections are gone.
    pub(crate) fn clear(&self) {
        // One at a time: each drop is foreign code.
        for payload in self.timers.take().into_payloads() {
            ignore_panic(|| payload.end());
            self.recorder.step();
        }
        for value in std::iter::from_fn(|| self.values.pop()).take(MOST_LAST_VALUES) {
            drop_ignoring_panic(value);
            self.recorder.step();
        }
        std::iter::from_fn(|| self.values.pop()).for_each(std::mem::forget);
        self.fd_waiters.take().into_iter().for_each(drop_ignoring_panic);
    }
}

//! Floor 6: one poller. The loop, and what it calls.
//!
//! | file | what it holds |
//! |---|---|
//! | `mod` | the poller: one turn |
//! | `sleep` | the wait for events |
//! | `dispatch` | events and timers to callbacks |
//! | `shutdown` | how a poller is shut down |
//! | `block_on` | a poller on the caller's thread |
//! | `local_poller` | a poller for another event loop |

mod block_on;
pub(crate) mod dispatch;
pub(crate) mod local_poller;
#[cfg(feature = "test-util")]
pub(crate) mod paused;
mod remote;
pub(crate) mod shutdown;
mod sleep;
#[cfg(all(test, not(loom)))]
mod tests;
mod timers;

pub(crate) use block_on::{READ_BUFFER_SIZE, assert_outside};
pub use block_on::{block_on, block_on_with};
#[cfg(all(feature = "test-util", feature = "blocking"))]
pub(crate) use paused::Hold;

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::base::error::during;
use crate::base::token::Token;
use crate::connection::call;
use crate::local::calls;
use crate::local::handle::PollerHandle;
use crate::local::state::Local;
use crate::parts::activity::Activity;
use crate::parts::budget::Budget;
use crate::parts::stats::Report;
use crate::sys::epoll::{Epoll, Events, Mask, RawEvent};
use crate::sys::eventfd::EventFd;
use crate::sys::{ticks, traffic};
use crate::task::{Bell, Executor, Grant, UnboundExecutor};

/// The mailbox's token. Nothing is looked up for it: that the wait has ended is its message.
const MAILBOX: Token = Token::new(u32::MAX, u32::MAX);

/// Polls that a look with many events is good for, if each is shorter than a slice.
const MOST_POLLS_PER_LOOK: usize = 64;

/// The tasks' phase of a turn.
struct Phase<'a> {
    local: &'a Local,
    /// See [`Poller::told`].
    least: usize,
}

impl Grant for Phase<'_> {
    #[inline(always)]
    fn next(&mut self, made: usize) -> usize {
        if made == 0 {
            return calls::begin_phase(self.local, self.least)
                .min(self.local.budget.tasks_per_turn);
        }
        let left = self.local.budget.tasks_per_turn.saturating_sub(made);
        calls::continue_phase(self.local, made).min(left)
    }
}

impl Bell for EventFd {
    fn ring(&self) {
        EventFd::ring(self);
    }
}

/// A poller that has no thread yet. Its handle takes mail already.
pub(crate) struct PollerSeed {
    unbound: UnboundExecutor,
    epoll: Epoll,
    bell: Arc<EventFd>,
    handle: PollerHandle,
    budget: Budget,
    read_buffer_size: usize,
    /// Its side of a stall watch.
    activity: Option<Arc<Activity>>,
}

impl PollerSeed {
    /// The `index`-th poller of its reactor.
    pub(crate) fn new(index: usize, budget: Budget, read_buffer_size: usize) -> io::Result<Self> {
        ticks::calibrate();
        let budget = budget.in_bounds();
        let epoll = Epoll::new().map_err(|error| during("making an epoll instance", error))?;
        let bell = EventFd::new().map_err(|error| during("making an eventfd", error))?;
        let bell = Arc::new(bell);
        epoll
            .add(bell.as_fd(), MAILBOX, Mask::BELL)
            .map_err(|error| during("watching an eventfd", error))?;
        let unbound = UnboundExecutor::new(bell.clone());
        let (epoll_handle, most_mail) = (epoll.remote(), budget.mail_waiting);
        let handle = PollerHandle::new(unbound.shared(), index, epoll_handle, most_mail);
        let activity = None;
        Ok(PollerSeed { unbound, epoll, bell, handle, budget, read_buffer_size, activity })
    }

    /// The poller will tell what it runs.
    pub(crate) fn set_activity(&mut self, activity: Arc<Activity>) {
        self.activity = Some(activity);
    }

    /// The way in for other threads.
    pub(crate) fn handle(&self) -> &PollerHandle {
        &self.handle
    }
}

/// A poller, on its thread.
pub(crate) struct Poller {
    /// Declared first, dropped first: when `local` goes, no task is left.
    executor: Executor,
    local: Rc<Local>,
    /// Room for a wait's events; out of here during a turn.
    events: Cell<Events>,
    /// Rung by whoever gives it work while it sleeps.
    bell: Arc<EventFd>,
    /// Events of the last look: as many tasks may be polled before the next one, if their polls are
    /// short. A look costs a system call, which the tasks share that it has woken.
    told: Cell<usize>,
}

impl Poller {
    /// Makes the calling thread the poller's.
    pub(crate) fn adopt(seed: PollerSeed) -> Poller {
        let budget = seed.budget;
        let events = Cell::new(Events::with_capacity(budget.events_per_wait));
        let mut executor = seed.unbound.bind();
        let allowance = executor.allowance();
        let mut local =
            Local::new(seed.epoll, seed.handle, budget, seed.read_buffer_size, allowance);
        if let Some(activity) = seed.activity {
            executor.report_calls_to(activity.current_call.clone());
            calls::set_activity(&mut local, activity);
        }
        Poller { executor, local: Rc::new(local), events, bell: seed.bell, told: Cell::new(0) }
    }

    /// One turn of the loop: everything that a poller does is done from here. It waits for `most`
    /// at the longest, and not at all while there is something to do.
    pub(crate) fn turn(&self, most: Option<Duration>) -> io::Result<()> {
        let local = &*self.local;
        let budget = &local.budget;
        self.run_tasks();
        self.report();
        let mut events = self.events.take();
        let waited = self.wait(&mut events, most);
        let count = *waited.as_ref().unwrap_or(&0);
        self.told.set(count.min(MOST_POLLS_PER_LOOK));
        local.new_turn();
        local.recorder.awake(count);
        // Before the events: what was sent to us before a peer wrote is known when it is read.
        self.open_mail(budget.mail_per_turn);
        self.dispatch(events.first(count));
        if count == budget.events_per_wait && timers::is_due(local) {
            self.dispatch_the_rest(&mut events);
        }
        self.events.set(events);
        timers::fire_due(local);
        dispatch::finish_turn(local);
        // Last: they have had more than their share.
        self.executor.wake_deferred();
        waited.map(drop)
    }

    /// Runs what is runnable until the slice is over; says how many tasks were polled.
    fn run_tasks(&self) -> usize {
        if !self.executor.has_work() {
            return 0;
        }
        let local = &*self.local;
        let polled = self.executor.run(Phase { local, least: self.told.get() });
        calls::lap(local);
        local.recorder.polled(polled);
        polled
    }

    /// Opens up to `budget` pieces of mail, until the slice is over.
    fn open_mail(&self, budget: usize) {
        let (local, mut left) = (&*self.local, budget);
        if !self.executor.has_mail() {
            return;
        }
        let mut calls = calls::begin_phase(local, 1);
        while calls > 0 && left > 0 && self.executor.has_mail() {
            let most = left.min(calls);
            self.executor.open_mail(most);
            local.recorder.step();
            left -= most;
            calls = calls::continue_phase(local, budget - left);
        }
    }

    /// Says what has been done, and what there is.
    fn report(&self) {
        self.local.recorder.report(&Report {
            wakes: self.executor.wakes(),
            tasks: self.executor.tasks() as u64,
            connections: self.local.census.connections() as u64,
            traffic: traffic::take(),
        });
    }

    /// A timer is due, and there were more events than one wait brings: the others are dispatched
    /// before it fires, each descriptor's once. Those that come meanwhile stand behind them.
    #[cold]
    fn dispatch_the_rest(&self, events: &mut Events) {
        let local = &*self.local;
        let mut left = local.table.len();
        while left > 0 && !local.shutdown.is_over() {
            let waited = local.epoll.wait(events, Some(Duration::ZERO));
            // What has failed here fails in the next turn's wait as well.
            let count = waited.unwrap_or(0);
            local.recorder.more_events(count);
            self.dispatch(events.first(count));
            if count < local.budget.events_per_wait {
                return;
            }
            left = left.saturating_sub(count);
        }
    }

    /// Hands the events to what they are for. One net catches the panics of the whole batch: the
    /// connection whose callback threw ends, and the batch goes on behind it.
    #[inline(always)]
    fn dispatch(&self, events: &[RawEvent]) {
        let done = Cell::new(0);
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| {
            dispatch::events(&self.local, &events[done.get()..], &done);
        })) {
            let thrower = events[done.get() - 1].token();
            call::on_panic(&self.local, thrower, panic);
        }
    }

    /// The poller's own descriptor: readable when it has events.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.local.epoll.fd()
    }

    /// What its thread reaches.
    #[inline]
    pub(crate) fn local(&self) -> &Rc<Local> {
        &self.local
    }

    /// Its tasks.
    #[inline]
    pub(crate) fn executor(&self) -> &Executor {
        &self.executor
    }

    /// Makes this the poller of the thread until the guard is dropped.
    pub(crate) fn enter(&self) -> impl Drop + '_ {
        struct Entered<'a> {
            _executor: crate::task::executor::EnterGuard<'a>,
            before: Option<Rc<Local>>,
        }
        impl Drop for Entered<'_> {
            fn drop(&mut self) {
                Local::set_current(self.before.take());
            }
        }
        let _executor = self.executor.enter();
        Entered { _executor, before: Local::set_current(Some(self.local.clone())) }
    }
}

//! Floor 6: the loop of one poller. Read [`Poller::turn`] first: everything that a poller does is
//! done from there.
//!
//! | file | what it holds |
//! |---|---|
//! | `mod` | the poller, and one turn of its loop |
//! | `sleep` | the wait for events, until the next deadline |
//! | `dispatch` | what an event does, and the calls that wait for the end of the turn |
//! | `timers` | firing the timers that are due |
//! | `shutdown` | the grace of a shutdown, and the end of a poller |
//! | `shutdown_requested` | the future that waits for the shutdown of a poller |
//! | `block_on` | a poller on the caller's thread |
//! | `local_poller` | a poller inside another event loop |
//! | `remote` | the parts of `PollerHandle` that call into this floor |
//! | `paused` | waiting while the clock is paused, with the feature `test-util` |

mod block_on;
pub(crate) mod dispatch;
pub(crate) mod local_poller;
#[cfg(feature = "test-util")]
pub(crate) mod paused;
mod remote;
pub(crate) mod shutdown;
pub(crate) mod shutdown_requested;
mod sleep;
#[cfg(all(test, not(loom)))]
mod tests;
mod timers;

#[cfg(feature = "sim")]
pub(crate) use block_on::try_run_here;
pub(crate) use block_on::{READ_BUFFER_SIZE, assert_outside};
pub use block_on::{block_on, block_on_with};
#[cfg(all(feature = "test-util", feature = "blocking"))]
pub(crate) use paused::ClockHold;

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
use crate::sys::{busy_poll, ticks, traffic};
use crate::task::{Bell, Executor, Grant, UnboundExecutor};

/// The token of the mailbox's eventfd. It has no entry in the table: its event only ends the wait.
const MAILBOX: Token = Token::new(u32::MAX, u32::MAX);

/// The largest number of polls that one wait for events is good for. See
/// [`Poller::last_event_count`].
const MAX_POLLS_PER_WAIT: usize = 64;

/// What the run of tasks in one turn is granted.
struct TaskPhase<'a> {
    /// The poller, which keeps the time of the phase.
    local: &'a Local,
    /// The number of polls that may be made even if the slice is over, as long as each is shorter
    /// than a slice. It is [`Poller::last_event_count`].
    min_polls: usize,
}

impl Grant for TaskPhase<'_> {
    #[inline(always)]
    fn next(&mut self, made: usize) -> usize {
        // The slice bounds the time of the phase, and the budget its polls: whichever ends first.
        let max_polls = self.local.budget.tasks_per_turn;
        if made == 0 {
            return calls::begin_phase(self.local, self.min_polls).min(max_polls);
        }
        let left = max_polls.saturating_sub(made);
        calls::continue_phase(self.local, made).min(left)
    }

    fn may_poll(&self) -> bool {
        !self.local.shutdown.has_grace_passed()
    }
}

impl Bell for EventFd {
    fn ring(&self) {
        EventFd::ring(self);
    }
}

/// A poller that is not bound to a thread yet. Its handle takes mail already.
pub(crate) struct UnboundPoller {
    /// The executor of its tasks.
    executor: UnboundExecutor,
    /// Its epoll instance, with the mailbox's eventfd in it.
    epoll: Epoll,
    /// The eventfd that ends its wait.
    bell: Arc<EventFd>,
    /// The way in for other threads.
    handle: PollerHandle,
    /// Its limits, within their bounds.
    budget: Budget,
    /// The size of its shared read buffer, in bytes.
    read_buffer_size: usize,
    /// What it reports to a stall watch, if there is one.
    activity: Option<Arc<Activity>>,
}

impl UnboundPoller {
    /// Makes the poller number `index` of its reactor.
    ///
    /// # Errors
    ///
    /// Returns the errors of epoll_create1(2), eventfd(2) and epoll_ctl(2).
    pub(crate) fn new(index: usize, budget: Budget, read_buffer_size: usize) -> io::Result<Self> {
        // Early: the longer the counter's speed is measured, the more exactly it is known.
        ticks::calibrate();
        let budget = budget.in_bounds();
        let epoll = Epoll::new().map_err(|error| during("making an epoll instance", error))?;
        let bell = EventFd::new().map_err(|error| during("making an eventfd", error))?;
        let bell = Arc::new(bell);
        epoll
            .add(bell.as_fd(), MAILBOX, Mask::BELL)
            .map_err(|error| during("watching an eventfd", error))?;
        let executor = UnboundExecutor::new(bell.clone());
        let remote_epoll = epoll.remote();
        let handle = PollerHandle::new(executor.shared(), index, remote_epoll, budget.mail_waiting);
        let activity = None;
        Ok(UnboundPoller { executor, epoll, bell, handle, budget, read_buffer_size, activity })
    }

    /// Makes the poller look for packets at network devices before it sleeps.
    ///
    /// # Errors
    ///
    /// Returns the errors of ioctl_eventpoll(2).
    pub(crate) fn set_busy_poll(&self, how: busy_poll::Parameters) -> io::Result<()> {
        busy_poll::set(self.epoll.fd(), how)
    }

    /// Makes the poller report to a stall watch what it runs.
    pub(crate) fn set_activity(&mut self, activity: Arc<Activity>) {
        self.activity = Some(activity);
    }

    /// Returns the way in for other threads.
    pub(crate) fn handle(&self) -> &PollerHandle {
        &self.handle
    }

    /// Binds the poller to the calling thread.
    pub(crate) fn bind(self) -> Poller {
        let UnboundPoller { epoll, bell, handle, budget, read_buffer_size, .. } = self;
        let events = Cell::new(Events::with_capacity(budget.events_per_wait));
        let mut executor = self.executor.bind();
        let allowance = executor.allowance();
        let mut local = Local::new(epoll, handle, budget, read_buffer_size, allowance);
        if let Some(activity) = self.activity {
            executor.report_calls_to(activity.current_call.clone());
            calls::set_activity(&mut local, activity);
        }
        let last_event_count = Cell::new(0);
        Poller { executor, local: Rc::new(local), events, bell, last_event_count }
    }
}

/// A poller, bound to its thread.
pub(crate) struct Poller {
    /// The tasks. Declared first, dropped first: no task is left when `local` is dropped.
    executor: Executor,
    /// What the poller's thread reaches: the table, the connections, the timers.
    local: Rc<Local>,
    /// The buffer for the events of a wait. A turn takes it out, and puts it back.
    events: Cell<Events>,
    /// The eventfd that ends a wait when mail arrives.
    bell: Arc<EventFd>,
    /// How many events the last wait has brought, up to [`MAX_POLLS_PER_WAIT`]. The next run of
    /// tasks may make as many polls as long as they are short: these share the cost of the system
    /// call that has woken them.
    last_event_count: Cell<usize>,
}

impl Poller {
    /// Makes one turn of the loop. It waits for events for `max_wait` at most (`None`: without a
    /// limit), and not at all while there is something to do.
    ///
    /// The steps are numbered as in ARCHITECTURE.md, which gives the reasons for their order.
    ///
    /// # Errors
    ///
    /// Returns the error of epoll_wait(2). The rest of the turn has been made all the same.
    pub(crate) fn turn(&self, max_wait: Option<Duration>) -> io::Result<()> {
        let local = &*self.local;
        let budget = &local.budget;
        // 1. Tasks that are runnable. They run before the wait, which may sleep once none is left.
        self.run_tasks();
        self.report();
        // 2. The wait. The buffer leaves its cell, so that no borrow lasts while callbacks run.
        let mut events = self.events.take();
        let waited = self.wait(&mut events, max_wait);
        let count = *waited.as_ref().unwrap_or(&0);
        self.last_event_count.set(count.min(MAX_POLLS_PER_WAIT));
        // Time has passed: this turn reads the clock anew when it is first asked for the time.
        local.new_turn();
        local.recorder.awake();
        // 3. Mail comes before the events: what another thread sent before a peer wrote is known
        //    when the peer's bytes are read.
        self.open_mail(budget.mail_per_turn);
        // 4. Events: each calls a handler now, or makes tasks runnable for the next turn.
        self.dispatch(events.first(count));
        // A full buffer means that there may be more. If a timer is due they are dispatched too:
        // a timeout must not overtake the bytes that came before it.
        if count == budget.events_per_wait && timers::is_due(local) {
            self.dispatch_remaining(&mut events);
        }
        self.events.set(events);
        // 5. Timers that were due when step 2 asked for the events.
        timers::fire_due(local);
        // 6. The calls that callbacks have asked for meanwhile, as callbacks never nest. The tasks
        //    that have used up their allowance come last, behind all that has been woken.
        dispatch::finish_turn(local);
        self.executor.wake_deferred();
        waited.map(drop)
    }

    /// Runs tasks until the slice is over or none is runnable. Returns the number of polls.
    fn run_tasks(&self) -> usize {
        if !self.executor.has_work() {
            return 0;
        }
        let local = &*self.local;
        let phase = TaskPhase { local, min_polls: self.last_event_count.get() };
        let polled = self.executor.run(phase);
        // The time since the last reading of the clock was the tasks'.
        calls::lap(local);
        local.recorder.polled(polled);
        polled
    }

    /// Opens up to `max_mail` pieces of mail, until the slice is over.
    fn open_mail(&self, max_mail: usize) {
        if !self.executor.has_mail() {
            return;
        }
        let (local, mut left) = (&*self.local, max_mail);
        // A chain of closures that post each other would never end: hence the limits.
        let mut granted = calls::begin_mail(local);
        while granted > 0 && left > 0 && self.executor.has_mail() {
            let batch = left.min(granted);
            self.executor.open_mail(batch);
            local.recorder.step();
            left -= batch;
            granted = calls::continue_mail(local, max_mail - left);
        }
    }

    /// Publishes the poller's statistics.
    fn report(&self) {
        self.local.recorder.report(&Report {
            wakes: self.executor.wakes(),
            tasks: self.executor.tasks() as u64,
            connections: self.local.census.connections() as u64,
            traffic: traffic::take(),
        });
    }

    /// Dispatches the events that one wait had no room for.
    ///
    /// The kernel's list of ready descriptors is a queue: what becomes ready meanwhile, or is still
    /// ready after it was reported, joins its end. So as many events as there are entries in the
    /// table cover all that was ready, and the loop ends although new events keep arriving.
    #[cold]
    fn dispatch_remaining(&self, events: &mut Events) {
        let local = &*self.local;
        let mut left = local.table.len();
        while left > 0 && !local.shutdown.has_grace_passed() {
            let waited = local.epoll.wait(events, Some(Duration::ZERO));
            // An error here meets the wait of the next turn as well, which returns it.
            let count = waited.unwrap_or(0);
            self.dispatch(events.first(count));
            if count < local.budget.events_per_wait {
                return;
            }
            left = left.saturating_sub(count);
        }
    }

    /// Dispatches a batch of events to their connections and tasks.
    ///
    /// One `catch_unwind` covers the batch, as one for each event would cost every request. When a
    /// callback panics its connection ends, and the batch goes on with the next event.
    #[inline(always)]
    fn dispatch(&self, events: &[RawEvent]) {
        let recorder = &self.local.recorder;
        let before = recorder.events();
        let done = || recorder.events().wrapping_sub(before) as usize;
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| {
            dispatch::events(&self.local, &events[done()..]);
        })) {
            // An event is counted before its callback, so the last one counted has panicked.
            let panicked = events[done() - 1].token();
            call::on_panic(&self.local, panicked, panic);
        }
    }

    /// Returns the descriptor of the epoll instance, which is readable while there are events.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.local.epoll.fd()
    }

    /// Returns what the poller's thread reaches.
    #[inline]
    pub(crate) fn local(&self) -> &Rc<Local> {
        &self.local
    }

    /// Returns the executor of the poller's tasks.
    #[inline]
    pub(crate) fn executor(&self) -> &Executor {
        &self.executor
    }

    /// Makes this the current poller of the thread until the guard is dropped.
    ///
    /// The guards of several pollers may nest: a callback may turn a `LocalPoller`, and a value of
    /// one poller may be dropped inside of another.
    pub(crate) fn enter(&self) -> impl Drop + '_ {
        /// Restores the poller that was the current one before.
        struct Entered<'a> {
            /// Does the same for the executor.
            _executor: crate::task::executor::EnterGuard<'a>,
            /// The poller that was the current one before.
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

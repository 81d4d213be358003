//! A poller that another event loop drives, without a thread of its own.
//!
//! Between turns the thread is outside of the poller, which then sleeps as far as other threads can
//! see: a wake rings its eventfd, and a timerfd stands for its next timer. Both are in its epoll
//! instance, so that one descriptor is readable whenever a turn has something to do.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::{Duration, Instant};

use crate::base::error::during;
use crate::parts::budget::Budget;
use crate::sys::clock;
use crate::sys::epoll::Mask;
use crate::sys::timerfd::TimerFd;
use crate::task::{self, join::JoinHandle};

use super::{MAILBOX, Poller};
use crate::local::state::Local;

/// A poller that another event loop drives, for a thread that has such a loop already.
///
/// Its descriptor ([`AsFd`]) is readable while the poller needs a turn: when there are events, when
/// a timer is due, and when a task has been spawned or woken, from any thread. The other loop
/// watches that one descriptor, and calls [`LocalPoller::turn`] with [`Duration::ZERO`] when it is
/// readable. An edge-triggered loop works as well: each turn that leaves something to do makes a
/// new edge.
///
/// Sockets and timers are made and used inside its tasks. The poller is not `Send`: it stays on the
/// thread that has made it. Dropping it drops its tasks and connections, on this thread.
///
/// The examples `embed_tokio` and `embed_calloop` drive one inside of other loops.
///
/// # Examples
///
/// ```
/// use corepoll::{LocalPoller, time};
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// let mut poller = LocalPoller::new()?;
/// let task = poller.spawn_local(async {
///     time::sleep(Duration::from_millis(1)).await;
///     42
/// });
/// while !task.is_finished() {
///     poller.turn(None)?;
/// }
/// # Ok(())
/// # }
/// ```
pub struct LocalPoller {
    /// The poller. The thread is inside of it only during a turn.
    poller: Poller,
    /// Makes the descriptor readable when a timer is due.
    alarm: TimerFd,
    /// When the alarm goes off, in nanoseconds of the monotonic clock; `None` if it is not set.
    alarm_at: Cell<Option<u64>>,
    /// Whether the bell has been rung since the last turn. Once is enough, and a ring is a system
    /// call.
    is_rung: Cell<bool>,
}

impl LocalPoller {
    /// Makes a poller on the calling thread.
    ///
    /// # Errors
    ///
    /// Returns the error of the kernel if it refuses an epoll instance, an eventfd or a timerfd.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::LocalPoller;
    /// # fn main() -> std::io::Result<()> {
    /// let poller = LocalPoller::new()?;
    /// assert_eq!(poller.next_deadline(), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new() -> io::Result<LocalPoller> {
        LocalPoller::with_budget(Budget::default())
    }

    /// Makes a poller on the calling thread that keeps to `budget`.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`LocalPoller::new`].
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{Budget, LocalPoller};
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let mut budget = Budget::default();
    /// budget.slice = Duration::from_micros(20);
    /// let poller = LocalPoller::with_budget(budget)?;
    /// # drop(poller);
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_budget(budget: Budget) -> io::Result<LocalPoller> {
        let poller = Poller::on_this_thread(budget)?;
        let alarm = TimerFd::new().map_err(|error| during("making a timerfd", error))?;
        poller.local().epoll.add(alarm.as_fd(), MAILBOX, Mask::BELL)?;
        let (alarm_at, is_rung) = (Cell::new(None), Cell::new(false));
        let poller = LocalPoller { poller, alarm, alarm_at, is_rung };
        poller.prepare_to_leave()?;
        Ok(poller)
    }

    /// Spawns a task, which is first polled in the next turn.
    ///
    /// The handle may be awaited anywhere on this thread, also by a task of another runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::LocalPoller;
    /// # use std::time::Duration;
    /// # fn main() -> std::io::Result<()> {
    /// let mut poller = LocalPoller::new()?;
    /// let task = poller.spawn_local(async { 7 });
    /// poller.turn(Some(Duration::ZERO))?;
    /// assert!(task.is_finished());
    /// # Ok(())
    /// # }
    /// ```
    pub fn spawn_local<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        let entered = self.poller.enter();
        let spawned = task::spawn(future);
        drop(entered);
        // The thread is outside: only a readable descriptor makes the other loop call for a turn.
        if !self.is_rung.replace(true) {
            self.poller.bell.ring();
        }
        match spawned {
            Ok(handle) => handle,
            Err(_) => unreachable!("the thread is inside the poller"),
        }
    }

    /// Makes one turn of the loop: runs the tasks that are runnable, handles the events that are
    /// ready, fires the timers that are due, and runs the tasks that these have woken.
    ///
    /// If there is nothing to do at first it waits for events, for `timeout` at most; with `None`
    /// it waits without a limit.
    ///
    /// It does one round of each, so that the other loop gets its share as well. If something is
    /// left to do, the descriptor is readable afterwards.
    ///
    /// # Errors
    ///
    /// Returns the errors of epoll_wait(2) and timerfd_settime(2).
    ///
    /// # Panics
    ///
    /// Panics inside of another poller if `timeout` is not [`Duration::ZERO`]: that poller would
    /// stand still while this one waits.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{LocalPoller, time};
    /// # use std::time::Duration;
    /// # fn main() -> std::io::Result<()> {
    /// let mut poller = LocalPoller::new()?;
    /// let task = poller.spawn_local(time::sleep(Duration::from_millis(1)));
    /// while !task.is_finished() {
    ///     // Waits for the timer.
    ///     poller.turn(None)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        assert!(
            timeout == Some(Duration::ZERO) || Local::current().is_none(),
            "LocalPoller::turn was called inside another poller, which would stand still while \
             this one waits: pass a timeout of zero"
        );
        let entered = self.poller.enter();
        self.is_rung.set(false);
        self.poller.executor().unpark();
        // The time since the last turn was the other loop's. The statistics must not count it as
        // this poller's.
        self.poller.local().recorder.restart();
        // What runs here may wake more: then the turn must not wait.
        let timeout = if self.poller.run_tasks() > 0 { Some(Duration::ZERO) } else { timeout };
        let turned = self.poller.turn(timeout);
        // The tasks that the turn has woken: one turn an event is then enough to run them.
        self.poller.run_tasks();
        drop(entered);
        // Also after a failure: later wakes must still make the descriptor readable.
        self.prepare_to_leave().and(turned)
    }

    /// Returns when the next timer is due, or the current time if there is something to do already.
    /// Returns `None` if there is nothing to do before an event.
    ///
    /// The descriptor becomes readable at that time, so a loop that watches it needs no timeout of
    /// its own.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{LocalPoller, time};
    /// # use std::time::{Duration, Instant};
    /// # fn main() -> std::io::Result<()> {
    /// let mut poller = LocalPoller::new()?;
    /// let deadline = Instant::now() + Duration::from_secs(60);
    /// let task = poller.spawn_local(time::sleep_until(deadline));
    /// poller.turn(Some(Duration::ZERO))?;
    /// assert_eq!(poller.next_deadline(), Some(deadline));
    /// # drop(task);
    /// # Ok(())
    /// # }
    /// ```
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.has_work() {
            return Some(clock::to_instant(clock::now()));
        }
        self.poller.local().next_deadline().map(clock::to_instant)
    }

    /// Returns `true` if the next turn has something to do without an event.
    fn has_work(&self) -> bool {
        // Both are asked: tasks are the executor's, and deferred calls the poller's.
        self.poller.executor().has_work() || self.poller.local().has_work()
    }

    /// Makes the descriptor readable when the next turn has something to do.
    ///
    /// From here on mail rings the bell. If something is left to do already, this rings it.
    fn prepare_to_leave(&self) -> io::Result<()> {
        let deadline = self.poller.local().next_deadline();
        let is_due = deadline.is_some_and(|deadline| deadline <= clock::now());
        let must_ring = is_due || self.has_work() || !self.poller.executor().park();
        // Events that this turn had no room for have made the descriptor readable once already,
        // which an edge-triggered loop hears of only once.
        if must_ring || self.poller.local().epoll.has_events()? {
            self.is_rung.set(true);
            self.poller.bell.ring();
        }
        // The alarm is set only if the deadline is another one: that is a system call.
        if !is_due && self.alarm_at.replace(deadline) != deadline {
            let delay = deadline.map(|at| Duration::from_nanos(at.saturating_sub(clock::now())));
            self.alarm.set(delay)?;
        }
        Ok(())
    }
}

impl AsFd for LocalPoller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.fd()
    }
}

impl AsRawFd for LocalPoller {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl fmt::Debug for LocalPoller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalPoller")
            .field("fd", &self.as_raw_fd())
            .field("tasks", &self.poller.executor().tasks())
            .finish_non_exhaustive()
    }
}

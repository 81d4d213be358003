//! A poller without a thread of its own, for somebody else's loop.

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

/// A poller that runs when it is told to: for a thread that has another event loop already.
///
/// Its descriptor ([`AsFd`]) is readable whenever it wants a turn: when there are events, when a
/// timer is due, when a task has been spawned or woken, from whichever thread. So the other
/// loop watches that one descriptor and calls [`LocalPoller::turn`] with [`Duration::ZERO`] when it
/// is readable. A loop that is told of edges only is served as well: each turn that leaves
/// something to do makes a new edge.
///
/// Sockets and timers are made and used inside its tasks. Dropping it drops whatever lives in it,
/// on this thread.
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
///
/// The examples `embed_tokio` and `embed_calloop` drive one inside of other loops.
pub struct LocalPoller {
    poller: Poller,
    /// Makes the descriptor readable when a timer is due.
    alarm: TimerFd,
    /// What the alarm is set to: nanoseconds of the monotonic clock.
    alarm_at: Cell<Option<u64>>,
    /// The bell has been rung since the last turn: once is enough.
    rung: Cell<bool>,
}

impl LocalPoller {
    /// A poller for this thread, with nothing in it.
    ///
    /// ```
    /// # use corepoll::LocalPoller;
    /// # fn main() -> std::io::Result<()> {
    /// let poller = LocalPoller::new()?;
    /// assert_eq!(poller.next_deadline(), None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The kernel gives no epoll instance, eventfd or timerfd.
    pub fn new() -> io::Result<LocalPoller> {
        LocalPoller::with_budget(Budget::default())
    }

    /// Makes a poller for this thread that keeps to `budget`.
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
    ///
    /// # Errors
    /// As [`LocalPoller::new`].
    pub fn with_budget(budget: Budget) -> io::Result<LocalPoller> {
        let poller = Poller::on_this_thread(budget)?;
        let alarm = TimerFd::new().map_err(|error| during("making a timerfd", error))?;
        poller.local().epoll.add(alarm.as_fd(), MAILBOX, Mask::BELL)?;
        let poller =
            LocalPoller { poller, alarm, alarm_at: Cell::new(None), rung: Cell::new(false) };
        poller.settle()?;
        Ok(poller)
    }

    /// Spawns a task, which is first polled in the next turn. The handle may be awaited anywhere
    /// on this thread, by another runtime's task too.
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
        if !self.rung.replace(true) {
            self.poller.bell.ring();
        }
        match spawned {
            Ok(handle) => handle,
            Err(_) => unreachable!("the thread is inside the poller"),
        }
    }

    /// One turn: runs what is runnable, takes the events that there are, fires the timers that are
    /// due, and runs what these have made runnable. If there was nothing to run it waits for
    /// events: for `timeout` at the longest, and for ever without one.
    ///
    /// It returns after one round of each, so that the other loop gets its turn as well; what is
    /// left to do makes the descriptor readable.
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
    ///
    /// # Errors
    /// epoll_wait(2)'s; timerfd_settime(2)'s.
    ///
    /// # Panics
    /// If it would wait inside of another poller, which would stand still meanwhile: in there, the
    /// timeout has to be [`Duration::ZERO`].
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        assert!(
            timeout == Some(Duration::ZERO) || Local::current().is_none(),
            "LocalPoller::turn was called inside another poller, which would stand still while \
             this one waits: give it a timeout of zero"
        );
        let entered = self.poller.enter();
        self.rung.set(false);
        self.poller.executor().unpark();
        // The other loop's time is not a task's.
        self.poller.local().recorder.restart();
        let timeout = if self.poller.run_tasks() > 0 { Some(Duration::ZERO) } else { timeout };
        let turned = self.poller.turn(timeout);
        self.poller.run_tasks();
        drop(entered);
        // After a failure too: later wakes must still make the descriptor readable.
        self.settle().and(turned)
    }

    /// When the next timer is due, or now, if there is something to do already; `None` if only an
    /// event can bring it something to do. The descriptor becomes readable at that time.
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

    fn has_work(&self) -> bool {
        self.poller.executor().has_work() || self.poller.local().has_work()
    }

    /// The thread leaves the poller: from now on whoever gives it work rings its bell, and if it has
    /// work left it rings it itself.
    fn settle(&self) -> io::Result<()> {
        let deadline = self.poller.local().next_deadline();
        let is_due = deadline.is_some_and(|deadline| deadline <= clock::now());
        let left = is_due || self.has_work() || !self.poller.executor().park();
        // Connections whose events nobody took tell of them only once to a watcher of edges.
        if left || self.poller.local().epoll.has_events()? {
            self.rung.set(true);
            self.poller.bell.ring();
        }
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

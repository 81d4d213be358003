//! Waiting until a point in time.
//!
//! Every other future of this folder is made of a `Sleep`. It knows its deadline from the beginning
//! and its poller from the first poll, so that it can be made on one thread and awaited on another.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use crate::base::token::Token;
use crate::local::state::Local;
use crate::sys::clock;
use crate::task::{SharedRef, clone_waker, drop_waker, wake_waker};

/// Waits until `duration` has passed from now.
///
/// A sleep of [`Duration::MAX`] never ends. To limit how long another future may take, use
/// [`timeout`](fn@super::timeout) and not a `select` with a sleep: after the poller was held up, both
/// may be ready at the next poll, and a `select` takes the one that it polls first. A timeout
/// prefers the output.
///
/// # Cancel safety
///
/// Dropping the future removes the timer and loses nothing.
///
/// # Examples
///
/// ```
/// use corepoll::{block_on, time};
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// block_on(time::sleep(Duration::from_millis(2)));
/// assert!(start.elapsed() >= Duration::from_millis(2));
/// ```
#[inline]
pub fn sleep(duration: Duration) -> Sleep {
    Sleep { deadline: clock::after(clock::now(), duration), armed: None }
}

/// Waits until `deadline`. If that has passed, the future is ready at once.
///
/// # Cancel safety
///
/// Dropping the future removes the timer and loses nothing.
///
/// # Examples
///
/// ```
/// use corepoll::{block_on, time};
/// use std::time::{Duration, Instant};
///
/// let deadline = Instant::now() + Duration::from_millis(2);
/// block_on(time::sleep_until(deadline));
/// assert!(Instant::now() >= deadline);
/// ```
#[inline]
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { deadline: clock::to_ns(deadline), armed: None }
}

/// The future of [`sleep`] and [`sleep_until`].
///
/// It is plain data, `Send` and `Sync`, until it is first polled: then it arms a timer in the
/// poller of its task. If another poller polls it later, the timer moves there.
///
/// # Examples
///
/// ```
/// # use corepoll::time::{self, Sleep};
/// # use std::time::Duration;
/// # corepoll::block_on(async {
/// struct Session {
///     idle: Sleep,
/// }
///
/// // Made before a task waits for it.
/// let session = Session { idle: time::sleep(Duration::from_millis(1)) };
/// session.idle.await;
/// # });
/// ```
#[must_use = "a future does nothing until it is awaited"]
pub struct Sleep {
    /// The deadline, in nanoseconds of the monotonic clock.
    deadline: u64,
    /// The timer that wakes the task; `None` until the first poll.
    armed: Option<Armed>,
}

/// What a panic says where no poller runs.
const OUTSIDE: &str = "a timer was polled outside of a poller";

/// A timer in a poller.
struct Armed {
    /// The poller that has the timer.
    poller: SharedRef,
    /// The token of the timer there.
    timer: Token,
}

impl Sleep {
    /// Returns the deadline.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::time;
    /// # use std::time::{Duration, Instant};
    /// let deadline = Instant::now() + Duration::from_secs(1);
    /// assert_eq!(time::sleep_until(deadline).deadline(), deadline);
    /// ```
    pub fn deadline(&self) -> Instant {
        clock::to_instant(self.deadline)
    }

    /// Returns `true` if the deadline has passed.
    ///
    /// Then the next poll is ready, unless its task has used up the operations of one poll, and yields
    /// first: see [`unconstrained`](crate::unconstrained).
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::time;
    /// # use std::time::Duration;
    /// assert!(time::sleep(Duration::ZERO).is_elapsed());
    /// assert!(!time::sleep(Duration::from_secs(60)).is_elapsed());
    /// ```
    pub fn is_elapsed(&self) -> bool {
        clock::has_reached(self.deadline)
    }

    /// Changes the deadline. That is one store if the new one is later.
    ///
    /// If the deadline has passed, the next poll is ready. A task that waits already waits for the
    /// new deadline, even if it waits in another poller than the one that this is called in.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{block_on, time};
    /// use std::pin::pin;
    /// use std::time::{Duration, Instant};
    ///
    /// block_on(async {
    ///     let mut idle = pin!(time::sleep(Duration::from_secs(60)));
    ///     // Something has happened: sixty seconds from now.
    ///     let deadline = Instant::now() + Duration::from_secs(60);
    ///     idle.as_mut().reset(deadline);
    ///     assert_eq!(idle.deadline(), deadline);
    /// });
    /// ```
    pub fn reset(self: Pin<&mut Self>, deadline: Instant) {
        self.get_mut().reset_ns(clock::to_ns(deadline));
    }

    /// Returns the deadline in nanoseconds of the monotonic clock.
    pub(super) fn deadline_ns(&self) -> u64 {
        self.deadline
    }

    /// Changes the deadline, in nanoseconds of the monotonic clock.
    pub(super) fn reset_ns(&mut self, deadline: u64) {
        // Stored in any case: the next poll goes by it, even if the timer can't be moved now.
        self.deadline = deadline;
        let Some(armed) = &self.armed else { return };
        let is_moved = armed.poller.is_current()
            && Local::with_current(|local| local.reset_timer(armed.timer, deadline)) == Some(true);
        if !is_moved {
            // The timer has fired, or is in another poller, where the task is woken. The next poll
            // arms it again.
            self.disarm(wake_waker);
        }
    }

    /// Polls as the limit of another future, without using an operation of the task.
    ///
    /// While the timer is armed, the timer decides and not the clock. It fires only after
    /// everything that was ready before has been told; so a task that is woken for another reason
    /// does not find its time over while bytes for it wait in a socket.
    pub(super) fn poll_missed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let waits = match &self.armed {
            None => !clock::has_reached(self.deadline),
            Some(_) => {
                Local::with_current(|local| self.deadline > local.dispatched_until()) == Some(true)
            }
        };
        if waits && self.waits(cx) {
            return Poll::Pending;
        }
        self.poll_missed_again(cx)
    }

    /// Does the work of [`Sleep::poll_missed`], if the time has come or the timer is another one.
    #[inline(never)]
    fn poll_missed_again(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let local = Local::current().expect(OUTSIDE);
        let is_told = self.deadline <= local.dispatched_until();
        if let Some(armed) = self.armed.as_ref().filter(|_| !is_told)
            && armed.poller.is_current()
            && local.set_timer_waker(armed.timer, cx.waker())
        {
            return Poll::Pending;
        }
        self.poll_in(&local, cx)
    }

    /// Returns `true` if a timer wakes the task of `cx`: the one that is armed, or one that this arms.
    #[inline(always)]
    fn waits(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(armed) = &self.armed {
            let wakes = |local: &Local| local.timer_wakes(armed.timer, cx.waker());
            return armed.poller.is_current() && Local::with_current(wakes) == Some(true);
        }
        // A limit that is not reached is often polled only once.
        self.arm(&Local::current().expect(OUTSIDE), cx);
        true
    }

    /// Polls in the poller `local`, and arms the timer if the time has not come.
    fn poll_in(&mut self, local: &Local, cx: &mut Context<'_>) -> Poll<()> {
        // The clock decides and not the timer, which fires when its turn comes, so that a poll
        // agrees with `is_elapsed`. Where the timer has fired, the poller has read the clock.
        if self.deadline <= local.dispatched_until() || clock::has_reached(self.deadline) {
            self.disarm(drop_waker);
            return Poll::Ready(());
        }
        if let Some(armed) = &self.armed {
            if armed.poller.is_current() && local.set_timer_waker(armed.timer, cx.waker()) {
                return Poll::Pending;
            }
            // The timer has fired before a reset, or is in another poller.
            self.disarm(drop_waker);
        }
        self.arm(local, cx);
        Poll::Pending
    }

    /// Arms a timer in `local`, the poller of this thread. None is armed.
    #[inline(always)]
    fn arm(&mut self, local: &Local, cx: &mut Context<'_>) {
        let timer = local.arm_task(self.deadline, clone_waker(cx.waker()));
        let armed = SharedRef::current().map(|poller| Armed { poller, timer });
        // No timer was armed, so nothing is dropped here: the compiler can't know.
        std::mem::forget(std::mem::replace(&mut self.armed, armed));
    }

    /// Removes the timer, in whichever poller it is. `then` gets its waker there.
    #[inline]
    fn disarm(&mut self, then: impl FnOnce(Waker) + Send + 'static) {
        let Some(Armed { poller, timer }) = self.armed.take() else { return };
        if !poller.is_current() {
            return disarm_elsewhere(&poller, timer, then);
        }
        if let Some(waker) = disarm_here(timer) {
            then(waker);
        }
    }

    /// Returns `true` if the timer has fired in this poller, or is about to fire: no reading of the
    /// clock is needed to know that the deadline has passed.
    #[inline]
    fn has_fired(&self) -> bool {
        let is_due = |local: &Local| self.deadline <= local.dispatched_until();
        self.armed.is_some() && Local::with_current(is_due) == Some(true)
    }

    /// Polls a sleep whose time has come, or whose task was woken before that.
    #[inline(never)]
    fn poll_again(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let local = Local::current().expect(OUTSIDE);
        // Waiting costs no operation of the task. If none is left, the next poll finds that the
        // time has come.
        ready!(self.poll_in(&local, cx));
        local.allowance.poll_proceed(cx)
    }
}

/// Removes a timer from the poller that this thread is running, and returns its waker.
#[inline]
fn disarm_here(timer: Token) -> Option<Waker> {
    Local::with_current(|local| local.disarm_task(timer)).flatten()
}

/// Removes a timer from a poller that this thread is not running. It can only be taken out where
/// its poller runs, so the request goes by mail.
#[cold]
fn disarm_elsewhere(poller: &SharedRef, timer: Token, then: impl FnOnce(Waker) + Send + 'static) {
    // If that poller has ended, its timers have as well.
    let _ = poller.post(move || {
        if let Some(waker) = disarm_here(timer) {
            then(waker);
        }
    });
}

impl Future for Sleep {
    type Output = ();

    /// Polls for the deadline.
    ///
    /// # Panics
    ///
    /// Panics outside of a poller.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.has_fired() && !clock::has_reached(self.deadline) && self.waits(cx) {
            return Poll::Pending;
        }
        self.poll_again(cx)
    }
}

impl Drop for Sleep {
    #[inline]
    fn drop(&mut self) {
        // Not woken: a future that is dropped waits for nothing.
        self.disarm(drop_waker);
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline()).finish_non_exhaustive()
    }
}

const _: () = {
    const fn send_and_sync<T: Send + Sync + Unpin>() {}
    send_and_sync::<Sleep>();
};

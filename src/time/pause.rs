//! A clock that tests pause and advance: feature `test-util`.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::local::deferred::TimerTarget;
use crate::local::state::Local;
use crate::sys::clock::{self, paused};

/// Pauses the clock of this thread's poller.
///
/// Time then passes only by [`advance`], and by itself when all tasks wait and there are no events:
/// the clock moves to the next deadline at once. So a test of a day's timers takes milliseconds, and
/// each is due at its exact time. Bytes between two sockets of this poller arrive before the clock
/// moves.
///
/// The paused clock is that of [`now`](super::now), of `EvContext::now`, and of all timers,
/// timeouts and deadlines of this poller. It is not the clock of [`std::time::Instant::now`], of
/// other threads or of the kernel, so a peer on another thread does not keep up with it. The
/// clock does not move by itself while calls of `spawn_blocking` run, look-ups of host names
/// included. It does not wait for what other threads are going to send.
///
/// A second call does nothing. The clock runs again after [`resume`], or when the poller ends: each
/// test that calls [`block_on`](crate::block_on) has a clock of its own.
///
/// # Panics
///
/// Panics outside of a poller.
///
/// # Examples
///
/// ```
/// use corepoll::{block_on, time};
/// use std::time::Duration;
///
/// block_on(async {
///     time::pause();
///     let start = time::now();
///     time::sleep(Duration::from_secs(100 * 365 * 24 * 3600)).await;
///     assert_eq!(time::now() - start, Duration::from_secs(100 * 365 * 24 * 3600));
/// });
/// ```
pub fn pause() {
    current("pause").has_paused.set(true);
    paused::pause();
}

/// Lets a paused clock run on from where it is.
///
/// # Panics
///
/// Panics outside of a poller.
///
/// # Examples
///
/// ```
/// # use corepoll::time;
/// # use std::time::Duration;
/// # corepoll::block_on(async {
/// time::pause();
/// time::advance(Duration::from_secs(3600)).await;
/// let later = time::now();
/// time::resume();
/// // An hour ahead, the clock goes on.
/// time::sleep(Duration::from_millis(1)).await;
/// assert!(time::now() > later);
/// # });
/// ```
pub fn resume() {
    let local = current("resume");
    paused::resume();
    local.forget_now();
}

/// Moves a paused clock forward by `duration`, and waits until every timer that is due by then has
/// fired and its task has been polled.
///
/// The timers fire in the order of their deadlines, but after the whole move, so each task sees the
/// new time. To let each see its own time, sleep instead: then the clock moves by itself.
///
/// # Panics
///
/// Panics if the clock is not paused, and outside of a poller.
///
/// # Cancel safety
///
/// This function is not cancel-safe: if its future is dropped between two polls, the clock may have
/// moved or not.
///
/// # Examples
///
/// ```
/// use corepoll::{block_on, spawn_local, time};
/// use std::time::Duration;
///
/// block_on(async {
///     time::pause();
///     let task = spawn_local(time::sleep(Duration::from_secs(60)));
///     time::advance(Duration::from_secs(59)).await;
///     assert!(!task.is_finished());
///     time::advance(Duration::from_secs(1)).await;
///     assert!(task.is_finished());
/// });
/// ```
pub async fn advance(duration: Duration) {
    // Tasks that were spawned and not polled yet must arm their timers by the old time.
    crate::task::coop::yield_now().await;
    let local = current("advance");
    assert!(paused::is_paused(), "time::advance was called while the clock runs: see time::pause");
    // A timer at NEVER is never due, so the clock stops short of it.
    let target = clock::after(clock::now(), duration).min(clock::NEVER - 1);
    paused::advance_to(target);
    local.forget_now();
    // This timer is the last to be set for its deadline, so it fires after all others.
    let mut last = None;
    poll_fn(|cx| {
        let timer = *last.get_or_insert_with(|| {
            let waker = cx.waker().clone();
            local.arm(target, TimerTarget::Task(waker))
        });
        if local.set_timer_waker(timer, cx.waker()) { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
}

/// Returns the poller of this thread, for the function `what`.
fn current(what: &str) -> Rc<Local> {
    Local::current().unwrap_or_else(|| panic!("time::{what} was called outside of a poller"))
}

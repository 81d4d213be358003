//! A clock that stands still until it is moved: feature `test-util`.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::local::deferred::TimerTarget;
use crate::local::state::Local;
use crate::sys::clock::{self, paused};

/// Stops the clock of this thread's poller: from now on time passes only by [`advance`], and by
/// itself when all tasks wait: then the clock moves to the next deadline at once. So a test of a
/// day's timers takes milliseconds, and everything is due exactly when it should be.
///
/// It is the clock of [`now`](super::now), of every timer, timeout and deadline of this poller, and
/// of `EvContext::now`. Not of [`std::time::Instant::now`], of other threads, or of the kernel: a
/// peer outside of the poller may find that its answer comes too late. While calls of
/// `spawn_blocking` are under way, look-ups of host names included, the clock doesn't move by itself;
/// when the last of them is over it does. What other threads are going to send holds nothing up.
///
/// If the clock stands already, nothing happens. It runs again after [`resume`], or when the poller
/// ends.
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
///
/// # Panics
/// Outside of a poller.
pub fn pause() {
    current("pause").has_paused.set(true);
    paused::pause();
}

/// Lets a paused clock run on from where it stands.
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
///
/// # Panics
/// Outside of a poller.
pub fn resume() {
    let local = current("resume");
    paused::resume();
    local.forget_now();
}

/// Moves a paused clock forward by `duration`, and waits until every timer that is due by then has
/// fired and its task has been polled.
///
/// The timers fire in the order of their deadlines, but all of them after the move: each task sees
/// the new time. To see each at its own time, sleep instead: the clock moves by itself then.
///
/// Not cancel-safe: when it is dropped between two polls the clock has moved, or hasn't.
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
///
/// # Panics
/// If the clock isn't paused; outside of a poller.
pub async fn advance(duration: Duration) {
    // Tasks that were spawned and not polled yet set their timers by the old time.
    crate::task::coop::yield_now().await;
    let local = current("advance");
    assert!(paused::is_paused(), "time::advance was called while the clock runs: see time::pause");
    // What is due at NEVER isn't due: the clock stops short of that.
    let target = clock::after(clock::now(), duration).min(clock::NEVER - 1);
    paused::advance_to(target);
    local.forget_now();
    // A timer that is due now, and the last to be set, fires after all the others.
    let mut last = None;
    poll_fn(|cx| {
        let timer = *last.get_or_insert_with(|| {
            let waker = cx.waker().clone();
            local.arm(target, TimerTarget::Task(waker))
        });
        if local.rewake(timer, cx.waker()) { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
}

fn current(what: &str) -> Rc<Local> {
    Local::current().unwrap_or_else(|| panic!("time::{what} was called outside of a poller"))
}

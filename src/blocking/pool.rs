//! The pool of threads that may wait. There is one in the process.
//!
//! A call that finds no idle thread starts another one, up to a limit. A thread that has had no work for
//! a while ends.
//!
//! The system may refuse to start a thread: RLIMIT_NPROC or a control group limits how many a user has.
//! If the pool has other threads, the call waits for one of them; the thread that made the call does
//! not wait. If it has none, the waiting calls are refused with the system's error. Every call and the
//! end of every call try again, and so does a timer of the poller whose call waits.

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, thread};

use crate::base::error;
use crate::local::deferred::{OnTimer, TimerTarget};
use crate::local::state::Local;
use crate::sys::{affinity, clock};

/// The limit of threads: more than a machine runs at a time, since they wait most of the time.
const MAX_THREADS: usize = 500;
/// The environment variable with another limit, which is that of the crate `blocking`.
const LIMIT_VARIABLE: &str = "BLOCKING_MAX_THREADS";
/// The time after which a thread without work ends.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// The first and the longest pause before a thread is tried again that the system has refused.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// The pool of the process.
static POOL: LazyLock<Pool> = LazyLock::new(Pool::new);

/// A call. All of its methods may run foreign code, and none of them panics. Only the first of them has
/// an effect.
pub(crate) trait Job: Send + Sync + UnwindSafe + RefUnwindSafe {
    /// Runs the call.
    fn run(&self);
    /// Fails the call with the error for which there is no thread.
    fn refuse(&self, error: io::Error);
    /// Drops the call, if it has not begun.
    fn cancel(&self);
}

/// A pool of threads.
struct Pool {
    /// The queue and the counts. Locked for a push or a pop, never while foreign code runs.
    state: Mutex<State>,
    /// Notified once for each call that an idle thread is to take.
    work: Condvar,
    /// The limit of threads.
    max_threads: usize,
}

/// The calls that wait, and the threads.
struct State {
    /// Calls that no thread has begun.
    queue: VecDeque<Arc<dyn Job>>,
    /// The number of threads, with those that are being started.
    threads: usize,
    /// The number of threads that wait for work.
    idle: usize,
}

impl State {
    /// Returns `true` if more calls wait than idle threads are about to take.
    fn needs_thread(&self) -> bool {
        self.queue.len() > self.idle
    }
}

/// Runs `job` on a thread of the pool. Never waits.
pub(super) fn submit(job: Arc<dyn Job>) {
    #[cfg(feature = "sim")]
    if crate::sys::sim::current().is_some() {
        // A simulated thread for each call: the scheduler chooses when it runs.
        let name = "corepoll-block".to_owned();
        let foreign = crate::sys::sim::Code::Foreign;
        return drop(crate::sys::sim::spawn(name, foreign, move || job.run()));
    }
    let pool = &*POOL;
    let mut state = pool.lock();
    state.queue.push_back(job);
    if !state.needs_thread() {
        drop(state);
        return pool.work.notify_one();
    }
    drop(state);
    if !pool.grow() {
        Retry::arm(RETRY_PAUSES.0);
    }
}

impl Pool {
    /// Makes a pool without threads.
    fn new() -> Pool {
        let limit = std::env::var(LIMIT_VARIABLE).ok().and_then(|limit| limit.parse().ok());
        Pool {
            state: Mutex::new(State { queue: VecDeque::new(), threads: 0, idle: 0 }),
            work: Condvar::new(),
            max_threads: limit.map_or(MAX_THREADS, |limit: usize| limit.clamp(1, 10_000)),
        }
    }

    /// Locks the state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts one more thread, if one is needed. Returns `false` if the system refuses it and calls wait
    /// for the other threads.
    fn grow(&'static self) -> bool {
        let mut state = self.lock();
        if !state.needs_thread() || state.threads >= self.max_threads {
            return true;
        }
        // Counted before it is started, so that calls which come meanwhile start no second one.
        state.threads += 1;
        drop(state);
        // Not under the lock: to start a thread takes a while, and may take long.
        let name = "corepoll-block".to_owned();
        let Err(error) = thread::Builder::new().name(name).spawn(|| self.serve()) else {
            return true;
        };
        let mut state = self.lock();
        state.threads -= 1;
        if state.threads > 0 {
            // The other threads take what waits, sooner or later. The caller arms a timer if
            // something does.
            return state.queue.is_empty();
        }
        let refused = std::mem::take(&mut state.queue);
        drop(state);
        for job in refused {
            job.refuse(error::copy(&error));
        }
        true
    }

    /// Takes calls and runs them, until there have been none for a while: the life of a thread.
    fn serve(&'static self) {
        // A thread inherits the affinity of the one that starts it, which may be a pinned poller.
        affinity::unpin();
        let mut state = self.lock();
        loop {
            while let Some(job) = state.queue.pop_front() {
                let needs_thread = state.needs_thread();
                drop(state);
                if needs_thread {
                    // This thread is busy from here on, so the rest of the queue may need another one.
                    self.grow();
                }
                job.run();
                drop(job);
                state = self.lock();
            }
            state.idle += 1;
            let waited = self.work.wait_timeout(state, IDLE_TIMEOUT);
            let (woken, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if waited.timed_out() && state.queue.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

thread_local! {
    /// Whether a [`Retry`] of this thread is armed.
    static RETRIES: Cell<bool> = const { Cell::new(false) };
}

/// A timer that tries to start a thread again, on the poller whose call waits since the system has
/// refused one. It is needed if all threads of the pool stay busy and no other call comes. One for
/// each poller is enough.
struct Retry {
    /// The pause before this try.
    pause: Duration,
}

impl Retry {
    /// Arms the timer. Outside of a poller there is none: the next call, or the end of one, tries
    /// again.
    fn arm(pause: Duration) {
        let Some(local) = Local::current() else { return };
        if !RETRIES.replace(true) {
            let retry = Rc::new(Retry { pause });
            local.arm(clock::after(clock::now(), pause), TimerTarget::Internal(retry));
        }
    }
}

impl Drop for Retry {
    /// Notes that the timer has fired, or its poller has ended.
    fn drop(&mut self) {
        let _ = RETRIES.try_with(|retries| retries.set(false));
    }
}

impl OnTimer for Retry {
    fn on_timer(self: Rc<Self>) {
        let next = (self.pause * 2).min(RETRY_PAUSES.1);
        drop(self);
        if !POOL.grow() {
            Retry::arm(next);
        }
    }
}

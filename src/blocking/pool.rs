//! The threads that may wait.
//!
//! There is one pool in the process. A call that finds no idle thread starts another one, up to a
//! limit; a thread that has had nothing to do for a while ends.
//!
//! The system may refuse a thread: a user may have only so many (RLIMIT_NPROC, a control group). As
//! long as the pool has any, the call waits for one of them, and nothing else waits: not the thread
//! that has asked. If there is none, the calls that wait are refused with the system's error. Every
//! call and the end of every call try again, and so does a timer of the poller that was refused.

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

/// How many threads there may be: more than a machine runs at a time, since they wait most of it.
const MOST_THREADS: usize = 500;
/// The name of another limit, as it is for the crate `blocking`.
const LIMIT: &str = "BLOCKING_MAX_THREADS";
/// How long a thread without work stays.
const IDLE: Duration = Duration::from_secs(10);
/// How long the first wait for a thread is that the system has refused, and the last one.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

static POOL: LazyLock<Pool> = LazyLock::new(Pool::new);

/// A call. All of its methods may run foreign code, and none of them panics.
pub(crate) trait Job: Send + Sync + UnwindSafe + RefUnwindSafe {
    /// Runs it, unless it was taken back or refused.
    fn run(&self);
    /// Says that it never will run.
    fn refuse(&self, error: io::Error);
    /// Takes it back: if it has not begun, it never will.
    fn cancel(&self);
}

struct Pool {
    state: Mutex<State>,
    /// Told once for each call that an idle thread is to take.
    work: Condvar,
    most_threads: usize,
}

struct State {
    /// Calls that no thread has begun.
    queue: VecDeque<Arc<dyn Job>>,
    /// Threads, those included that are being started.
    threads: usize,
    /// Those that wait for work.
    idle: usize,
}

impl State {
    /// Whether there are more calls than threads that will take one right away.
    fn is_short(&self) -> bool {
        self.queue.len() > self.idle
    }
}

/// Has a thread of the pool run `job`. Never waits.
pub(super) fn submit(job: Arc<dyn Job>) {
    let pool = &*POOL;
    let mut state = pool.lock();
    state.queue.push_back(job);
    if !state.is_short() {
        drop(state);
        return pool.work.notify_one();
    }
    drop(state);
    if !pool.grow() {
        Retry::arm(PAUSES.0);
    }
}

impl Pool {
    fn new() -> Pool {
        let limit = std::env::var(LIMIT).ok().and_then(|limit| limit.parse().ok());
        Pool {
            state: Mutex::new(State { queue: VecDeque::new(), threads: 0, idle: 0 }),
            work: Condvar::new(),
            most_threads: limit.map_or(MOST_THREADS, |limit: usize| limit.clamp(1, 10_000)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts one more thread, if one is missing. Returns `false` if the system refuses it and calls
    /// wait for the others.
    fn grow(&'static self) -> bool {
        let mut state = self.lock();
        if !state.is_short() || state.threads >= self.most_threads {
            return true;
        }
        // Counted before it is there: so those that come meanwhile know of it.
        state.threads += 1;
        drop(state);
        // Not under the lock: it takes a while, and may take long.
        let name = "corepoll-block".to_owned();
        let Err(error) = thread::Builder::new().name(name).spawn(|| self.serve()) else {
            return true;
        };
        let mut state = self.lock();
        state.threads -= 1;
        if state.threads > 0 {
            return state.queue.is_empty();
        }
        let refused = std::mem::take(&mut state.queue);
        drop(state);
        for job in refused {
            job.refuse(error::copy(&error));
        }
        true
    }

    /// The life of a thread.
    fn serve(&'static self) {
        // It was started by a poller, perhaps, which is pinned.
        affinity::unpin();
        let mut state = self.lock();
        loop {
            while let Some(job) = state.queue.pop_front() {
                let is_short = state.is_short();
                drop(state);
                if is_short {
                    self.grow();
                }
                job.run();
                drop(job);
                state = self.lock();
            }
            state.idle += 1;
            let waited = self.work.wait_timeout(state, IDLE);
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
    /// A [`Retry`] of this thread is armed.
    static RETRIES: Cell<bool> = const { Cell::new(false) };
}

/// A timer of a poller whose call waits, since the system has refused a thread: tries again, in
/// case all threads that there are stay busy and no other call comes. One a thread is enough.
struct Retry {
    pause: Duration,
}

impl Retry {
    /// Outside of a poller there is none, and the next call or the end of one tries again.
    fn arm(pause: Duration) {
        let Some(local) = Local::current() else { return };
        if !RETRIES.replace(true) {
            let retry = Rc::new(Retry { pause });
            local.arm(clock::after(clock::now(), pause), TimerTarget::Ours(retry));
        }
    }
}

impl Drop for Retry {
    /// It has fired, or its poller has ended.
    fn drop(&mut self) {
        let _ = RETRIES.try_with(|retries| retries.set(false));
    }
}

impl OnTimer for Retry {
    fn on_timer(self: Rc<Self>) {
        let next = (self.pause * 2).min(PAUSES.1);
        drop(self);
        if !POOL.grow() {
            Retry::arm(next);
        }
    }
}

//! Blocking work, on threads that may wait. Needs the feature `blocking`.
//!
//! A poller must not block: all of its connections and tasks would stand still. [`spawn_blocking`] runs
//! a closure on a thread of a pool instead, and its [`BlockingHandle`] is a future of the result. It is
//! for reading files, for databases with a blocking client, and for computations that take longer than
//! a millisecond.
//!
//! ```
//! use corepoll::{block_on, blocking::spawn_blocking};
//!
//! # fn main() -> std::io::Result<()> {
//! let hosts = block_on(async { spawn_blocking(|| std::fs::read("/etc/hosts")).await })??;
//! # let _ = hosts;
//! # Ok(())
//! # }
//! ```

mod pool;

use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::{fmt, io};

use pool::Job;

use crate::local::state::Local;
use crate::task::join_error::JoinError;
use crate::task::{drop_ignoring_panic, ignore_panic};

/// Runs `f`, which may block, on a thread of a pool that the whole process shares. The returned
/// handle is a future of the result. May be called from any thread, and never blocks.
///
/// The pool starts a thread when none is idle, up to 500, or as many as the environment variable
/// `BLOCKING_MAX_THREADS` says. Calls past the limit wait in a queue, which has no limit. A thread
/// without work ends after ten seconds.
///
/// If the system refuses to start a thread, the call waits for one of the pool. If the pool has none,
/// the handle gives an error for which [`JoinError::is_cancelled`] is `true`, with the system's error
/// as its source.
///
/// A call that a poller has begun doesn't keep the poller from ending. A shutdown does not wait for it,
/// and counts it in [`Shutdown::leaked_blocking`](crate::Shutdown::leaked_blocking).
///
/// # Examples
///
/// ```
/// use corepoll::{block_on, blocking::spawn_blocking};
///
/// # fn main() -> std::io::Result<()> {
/// let text = block_on(async {
///     spawn_blocking(|| std::fs::read_to_string("/proc/self/stat")).await
/// })??;
/// assert!(!text.is_empty());
/// # Ok(())
/// # }
/// ```
pub fn spawn_blocking<F, T>(f: F) -> BlockingHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let shared = Arc::new(Shared { state: Mutex::new(State::Pending(None)) });
    let answer = shared.clone();
    BlockingHandle { job: begin(f, move |result| answer.complete(result)), shared }
}

/// Runs `work` on a thread of the pool, and calls `answer` with the outcome there. If there can be no
/// thread, `answer` is called on this one. If the job is cancelled before it begins, there is no
/// answer.
pub(crate) fn begin<T: 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    answer: impl FnOnce(Result<T, JoinError>) + Send + 'static,
) -> Arc<dyn Job> {
    let work = Work { parts: Mutex::new(Some((work, answer, Call::begin()))), result: PhantomData };
    let job: Arc<dyn Job> = Arc::new(work);
    pool::submit(job.clone());
    job
}

/// A call that waits for a thread, or runs.
struct Work<F, A, T> {
    /// The closure, the receiver of its outcome, and its count at the poller. `None` once the call has
    /// begun, or is refused or cancelled.
    parts: Mutex<Option<(F, A, Option<Call>)>>,
    /// The type of the result.
    result: PhantomData<fn() -> T>,
}

impl<F, A, T> Work<F, A, T> {
    /// Takes the parts out. Only the first call gets them: a call is run, refused or cancelled once.
    fn take(&self) -> Option<(F, A, Option<Call>)> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<F, A, T> Job for Work<F, A, T>
where
    F: FnOnce() -> T + Send,
    A: FnOnce(Result<T, JoinError>) + Send,
{
    fn run(&self) {
        let Some((work, answer, call)) = self.take() else { return };
        let result = catch_unwind(AssertUnwindSafe(work)).map_err(JoinError::panicked);
        // The call is over for its poller before the answer is there, but a paused clock is held until
        // after it.
        let _hold = call.map(Call::end);
        answer(result);
    }

    fn refuse(&self, error: io::Error) {
        let Some((work, answer, call)) = self.take() else { return };
        // The closure first: it may hold what the code that awaits the answer goes on to use.
        drop_ignoring_panic(work);
        let _hold = call.map(Call::end);
        answer(Err(JoinError::refused(error)));
    }

    fn cancel(&self) {
        // Each of them by itself: two destructors that panic at a time abort the process.
        if let Some((work, answer, call)) = self.take() {
            drop_ignoring_panic(work);
            drop_ignoring_panic(answer);
            drop(call);
        }
    }
}

/// The mark that a call leaves at the poller that has begun it. It counts in the poller's shutdown, and
/// keeps a paused clock from moving by itself.
struct Call {
    /// One more reference to the poller's count of calls.
    counted: Arc<()>,
    /// Holds a paused clock.
    #[cfg(feature = "test-util")]
    hold: ClockHold,
}

#[cfg(feature = "test-util")]
use crate::poller::{ClockHold, paused};
#[cfg(not(feature = "test-util"))]
type ClockHold = ();

impl Call {
    /// Counts a call that begins. Returns `None` outside of a poller.
    fn begin() -> Option<Call> {
        let local = Local::current()?;
        Some(Call {
            counted: local.blocking_calls.clone(),
            #[cfg(feature = "test-util")]
            hold: paused::hold_clock(&local),
        })
    }

    /// Ends the call. The clock is held until the returned value is dropped.
    fn end(self) -> ClockHold {
        drop(self.counted);
        #[cfg(feature = "test-util")]
        self.hold
    }
}

/// What the thread of a call and its handle share.
struct Shared<T> {
    /// How far the call is.
    state: Mutex<State<T>>,
}

/// How far a call is.
enum State<T> {
    /// There is no result yet. The waker is that of the code that awaits it.
    Pending(Option<Waker>),
    /// The result is here.
    Ready(Result<T, JoinError>),
    /// The result was taken.
    Taken,
    /// The handle was aborted or dropped: the result is of no use.
    Abandoned,
}

impl<T> Shared<T> {
    /// Changes the state. Nothing foreign runs in `change`: wakers and results are moved out of it.
    fn with<R>(&self, change: impl FnOnce(&mut State<T>) -> R) -> R {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Stores the result of the call, and wakes the code that awaits it.
    fn complete(&self, result: Result<T, JoinError>) {
        let before = self.with(|state| match state {
            State::Abandoned => Err(result),
            _ => Ok(std::mem::replace(state, State::Ready(result))),
        });
        match before {
            Ok(State::Pending(Some(waker))) => ignore_panic(|| waker.wake()),
            Ok(_) => {}
            Err(unwanted) => drop_ignoring_panic(unwanted),
        }
    }

    /// Abandons the call, unless its result is there. Wakes the code that awaits it.
    fn abandon(&self) {
        let before = self.with(|state| match state {
            State::Pending(waker) => {
                let waker = waker.take();
                *state = State::Abandoned;
                waker
            }
            // The result is there, or was taken: it is left to the handle.
            _ => None,
        });
        if let Some(waker) = before {
            ignore_panic(|| waker.wake());
        }
    }

    /// Polls for the result.
    fn poll(&self, waker: &Waker) -> Poll<Result<T, JoinError>> {
        if self.with(|state| matches!(state, State::Pending(Some(w)) if w.will_wake(waker))) {
            return Poll::Pending;
        }
        // Cloning and dropping wakers is foreign code: nothing is locked meanwhile.
        let waker = waker.clone();
        let (polled, unused) = self.with(|state| match state {
            State::Pending(waits) => (None, waits.replace(waker)),
            State::Abandoned => (Some(Err(JoinError::cancelled())), Some(waker)),
            State::Ready(_) | State::Taken => match std::mem::replace(state, State::Taken) {
                State::Ready(result) => (Some(result), Some(waker)),
                _ => panic!("BlockingHandle polled after it gave its result"),
            },
        });
        drop_ignoring_panic(unused);
        polled.map_or(Poll::Pending, Poll::Ready)
    }
}

/// A handle that awaits the result of a blocking call: the future of [`spawn_blocking`].
///
/// Dropping it lets the call run on. It may be sent to another thread and awaited there.
///
/// # Cancel safety
///
/// Awaiting is cancel-safe: the result stays until a poll takes it.
///
/// # Examples
///
/// ```
/// # use corepoll::blocking::{BlockingHandle, spawn_blocking};
/// # corepoll::block_on(async {
/// async fn length(call: BlockingHandle<String>) -> usize {
///     call.await.unwrap().len()
/// }
///
/// let call = spawn_blocking(|| "from another thread".to_owned());
/// assert_eq!(length(call).await, 19);
/// # });
/// ```
#[must_use = "drop it with `drop` to let the call run on by itself"]
pub struct BlockingHandle<T> {
    /// What the call and the handle share.
    shared: Arc<Shared<T>>,
    /// The call, to be cancelled while it waits for a thread.
    job: Arc<dyn Job>,
}

impl<T> BlockingHandle<T> {
    /// Aborts the call. If it hasn't begun, it never will, and its closure is dropped now. If it has,
    /// it can't be stopped, and its result is dropped. The handle gives an error for which
    /// [`JoinError::is_cancelled`] is `true`, unless the call was over before.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{block_on, blocking::spawn_blocking};
    ///
    /// block_on(async {
    ///     let call = spawn_blocking(|| 7);
    ///     call.abort();
    ///     match call.await {
    ///         Ok(seven) => assert_eq!(seven, 7),
    ///         Err(error) => assert!(error.is_cancelled()),
    ///     }
    /// });
    /// ```
    pub fn abort(&self) {
        self.shared.abandon();
        // If it is over already, this changes nothing.
        self.job.cancel();
    }

    /// Returns `true` if the handle gives its result at once.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{blocking::spawn_blocking, yield_now};
    /// # corepoll::block_on(async {
    /// let call = spawn_blocking(|| 7);
    /// while !call.is_finished() {
    ///     yield_now().await;
    /// }
    /// assert_eq!(call.await.unwrap(), 7);
    /// # });
    /// ```
    pub fn is_finished(&self) -> bool {
        self.shared.with(|state| !matches!(state, State::Pending(_)))
    }
}

impl<T> Future for BlockingHandle<T> {
    /// The call's result, or an error if it panicked, was aborted, or found no thread.
    type Output = Result<T, JoinError>;

    /// Polls for the result.
    ///
    /// # Panics
    ///
    /// Panics if it is polled again after it has given the result.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.shared.poll(cx.waker())
    }
}

impl<T> Drop for BlockingHandle<T> {
    fn drop(&mut self) {
        self.shared.abandon();
    }
}

impl<T> fmt::Debug for BlockingHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingHandle").field("is_finished", &self.is_finished()).finish()
    }
}

//! Blocking work, on threads that may wait.

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
use crate::poller::paused;
use crate::task::join_error::JoinError;
use crate::task::{drop_ignoring_panic, ignore_panic};

/// Runs `f`, which may block, on a thread of a pool that the whole process shares; the future gives
/// its result. May be called from any thread, and never blocks.
///
/// The pool starts a thread when none is idle, up to 500, or as many as the environment variable
/// `BLOCKING_MAX_THREADS` says; a thread without work ends after ten seconds. If the system refuses
/// a thread, the call waits for one that there is. So do calls past the limit, in a queue that has
/// none of its own. If there is none at all, awaiting the call says
/// so: [`JoinError::is_cancelled`], with the system's error as its source.
///
/// A call that a poller has begun doesn't keep it from ending: a shutdown leaves it to itself, and
/// counts it in [`Shutdown::leaked_blocking`](crate::Shutdown::leaked_blocking).
///
/// ```
/// use corepoll::{block_on, spawn_blocking};
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
    let shared = Arc::new(Shared { state: Mutex::new(State::Awaited(None)) });
    let answer = shared.clone();
    BlockingHandle { job: begin(f, move |result| answer.give(result)), shared }
}

/// Has `work` run on a thread of the pool, and `answer` be given what has come of it: there, or, if
/// there can be no thread, on this one. If the job is cancelled before it begins, there is no answer.
pub(crate) fn begin<T: 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    answer: impl FnOnce(Result<T, JoinError>) + Send + 'static,
) -> Arc<dyn Job> {
    let work = Work { parts: Mutex::new(Some((work, answer, Call::begin()))), result: PhantomData };
    let job: Arc<dyn Job> = Arc::new(work);
    pool::submit(job.clone());
    job
}

/// A call on its way.
struct Work<F, A, T> {
    /// What it does, what is told of it, and how it counts. None once it has begun, or never will.
    parts: Mutex<Option<(F, A, Option<Call>)>>,
    result: PhantomData<fn() -> T>,
}

impl<F, A, T> Work<F, A, T> {
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
        // Over, before anybody is told so; but time passes only afterwards.
        let _hold = call.map(Call::end);
        answer(result);
    }

    fn refuse(&self, error: io::Error) {
        let Some((work, answer, call)) = self.take() else { return };
        drop_ignoring_panic(work);
        let _hold = call.map(Call::end);
        answer(Err(JoinError::refused(error)));
    }

    fn cancel(&self) {
        // Each of them by itself: two destructors that panic at a time end the process.
        if let Some((work, answer, call)) = self.take() {
            drop_ignoring_panic(work);
            drop_ignoring_panic(answer);
            drop(call);
        }
    }
}

/// A call that a poller has begun: it counts in the poller's shutdown, and keeps a paused clock from
/// moving by itself.
struct Call {
    /// One more of the poller's.
    counted: Arc<()>,
    #[cfg(feature = "test-util")]
    hold: Hold,
}

#[cfg(feature = "test-util")]
use crate::poller::Hold;
#[cfg(not(feature = "test-util"))]
type Hold = ();

impl Call {
    /// None outside of a poller.
    fn begin() -> Option<Call> {
        let local = Local::current()?;
        Some(Call {
            counted: local.blocking_calls.clone(),
            #[cfg(feature = "test-util")]
            hold: paused::hold_clock(&local),
        })
    }

    /// The call is over; the clock is held until the answer has been given.
    fn end(self) -> Hold {
        drop(self.counted);
        #[cfg(feature = "test-util")]
        self.hold
    }
}

/// What the thread of a call and its handle have in common.
struct Shared<T> {
    state: Mutex<State<T>>,
}

enum State<T> {
    /// There is no result yet; this waits for it.
    Awaited(Option<Waker>),
    /// The result, until it is taken.
    There(Result<T, JoinError>),
    /// It was taken.
    Taken,
    /// The handle has given up on it, or is gone.
    Unwanted,
}

impl<T> Shared<T> {
    /// Changes the state. Nothing foreign runs in `change`: wakers and results are moved out of it.
    fn with<R>(&self, change: impl FnOnce(&mut State<T>) -> R) -> R {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The call has a result.
    fn give(&self, result: Result<T, JoinError>) {
        let before = self.with(|state| match state {
            State::Unwanted => Err(result),
            _ => Ok(std::mem::replace(state, State::There(result))),
        });
        match before {
            Ok(State::Awaited(Some(waker))) => ignore_panic(|| waker.wake()),
            Ok(_) => {}
            Err(unwanted) => drop_ignoring_panic(unwanted),
        }
    }

    /// The result is not wanted any more, unless it is there. What was in the way is dropped.
    fn give_up(&self) {
        let before = self.with(|state| match state {
            State::Awaited(waker) => {
                let waker = waker.take();
                *state = State::Unwanted;
                waker
            }
            _ => None,
        });
        if let Some(waker) = before {
            ignore_panic(|| waker.wake());
        }
    }

    fn poll(&self, waker: &Waker) -> Poll<Result<T, JoinError>> {
        if self.with(|state| matches!(state, State::Awaited(Some(w)) if w.will_wake(waker))) {
            return Poll::Pending;
        }
        // Cloning and dropping wakers is foreign code: nothing is locked meanwhile.
        let waker = waker.clone();
        let (polled, unused) = self.with(|state| match state {
            State::Awaited(waits) => (None, waits.replace(waker)),
            State::Unwanted => (Some(Err(JoinError::cancelled())), Some(waker)),
            State::There(_) | State::Taken => match std::mem::replace(state, State::Taken) {
                State::There(result) => (Some(result), Some(waker)),
                _ => panic!("BlockingHandle polled after it gave its result"),
            },
        });
        drop_ignoring_panic(unused);
        polled.map_or(Poll::Pending, Poll::Ready)
    }
}

/// The result of a blocking call, to be awaited: the future of [`spawn_blocking`].
///
/// Dropping it lets the call run on. Awaiting it is cancel-safe. It may be sent to another thread
/// and awaited there.
///
/// ```
/// # use corepoll::{BlockingHandle, spawn_blocking};
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
    shared: Arc<Shared<T>>,
    job: Arc<dyn Job>,
}

impl<T> BlockingHandle<T> {
    /// Gives up on the call. One that hasn't begun never will, and is dropped now; one that has can't
    /// be stopped, and its result is dropped. Awaiting says that it was cancelled, unless it was over before.
    ///
    /// ```
    /// use corepoll::{block_on, spawn_blocking};
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
        self.shared.give_up();
        // If it is over already, this changes nothing.
        self.job.cancel();
    }

    /// Whether awaiting gives a result at once.
    ///
    /// ```
    /// # use corepoll::{spawn_blocking, yield_now};
    /// # corepoll::block_on(async {
    /// let call = spawn_blocking(|| 7);
    /// while !call.is_finished() {
    ///     yield_now().await;
    /// }
    /// assert_eq!(call.await.unwrap(), 7);
    /// # });
    /// ```
    pub fn is_finished(&self) -> bool {
        self.shared.with(|state| !matches!(state, State::Awaited(_)))
    }
}

impl<T> Future for BlockingHandle<T> {
    /// The call's result; an error if it panicked, was aborted, or found no thread.
    type Output = Result<T, JoinError>;

    /// # Panics
    /// If it is polled again after it gave its result.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.shared.poll(cx.waker())
    }
}

impl<T> Drop for BlockingHandle<T> {
    fn drop(&mut self) {
        self.shared.give_up();
    }
}

impl<T> fmt::Debug for BlockingHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingHandle").field("is_finished", &self.is_finished()).finish()
    }
}

//! Blocking work, on threads that may wait.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use crate::poller::local::Local;
use crate::sys::affinity;
use crate::task::join::JoinError;
use crate::task::{call_quietly, drop_quietly};

thread_local! {
    /// This thread of the pool runs where it may, and not where its spawner was pinned.
    static UNPINNED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f`, which may block, on a thread of the pool of the `blocking` crate; the future gives its
/// result. May be called from any thread, and never blocks.
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
    let call = Call::begin();
    let work = Work(Some(f));
    let shared = Arc::new(Shared { state: Mutex::new(State::Awaited(None)) });
    let answer = shared.clone();
    let task = ::blocking::unblock(move || {
        if !UNPINNED.replace(true) {
            affinity::unpin();
        }
        let result = work.run();
        // Over, before anybody is told so; but time passes only afterwards.
        let _hold = call.map(Call::end);
        answer.give(result);
    });
    BlockingHandle { shared, task: Mutex::new(Some(task)) }
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
            hold: local.hold_the_clock(),
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
    There(thread::Result<T>),
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
    fn give(&self, result: thread::Result<T>) {
        let before = self.with(|state| match state {
            State::Unwanted => Err(result),
            _ => Ok(std::mem::replace(state, State::There(result))),
        });
        match before {
            Ok(State::Awaited(Some(waker))) => call_quietly(|| waker.wake()),
            Ok(_) => {}
            Err(unwanted) => drop_quietly(unwanted),
        }
    }

    /// Nobody wants the result any more, unless it is there. What was in the way is dropped.
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
            call_quietly(|| waker.wake());
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
                State::There(result) => (Some(result.map_err(JoinError::panicked)), Some(waker)),
                _ => panic!("BlockingHandle polled after it gave its result"),
            },
        });
        drop_quietly(unused);
        polled.map_or(Poll::Pending, Poll::Ready)
    }
}

/// Work that may be dropped before it has begun, on whichever thread, and quietly: the pool takes a
/// panic there for the end of the process.
struct Work<F>(Option<F>);

impl<F> Work<F> {
    fn run<T>(mut self) -> thread::Result<T>
    where
        F: FnOnce() -> T,
    {
        let work = self.0.take().expect("work is done once");
        catch_unwind(AssertUnwindSafe(work))
    }
}

impl<F> Drop for Work<F> {
    fn drop(&mut self) {
        if let Some(work) = self.0.take() {
            drop_quietly(work);
        }
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
    /// The place in the pool's queue. None once it has been given up.
    task: Mutex<Option<::blocking::Task<()>>>,
}

impl<T> BlockingHandle<T> {
    /// Gives up on the call. One that hasn't begun never will; one that has can't be stopped, and
    /// its result is dropped. Awaiting says that it was cancelled, unless it was over before.
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
        drop_quietly(self.take_task());
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

    fn take_task(&self) -> Option<::blocking::Task<()>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<T> Future for BlockingHandle<T> {
    /// The call's result; an error if it panicked, or was aborted.
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
        if let Some(task) = self.take_task() {
            task.detach();
        }
    }
}

impl<T> fmt::Debug for BlockingHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingHandle").field("is_finished", &self.is_finished()).finish()
    }
}

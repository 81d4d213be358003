//! Blocking work, on threads that may wait.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::thread;

use crate::poller::local::Local;
use crate::sys::affinity;
#[cfg(feature = "test-util")]
use crate::task::HomeRef;
use crate::task::drop_quietly;
use crate::task::join::JoinError;

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
    let task = ::blocking::unblock(move || {
        if !UNPINNED.replace(true) {
            affinity::unpin();
        }
        let result = work.run();
        // Over, before anybody is told so.
        drop(call);
        result
    });
    BlockingHandle { task: Mutex::new(Some(task)) }
}

/// A call that a poller has begun, until it is over. It counts in the poller's shutdown, and keeps a
/// paused clock from moving by itself.
struct Call {
    /// One more of the poller's; there until the drop.
    counted: Option<Arc<()>>,
    /// Told of the end: the poller may wait for nothing else to move its clock.
    #[cfg(feature = "test-util")]
    home: HomeRef,
}

impl Call {
    /// None outside of a poller.
    fn begin() -> Option<Call> {
        let local = Local::current()?;
        Some(Call {
            counted: Some(local.blocking_calls.clone()),
            #[cfg(feature = "test-util")]
            home: local.handle.home().clone(),
        })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        drop(self.counted.take());
        // After the count: the poller announces its sleep before it looks at that, so it sees
        // that the call is over, or is woken.
        #[cfg(feature = "test-util")]
        let _ = self.home.post(|| ());
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
    /// None once it has been aborted.
    task: Mutex<Option<Task<T>>>,
}

type Task<T> = ::blocking::Task<thread::Result<T>>;

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
        let mut task = self.lock();
        if task.as_ref().is_some_and(|task| !task.is_finished()) {
            let given_up = task.take();
            drop(task);
            drop(given_up);
        }
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
        self.lock().as_ref().is_none_or(Task::is_finished)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Task<T>>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Future for BlockingHandle<T> {
    /// The call's result; an error if it panicked, or was aborted.
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(task) = task else { return Poll::Ready(Err(JoinError::cancelled())) };
        Poll::Ready(ready!(Pin::new(task).poll(cx)).map_err(JoinError::panicked))
    }
}

impl<T> Drop for BlockingHandle<T> {
    fn drop(&mut self) {
        let task = self.lock().take();
        if let Some(task) = task {
            task.detach();
        }
    }
}

impl<T> fmt::Debug for BlockingHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingHandle").field("is_finished", &self.is_finished()).finish()
    }
}

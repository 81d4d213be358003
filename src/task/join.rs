//! The output of a task, on the thread that the task runs on.
//!
//! The handle is a pointer to the task, and the output stays in the task until it is taken. So
//! joining allocates nothing and takes no lock; in return, the handle can't leave its thread.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

use super::join_error::JoinError;
use super::raw::{self, Header};
use super::state::{COMPLETE, OUTPUT};

/// A handle that awaits the output of a task of this thread.
///
/// Dropping the handle detaches the task, which goes on: [`JoinHandle::abort_on_drop`] makes a
/// handle that aborts it instead. When its poller ends, the task is cancelled; the handle may be
/// awaited or dropped later than that.
///
/// Like the task, the handle stays on its thread. [`RemoteJoinHandle`](crate::RemoteJoinHandle) is
/// the one for tasks of other threads.
///
/// # Cancel safety
///
/// Awaiting is cancel-safe: the output stays in the task until a poll takes it.
///
/// # Examples
///
/// ```
/// use corepoll::{block_on, spawn_local};
///
/// let sum = block_on(async {
///     let task = spawn_local(async { 2 + 3 });
///     task.await.unwrap()
/// });
/// assert_eq!(sum, 5);
/// ```
pub struct JoinHandle<T> {
    /// The task, of which the handle holds one reference. Not `Send`: **Owner**.
    task: NonNull<Header>,
    /// The type of the output.
    output: PhantomData<T>,
}

// A panic in a task is caught, and its handle gives the panic as an error: code that catches a
// panic finds no handle half changed.
impl<T> UnwindSafe for JoinHandle<T> {}
impl<T> RefUnwindSafe for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    /// Makes the handle of a task.
    ///
    /// # Safety
    ///
    /// `task` comes from `raw::spawn` on this thread with a future whose output is `T`, and its
    /// join handle's reference is given to this handle.
    pub(super) unsafe fn new(task: NonNull<Header>) -> JoinHandle<T> {
        JoinHandle { task, output: PhantomData }
    }

    /// Returns the task's header.
    fn header(&self) -> &Header {
        // SAFETY: the handle's reference keeps the task alive.
        unsafe { self.task.as_ref() }
    }

    /// Returns the task, which lives at least as long as the handle.
    pub(super) fn task(&self) -> NonNull<Header> {
        self.task
    }

    /// Aborts the task: its future is dropped when its turn comes, instead of being polled. Does
    /// nothing if the task has ended.
    ///
    /// The handle then gives an error for which [`JoinError::is_cancelled`] is `true`. A task may
    /// abort itself: it ends at its next `.await` that has to wait.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::spawn_local;
    /// # corepoll::block_on(async {
    /// let task = spawn_local(std::future::pending::<()>());
    /// task.abort();
    /// assert!(task.await.unwrap_err().is_cancelled());
    /// # });
    /// ```
    pub fn abort(&self) {
        // SAFETY: the handle doesn't leave the owner's thread, and when the executor is gone all
        // its tasks are complete.
        unsafe { raw::abort(self.task) };
    }

    /// Returns `true` if the task has ended: its future is dropped, and its output is here.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{spawn_local, yield_now};
    /// # corepoll::block_on(async {
    /// let task = spawn_local(async { 7 });
    /// yield_now().await;
    /// assert!(task.is_finished());
    /// assert_eq!(task.await.unwrap(), 7);
    /// # });
    /// ```
    pub fn is_finished(&self) -> bool {
        self.header().has(COMPLETE)
    }

    /// Returns the name that [`spawn_local_named`](crate::spawn_local_named) gave the task, or
    /// `None` if it has none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{spawn_local, spawn_local_named};
    /// # corepoll::block_on(async {
    /// assert_eq!(spawn_local_named("ticker", async {}).name(), Some("ticker"));
    /// assert_eq!(spawn_local(async {}).name(), None);
    /// # });
    /// ```
    pub fn name(&self) -> Option<&str> {
        // SAFETY: the handle's reference keeps the task alive, and the pointer came from `spawn`.
        unsafe { raw::name(self.task) }.map(|name| &**name)
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    /// Polls for the output.
    ///
    /// # Panics
    ///
    /// Panics if it is polled again after it has given the output.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.header().has(COMPLETE) {
            // This comes before the look for the output: cloning a waker is foreign code, and if
            // the task ends in there, no waker is in place that its end could wake.
            raw::set_waiter(self.header(), cx.waker());
        }
        if self.header().has(OUTPUT) {
            // SAFETY: the handle is on the owner's thread, the output is there, and `T` is its
            // type by the contract of `new`.
            return Poll::Ready(unsafe { raw::take_output(self.task) });
        }
        assert!(!self.header().has(COMPLETE), "JoinHandle polled after it gave its output");
        Poll::Pending
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        // SAFETY: the handle is on the owner's thread and gives its reference up.
        unsafe { raw::drop_handle(self.task) };
    }
}

// A handle is one pointer that never moves what it points at.
impl<T> Unpin for JoinHandle<T> {}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("JoinHandle");
        if let Some(name) = self.name() {
            shown.field("name", &name);
        }
        shown.field("is_finished", &self.is_finished()).finish()
    }
}

//! The result of a task, on the thread that it runs on.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

use super::join_error::JoinError;
use super::raw::{self, Header};
use super::state::{COMPLETE, OUTPUT};

/// The result of a task of this thread, to be awaited.
///
/// Dropping it lets the task run on. It may be dropped or awaited after its poller has ended;
/// the task is cancelled then. Awaiting is cancel-safe: the output stays in the task until a poll
/// takes it.
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
    /// The task, of which the handle holds one reference. Not Send: **Owner**.
    task: NonNull<Header>,
    output: PhantomData<T>,
}

impl<T> JoinHandle<T> {
    /// # Safety
    /// `task` comes from `raw::spawn` on this thread with a future whose output is `T`, and its
    /// join handle's reference is given to this handle.
    pub(super) unsafe fn new(task: NonNull<Header>) -> JoinHandle<T> {
        JoinHandle { task, output: PhantomData }
    }

    fn header(&self) -> &Header {
        // SAFETY: the handle's reference keeps the task alive.
        unsafe { self.task.as_ref() }
    }

    /// Asks for the task to be dropped at its next turn; does nothing if it has ended.
    ///
    /// The handle then gives an error for which [`JoinError::is_cancelled`] is true. A task may
    /// abort itself: it ends at its next `.await` that has to wait.
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

    /// Whether the task has ended: its future is dropped and its output is here.
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

    /// The name that the task was given by [`spawn_local_named`](crate::spawn_local_named).
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

    /// # Panics
    /// If it is polled again after it gave its output.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.header().has(COMPLETE) {
            // Before the look for the output: cloning a waker is foreign code, in which the task
            // may end and find nobody to wake.
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

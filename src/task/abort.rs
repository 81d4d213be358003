//! A join handle that takes its task along.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::join::JoinHandle;
use super::join_error::JoinError;

/// A [`JoinHandle`] that aborts its task when it is dropped: the task lives no longer than
/// whoever waits for it. Made by [`JoinHandle::abort_on_drop`].
///
/// It is a future of the same output. The task is dropped at its next turn, as by
/// [`JoinHandle::abort`].
///
/// ```
/// use corepoll::{AbortOnDrop, block_on, spawn_local};
///
/// block_on(async {
///     let task = AbortOnDrop::new(spawn_local(async { 2 + 3 }));
///     assert_eq!(task.await.unwrap(), 5);
/// });
/// ```
#[must_use = "dropping it aborts the task"]
pub struct AbortOnDrop<T> {
    /// The task; None once `detach` has taken it.
    handle: Option<JoinHandle<T>>,
}

impl<T> AbortOnDrop<T> {
    /// From now on the task ends with the handle.
    ///
    /// ```
    /// # use corepoll::{AbortOnDrop, spawn_local};
    /// # corepoll::block_on(async {
    /// let task = AbortOnDrop::new(spawn_local(async { 7 }));
    /// assert_eq!(task.await.unwrap(), 7);
    /// # });
    /// ```
    pub fn new(handle: JoinHandle<T>) -> AbortOnDrop<T> {
        AbortOnDrop { handle: Some(handle) }
    }

    /// The plain handle again: dropping that lets the task run on.
    ///
    /// ```
    /// use corepoll::{block_on, spawn_local};
    ///
    /// block_on(async {
    ///     let task = spawn_local(async { 2 + 3 }).abort_on_drop();
    ///     assert_eq!(task.detach().await.unwrap(), 5);
    /// });
    /// ```
    pub fn detach(mut self) -> JoinHandle<T> {
        self.handle.take().expect("only `detach` takes it, and only once")
    }

    /// Asks for the task to be dropped at its next turn: see [`JoinHandle::abort`].
    ///
    /// ```
    /// # use corepoll::spawn_local;
    /// # corepoll::block_on(async {
    /// let task = spawn_local(std::future::pending::<()>()).abort_on_drop();
    /// task.abort();
    /// assert!(task.await.unwrap_err().is_cancelled());
    /// # });
    /// ```
    pub fn abort(&self) {
        self.inner().abort();
    }

    /// Whether the task has ended.
    ///
    /// ```
    /// # use corepoll::{spawn_local, yield_now};
    /// # corepoll::block_on(async {
    /// let task = spawn_local(async {}).abort_on_drop();
    /// assert!(!task.is_finished());
    /// yield_now().await;
    /// assert!(task.is_finished());
    /// # });
    /// ```
    pub fn is_finished(&self) -> bool {
        self.inner().is_finished()
    }

    fn inner(&self) -> &JoinHandle<T> {
        self.handle.as_ref().expect("`detach` consumes what it takes from")
    }
}

impl<T> JoinHandle<T> {
    /// The same handle, but that dropping it aborts the task.
    ///
    /// ```
    /// use corepoll::{block_on, spawn_local, yield_now};
    /// use std::{cell::Cell, rc::Rc};
    ///
    /// block_on(async {
    ///     let alive = Rc::new(Cell::new(false));
    ///     let guarded = spawn_local({
    ///         let alive = alive.clone();
    ///         async move {
    ///             alive.set(true);
    ///             std::future::pending::<()>().await;
    ///         }
    ///     })
    ///     .abort_on_drop();
    ///     yield_now().await;
    ///     assert!(alive.get());
    ///     drop(guarded);
    ///     yield_now().await;
    ///     assert_eq!(Rc::strong_count(&alive), 1);
    /// });
    /// ```
    pub fn abort_on_drop(self) -> AbortOnDrop<T> {
        AbortOnDrop::new(self)
    }
}

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    /// If it is polled again after it gave its output.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let handle = self.handle.as_mut().expect("`detach` consumes what it takes from");
        Pin::new(handle).poll(cx)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        if let Some(handle) = &self.handle {
            handle.abort();
        }
    }
}

impl<T> From<JoinHandle<T>> for AbortOnDrop<T> {
    fn from(handle: JoinHandle<T>) -> AbortOnDrop<T> {
        AbortOnDrop::new(handle)
    }
}

impl<T> fmt::Debug for AbortOnDrop<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AbortOnDrop").field(self.inner()).finish()
    }
}

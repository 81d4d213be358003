//! Handles that abort a task: one that does it when it is dropped, and one that cannot join it.
//!
//! Aborting is a request: a flag, and a wake. The future is dropped by the run loop when the task's
//! turn comes, so that its destructor never runs inside of the code that aborts.

use std::fmt;
use std::future::Future;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

use super::join::JoinHandle;
use super::join_error::JoinError;
use super::raw::{self, Header};
use super::state::COMPLETE;

/// A [`JoinHandle`] that aborts its task when it is dropped. Made by [`JoinHandle::abort_on_drop`].
///
/// It is a future with the same output. The task lives no longer than the code that waits for it:
/// its future is dropped when its turn comes, as after [`JoinHandle::abort`].
///
/// # Examples
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
    /// The task's handle, or `None` once `detach` has taken it.
    handle: Option<JoinHandle<T>>,
}

impl<T> AbortOnDrop<T> {
    /// Binds the task to this handle: from now on the task ends with it.
    ///
    /// # Examples
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

    /// Returns the plain handle. Dropping that one lets the task go on.
    ///
    /// # Examples
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

    /// Aborts the task, as [`JoinHandle::abort`] does.
    ///
    /// # Examples
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

    /// Returns `true` if the task has ended.
    ///
    /// # Examples
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

    /// Returns the plain handle, which stays in here.
    fn inner(&self) -> &JoinHandle<T> {
        self.handle.as_ref().expect("`detach` consumes what it takes from")
    }
}

impl<T> JoinHandle<T> {
    /// Makes a handle to the same task that aborts it when it is dropped.
    ///
    /// # Examples
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

    /// Makes a handle that can abort the task, and leaves the output to this one.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{block_on, spawn_local};
    ///
    /// block_on(async {
    ///     let task = spawn_local(std::future::pending::<()>());
    ///     let abort = task.abort_handle();
    ///     spawn_local(async move { abort.abort() });
    ///     assert!(task.await.unwrap_err().is_cancelled());
    /// });
    /// ```
    pub fn abort_handle(&self) -> AbortHandle {
        // A task that has ended needs no reference: there is nothing left to abort.
        // SAFETY: this handle keeps the task alive; it is on the owner's thread, and the task is not
        // complete.
        let task = (!self.is_finished()).then(|| unsafe { AbortHandle::new(self.task()) });
        task.unwrap_or(AbortHandle { task: None })
    }
}

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, JoinError>;

    /// Polls for the output.
    ///
    /// # Panics
    ///
    /// Panics if it is polled again after it has given the output.
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

/// A handle that aborts a task of this thread, whatever its output is. Made by
/// [`JoinHandle::abort_handle`] and [`TaskGroup::spawn_abortable`](crate::TaskGroup::spawn_abortable).
///
/// It may outlive the join handle, the task and the poller. Clones abort the same task. Dropping it
/// does nothing to the task, but its memory is not freed before the last handle to it is dropped.
///
/// Like the task, it stays on its thread. [`RemoteAbortHandle`](crate::RemoteAbortHandle) is the one
/// for tasks that other threads spawn.
///
/// # Examples
///
/// ```
/// use corepoll::{block_on, spawn_local, yield_now};
/// use std::rc::Rc;
///
/// block_on(async {
///     let held = Rc::new(());
///     let its_own = held.clone();
///     let abort = spawn_local(async move {
///         let _its_own = its_own;
///         std::future::pending::<()>().await;
///     })
///     .abort_handle();
///     yield_now().await;
///     assert!(!abort.is_finished(), "the task goes on without a join handle");
///     abort.abort();
///     yield_now().await;
///     assert!(abort.is_finished());
///     assert_eq!(Rc::strong_count(&held), 1);
/// });
/// ```
pub struct AbortHandle {
    /// The task, of which the handle holds one reference, or `None` if it had ended when the handle
    /// was made: no references are made to a task that is retired (**Count**). Not `Send`: **Owner**.
    task: Option<NonNull<Header>>,
}

// As for `JoinHandle`.
impl UnwindSafe for AbortHandle {}
impl RefUnwindSafe for AbortHandle {}

impl AbortHandle {
    /// Makes a handle.
    ///
    /// # Safety
    ///
    /// The caller is on the owner's thread. It holds a reference to `task`, which either is not
    /// complete or has another abort handle: it is not retired then.
    unsafe fn new(task: NonNull<Header>) -> AbortHandle {
        // SAFETY: the caller's contract.
        unsafe { raw::add_reference(task) };
        AbortHandle { task: Some(task) }
    }

    /// Aborts the task, as [`JoinHandle::abort`] does. Does nothing if the task has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::spawn_local;
    /// # corepoll::block_on(async {
    /// let task = spawn_local(std::future::pending::<()>());
    /// task.abort_handle().abort();
    /// assert!(task.await.unwrap_err().is_cancelled());
    /// # });
    /// ```
    pub fn abort(&self) {
        if let Some(task) = self.task {
            // SAFETY: the handle doesn't leave the owner's thread, and when the executor is gone all
            // its tasks are complete.
            unsafe { raw::abort(task) };
        }
    }

    /// Returns `true` if the task has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::spawn_local;
    /// # corepoll::block_on(async {
    /// let task = spawn_local(async { 7 });
    /// let abort = task.abort_handle();
    /// assert!(!abort.is_finished());
    /// assert_eq!(task.await.unwrap(), 7);
    /// assert!(abort.is_finished());
    /// # });
    /// ```
    pub fn is_finished(&self) -> bool {
        // SAFETY: the handle's reference keeps the task alive.
        self.task.is_none_or(|task| unsafe { task.as_ref() }.has(COMPLETE))
    }
}

impl Clone for AbortHandle {
    fn clone(&self) -> AbortHandle {
        // SAFETY: `self` is an abort handle with a reference, and is on the owner's thread.
        let task = self.task.map(|task| unsafe { AbortHandle::new(task) });
        task.unwrap_or(AbortHandle { task: None })
    }
}

impl Drop for AbortHandle {
    fn drop(&mut self) {
        if let Some(task) = self.task {
            // SAFETY: the handle gives its reference up.
            unsafe { raw::drop_reference(task) };
        }
    }
}

impl fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortHandle").field("is_finished", &self.is_finished()).finish()
    }
}

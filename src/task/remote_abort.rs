//! A handle that aborts a task of another thread.
//!
//! It reaches the task by the packet of its join handle, whose type it forgets behind a trait
//! object.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

/// A task of another thread, whatever its output is.
pub(super) trait AbortTarget: Send + Sync {
    /// Asks the task to end.
    fn abort(&self);
    /// Returns `true` if the task has ended.
    fn is_finished(&self) -> bool;
}

/// A handle that aborts a task of another thread, whatever its output is. Made by
/// [`RemoteJoinHandle::abort_handle`](crate::RemoteJoinHandle::abort_handle).
///
/// It is `Send` and `Sync`, where an [`AbortHandle`](crate::AbortHandle) stays on its thread. It may
/// outlive the join handle, the task and the poller. Clones abort the same task, and dropping it does
/// nothing to the task.
///
/// # Examples
///
/// ```
/// use corepoll::{Reactor, block_on};
/// use std::future::pending;
///
/// # fn main() -> std::io::Result<()> {
/// let running = Reactor::builder().pollers(1).build()?.start()?;
/// let task = running.handle().pollers()[0].spawn_on(pending::<()>);
/// let abort = task.abort_handle();
/// std::thread::spawn(move || abort.abort());
/// assert!(block_on(task).unwrap_err().is_cancelled());
/// # running.handle().shutdown(std::time::Duration::ZERO);
/// # running.join()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RemoteAbortHandle {
    /// The task.
    task: Arc<dyn AbortTarget>,
}

// As for `JoinHandle`.
impl UnwindSafe for RemoteAbortHandle {}
impl RefUnwindSafe for RemoteAbortHandle {}

impl RemoteAbortHandle {
    /// Makes the handle of a task.
    pub(super) fn new(task: impl AbortTarget + 'static) -> RemoteAbortHandle {
        RemoteAbortHandle { task: Arc::new(task) }
    }

    /// Aborts the task: its future is dropped when its turn comes, instead of being polled. Does
    /// nothing if the task has ended. May be called from any thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{Reactor, block_on};
    /// # use std::future::pending;
    /// # fn main() -> std::io::Result<()> {
    /// # let running = Reactor::builder().pollers(1).build()?.start()?;
    /// let task = running.handle().pollers()[0].spawn_on(pending::<()>);
    /// task.abort_handle().abort();
    /// assert!(block_on(task).unwrap_err().is_cancelled());
    /// # running.handle().shutdown(std::time::Duration::ZERO);
    /// # running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn abort(&self) {
        self.task.abort();
    }

    /// Returns `true` if the task has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{Reactor, block_on};
    /// # fn main() -> std::io::Result<()> {
    /// # let running = Reactor::builder().pollers(1).build()?.start()?;
    /// let task = running.handle().pollers()[0].spawn_on(|| async { 7 });
    /// let abort = task.abort_handle();
    /// assert_eq!(block_on(task).unwrap(), 7);
    /// assert!(abort.is_finished());
    /// # running.handle().shutdown(std::time::Duration::ZERO);
    /// # running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}

impl fmt::Debug for RemoteAbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteAbortHandle").field("is_finished", &self.is_finished()).finish()
    }
}

//! Why a task has no output.
//!
//! It is tokio's type of the same name, with the same questions. One more is a task that could not
//! begin: a blocking call for which the system gives no thread.

use std::any::Any;
use std::fmt;
use std::io;
#[cfg(feature = "blocking")]
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};

use super::ignore_panic::report_panic;
use crate::base::error::panic_message;

/// The reason why a task has no output: it panicked, or it was cancelled.
///
/// # Examples
///
/// ```
/// use corepoll::{block_on, spawn_local};
///
/// block_on(async {
///     let task = spawn_local(std::future::pending::<()>());
///     task.abort();
///     assert!(task.await.unwrap_err().is_cancelled());
/// });
/// ```
///
/// It is `Send` and `Sync`, so `?` turns it into any boxed error:
///
/// ```
/// use corepoll::{block_on, spawn_local};
/// use std::error::Error;
///
/// fn sum() -> Result<i32, Box<dyn Error + Send + Sync>> {
///     Ok(block_on(async { spawn_local(async { 2 + 3 }).await })?)
/// }
/// assert_eq!(sum().unwrap(), 5);
/// ```
pub struct JoinError {
    /// The cause, or `None` if the task was cancelled. Boxed, so that the error is one word: each
    /// task has room for it.
    cause: Option<Box<Cause>>,
}

/// Why there is no output, if the task was not cancelled.
enum Cause {
    /// The payload of a panic. It need not be `Sync`, and an error should be: behind the lock it is.
    Panic(Mutex<Payload>),
    /// The system gives no thread for a blocking call. An error is never half changed, so it is
    /// unwind safe, whatever the box in an `io::Error` may hide.
    #[cfg(feature = "blocking")]
    Refused(AssertUnwindSafe<io::Error>),
}

/// What a panic carries.
type Payload = Box<dyn Any + Send + 'static>;

impl JoinError {
    /// Makes the error of a task that was cancelled.
    pub(crate) fn cancelled() -> JoinError {
        JoinError { cause: None }
    }

    /// Makes the error of a task that panicked with `payload`.
    pub(crate) fn panicked(payload: Payload) -> JoinError {
        report_panic(&*payload);
        JoinError { cause: Some(Box::new(Cause::Panic(Mutex::new(payload)))) }
    }

    /// Makes the error of a blocking call for which the system gives no thread.
    #[cfg(feature = "blocking")]
    pub(crate) fn refused(error: io::Error) -> JoinError {
        JoinError { cause: Some(Box::new(Cause::Refused(AssertUnwindSafe(error)))) }
    }

    /// Returns the payload, if the task panicked.
    fn panic(&self) -> Option<&Mutex<Payload>> {
        match self.cause.as_deref() {
            Some(Cause::Panic(payload)) => Some(payload),
            _ => None,
        }
    }

    /// Returns `true` if the task panicked.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::spawn_local;
    /// # corepoll::block_on(async {
    /// # std::panic::set_hook(Box::new(|_| {}));
    /// let task = spawn_local(async { panic!("on purpose") });
    /// assert!(task.await.unwrap_err().is_panic());
    /// # });
    /// ```
    pub fn is_panic(&self) -> bool {
        self.panic().is_some()
    }

    /// Returns `true` if the task did not panic: it was aborted, or its poller has ended.
    ///
    /// A call of [`spawn_blocking`](crate::spawn_blocking) that could not begin, because the system
    /// gave no thread, counts as cancelled too. Its [`source`](std::error::Error::source) is the
    /// system's error.
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
    pub fn is_cancelled(&self) -> bool {
        !self.is_panic()
    }

    /// Returns the payload of the panic, for [`std::panic::resume_unwind`].
    ///
    /// # Panics
    ///
    /// Panics if the task was cancelled instead. [`JoinError::try_into_panic`] does not.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::spawn_local;
    /// # corepoll::block_on(async {
    /// # std::panic::set_hook(Box::new(|_| {}));
    /// let task = spawn_local(async { panic!("on purpose") });
    /// let panic = task.await.unwrap_err().into_panic();
    /// assert_eq!(panic.downcast_ref(), Some(&"on purpose"));
    /// # });
    /// ```
    #[track_caller]
    pub fn into_panic(self) -> Box<dyn Any + Send + 'static> {
        self.try_into_panic()
            .expect("`into_panic` was called for a task that was cancelled and did not panic")
    }

    /// Returns the payload of the panic, for [`std::panic::resume_unwind`].
    ///
    /// # Errors
    ///
    /// Gives the error back if the task was cancelled instead.
    ///
    /// # Examples
    ///
    /// A panic of the task goes on in the task that awaits it:
    ///
    /// ```
    /// use corepoll::{JoinError, block_on, spawn_local};
    ///
    /// async fn joined(task: corepoll::JoinHandle<u8>) -> Result<u8, JoinError> {
    ///     match task.await.map_err(JoinError::try_into_panic) {
    ///         Ok(output) => Ok(output),
    ///         Err(Ok(panic)) => std::panic::resume_unwind(panic),
    ///         Err(Err(cancelled)) => Err(cancelled),
    ///     }
    /// }
    ///
    /// block_on(async {
    ///     let task = spawn_local(std::future::pending());
    ///     task.abort();
    ///     assert!(joined(task).await.unwrap_err().is_cancelled());
    /// });
    /// ```
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send + 'static>, JoinError> {
        if !self.is_panic() {
            return Err(self);
        }
        match self.cause.map(|cause| *cause) {
            // A writer's panic under the lock has not changed the payload: it is only looked at.
            Some(Cause::Panic(panic)) => {
                Ok(panic.into_inner().unwrap_or_else(PoisonError::into_inner))
            }
            _ => unreachable!("it has been a panic above"),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[cfg(feature = "blocking")]
        if let Some(Cause::Refused(error)) = self.cause.as_deref() {
            return write!(f, "the call was not begun: no thread can be started: {}", error.0);
        }
        let Some(panic) = self.panic() else { return f.write_str("task was cancelled") };
        // A copy, since the formatter writes to foreign code, which must not run under the lock.
        let message = {
            let payload = panic.lock().unwrap_or_else(PoisonError::into_inner);
            panic_message(&**payload).map(str::to_owned)
        };
        match message {
            Some(message) => write!(f, "task panicked: {message}"),
            None => f.write_str("task panicked"),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl std::error::Error for JoinError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.cause.as_deref()? {
            Cause::Panic(_) => None,
            #[cfg(feature = "blocking")]
            Cause::Refused(error) => Some(&error.0),
        }
    }
}

impl From<JoinError> for io::Error {
    fn from(error: JoinError) -> io::Error {
        // Also where a system's error is the cause: its kind is WouldBlock, which means something
        // else to all code that reads it.
        io::Error::other(error)
    }
}

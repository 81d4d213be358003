//! The result of a task, on the thread that it runs on.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
#[cfg(feature = "blocking")]
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::base::sync::Cell;

use super::abort::AbortOnDrop;
use super::ignore_panic::drop_ignoring_panic;
use super::raw::{self, Header};
use super::state::{COMPLETE, OUTPUT};
use super::waker;

/// Why a task has no output: it panicked, or it was cancelled.
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
/// It is `Send` and `Sync`, so that `?` takes it into whatever carries errors:
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
    /// None if the task was cancelled. In a box, so that the error, for which each task has room, is
    /// one word.
    cause: Option<Box<Cause>>,
}

/// Why there is no output, beside that the task was cancelled.
enum Cause {
    /// What the panic carried. It need not be Sync, and an error should be: behind the lock it is.
    Panic(Mutex<Payload>),
    /// There can be no thread to run on: a blocking call. An error is never half changed, whatever
    /// the box in an `io::Error` may hide.
    #[cfg(feature = "blocking")]
    Refused(AssertUnwindSafe<io::Error>),
}

type Payload = Box<dyn Any + Send + 'static>;

impl JoinError {
    pub(crate) fn cancelled() -> JoinError {
        JoinError { cause: None }
    }

    pub(crate) fn panicked(payload: Payload) -> JoinError {
        JoinError { cause: Some(Box::new(Cause::Panic(Mutex::new(payload)))) }
    }

    /// Of a blocking call for which the system gives no thread.
    #[cfg(feature = "blocking")]
    pub(crate) fn refused(error: io::Error) -> JoinError {
        JoinError { cause: Some(Box::new(Cause::Refused(AssertUnwindSafe(error)))) }
    }

    fn panic(&self) -> Option<&Mutex<Payload>> {
        match self.cause.as_deref() {
            Some(Cause::Panic(payload)) => Some(payload),
            _ => None,
        }
    }

    /// Whether the task panicked.
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

    /// Whether the task was aborted, or dropped with its poller; or, as a call of `spawn_blocking`,
    /// has not begun because the system gave no thread. That is its `source()` then.
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

    /// What the panic carried, for [`std::panic::resume_unwind`].
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
    ///
    /// # Panics
    /// If the task was cancelled instead.
    pub fn into_panic(self) -> Box<dyn Any + Send + 'static> {
        match self.cause.map(|cause| *cause) {
            Some(Cause::Panic(panic)) => panic.into_inner().unwrap_or_else(PoisonError::into_inner),
            _ => panic!("into_panic of a task that did not panic, but was cancelled"),
        }
    }
}

/// What a panic says of itself, if that is text.
pub(crate) fn message(payload: &(dyn Any + Send)) -> Option<&str> {
    let text = payload.downcast_ref::<&'static str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[cfg(feature = "blocking")]
        if let Some(Cause::Refused(error)) = self.cause.as_deref() {
            return write!(f, "the call was not begun: no thread can be started: {}", error.0);
        }
        let Some(panic) = self.panic() else { return f.write_str("task was cancelled") };
        // A copy: where it is written to is foreign code, and not to run under the lock.
        let message = {
            let payload = panic.lock().unwrap_or_else(PoisonError::into_inner);
            message(&**payload).map(str::to_owned)
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
        // else to all who read it.
        io::Error::other(error)
    }
}

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

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    /// If it is polled again after it gave its output.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.header().has(COMPLETE) {
            // Before the look for the output: cloning a waker is foreign code, in which the task
            // may end and find nobody to wake.
            self.header().waiter.set(cx.waker());
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

/// Who waits for a task, in one word: nobody (0), another task (the address of its header, with
/// a reference), or a foreign waker (the address of its box, with the lowest bit on).
///
/// A `Waker` would take two words, in each task. Who awaits a join handle is nearly always a task.
pub(super) struct JoinWaiter(Cell<*mut ()>);

const FOREIGN: usize = 1;

/// The box of a foreign waker, if the word holds one.
fn foreign(word: *mut ()) -> Option<*mut Waker> {
    let boxed = word.map_addr(|address| address & !FOREIGN).cast();
    (word.addr() & FOREIGN != 0).then_some(boxed)
}

impl JoinWaiter {
    pub(super) fn new() -> JoinWaiter {
        JoinWaiter(Cell::new(std::ptr::null_mut()))
    }

    /// Takes the waiter out.
    pub(super) fn take(&self) -> Option<Waker> {
        let word = self.0.replace(std::ptr::null_mut());
        if let Some(boxed) = foreign(word) {
            // SAFETY: a word with the bit on holds a box made in `put`, and it was the only copy.
            return Some(*unsafe { Box::from_raw(boxed) });
        }
        // SAFETY: a word without the bit holds a task from `into_task`, and was the only copy.
        NonNull::new(word.cast::<Header>()).map(|task| unsafe { waker::from_task(task) })
    }

    /// Makes `waker` the one that waits. It is cloned only if it isn't already.
    pub(super) fn set(&self, waker: &Waker) {
        if self.will_wake(waker) {
            return;
        }
        // Both are foreign code, which may panic: the slot holds the old one or none meanwhile.
        let new = waker.clone();
        drop_ignoring_panic(self.take());
        self.put(new);
    }

    /// Whether the waiter is this waker. Compares pointers only: nothing foreign runs.
    fn will_wake(&self, waker: &Waker) -> bool {
        let word = self.0.get();
        match foreign(word) {
            // SAFETY: the box is in the slot, and stays there while its waker is compared.
            Some(boxed) => unsafe { (*boxed).will_wake(waker) },
            None => waker::is_of(waker, word),
        }
    }

    /// Fills the empty slot.
    fn put(&self, waker: Waker) {
        let word = match waker::into_task(waker) {
            Ok(task) => task.as_ptr().cast::<()>(),
            Err(foreign) => {
                let boxed: *mut Waker = Box::into_raw(Box::new(foreign));
                boxed.map_addr(|address| address | FOREIGN).cast()
            }
        };
        self.0.set(word);
    }
}

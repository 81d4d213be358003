//! A runtime of tokio beside the pollers, and futures that are polled in its context.
//!
//! A future that needs tokio finds the runtime in a thread-local of the thread that polls it. The
//! thread of a poller has none, so [`TokioContext`] sets it around each poll, and around the drop
//! of the future. The future stays with its poller. What it hands to tokio, such as a timer, a
//! socket or a task, is driven by the thread of the runtime; its wake-ups reach the poller through
//! the mailbox, as those of any other thread.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;

use pin_project_lite::pin_project;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A runtime of tokio on a thread of its own, for clients that open their sockets with tokio, start
/// tokio's timers or spawn tasks of tokio.
///
/// It is `Clone`, `Send` and `Sync`: a program needs one for all its pollers. Its thread runs until
/// the last clone is dropped, and with it the last [`TokioContext`]. It ends by itself then: no drop
/// waits for it. The tasks of tokio that are left are dropped at their next await.
///
/// A [`Handle`] of a runtime that the program has already can be used instead, by
/// [`From`](Self::from). Its owner keeps it running.
///
/// # What runs where
///
/// A future that [`wrap`](Self::wrap) returns is polled by its poller, and may use the streams,
/// timers and tasks of corepoll beside those of tokio. A task that it gives to `tokio::spawn` runs
/// on the thread of the runtime. It must not use what belongs to a poller. A `PollerBound` in such a
/// task panics when it is used there.
///
/// # Examples
///
/// ```
/// use corepoll_tokio::TokioRuntime;
/// use std::io;
/// use std::time::Duration;
///
/// # fn main() -> io::Result<()> {
/// let runtime = TokioRuntime::start()?;
/// corepoll::block_on(runtime.wrap(async {
///     // A timer of corepoll's, and one of tokio's.
///     corepoll::time::sleep(Duration::from_millis(1)).await;
///     tokio::time::sleep(Duration::from_millis(1)).await;
///     let sum = tokio::spawn(async { 1 + 1 }).await?;
///     assert_eq!(sum, 2);
///     Ok(())
/// }))
/// # }
/// ```
#[derive(Clone)]
pub struct TokioRuntime {
    /// The runtime's handle.
    handle: Handle,
    /// Ends the thread when the last clone is dropped. `None` if the runtime is another's.
    _thread: Option<Arc<oneshot::Sender<Infallible>>>,
}

impl TokioRuntime {
    /// Starts a runtime, and the thread that runs it, with what tokio was built with: timers, I/O.
    ///
    /// # Errors
    ///
    /// Returns the error of the system if it has no epoll instance or no thread to give.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll_tokio::TokioRuntime;
    ///
    /// let runtime = TokioRuntime::start()?;
    /// let answer = runtime.handle().spawn(async { 42 });
    /// assert_eq!(corepoll::block_on(answer).unwrap(), 42);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn start() -> io::Result<TokioRuntime> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (sender, ended) = oneshot::channel();
        thread::Builder::new().name("corepoll-tokio".to_owned()).spawn(move || {
            // An error: the sender is gone. It can't send a value.
            let Err(_) = runtime.block_on(ended);
        })?;
        Ok(TokioRuntime { handle, _thread: Some(Arc::new(sender)) })
    }

    /// Returns a future that does what `future` does, in the context of this runtime.
    ///
    /// # Examples
    ///
    /// Each poller awaits a timer of tokio. The future need not be `Send`.
    ///
    /// ```
    /// use corepoll::Reactor;
    /// use corepoll_tokio::TokioRuntime;
    /// use std::io;
    /// use std::rc::Rc;
    /// use std::time::Duration;
    ///
    /// # fn main() -> io::Result<()> {
    /// let runtime = TokioRuntime::start()?;
    /// let reactor = Reactor::builder().pollers(2).build()?;
    /// let handle = reactor.handle();
    /// let running = reactor.start()?;
    /// for poller in handle.pollers() {
    ///     let runtime = runtime.clone();
    ///     let task = poller.spawn_on(move || {
    ///         let value = Rc::new(42);
    ///         runtime.wrap(async move {
    ///             tokio::time::sleep(Duration::from_millis(1)).await;
    ///             *value
    ///         })
    ///     });
    ///     assert_eq!(corepoll::block_on(task).unwrap(), 42);
    /// }
    /// handle.shutdown(Duration::ZERO);
    /// running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn wrap<F: Future>(&self, future: F) -> TokioContext<F> {
        TokioContext { future: Some(future), runtime: self.clone() }
    }

    /// Returns tokio's handle of the runtime. Its `enter` makes the context for code that isn't a
    /// future, such as the drop of a value that a wrapped future has returned.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll_tokio::TokioRuntime;
    /// use std::time::Duration;
    ///
    /// let runtime = TokioRuntime::start()?;
    /// let sleep = {
    ///     let _context = runtime.handle().enter();
    ///     tokio::time::sleep(Duration::from_millis(1))
    /// };
    /// corepoll::block_on(sleep);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

/// Takes the runtime of a program that has one. No thread is started, and none ended.
///
/// # Examples
///
/// ```
/// use corepoll_tokio::TokioRuntime;
///
/// let tokio = tokio::runtime::Builder::new_current_thread().build()?;
/// let runtime = TokioRuntime::from(tokio.handle().clone());
/// assert_eq!(runtime.handle().id(), tokio.handle().id());
/// # std::io::Result::Ok(())
/// ```
impl From<Handle> for TokioRuntime {
    fn from(handle: Handle) -> TokioRuntime {
        TokioRuntime { handle, _thread: None }
    }
}

impl fmt::Debug for TokioRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokioRuntime").field(&self.handle).finish()
    }
}

pin_project! {
    /// A future that is polled, and dropped, in the context of a runtime of tokio. See
    /// [`TokioRuntime::wrap`].
    ///
    /// It keeps the runtime running. It is `Send` if the future is.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll_tokio::{TokioContext, TokioRuntime};
    ///
    /// let runtime = TokioRuntime::start()?;
    /// let future: TokioContext<_> = runtime.wrap(async { tokio::runtime::Handle::current().id() });
    /// assert_eq!(corepoll::block_on(future), runtime.handle().id());
    /// # std::io::Result::Ok(())
    /// ```
    #[derive(Debug)]
    pub struct TokioContext<F> {
        // The future, or `None` once it has been dropped.
        #[pin]
        future: Option<F>,
        // What its context is.
        runtime: TokioRuntime,
    }

    impl<F> PinnedDrop for TokioContext<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _context = this.runtime.handle.enter();
            this.future.set(None);
        }
    }
}

impl<F: Future> Future for TokioContext<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _context = this.runtime.handle.enter();
        // It is there until this is dropped.
        let future = this.future.as_pin_mut().expect("a future that isn't dropped");
        future.poll(cx)
    }
}

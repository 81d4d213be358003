//! The output of a task that another thread has spawned, to be awaited on any thread.
//!
//! Such a task has two halves. The task itself lives on its poller and never leaves it; a packet
//! behind a lock takes its output to the handle, and a request to abort back. The lock is
//! never held while foreign code runs.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::base::sync::{Arc, Mutex};

use super::executor::spawn;
use super::ignore_panic::{drop_ignoring_panic, ignore_panic};
use super::join_error::JoinError;
use super::remote_abort::{AbortTarget, RemoteAbortHandle};
use super::shared::SharedRef;

/// A handle that awaits the output of a task of another thread, on any thread.
///
/// Dropping the handle detaches the task, which goes on. An output that is not taken is dropped on
/// the task's own thread. If the task's poller has ended, or ends meanwhile, the handle gives an
/// error for which [`JoinError::is_cancelled`] is `true`.
///
/// # Cancel safety
///
/// Awaiting is cancel-safe: the output stays until a poll takes it.
///
/// # Examples
///
/// ```
/// use corepoll::{Reactor, block_on};
///
/// # fn main() -> std::io::Result<()> {
/// let running = Reactor::builder().pollers(1).build()?.start()?;
/// let task = running.handle().pollers()[0].spawn_on(|| async { 2 + 3 });
/// assert_eq!(block_on(task).unwrap(), 5);
/// # Ok(())
/// # }
/// ```
pub struct RemoteJoinHandle<T> {
    /// What the handle and the task share.
    packet: Arc<Packet<T>>,
}

// As for `JoinHandle`: a panic of the task is its output, and no state is half changed by it.
impl<T> UnwindSafe for RemoteJoinHandle<T> {}
impl<T> RefUnwindSafe for RemoteJoinHandle<T> {}

/// What a task and its remote handle share.
struct Packet<T> {
    /// How far the task and the handle are.
    state: Mutex<PacketState<T>>,
    /// The executor that the task runs on.
    executor: SharedRef,
    /// Sends an output that is not taken to its owner, to be dropped there. It is a pointer to a
    /// function since it is known only where `T: Send + 'static` is.
    drop_on_owner: fn(&SharedRef, Result<T, JoinError>),
}

/// How far a task and its remote handle are.
struct PacketState<T> {
    /// The output, until it is taken.
    output: Option<Result<T, JoinError>>,
    /// Whether the task has ended.
    finished: bool,
    /// Whether the handle has been dropped: the output is of no use.
    detached: bool,
    /// Whether the task is to end.
    aborted: bool,
    /// The waker of the code that awaits the handle.
    joiner: Option<Waker>,
    /// Wakes the task, so that it sees `aborted`. It is here once the task has been polled.
    task: Option<Waker>,
}

impl<T> PacketState<T> {
    /// Returns the state of a task that has not begun.
    fn new() -> PacketState<T> {
        PacketState {
            output: None,
            finished: false,
            detached: false,
            aborted: false,
            joiner: None,
            task: None,
        }
    }

    /// Takes the output of a task that has ended. Returns pending if `waker` waits for it already,
    /// and `None` if it has to be put in place. Compares pointers only: nothing foreign runs.
    fn look(&mut self, waker: &Waker) -> Option<Polled<T>> {
        if self.finished {
            return Some(Poll::Ready(self.output.take()));
        }
        let waits = self.joiner.as_ref().is_some_and(|joiner| joiner.will_wake(waker));
        waits.then_some(Poll::Pending)
    }
}

/// The outcome of a poll. Ready with `None` if the output has been taken before.
type Polled<T> = Poll<Option<Result<T, JoinError>>>;

impl<T> Packet<T> {
    /// Changes the state. Nothing foreign runs in `change`: wakers and outputs are moved out of it
    /// and handled after the lock.
    fn with<R>(&self, change: impl FnOnce(&mut PacketState<T>) -> R) -> R {
        change(&mut self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// Makes `waker` the one that is woken, unless the task has ended meanwhile.
    fn wait(&self, waker: Waker) -> Polled<T> {
        let (polled, unused) = self.with(|state| {
            if state.finished {
                return (Poll::Ready(state.output.take()), Some(waker));
            }
            (Poll::Pending, state.joiner.replace(waker))
        });
        drop_ignoring_panic(unused);
        polled
    }

    /// Ends the task: keeps its output for the handle, if there is one, and wakes the joiner. Only
    /// the first call counts.
    fn finish(&self, output: Result<T, JoinError>) {
        let (unwanted, joiner, task) = self.with(|state| {
            if std::mem::replace(&mut state.finished, true) {
                return (Some(output), None, None);
            }
            let task = state.task.take();
            if state.detached {
                return (Some(output), None, task);
            }
            state.output = Some(output);
            (None, state.joiner.take(), task)
        });
        drop_ignoring_panic((unwanted, task));
        if let Some(joiner) = joiner {
            // A foreign waker may panic, and this may be a drop that another panic has called.
            ignore_panic(|| joiner.wake());
        }
    }

    /// Asks the task to end, and wakes it if it has been polled already. A task that has not been
    /// polled sees the request in its first poll.
    fn abort(&self) {
        let task = self.with(|state| {
            state.aborted = true;
            state.task.take()
        });
        if let Some(task) = task {
            task.wake();
        }
    }
}

/// The packet of a task as an abort handle has it: the output's type is forgotten.
struct PacketRef<T>(Arc<Packet<T>>);

impl<T: Send> AbortTarget for PacketRef<T> {
    fn abort(&self) {
        self.0.abort();
    }

    fn is_finished(&self) -> bool {
        self.0.with(|state| state.finished)
    }
}

/// The task's side: whatever becomes of the task, its handle gets an output.
struct Promise<T> {
    /// What the handle and the task share.
    packet: Arc<Packet<T>>,
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        // No effect if the task has finished.
        self.packet.finish(Err(JoinError::cancelled()));
    }
}

pin_project_lite::pin_project! {
    /// A future whose output goes to a `RemoteJoinHandle`.
    struct RemoteTask<F: Future> {
        // The future, until it has ended.
        #[pin]
        future: Option<F>,
        // Gives the handle an output, whatever becomes of the task.
        promise: Promise<F::Output>,
        // Whether the handle has the waker of this task.
        known: bool,
    }
}

impl<F: Future> Future for RemoteTask<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let packet = this.promise.packet.clone();
        let waker = (!std::mem::replace(this.known, true)).then(|| cx.waker().clone());
        // The waker is left under the same lock under which `aborted` is read: an abort comes either
        // before, and is seen here, or after, and finds the waker.
        let aborted = packet.with(|state| {
            if let Some(waker) = waker {
                state.task = Some(waker);
            }
            state.aborted
        });
        let output = match this.future.as_mut().as_pin_mut() {
            Some(future) if !aborted => match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(output)) => Ok(output),
                Err(panic) => Err(JoinError::panicked(panic)),
            },
            _ => Err(JoinError::cancelled()),
        };
        // The future is dropped before the handle gets the output: code that joins finds it gone.
        let dropped = catch_unwind(AssertUnwindSafe(|| this.future.set(None)));
        match dropped {
            Ok(()) => packet.finish(output),
            Err(panic) => {
                drop_ignoring_panic(output);
                packet.finish(Err(JoinError::panicked(panic)));
            }
        }
        Poll::Ready(())
    }
}

/// Runs `make` on the owner's thread of `executor`, and its future as a task there.
pub(crate) fn spawn_on<F, Fut>(executor: &SharedRef, make: F) -> RemoteJoinHandle<Fut::Output>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future + 'static,
    Fut::Output: Send,
{
    let packet = Arc::new(Packet {
        state: Mutex::new(PacketState::new()),
        executor: executor.clone(),
        drop_on_owner: |executor, output| {
            // If the poller is gone, the output is dropped here: it is Send.
            drop_ignoring_panic(executor.post(move || drop(output)).err());
        },
    });
    let promise = Promise { packet: packet.clone() };
    let job = move || match catch_unwind(AssertUnwindSafe(make)) {
        // A job runs inside the executor, so there is one to spawn on.
        Ok(future) => drop(spawn(RemoteTask { future: Some(future), promise, known: false }).ok()),
        Err(panic) => promise.packet.finish(Err(JoinError::panicked(panic))),
    };
    if let Err(job) = executor.post(job) {
        // The executor has ended. Dropping the closure drops the promise, which tells the handle.
        if let Err(job) = drop_refused(executor, job) {
            std::mem::forget(job);
            packet.finish(Err(JoinError::cancelled()));
        }
    }
    RemoteJoinHandle { packet }
}

/// How deep drops of refused closures may nest, and how many there may be inside of one. A
/// destructor that sends its own kind to a poller that has ended would fill the stack, or never
/// come to an end.
const MAX_NESTED_DROPS: (u32, u32) = (64, 10_000);

thread_local! {
    /// How deep they nest right now, and how many there have been inside of the outermost.
    static NESTED: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

/// Drops a closure that `executor` has refused. Gives it back where the limits are reached.
fn drop_refused<F>(executor: &SharedRef, job: F) -> Result<(), F> {
    let (depth, count) = NESTED.get();
    if depth >= MAX_NESTED_DROPS.0 || count >= MAX_NESTED_DROPS.1 {
        return Err(job);
    }
    NESTED.set((depth + 1, count + 1));
    drop_ignoring_panic(job);
    executor.count_own_step();
    let count = if depth == 0 { 0 } else { NESTED.get().1 };
    NESTED.set((depth, count));
    Ok(())
}

impl<T> RemoteJoinHandle<T> {
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
    /// task.abort();
    /// assert!(block_on(task).unwrap_err().is_cancelled());
    /// # running.handle().shutdown(std::time::Duration::ZERO);
    /// # running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn abort(&self) {
        self.packet.abort();
    }

    /// Makes a handle that can abort the task, and leaves the output to this one. It costs an
    /// allocation.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{Reactor, block_on};
    /// # use std::future::pending;
    /// # fn main() -> std::io::Result<()> {
    /// # let running = Reactor::builder().pollers(1).build()?.start()?;
    /// let task = running.handle().pollers()[0].spawn_on(pending::<()>);
    /// let abort = task.abort_handle();
    /// std::thread::spawn(move || abort.abort());
    /// assert!(block_on(task).unwrap_err().is_cancelled());
    /// # running.handle().shutdown(std::time::Duration::ZERO);
    /// # running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn abort_handle(&self) -> RemoteAbortHandle
    where
        T: Send + 'static,
    {
        RemoteAbortHandle::new(PacketRef(self.packet.clone()))
    }

    /// Returns `true` if the task has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Reactor;
    /// # use std::future::pending;
    /// # fn main() -> std::io::Result<()> {
    /// # let running = Reactor::builder().pollers(1).build()?.start()?;
    /// let task = running.handle().pollers()[0].spawn_on(pending::<()>);
    /// assert!(!task.is_finished());
    /// running.handle().shutdown(std::time::Duration::ZERO);
    /// running.join()?;
    /// assert!(task.is_finished());
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_finished(&self) -> bool {
        self.packet.with(|state| state.finished)
    }
}

impl<T> Future for RemoteJoinHandle<T> {
    type Output = Result<T, JoinError>;

    /// Polls for the output.
    ///
    /// # Panics
    ///
    /// Panics if it is polled again after it has given the output.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let look = self.packet.with(|state| state.look(cx.waker()));
        // Cloning the waker is foreign code, so it is done without the lock.
        let polled = look.unwrap_or_else(|| self.packet.wait(cx.waker().clone()));
        polled.map(|output| output.expect("RemoteJoinHandle polled after it gave its output"))
    }
}

impl<T> Drop for RemoteJoinHandle<T> {
    fn drop(&mut self) {
        let (output, joiner) = self.packet.with(|state| {
            state.detached = true;
            (state.output.take(), state.joiner.take())
        });
        drop_ignoring_panic(joiner);
        if let Some(output) = output {
            (self.packet.drop_on_owner)(&self.packet.executor, output);
        }
    }
}

impl<T> Unpin for RemoteJoinHandle<T> {}

impl<T> fmt::Debug for RemoteJoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteJoinHandle").field("is_finished", &self.is_finished()).finish()
    }
}

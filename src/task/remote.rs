//! The result of a task, on any thread.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::base::sync::{Arc, Mutex};

use super::executor::spawn;
use super::ignore_panic::{drop_ignoring_panic, ignore_panic};
use super::join_error::JoinError;
use super::shared::SharedRef;

/// The result of a task that was spawned from another thread, to be awaited on any thread.
///
/// Dropping it lets the task run on; an output that nobody takes is dropped on the task's own
/// thread. If the task's poller is gone, or goes, the result is an error for which
/// [`JoinError::is_cancelled`] is true. Awaiting is cancel-safe.
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
    packet: Arc<Packet<T>>,
}

/// What the handle and the task have in common.
struct Packet<T> {
    state: Mutex<PacketState<T>>,
    /// Where the task lives.
    shared: SharedRef,
    /// Sends an output that is not taken to its owner, to be dropped there: known where `T: Send + 'static` is.
    drop_on_owner: fn(&SharedRef, Result<T, JoinError>),
}

struct PacketState<T> {
    /// The result, until it is taken.
    output: Option<Result<T, JoinError>>,
    /// The task has ended.
    finished: bool,
    /// The handle has been dropped: the output is of no use.
    detached: bool,
    /// The task is to end.
    aborted: bool,
    /// Who waits for the result.
    joiner: Option<Waker>,
    /// Wakes the task, so that it sees `aborted`. There once it has been polled.
    task: Option<Waker>,
}

impl<T> PacketState<T> {
    /// Takes the result of a task that has ended; pending, if `waker` waits for it already. Compares
    /// pointers only: nothing foreign runs.
    fn look(&mut self, waker: &Waker) -> Option<Polled<T>> {
        if self.finished {
            return Some(Poll::Ready(self.output.take()));
        }
        let waits = self.joiner.as_ref().is_some_and(|joiner| joiner.will_wake(waker));
        waits.then_some(Poll::Pending)
    }
}

/// What a look at the result finds; None: it has been taken before.
type Polled<T> = Poll<Option<Result<T, JoinError>>>;

impl<T> Packet<T> {
    /// Changes the state. Nothing foreign runs in `change`: wakers and outputs are moved out of it
    /// and handled after the lock.
    fn with<R>(&self, change: impl FnOnce(&mut PacketState<T>) -> R) -> R {
        change(&mut self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// Makes `waker` the one that waits, unless the task has ended meanwhile.
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

    /// The task has ended: keeps its output if somebody may want it.
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
            // A custom waker may panic, and we may be here in a drop that a panic has called.
            ignore_panic(|| joiner.wake());
        }
    }
}

/// The task's side: whatever becomes of the task, the handle hears of it.
struct Promise<T> {
    packet: Arc<Packet<T>>,
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        self.packet.finish(Err(JoinError::cancelled()));
    }
}

pin_project_lite::pin_project! {
    /// A future whose end is told to a `RemoteJoinHandle`.
    struct RemoteTask<F: Future> {
        #[pin]
        future: Option<F>,
        promise: Promise<F::Output>,
        // Whether the handle can wake this task.
        known: bool,
    }
}

impl<F: Future> Future for RemoteTask<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let packet = this.promise.packet.clone();
        let waker = (!std::mem::replace(this.known, true)).then(|| cx.waker().clone());
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
        // The future goes before its output is told: whoever joins finds it gone.
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

/// Runs `make` on the thread of `shared`, and its future as a task there.
pub(crate) fn spawn_on<F, Fut>(shared: &SharedRef, make: F) -> RemoteJoinHandle<Fut::Output>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future + 'static,
    Fut::Output: Send,
{
    let packet = Arc::new(Packet {
        state: Mutex::new(PacketState {
            output: None,
            finished: false,
            detached: false,
            aborted: false,
            joiner: None,
            task: None,
        }),
        shared: shared.clone(),
        drop_on_owner: |shared, output| {
            // If the poller is gone, the output is dropped here: it is Send.
            drop_ignoring_panic(shared.post(move || drop(output)).err());
        },
    });
    let promise = Promise { packet: packet.clone() };
    let job = move || match catch_unwind(AssertUnwindSafe(make)) {
        // A job runs inside the executor, so there is one to spawn on.
        Ok(future) => drop(spawn(RemoteTask { future: Some(future), promise, known: false }).ok()),
        Err(panic) => promise.packet.finish(Err(JoinError::panicked(panic))),
    };
    if let Err(job) = shared.post(job) {
        // The closure goes, and with it the promise, which tells the handle.
        if let Err(job) = drop_refused(job) {
            std::mem::forget(job);
            packet.finish(Err(JoinError::cancelled()));
        }
    }
    RemoteJoinHandle { packet }
}

/// How deep drops of refused closures nest, and how many there may be inside of one. A destructor that
/// sends its own kind to a poller that has ended would fill the stack, or never come to an end.
const MAX_NESTED_DROPS: (u32, u32) = (64, 10_000);

thread_local! {
    /// How deep they nest right now, and how many there have been inside of the outermost.
    static NESTED: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

/// Drops a closure that was refused; gives it back where that would lead too far.
fn drop_refused<F>(job: F) -> Result<(), F> {
    let (depth, count) = NESTED.get();
    if depth >= MAX_NESTED_DROPS.0 || count >= MAX_NESTED_DROPS.1 {
        return Err(job);
    }
    NESTED.set((depth + 1, count + 1));
    drop_ignoring_panic(job);
    let count = if depth == 0 { 0 } else { NESTED.get().1 };
    NESTED.set((depth, count));
    Ok(())
}

impl<T> RemoteJoinHandle<T> {
    /// Asks for the task to be dropped at its next turn; does nothing if it has ended. May be
    /// called from any thread.
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
        let task = self.packet.with(|state| {
            state.aborted = true;
            state.task.take()
        });
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Whether the task has ended.
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

    /// # Panics
    /// If it is polled again after it gave its output.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let look = self.packet.with(|state| state.look(cx.waker()));
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
            (self.packet.drop_on_owner)(&self.packet.shared, output);
        }
    }
}

impl<T> Unpin for RemoteJoinHandle<T> {}

impl<T> fmt::Debug for RemoteJoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteJoinHandle").field("is_finished", &self.is_finished()).finish()
    }
}

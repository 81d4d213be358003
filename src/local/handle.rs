//! `PollerHandle`: a poller as other threads see it.
//!
//! Everything that it can do is mail, or a number that is read. It holds no part of the poller's
//! own state, so that it may be kept after the poller's end: each request then says that it has
//! ended.

use std::any::Any;
use std::future::Future;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::{fmt, io};

use crate::local::errors::poller_ended;
use crate::local::refused::TryRunOnError;
use crate::local::shutdown::ShutdownRequest;
use crate::parts::stats::{PollerStats, SharedStats};
use crate::sys::epoll::RemoteEpoll;
use crate::task::remote::{self, RemoteJoinHandle};
use crate::task::{Refused, SharedRef};

/// A handle to a poller, for any thread: it spawns tasks, runs closures and registers descriptors
/// there.
///
/// A clone costs one reference count, and all clones stand for the same poller. A handle may be
/// kept after the end of its poller; what is asked of it then fails, and nothing blocks.
///
/// [`ReactorHandle::pollers`](crate::ReactorHandle::pollers) has the handles of a reactor, and
/// [`PollerHandle::current`] that of the calling thread.
///
/// # Examples
///
/// ```
/// # use corepoll::{PollerHandle, Reactor, block_on};
/// # use std::time::Duration;
/// # fn main() -> std::io::Result<()> {
/// async fn thread_of(poller: &PollerHandle) -> Option<String> {
///     poller.spawn_on(|| async { std::thread::current().name().map(Into::into) }).await.unwrap()
/// }
///
/// let running = Reactor::builder().pollers(2).thread_name("poller").build()?.start()?;
/// let second = running.handle().pollers()[1].clone();
/// assert_eq!(block_on(thread_of(&second)).as_deref(), Some("poller-1"));
/// # running.handle().shutdown(Duration::ZERO);
/// # running.join()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PollerHandle {
    /// What all handles of the poller share.
    shared: Arc<Shared>,
}

/// What all handles of a poller share.
struct Shared {
    /// The poller's executor, whose mailbox takes tasks and closures.
    executor: SharedRef,
    /// Its place among the pollers of its reactor.
    index: usize,
    /// How many connections it holds, with those that are on their way to it. All accesses are
    /// relaxed: the count serves to balance, and guards no other memory.
    load: AtomicUsize,
    /// What it has done. The poller writes, and all threads read.
    stats: Arc<SharedStats>,
    /// The reactor that it belongs to, if any. Its type is known on a floor above; weak, as the
    /// reactor holds its handles.
    reactor: OnceLock<Weak<dyn Any + Send + Sync>>,
    /// Its epoll instance, for as long as the poller lives.
    epoll: RemoteEpoll,
    /// How many closures may wait for `try_run_on`: `Budget::mail_waiting`.
    mail_limit: u64,
    /// The request for its shutdown.
    shutdown: Arc<ShutdownRequest>,
}

impl PollerHandle {
    /// Makes the handle of a poller that is being made.
    pub(crate) fn new(
        executor: SharedRef,
        index: usize,
        epoll: RemoteEpoll,
        mail_limit: usize,
    ) -> PollerHandle {
        let (load, stats, mail_limit) = (AtomicUsize::new(0), Arc::default(), mail_limit as u64);
        PollerHandle {
            shared: Arc::new(Shared {
                executor,
                index,
                reactor: OnceLock::new(),
                load,
                stats,
                epoll,
                mail_limit,
                shutdown: Arc::default(),
            }),
        }
    }

    /// Returns the index of the poller in [`ReactorHandle::pollers`](crate::ReactorHandle::pollers). A
    /// poller without a reactor has the index 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{PollerHandle, Reactor, block_on};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let running = Reactor::builder().pollers(2).build()?.start()?;
    /// let second = running.handle().pollers()[1].clone();
    /// let index = second.spawn_on(|| async { PollerHandle::current().index() });
    /// assert_eq!(block_on(index).unwrap(), 1);
    /// # running.handle().shutdown(std::time::Duration::ZERO);
    /// # running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn index(&self) -> usize {
        self.shared.index
    }

    /// Spawns a task on the poller: runs `make` on its thread, and then the future that it returns.
    ///
    /// Any thread may call it, and it never blocks. The closure travels to the poller, and the
    /// future is made there: it need not be `Send`, and never leaves the poller. If the poller has
    /// ended, or ends before the task, the handle returns a [`JoinError`](crate::JoinError) that
    /// [is cancelled](crate::JoinError::is_cancelled).
    ///
    /// As with [`PollerHandle::run_on`], there is no limit to the closures that wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{Reactor, block_on};
    /// use std::rc::Rc;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let running = Reactor::builder().pollers(1).build()?.start()?;
    /// let poller = running.handle().pollers()[0].clone();
    /// let task = poller.spawn_on(|| async {
    ///     let local = Rc::new(20);
    ///     *local + 1
    /// });
    /// assert_eq!(block_on(task).unwrap(), 21);
    /// # Ok(())
    /// # }
    /// ```
    pub fn spawn_on<F, Fut>(&self, make: F) -> RemoteJoinHandle<Fut::Output>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future + 'static,
        Fut::Output: Send,
    {
        remote::spawn_on(&self.shared.executor, make)
    }

    /// Runs `f` on the poller's thread, later. Closures of one thread run in the order of its
    /// calls.
    ///
    /// Any thread may call it, and it never blocks. There is no limit: while the poller is stuck in
    /// a callback, or gets closures faster than it runs them, they pile up in memory.
    /// [`PollerStats::mail_waiting`] counts those that wait, and [`PollerHandle::try_run_on`] has a
    /// limit.
    ///
    /// # Errors
    ///
    /// Returns `f` if the poller has ended. If the poller ends later, before `f` has run, `f` is
    /// dropped on the poller's thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::Reactor;
    /// use std::sync::mpsc;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let running = Reactor::builder().pollers(1).thread_name("worker").build()?.start()?;
    /// let (sender, receiver) = mpsc::channel();
    /// let name = move || sender.send(std::thread::current().name().map(str::to_owned)).unwrap();
    /// running.handle().pollers()[0].run_on(name).ok().expect("the poller is there");
    /// assert_eq!(receiver.recv().unwrap().as_deref(), Some("worker-0"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn run_on<F: FnOnce() + Send + 'static>(&self, f: F) -> Result<(), F> {
        self.shared.executor.post(f)
    }

    /// Runs `f` as [`PollerHandle::run_on`] does, unless
    /// [`Budget::mail_waiting`](crate::Budget::mail_waiting) closures wait for the poller already.
    ///
    /// So a thread that sends faster than the poller runs is told so, and memory has a limit.
    ///
    /// # Errors
    ///
    /// Returns `f` in [`TryRunOnError::Full`] if too many closures wait, and in
    /// [`TryRunOnError::Ended`] if the poller has ended. If the poller ends later, before `f` has
    /// run, `f` is dropped on the poller's thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{Budget, Reactor, TryRunOnError};
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let mut budget = Budget::default();
    /// budget.mail_waiting = 1;
    /// let reactor = Reactor::builder().pollers(1).budget(budget).build()?;
    /// let poller = reactor.handle().pollers()[0].clone();
    /// // It does not run yet: the first one waits, and there is no room for another.
    /// assert!(poller.try_run_on(|| ()).is_ok());
    /// assert!(matches!(poller.try_run_on(|| ()), Err(TryRunOnError::Full(_))));
    ///
    /// reactor.handle().shutdown(Duration::ZERO);
    /// reactor.run()?;
    /// assert!(matches!(poller.try_run_on(|| ()), Err(TryRunOnError::Ended(_))));
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_run_on<F>(&self, f: F) -> Result<(), TryRunOnError<F>>
    where
        F: FnOnce() + Send + 'static,
    {
        self.shared.executor.try_post(f, self.shared.mail_limit).map_err(|refused| match refused {
            Refused::Full(f) => TryRunOnError::Full(f),
            Refused::Ended(f) => TryRunOnError::Ended(f),
        })
    }

    /// Adds a descriptor to the poller's epoll instance, from any thread. So the kernel's refusal
    /// is the caller's error, without a wait for the poller. No event comes until the poller has
    /// made a connection of it, by
    /// [`registry::add_preregistered`](super::registry::add_preregistered).
    ///
    /// # Errors
    ///
    /// Returns the errors of epoll_ctl(2), or that the poller has ended.
    pub(crate) fn preregister(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.shared.epoll.add(fd).unwrap_or_else(|| Err(poller_ended()))
    }

    /// Removes a descriptor that is about to be closed from the poller's epoll instance, from any
    /// thread: other code may have a duplicate.
    pub(crate) fn deregister(&self, fd: BorrowedFd<'_>) {
        self.shared.epoll.remove(fd);
    }

    /// Returns what the poller has done so far, in numbers. Any thread may call it, also after the
    /// end of the poller.
    ///
    /// A busy poller writes its numbers once a turn.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{Reactor, block_on};
    /// # fn main() -> std::io::Result<()> {
    /// # let running = Reactor::builder().pollers(1).build()?.start()?;
    /// let poller = running.handle().pollers()[0].clone();
    /// block_on(poller.spawn_on(|| async {})).unwrap();
    /// # running.handle().shutdown(std::time::Duration::ZERO);
    /// # running.join()?;
    /// assert!(poller.stats().polls > 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn stats(&self) -> PollerStats {
        self.shared.stats.look(self.shared.executor.mail_waiting())
    }

    /// Returns a number that changes for as long as the poller makes progress. Two equal readings
    /// say that the poller has been stuck in between, or idle.
    pub(crate) fn progress(&self) -> u64 {
        self.shared.stats.progress().wrapping_add(self.executor().steps())
    }

    /// Returns the counters that the poller writes its numbers to.
    pub(crate) fn shared_stats(&self) -> &Arc<SharedStats> {
        &self.shared.stats
    }

    /// Returns the poller's executor, with its mailbox.
    pub(crate) fn executor(&self) -> &SharedRef {
        &self.shared.executor
    }

    /// Returns the request for the poller's shutdown.
    pub(crate) fn shutdown_request(&self) -> &Arc<ShutdownRequest> {
        &self.shared.shutdown
    }

    /// Sets the reactor that it belongs to, once.
    pub(crate) fn set_reactor(&self, reactor: Weak<dyn Any + Send + Sync>) {
        let _ = self.shared.reactor.set(reactor);
    }

    /// Returns the reactor that it belongs to, if there is one that has not been dropped.
    pub(crate) fn reactor(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.shared.reactor.get()?.upgrade()
    }

    /// Returns `true` if both are handles of the same poller.
    pub(crate) fn is_same(&self, other: &PollerHandle) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Returns how many connections it holds, with those that are on their way to it.
    pub(crate) fn load(&self) -> usize {
        self.shared.load.load(Ordering::Relaxed)
    }

    /// Counts one connection more.
    pub(crate) fn increment_load(&self) {
        self.shared.load.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one connection more if there are `expected` now. Returns `false` if another thread
    /// has changed the count in the meantime.
    pub(crate) fn increment_load_if(&self, expected: usize) -> bool {
        let (relaxed, more) = (Ordering::Relaxed, expected + 1);
        self.shared.load.compare_exchange(expected, more, relaxed, relaxed).is_ok()
    }

    /// Counts one connection less.
    pub(crate) fn decrement_load(&self) {
        self.shared.load.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for PollerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollerHandle")
            .field("index", &self.index())
            .field("load", &self.load())
            .finish_non_exhaustive()
    }
}

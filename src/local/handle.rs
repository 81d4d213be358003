//! The remote side of a poller.

use std::any::Any;
use std::future::Future;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::{fmt, io};

use crate::local::errors::poller_ended;
use crate::local::refused::TryRunOnError;
use crate::parts::stats::{PollerStats, SharedStats};
use crate::sys::epoll::RemoteEpoll;
use crate::task::remote::{self, RemoteJoinHandle};
use crate::task::{Refused, SharedRef};

/// A poller, as every thread sees it: cheap to clone, and harmless to keep after its end.
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
    shared: Arc<Shared>,
}

struct Shared {
    /// The mailbox.
    executor: SharedRef,
    /// Its place in its reactor.
    index: usize,
    /// Connections that it holds or that are on their way to it. Relaxed throughout: it balances,
    /// and guards nothing.
    load: AtomicUsize,
    /// What it has done.
    stats: Arc<SharedStats>,
    /// The reactor that it belongs to, of a type that is known above.
    reactor: OnceLock<Weak<dyn Any + Send + Sync>>,
    /// Its epoll instance.
    epoll: RemoteEpoll,
    /// `Budget::mail_waiting`.
    mail_limit: u64,
}

impl PollerHandle {
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
            }),
        }
    }

    /// Runs `make` on the poller's thread, and its future as a task there. May be called from any
    /// thread; the future need not be `Send`, and never leaves the poller. Never refused: see
    /// [`PollerHandle::run_on`].
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

    /// Runs `f` on the poller's thread: what one thread sends runs in the order of its calls.
    /// May be called from any thread, and never blocks.
    ///
    /// There is no limit: while the poller is stuck in a callback, or gets closures faster than it
    /// runs them, they pile up in memory. [`PollerStats::mail_waiting`] counts those that wait, and
    /// [`PollerHandle::try_run_on`] has a limit.
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
    ///
    /// # Errors
    /// Gives `f` back if the poller has ended. If it ends before `f` has run, `f` is dropped.
    pub fn run_on<F: FnOnce() + Send + 'static>(&self, f: F) -> Result<(), F> {
        self.shared.executor.post(f)
    }

    /// Runs `f` as [`PollerHandle::run_on`] does, unless `Budget::mail_waiting` closures wait for
    /// the poller already. So a sender that is faster than the poller hears of it, and memory has a
    /// limit.
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
    ///
    /// # Errors
    /// Gives `f` back in [`TryRunOnError`]: too much waits, or the poller has ended. If the poller
    /// ends before `f` has run, `f` is dropped.
    pub fn try_run_on<F>(&self, f: F) -> Result<(), TryRunOnError<F>>
    where
        F: FnOnce() + Send + 'static,
    {
        self.shared.executor.try_post(f, self.shared.mail_limit).map_err(|refused| match refused {
            Refused::Full(f) => TryRunOnError::Full(f),
            Refused::Ended(f) => TryRunOnError::Ended(f),
        })
    }

    /// Adds a descriptor to the poller's epoll instance, from any thread: what the kernel has
    /// against it is the caller's error. Events come once the poller has made a connection of it,
    /// by [`registry::add_preregistered`](super::registry::add_preregistered).
    pub(crate) fn preregister(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.shared.epoll.add(fd).unwrap_or_else(|| Err(poller_ended()))
    }

    /// What the poller has done so far. May be called from any thread, and after its end.
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

    /// Another number each time that somebody looks, as long as the poller goes on.
    pub(crate) fn progress(&self) -> u64 {
        self.shared.stats.progress().wrapping_add(self.executor().steps())
    }

    /// What the poller writes its numbers to.
    pub(crate) fn shared_stats(&self) -> &Arc<SharedStats> {
        &self.shared.stats
    }

    /// The mailbox.
    pub(crate) fn executor(&self) -> &SharedRef {
        &self.shared.executor
    }

    /// Its place in its reactor.
    pub(crate) fn index(&self) -> usize {
        self.shared.index
    }

    /// Says which reactor it belongs to: once.
    pub(crate) fn set_reactor(&self, reactor: Weak<dyn Any + Send + Sync>) {
        let _ = self.shared.reactor.set(reactor);
    }

    /// The reactor that it belongs to, if there is one, and it is there still.
    pub(crate) fn reactor(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.shared.reactor.get()?.upgrade()
    }

    /// Whether both are the same poller's.
    pub(crate) fn is_same(&self, other: &PollerHandle) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// How many connections it holds.
    pub(crate) fn load(&self) -> usize {
        self.shared.load.load(Ordering::Relaxed)
    }

    /// Counts one connection more.
    pub(crate) fn increment_load(&self) {
        self.shared.load.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one connection more if there are `expected`; false if there aren't.
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

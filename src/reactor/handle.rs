//! A reactor as every thread sees it.
//!
//! It holds the handles of the pollers and nothing of the pollers themselves: every request goes by
//! mail. So it can be used before the threads are there and after they are gone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use std::{fmt, io};

use crate::local::context::EvContext;
use crate::local::handle::PollerHandle;
use crate::local::state::Local;
use crate::parts::stats::PollerStats;
use crate::poller::shutdown;
use crate::sys::clock;

use super::termination::Termination;

/// A handle to a reactor, for any thread. It is cheap to clone, and does nothing once the reactor
/// has ended.
///
/// # Examples
///
/// ```
/// # use corepoll::Reactor;
/// # use std::time::Duration;
/// # fn main() -> std::io::Result<()> {
/// let running = Reactor::builder().pollers(1).build()?.start()?;
/// let handle = running.handle();
/// // From any thread.
/// std::thread::spawn(move || handle.shutdown(Duration::ZERO));
/// running.join()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ReactorHandle {
    /// What all handles of one reactor share.
    shared: Arc<Shared>,
}

/// The state of a reactor that all threads share.
struct Shared {
    /// Its pollers.
    pollers: Vec<PollerHandle>,
    /// The processor of each poller, if it has one.
    processors: Vec<Option<usize>>,
    /// Held while a broadcast is sent, so that all pollers get broadcasts in one order.
    broadcast: Mutex<()>,
    /// `true` once a shutdown has been requested.
    shutting_down: AtomicBool,
    /// When its pollers are to end, and which have ended.
    termination: Termination,
}

impl ReactorHandle {
    /// Makes a handle to the reactor of `pollers`, which then know it. `processors` are where they
    /// run.
    pub(super) fn new(pollers: Vec<PollerHandle>, processors: Vec<Option<usize>>) -> ReactorHandle {
        let shared = Shared {
            termination: Termination::new(&pollers),
            pollers,
            processors,
            broadcast: Mutex::new(()),
            shutting_down: AtomicBool::new(false),
        };
        let handle = ReactorHandle { shared: Arc::new(shared) };
        handle.pollers().iter().for_each(|poller| handle.adopt(poller));
        handle
    }

    /// Makes `poller` a poller that knows this reactor.
    pub(super) fn adopt(&self, poller: &PollerHandle) {
        // Weak: a poller that held its reactor would keep it alive, and the reactor holds the
        // pollers.
        let shared: Weak<Shared> = Arc::downgrade(&self.shared);
        poller.set_reactor(shared);
    }

    /// Returns the reactor that runs this code: in callbacks, `on_connect_fail` included, in tasks
    /// of its pollers, and in the future of [`Reactor::run_until`](crate::Reactor::run_until).
    ///
    /// A callback can also ask its context: [`EvContext::reactor`].
    ///
    /// # Panics
    ///
    /// Panics if there is no poller on this thread, or one that belongs to no reactor, as under
    /// [`block_on`](crate::block_on). [`ReactorHandle::try_current`] returns an error instead.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{Reactor, ReactorHandle, block_on};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let running = Reactor::builder().pollers(2).build()?.start()?;
    /// let poller = running.handle().pollers()[1].clone();
    /// let count = poller.spawn_on(|| async { ReactorHandle::current().pollers().len() });
    /// assert_eq!(block_on(count).unwrap(), 2);
    /// # running.handle().shutdown(std::time::Duration::ZERO);
    /// # running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn current() -> ReactorHandle {
        ReactorHandle::try_current().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Returns the reactor that runs this code, for code that may also run elsewhere: see
    /// [`ReactorHandle::current`].
    ///
    /// # Errors
    ///
    /// Returns an error if there is no poller on this thread, or one that belongs to no reactor.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{Reactor, ReactorHandle};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// assert!(ReactorHandle::try_current().is_err());
    /// let reactor = Reactor::builder().pollers(1).build()?;
    /// reactor.run_until(async { assert!(ReactorHandle::try_current().is_ok()) })?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_current() -> io::Result<ReactorHandle> {
        let local = Local::expect_current("ReactorHandle::current")?;
        ReactorHandle::of(&local.handle).ok_or_else(|| {
            io::Error::other(
                "ReactorHandle::current: the poller of this thread has no reactor. One of block_on, \
                 of a LocalPoller or of a simulated host's program has none",
            )
        })
    }

    /// Returns the reactor of `poller`, if it has one that has not been dropped.
    fn of(poller: &PollerHandle) -> Option<ReactorHandle> {
        // A poller stands on a lower floor, so to it a reactor is `dyn Any`.
        let shared = poller.reactor()?.downcast().ok()?;
        Some(ReactorHandle { shared })
    }

    /// Returns the pollers of the reactor.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Reactor;
    /// # fn main() -> std::io::Result<()> {
    /// let reactor = Reactor::builder().pollers(3).build()?;
    /// for poller in reactor.handle().pollers() {
    ///     println!("{poller:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn pollers(&self) -> &[PollerHandle] {
        &self.shared.pollers
    }

    /// Runs `f` once on every poller, on the poller's thread.
    ///
    /// Two broadcasts run in the same order on all pollers, whichever threads they come from. This
    /// may be called from any thread, and never waits for a poller.
    ///
    /// There is no limit: a poller that is stuck keeps one closure for each broadcast in memory.
    /// [`PollerStats::mail_waiting`] counts those that wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{Reactor, block_on, with_local};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let running = Reactor::builder().pollers(2).build()?.start()?;
    /// running.handle().broadcast(|| with_local(|speed: &mut u32| *speed = 5));
    /// for poller in running.handle().pollers() {
    ///     let seen = poller.spawn_on(|| async { with_local(|speed: &mut u32| *speed) });
    ///     assert_eq!(block_on(seen).unwrap(), 5);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn broadcast<F: Fn() + Send + Sync + 'static>(&self, f: F) {
        let f = Arc::new(f);
        let order = self.shared.broadcast.lock().unwrap_or_else(PoisonError::into_inner);
        // Pollers that have ended give their closures back. These are dropped after the lock is
        // released.
        let refused: Vec<_> = self
            .pollers()
            .iter()
            .filter_map(|poller| {
                let f = f.clone();
                poller.run_on(move || f()).err()
            })
            .collect();
        drop(order);
        drop(refused);
    }

    /// Returns what each poller has done so far, in the order of [`ReactorHandle::pollers`].
    ///
    /// This may be called from any thread and does not disturb the pollers: they write their
    /// numbers once a turn, as plain stores.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Reactor;
    /// # fn main() -> std::io::Result<()> {
    /// let reactor = Reactor::builder().pollers(2).build()?;
    /// let connections: u64 = reactor.handle().stats().iter().map(|poller| poller.connections).sum();
    /// assert_eq!(connections, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn stats(&self) -> Vec<PollerStats> {
        self.pollers().iter().map(PollerHandle::stats).collect()
    }

    /// Shuts the reactor down within `grace`.
    ///
    /// The pollers stop accepting and tell handlers
    /// ([`EvHandler::on_shutdown`](crate::EvHandler::on_shutdown)) and tasks
    /// ([`shutdown_requested`](crate::shutdown_requested)). Connections and tasks that have not
    /// ended when the grace is over are dropped on their own threads. This method returns at once;
    /// [`Running::join`] waits.
    ///
    /// Tasks that destructors spawn then are dropped as well, without a poll. If the destructors of
    /// such tasks spawn others without end, the last ones are leaked.
    ///
    /// A second request can only bring the end forward. This may be called from any thread, a
    /// poller's too, and before the reactor is started.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{Reactor, shutdown_requested};
    /// # use std::time::Duration;
    /// # fn main() -> std::io::Result<()> {
    /// let running = Reactor::builder().pollers(1).build()?.start()?;
    /// let task = running.handle().pollers()[0].spawn_on(|| async {
    ///     shutdown_requested().await;
    ///     "a last word"
    /// });
    /// running.handle().shutdown(Duration::from_secs(10));
    /// assert_eq!(running.join()?.cancelled, 0);
    /// # drop(task);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`Running::join`]: crate::Running::join
    pub fn shutdown(&self, grace: Duration) {
        // Relaxed: what the pollers are to do comes to them by mail.
        self.shared.shutting_down.store(true, Ordering::Relaxed);
        // The kernel's clock: that of the caller may be paused, and each poller may have another
        // one.
        let deadline = clock::after(clock::real(), grace);
        for poller in self.pollers() {
            // Known at once, also to a poller that the mail reaches late.
            poller.shutdown_request().make(deadline);
            // A poller that has ended need not be told.
            let _ = poller.run_on(move || {
                if let Some(local) = Local::current() {
                    shutdown::begin(&local, deadline);
                }
            });
        }
        self.shared.termination.request(deadline);
    }

    /// Returns the processor of each poller, or `None` where the scheduler decides.
    pub(crate) fn processors(&self) -> &[Option<usize>] {
        &self.shared.processors
    }

    /// Returns when its pollers are to end, and which have ended.
    pub(super) fn termination(&self) -> &Termination {
        &self.shared.termination
    }

    /// Returns `true` once a shutdown has been requested.
    pub(crate) fn is_shutting_down(&self) -> bool {
        self.shared.shutting_down.load(Ordering::Relaxed)
    }
}

impl EvContext<'_> {
    /// Returns the reactor that this connection's poller belongs to.
    ///
    /// In other code on a poller's thread, [`ReactorHandle::current`] returns the same.
    ///
    /// # Panics
    ///
    /// Panics if the poller belongs to no reactor: under [`block_on`](crate::block_on) alone, and in a
    /// [`LocalPoller`](crate::LocalPoller). Use [`ReactorHandle::try_current`] in handlers that also
    /// run there.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     if &*cx.read()? == b"pollers?" {
    ///         let count = cx.reactor().pollers().len();
    ///         cx.write(count.to_string().as_bytes())?;
    ///     }
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "pollers?"), "1");
    /// ```
    #[track_caller]
    pub fn reactor(&self) -> ReactorHandle {
        let reactor = ReactorHandle::of(&self.local.handle);
        reactor.expect("EvContext::reactor: the poller of this connection has no reactor")
    }
}

impl fmt::Debug for ReactorHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReactorHandle").field("pollers", &self.pollers()).finish()
    }
}

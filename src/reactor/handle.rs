//! A reactor, as every thread sees it.

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

/// The way into a reactor, for any thread: cheap to clone, and harmless to keep after its end.
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
    shared: Arc<Shared>,
}

struct Shared {
    pollers: Vec<PollerHandle>,
    /// Held while a broadcast is posted: all pollers get broadcasts in one order.
    broadcast: Mutex<()>,
    /// A shutdown has been asked for.
    shutting_down: AtomicBool,
    /// By when its pollers are to end, and which have.
    termination: Termination,
}

impl ReactorHandle {
    pub(super) fn new(pollers: Vec<PollerHandle>) -> ReactorHandle {
        let shared = Shared {
            termination: Termination::new(&pollers),
            pollers,
            broadcast: Mutex::new(()),
            shutting_down: AtomicBool::new(false),
        };
        let handle = ReactorHandle { shared: Arc::new(shared) };
        handle.pollers().iter().for_each(|poller| handle.adopt(poller));
        handle
    }

    /// Makes `poller` one that knows this reactor.
    pub(super) fn adopt(&self, poller: &PollerHandle) {
        let shared: Weak<Shared> = Arc::downgrade(&self.shared);
        poller.belongs_to(shared);
    }

    /// Returns the reactor that runs this code: inside callbacks, `on_connect_fail` included, and tasks
    /// of its pollers, and in the future of [`Reactor::run_until`](crate::Reactor::run_until).
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
    ///
    /// # Panics
    /// If there is no poller on this thread, or one that belongs to no reactor, as under
    /// [`block_on`](crate::block_on): [`ReactorHandle::try_current`] doesn't.
    #[track_caller]
    pub fn current() -> ReactorHandle {
        ReactorHandle::try_current().unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`ReactorHandle::current`], for code that may run elsewhere.
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
    ///
    /// # Errors
    /// There is no poller on this thread, or it belongs to no reactor.
    pub fn try_current() -> io::Result<ReactorHandle> {
        let local = Local::expect_current("ReactorHandle::current")?;
        ReactorHandle::of(&local.handle).ok_or_else(|| {
            io::Error::other("ReactorHandle::current: the poller of this thread has no reactor")
        })
    }

    /// Returns the reactor of `poller`, if it has one that has not been dropped.
    fn of(poller: &PollerHandle) -> Option<ReactorHandle> {
        // A poller stands on a lower floor, so to it a reactor is `dyn Any`.
        let shared = poller.reactor()?.downcast().ok()?;
        Some(ReactorHandle { shared })
    }

    /// Its pollers.
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

    /// Runs `f` once on every poller, on its thread. Two broadcasts run in the same order on
    /// all pollers, whichever threads they come from. May be called from any thread; never waits for a
    /// poller.
    ///
    /// There is no limit: what is sent to a poller that is stuck piles up in memory, one closure a
    /// broadcast. [`PollerStats::mail_waiting`] counts those that wait.
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
        // What pollers that have ended give back is dropped when the lock is free again.
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

    /// What each poller has done so far, in the order of [`ReactorHandle::pollers`]. The pollers
    /// aren't asked: they write their numbers down once a turn, as plain stores. May be called from any
    /// thread.
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

    /// Stops accepting, tells handlers (`on_shutdown`) and tasks
    /// ([`shutdown_requested`](crate::shutdown_requested)), gives connections and tasks `grace` to
    /// end, and then drops each on its own thread. Returns at once; [`Running::join`] waits.
    ///
    /// What destructors spawn then is dropped as well, without a poll. Only where they spawn their own
    /// kind, over and over, it is forgotten in the end.
    ///
    /// Asking again can only bring the end forward. May be called from any thread, a poller's too,
    /// and before the reactor is started.
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
        self.shared.shutting_down.store(true, Ordering::Relaxed);
        // By the kernel's clock: the caller's may be paused, and the pollers' are others.
        let deadline = clock::after(clock::real(), grace);
        for poller in self.pollers() {
            // A poller that has ended needs no telling.
            let _ = poller.run_on(move || {
                if let Some(local) = Local::current() {
                    shutdown::begin(&local, clock::from_real(deadline));
                }
            });
        }
        self.shared.termination.request(deadline);
    }

    /// By when its pollers are to end, and which have.
    pub(super) fn termination(&self) -> &Termination {
        &self.shared.termination
    }

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

//! A reactor before it runs, and how its threads are started.
//!
//! There are three ways to start it. `start` returns at once, `run` waits for the shutdown, and
//! `run_until` runs a future on the calling thread in between, for a `main` that does something
//! itself.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use crate::local::handle::PollerHandle;
use crate::poller::{self, UnboundPoller, assert_outside};

use super::handle::ReactorHandle;
use super::running::Running;
use super::stall::StallWatch;
use super::watchdog::Watchdog;

/// A set of pollers, each with a thread of its own.
///
/// A new reactor has no threads yet. Its [`handle`](Reactor::handle) already takes listeners,
/// connections, tasks and closures, which begin when the reactor is started. Dropping a reactor that
/// was not started drops them.
///
/// # Examples
///
/// ```
/// use corepoll::Reactor;
/// use futures::AsyncReadExt;
///
/// # fn main() -> std::io::Result<()> {
/// let reactor = Reactor::builder().pollers(2).build()?;
/// let listening = reactor.handle().serve("127.0.0.1:0", |stream, _peer| async move {
///     let (reader, mut writer) = stream.split();
///     futures::io::copy(reader, &mut writer).await
/// })?;
/// println!("listening on {}", listening.local_addr()?);
/// let running = reactor.start()?;
/// running.handle().shutdown(std::time::Duration::from_secs(1));
/// running.join()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a reactor does nothing until it is started"]
pub struct Reactor {
    /// The pollers, which their threads are going to adopt.
    pub(super) pollers: Vec<UnboundPoller>,
    /// The handle to the reactor.
    pub(super) handle: ReactorHandle,
    /// The prefix of the threads' names.
    pub(super) thread_name: String,
    /// The watch over the pollers, if there is one.
    pub(super) stall_watch: Option<StallWatch>,
}

impl Reactor {
    /// Returns a handle, for any thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Reactor;
    /// # fn main() -> std::io::Result<()> {
    /// let reactor = Reactor::builder().pollers(1).build()?;
    /// // Listens already; connections are accepted once the reactor is started.
    /// let listening = reactor.handle().serve("127.0.0.1:0", |_stream, _peer| async {})?;
    /// # drop(listening);
    /// # Ok(())
    /// # }
    /// ```
    pub fn handle(&self) -> ReactorHandle {
        self.handle.clone()
    }

    /// Starts the threads and returns at once.
    ///
    /// # Errors
    ///
    /// Returns an error if a thread cannot be started. Those that could be started are ended again.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Reactor;
    /// # use std::time::Duration;
    /// # fn main() -> std::io::Result<()> {
    /// let running = Reactor::builder().pollers(1).build()?.start()?;
    /// running.handle().shutdown(Duration::ZERO);
    /// running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn start(self) -> io::Result<Running> {
        let Reactor { mut pollers, handle, thread_name, stall_watch } = self;
        let watchdog = match stall_watch {
            Some(watch) => Some(Watchdog::start(watch, &mut pollers, &thread_name)?),
            None => None,
        };
        Running::start(pollers, handle, &thread_name, watchdog)
    }

    /// Starts the threads and waits until the reactor has been shut down:
    /// [`ReactorHandle::shutdown`].
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Reactor::start`] and [`Running::join`].
    ///
    /// # Panics
    ///
    /// Panics if this thread is inside a poller, which would stand still meanwhile.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Reactor;
    /// # use std::time::Duration;
    /// # fn main() -> std::io::Result<()> {
    /// let reactor = Reactor::builder().pollers(1).build()?;
    /// let handle = reactor.handle();
    /// handle.pollers()[0].run_on({
    ///     let handle = handle.clone();
    ///     move || handle.shutdown(Duration::ZERO)
    /// }).ok().expect("it has not ended yet");
    /// reactor.run()?;
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn run(self) -> io::Result<()> {
        assert_outside("Reactor::run", "Start the reactor with Reactor::start instead");
        self.start()?.join().map(drop)
    }

    /// Starts the threads, runs `future` on this thread, under a poller of its own, and then shuts
    /// down: at once, or within the grace of a shutdown that was requested meanwhile. So a server
    /// whose requests are to be answered requests one with a grace, as in the second example.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Reactor::start`] and [`Running::join`].
    ///
    /// # Panics
    ///
    /// Panics if this thread is inside a poller, which would stand still meanwhile. If `future`
    /// panics, the panic continues after the shutdown.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::Reactor;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let reactor = Reactor::builder().pollers(1).build()?;
    /// let handle = reactor.handle();
    /// let sum = reactor.run_until(async move {
    ///     handle.pollers()[0].spawn_on(|| async { 2 + 3 }).await.unwrap()
    /// })?;
    /// assert_eq!(sum, 5);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A server that answers what is under way when Ctrl-C comes, for at most 30 seconds:
    ///
    /// ```
    /// # #[cfg(feature = "signal")]
    /// # fn main() -> std::io::Result<()> {
    /// use corepoll::{Reactor, signal};
    /// use std::time::Duration;
    ///
    /// let reactor = Reactor::builder().pollers(2).build()?;
    /// let handle = reactor.handle();
    /// handle.serve("127.0.0.1:0", |stream, _peer| async move {
    ///     futures::io::copy(&stream, &mut &stream).await
    /// })?;
    /// let interrupted = signal::ctrl_c();
    /// # signal_hook::low_level::raise(signal::SIGINT)?;
    /// reactor.run_until(async move {
    ///     interrupted.await?;
    ///     handle.shutdown(Duration::from_secs(30));
    ///     Ok(())
    /// })?
    /// # }
    /// # #[cfg(not(feature = "signal"))]
    /// # fn main() {}
    /// ```
    #[track_caller]
    pub fn run_until<F: Future>(self, future: F) -> io::Result<F::Output> {
        let instead = "Start the reactor with Reactor::start, and spawn the future or await it";
        assert_outside("Reactor::run_until", instead);
        let running = self.start()?;
        let handle = running.handle();
        // `block_on` makes a poller without a reactor. It becomes one that knows this reactor.
        let adopted = async {
            if let Ok(poller) = PollerHandle::try_current() {
                handle.adopt(&poller);
            }
            future.await
        };
        // A panic that unwound from here would leave the threads running without a handle.
        let output = catch_unwind(AssertUnwindSafe(|| poller::block_on(adopted)));
        // A shutdown that was requested by the future has a grace, which a second request would
        // cut.
        if !handle.is_shutting_down() {
            handle.shutdown(Duration::ZERO);
        }
        // The pollers are waited for even if the future has panicked.
        let joined = running.join();
        let output = output.unwrap_or_else(|panic| resume_unwind(panic));
        joined.map(|_| output)
    }
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor").field("pollers", &self.pollers.len()).finish_non_exhaustive()
    }
}

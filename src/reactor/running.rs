//! The threads of a reactor, and the wait for their end.
//!
//! A reactor ends as a whole. When one poller fails or panics, the others are shut down as well: a
//! service with a part of its pollers would accept connections that get no answer.

use std::io;
use std::time::Duration;

use crate::base::error::during;
use crate::local::state::Local;
use crate::poller::UnboundPoller;
use crate::poller::shutdown::ShutdownOutcome;
use crate::sys::affinity;
use crate::sys::thread::{self, JoinHandle};

use super::handle::ReactorHandle;
use super::watchdog::Watchdog;

/// A reactor whose threads run. Dropping it leaves them running.
///
/// # Examples
///
/// ```
/// # use corepoll::{Reactor, Running};
/// # use std::time::Duration;
/// # fn main() -> std::io::Result<()> {
/// fn stop(running: Running) -> std::io::Result<()> {
///     running.handle().shutdown(Duration::from_secs(1));
///     running.join().map(drop)
/// }
///
/// stop(Reactor::builder().pollers(1).build()?.start()?)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "dropping it detaches the threads; `join` waits for their end"]
pub struct Running {
    /// The handle to the reactor.
    handle: ReactorHandle,
    /// The pollers' threads.
    threads: Vec<JoinHandle<io::Result<ShutdownOutcome>>>,
    /// The thread of the stall watch, if there is one.
    watchdog: Option<Watchdog>,
}

/// What became of a reactor's connections and tasks in its shutdown, as [`Running::join`] returns
/// it. Connections of handlers and tasks are counted together.
///
/// # Examples
///
/// ```
/// use corepoll::Reactor;
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// let running = Reactor::builder().pollers(1).build()?.start()?;
/// let endless = running.handle().pollers()[0].spawn_on(std::future::pending::<()>);
/// running.handle().shutdown(Duration::from_millis(10));
/// let shutdown = running.join()?;
/// assert_eq!((shutdown.drained, shutdown.cancelled), (0, 1));
/// # drop(endless);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Shutdown {
    /// The number that ended by themselves after the shutdown was requested.
    pub drained: usize,
    /// The number that were dropped when the grace was over.
    pub cancelled: usize,
    /// The number of calls of `spawn_blocking`, look-ups of host names included, that were not over
    /// when the poller that had begun them ended. They run on, and nothing waits for them.
    pub leaked_blocking: usize,
}

impl Running {
    /// Starts the threads. If one cannot be started, the others are ended again.
    pub(super) fn start(
        pollers: Vec<UnboundPoller>,
        handle: ReactorHandle,
        thread_name: &str,
        watchdog: Option<Watchdog>,
    ) -> io::Result<Running> {
        let mut running = Running { handle, threads: Vec::new(), watchdog };
        let processors = running.handle.processors().to_vec();
        for (index, (poller, core)) in pollers.into_iter().zip(processors).enumerate() {
            let handle = running.handle.clone();
            let guard = running.watchdog.as_ref().map(Watchdog::guard);
            let thread = thread::spawn(format!("{thread_name}-{index}"), move || {
                // Dropped when the poller has ended: the watchdog ends with the last of them.
                let _guard = guard;
                run(poller, core, &handle, index)
            });
            match thread {
                Ok(thread) => running.threads.push(thread),
                Err(error) => {
                    // The threads that run already are ended, so that the error leaves nothing
                    // behind.
                    running.handle.shutdown(Duration::ZERO);
                    let _ = running.join();
                    let doing = format_args!("starting the thread of poller {index}");
                    return Err(during(doing, error));
                }
            }
        }
        Ok(running)
    }

    /// Returns a handle, for any thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Reactor;
    /// # use std::time::Duration;
    /// # fn main() -> std::io::Result<()> {
    /// let running = Reactor::builder().pollers(2).build()?.start()?;
    /// assert_eq!(running.handle().pollers().len(), 2);
    /// # running.handle().shutdown(Duration::ZERO);
    /// # running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn handle(&self) -> ReactorHandle {
        self.handle.clone()
    }

    /// Waits until the reactor has been shut down and the destructors of everything in it have run.
    ///
    /// It returns right after the end of the grace, whatever tasks and handlers do. But a thread
    /// cannot be taken from code that keeps it. If a callback, a poll or a destructor blocks or
    /// loops, `join` returns a tenth of a second later with an error that names the stuck poller. A
    /// poller that blocks while other threads of the process are busy gets two seconds, as one of
    /// them may hold the lock that it waits for.
    ///
    /// # Errors
    ///
    /// Returns an error if a poller has failed: its `epoll_wait` did, or it could not be placed on
    /// its processor. The other pollers were shut down then.
    ///
    /// Returns `TimedOut` if a poller is stuck. The error names it, and its thread is left running.
    ///
    /// ```
    /// use corepoll::Reactor;
    /// use std::io::ErrorKind;
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let running = Reactor::builder().pollers(2).build()?.start()?;
    /// let handle = running.handle();
    /// let (release, blocked) = std::sync::mpsc::channel::<()>();
    /// let sent = handle.pollers()[1].run_on(move || drop(blocked.recv()));
    /// assert!(sent.is_ok());
    /// handle.shutdown(Duration::ZERO);
    /// let error = running.join().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// assert!(error.to_string().starts_with("poller 1 is stuck"));
    /// # drop(release);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics on a thread of one of the reactor's own pollers, which would wait for itself.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Reactor;
    /// # use std::time::Duration;
    /// # fn main() -> std::io::Result<()> {
    /// let running = Reactor::builder().pollers(1).build()?.start()?;
    /// running.handle().shutdown(Duration::ZERO);
    /// let shutdown = running.join()?;
    /// assert_eq!((shutdown.drained, shutdown.cancelled), (0, 0));
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn join(self) -> io::Result<Shutdown> {
        let is_own = |here: &Local| self.handle.pollers().iter().any(|it| it.is_same(&here.handle));
        assert!(
            Local::with_current(is_own) != Some(true),
            "Running::join was called inside a poller of its own reactor, which would wait for itself. \
             Call it on another thread"
        );
        let stuck = self.handle.termination().wait(self.handle.pollers(), self.threads.len());
        if !stuck.is_empty() {
            return Err(self.are_stuck(&stuck));
        }
        let mut result = Ok(Shutdown::default());
        for thread in self.threads {
            let ended = thread
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a poller's thread panicked")));
            // The first error is kept: the others are its consequences.
            match (&mut result, ended) {
                (Ok(total), Ok(part)) => {
                    total.drained += part.drained;
                    total.cancelled += part.cancelled;
                    total.leaked_blocking += part.leaked_blocking;
                }
                (Ok(_), Err(error)) => result = Err(error),
                (Err(_), _) => {}
            }
        }
        // After the pollers' threads, which it watches until they are over.
        if let Some(watchdog) = self.watchdog {
            watchdog.join();
        }
        result
    }

    /// Returns the error that names the pollers which are stuck.
    fn are_stuck(&self, stuck: &[usize]) -> io::Error {
        let list = |each: &dyn Fn(usize) -> String| {
            stuck.iter().map(|index| each(*index)).collect::<Vec<_>>().join(", ")
        };
        let (noun, verb) = if stuck.len() == 1 { ("poller", "is") } else { ("pollers", "are") };
        let pollers = list(&|index| index.to_string());
        let threads = list(&|index| self.threads[index].name());
        let message = format!(
            "{noun} {pollers} {verb} stuck: the grace is over, and a callback, a poll or a destructor \
             keeps the thread ({threads})"
        );
        io::Error::new(io::ErrorKind::TimedOut, message)
    }
}

/// Runs a poller on its thread until it ends.
fn run(
    poller: UnboundPoller,
    core: Option<usize>,
    handle: &ReactorHandle,
    index: usize,
) -> io::Result<ShutdownOutcome> {
    // Drops run in reverse: the other pollers are told first, then this one counts as ended.
    let _ends = handle.termination().begin(index);
    /// Ends the other pollers when one ends, for whatever reason.
    struct EndAll<'a>(&'a ReactorHandle);
    impl Drop for EndAll<'_> {
        fn drop(&mut self) {
            if !self.0.is_shutting_down() {
                self.0.shutdown(Duration::ZERO);
            }
        }
    }
    let _end_all = EndAll(handle);
    if let Some(core) = core {
        // On the thread itself, before it runs: the buffers that it makes are then local to its
        // processor.
        affinity::pin(core)
            .map_err(|error| during(format_args!("placing a poller on processor {core}"), error))?;
    }
    poller.bind().run()
}

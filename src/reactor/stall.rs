//! A watch over the pollers of a reactor: which code holds one up, and for how long.
//!
//! A poller runs callbacks, polls of tasks and closures one after the other. While one of them
//! computes or blocks, every other connection and task of that poller waits. Such a delay is hard to
//! find from outside, as the program merely gets slow. A [`StallWatch`] names the type of the call
//! that causes it, while the call runs:
//!
//! ```text
//! corepoll: poller 1: a poll of the task app::import::{{closure}} has been running for 31.0ms
//! ```
//!
//! Give a watch to [`Builder::stall_watch`](crate::Builder::stall_watch). By default it writes to the
//! standard error; [`StallWatch::report_to`] sends each [`Stall`] to a logger or a counter instead.
//! [`StallKind`] says which kind of call it was.
//!
//! To see that delays happen, but not where, read
//! [`PollerStats::longest`](crate::PollerStats::longest): it is always measured.
//!
//! # Examples
//!
//! ```
//! use corepoll::Reactor;
//! use corepoll::stall::StallWatch;
//! use std::time::Duration;
//!
//! # fn main() -> std::io::Result<()> {
//! let watch = StallWatch::new().threshold(Duration::from_millis(10));
//! let reactor = Reactor::builder().stall_watch(watch).build()?;
//! # drop(reactor);
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

pub use crate::task::current_call::StallKind;

/// The default threshold. Thousands of connections may wait for one poller, so this is long for them;
/// and much shorter delays may as well come from the scheduler.
const THRESHOLD: Duration = Duration::from_millis(25);

/// A thread that reports every callback, poll and closure that keeps its poller for too long.
///
/// The thread looks at all pollers twice in each threshold, so it finds every call that runs for one
/// and a half times the threshold. Each stall is reported once, while it lasts. There are at most five
/// reports in any minute, so that a program in trouble is not flooded with them. A call also counts
/// while its thread waits for a processor.
///
/// A watched poller makes a few more stores for each callback and poll, and reads no clock. Without a
/// watch there is no cost. The thread sleeps while all pollers wait for events, and ends with the
/// reactor's other threads.
///
/// # Examples
///
/// ```
/// use corepoll::Reactor;
/// use corepoll::stall::{StallKind, StallWatch};
/// use std::sync::mpsc;
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// let (report, reports) = mpsc::channel();
/// let watch = StallWatch::new()
///     .threshold(Duration::from_millis(5))
///     .report_to(move |stall| report.send(stall.clone()).unwrap_or(()));
/// let running = Reactor::builder().pollers(1).stall_watch(watch).build()?.start()?;
///
/// // A task that blocks its poller.
/// let (go_on, wait) = mpsc::channel::<()>();
/// running.handle().pollers()[0].spawn_on(move || async move { wait.recv() });
///
/// let stall = reports.recv().unwrap();
/// assert_eq!((stall.poller, stall.kind), (0, StallKind::Poll));
/// assert!(stall.elapsed >= Duration::from_millis(5));
///
/// drop(go_on);
/// running.handle().shutdown(Duration::ZERO);
/// running.join()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a watch does nothing until a builder gets it"]
pub struct StallWatch {
    /// The shortest time that counts as a stall.
    pub(super) threshold: Duration,
    /// What is called for each reported stall.
    pub(super) report: Arc<dyn Fn(&Stall) + Send + Sync>,
}

/// A call that holds its poller up. `Display` formats it as one line.
///
/// # Examples
///
/// ```
/// use corepoll::Reactor;
/// use corepoll::stall::StallWatch;
///
/// let watch = StallWatch::new().report_to(|stall| {
///     eprintln!("poller {}: {} for {:?}", stall.poller, stall.type_name, stall.elapsed);
/// });
/// # let _ = Reactor::builder().stall_watch(watch);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stall {
    /// The poller's index in [`ReactorHandle::pollers`](crate::ReactorHandle::pollers).
    pub poller: usize,
    /// The kind of call.
    pub kind: StallKind,
    /// The type of the handler, of the task's future or of the closure, as [`std::any::type_name`]
    /// gives it.
    ///
    /// The future of an async function is named by the function's path and `{{closure}}`. The future
    /// of a task that another thread has spawned is wrapped in a type of this crate.
    pub type_name: &'static str,
    /// The time for which the call has been running, at least.
    pub elapsed: Duration,
    /// The number of stalls since the last report that the limit of five a minute has kept back.
    pub unreported: usize,
}

impl Default for StallWatch {
    fn default() -> StallWatch {
        StallWatch { threshold: THRESHOLD, report: Arc::new(write_to_stderr) }
    }
}

impl StallWatch {
    /// Creates a watch that reports calls of 25 milliseconds or more as a line on the standard error.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::Reactor;
    /// use corepoll::stall::StallWatch;
    ///
    /// let reactor = Reactor::builder().stall_watch(StallWatch::new()).build()?;
    /// # drop(reactor);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn new() -> StallWatch {
        StallWatch::default()
    }

    /// Sets the shortest time that counts as a stall. The default is 25 milliseconds.
    ///
    /// The thread looks at the pollers at most once in a millisecond, however short the threshold is.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::Reactor;
    /// use corepoll::stall::StallWatch;
    /// use std::time::Duration;
    ///
    /// let strict = StallWatch::new().threshold(Duration::from_millis(5));
    /// # let _ = Reactor::builder().stall_watch(strict);
    /// ```
    pub fn threshold(mut self, threshold: Duration) -> StallWatch {
        self.threshold = threshold;
        self
    }

    /// Sets what is called for each stall, in place of the line on the standard error.
    ///
    /// It runs on the thread of the watch, which looks at no poller meanwhile, and
    /// [`Running::join`](crate::Running::join) waits for it. A panic in it ends this report only; the
    /// watch goes on.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::Reactor;
    /// use corepoll::stall::StallWatch;
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// let stalls = Arc::new(AtomicU64::new(0));
    /// let counted = stalls.clone();
    /// let watch = StallWatch::new().report_to(move |stall| {
    ///     counted.fetch_add(1 + stall.unreported as u64, Ordering::Relaxed);
    /// });
    /// # let _ = Reactor::builder().stall_watch(watch);
    /// ```
    pub fn report_to(mut self, report: impl Fn(&Stall) + Send + Sync + 'static) -> StallWatch {
        self.report = Arc::new(report);
        self
    }
}

/// Writes a stall as one line to the standard error.
fn write_to_stderr(stall: &Stall) {
    // An error of the standard error can't be reported anywhere.
    let _ = writeln!(io::stderr(), "corepoll: {stall}");
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            StallKind::Callback => "a callback of the handler",
            StallKind::Poll => "a poll of the task",
            StallKind::Closure => "the closure",
        };
        let Stall { poller, type_name, elapsed, unreported, .. } = self;
        write!(f, "poller {poller}: {what} {type_name} has been running for {elapsed:.1?}")?;
        match unreported {
            0 => Ok(()),
            _ => write!(f, " (and {unreported} more stalls have gone unreported)"),
        }
    }
}

impl fmt::Debug for StallWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StallWatch").field("threshold", &self.threshold).finish_non_exhaustive()
    }
}

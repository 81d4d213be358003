//! What holds a poller up, and who is told.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use crate::task::StallKind;

/// The default threshold. A poller serves thousands of connections, all of which wait meanwhile; and
/// what is much shorter may as well be the scheduler's doing.
const THRESHOLD: Duration = Duration::from_millis(25);

/// A watch over the pollers of a reactor: a thread that reports every callback, poll and closure
/// that has kept its poller for too long, by the name of its type. For [`Builder::stall_watch`].
///
/// It looks at the pollers twice in each threshold, so what runs for half as long again is found
/// for sure. Each stall is reported once, while it lasts; and at most five are in any minute, so
/// that a program that is in trouble isn't drowned in reports of it. When all pollers wait for
/// events it sleeps. A poller whose thread has to wait for a processor is held up as well.
///
/// A poller that is watched makes a few stores more for each callback and poll, and reads no clock;
/// one that isn't pays nothing. The thread ends with the reactor's others.
///
/// ```
/// use corepoll::{Reactor, StallKind, StallWatch};
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
///
/// [`Builder::stall_watch`]: crate::Builder::stall_watch
#[derive(Clone)]
#[must_use = "a watch is nothing until a builder gets it"]
pub struct StallWatch {
    pub(super) threshold: Duration,
    pub(super) report: Arc<dyn Fn(&Stall) + Send + Sync>,
}

/// One call that holds its poller up. `Display` makes a line of it.
///
/// ```
/// use corepoll::{Reactor, StallWatch};
///
/// let watch = StallWatch::new().report_to(|stall| {
///     eprintln!("poller {}: {} for {:?}", stall.poller, stall.type_name, stall.elapsed);
/// });
/// # let _ = Reactor::builder().stall_watch(watch);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stall {
    /// Which poller: its place in [`ReactorHandle::pollers`](crate::ReactorHandle::pollers).
    pub poller: usize,
    /// What it does.
    pub kind: StallKind,
    /// The type of the handler, of the task's future or of the closure, as
    /// [`std::any::type_name`] has it. What an async function returns is called by its path and
    /// `{{closure}}`; the future of a task that came from another thread stands inside of one of
    /// ours.
    pub type_name: &'static str,
    /// For how long it has run, at least.
    pub elapsed: Duration,
    /// How many stalls there have been since the last report that were not reported, as there had
    /// been five in a minute.
    pub unreported: usize,
}

impl Default for StallWatch {
    fn default() -> StallWatch {
        StallWatch { threshold: THRESHOLD, report: Arc::new(write_to_stderr) }
    }
}

impl StallWatch {
    /// Reports what runs for 25 milliseconds or more, as a line on the standard error.
    ///
    /// ```
    /// use corepoll::{Reactor, StallWatch};
    ///
    /// let reactor = Reactor::builder().stall_watch(StallWatch::new()).build()?;
    /// # drop(reactor);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn new() -> StallWatch {
        StallWatch::default()
    }

    /// What runs for at least so long is a stall. Below two milliseconds, it still looks no more
    /// than once in each.
    ///
    /// ```
    /// use corepoll::{Reactor, StallWatch};
    /// use std::time::Duration;
    ///
    /// let strict = StallWatch::new().threshold(Duration::from_millis(5));
    /// # let _ = Reactor::builder().stall_watch(strict);
    /// ```
    pub fn threshold(mut self, threshold: Duration) -> StallWatch {
        self.threshold = threshold;
        self
    }

    /// Who is told, instead of the standard error. It is called on the thread that watches, which
    /// sees nothing meanwhile, and which [`Running::join`](crate::Running::join) waits for. If it
    /// panics, that report is over, and the watch goes on.
    ///
    /// ```
    /// use corepoll::{Reactor, StallWatch};
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

fn write_to_stderr(stall: &Stall) {
    // Nobody is left who could be told that this failed.
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

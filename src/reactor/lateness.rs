//! How a poller that is late is told from one that is stuck: by several looks at it.

use std::time::Duration;

use crate::local::handle::PollerHandle;
use crate::sys::{clock, thread};

/// The time after which a poller that does not go on counts as stuck, from the end of the grace.
/// [`Running::join`](crate::Running::join) promises a tenth of a second; the rest is for the look
/// itself.
const STUCK_AFTER: Duration = Duration::from_millis(60);

/// The same while other threads of the process are active. One of them may hold a lock that the
/// poller waits for, an allocator's for instance, and wait for a processor itself. That ends much
/// sooner; the limit is for programs whose threads never rest.
const STUCK_BESIDE_OTHERS: Duration = Duration::from_secs(2);

/// The number of looks in a row that must find no progress. On a loaded machine the thread that
/// looks waits for a processor too, and two looks may be far apart: they say little of the time
/// between them.
const FEWEST_LOOKS: u32 = 5;

/// What one look at a poller has found. The poller has made no progress during it.
pub(super) struct Look {
    /// The poller's progress.
    pub(super) progress: u64,
    /// What its thread was doing; `None` if the kernel does not say.
    thread: Option<thread::Sample>,
    /// When the look began, by the kernel's clock.
    began: u64,
    /// When the look was over.
    ended: u64,
}

impl Look {
    /// Looks at `poller`, whose thread has the number `id`. Returns `None` if the poller has gone
    /// on meanwhile.
    pub(super) fn at(poller: &PollerHandle, id: u32) -> Option<Look> {
        let progress = poller.progress();
        let began = clock::real();
        let thread = thread::sample(id);
        let ended = clock::real();
        // The looking thread may wait for a processor between any two of these lines. If the
        // progress is the same before and after them, the rest holds for the time between.
        (poller.progress() == progress).then_some(Look { progress, thread, began, ended })
    }

    /// Returns `true` if the thread ran, or waited for a processor.
    fn is_runnable(&self) -> bool {
        self.thread.is_some_and(|thread| thread.is_runnable)
    }
}

/// What is known of a poller that is late, since it was last seen to go on.
#[derive(Clone, Copy)]
pub(super) struct Late {
    /// Its progress by then.
    pub(super) progress: u64,
    /// The number of looks since then.
    looks: u32,
    /// The processor time that its thread had used at the first look that could tell.
    used: Option<Duration>,
    /// Since when each look has found its thread asleep.
    asleep_since: Option<u64>,
    /// The number of these looks.
    asleep_looks: u32,
}

impl Late {
    /// Returns what is known after the first look.
    pub(super) fn since(look: &Look) -> Late {
        let mut late = Late {
            progress: look.progress,
            looks: 0,
            used: None,
            asleep_since: None,
            asleep_looks: 0,
        };
        late.add(look);
        late
    }

    /// Takes another look into account.
    fn add(&mut self, look: &Look) {
        self.looks = self.looks.saturating_add(1);
        // A look that could not tell the time used is no beginning: what came before it counted.
        self.used = self.used.or(look.thread.map(|thread| thread.used));
        // Where the kernel does not say, the clock alone decides, after the longer time.
        if look.is_runnable() {
            (self.asleep_since, self.asleep_looks) = (None, 0);
        } else {
            self.asleep_since = self.asleep_since.or(Some(look.ended));
            self.asleep_looks = self.asleep_looks.saturating_add(1);
        }
    }

    /// Takes another look into account that has found the same progress. Returns `true` if the
    /// poller has stood still for too long: its thread sleeps in the kernel, or runs in circles. A
    /// poller that waits for a processor is not stuck, nor is one that waits for a thread which
    /// does.
    pub(super) fn is_stuck_by(&mut self, look: &Look) -> bool {
        self.add(look);
        self.sleeps(look) || self.runs_in_circles(look)
    }

    /// Returns `true` if the thread has slept for too long.
    fn sleeps(&self, look: &Look) -> bool {
        let Some(since) = self.asleep_since else { return false };
        if self.asleep_looks < FEWEST_LOOKS {
            return false;
        }
        look.began >= clock::after(since, STUCK_BESIDE_OTHERS)
            || look.began >= clock::after(since, STUCK_AFTER) && !thread::others_are_active()
    }

    /// Returns `true` if the thread has used a processor for too long without progress.
    fn runs_in_circles(&self, look: &Look) -> bool {
        // A loop uses the processor without going on, and a poller that does its work goes on.
        let (Some(before), Some(thread)) = (self.used, look.thread) else { return false };
        self.looks >= FEWEST_LOOKS && thread.used.saturating_sub(before) >= STUCK_AFTER
    }
}

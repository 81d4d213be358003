//! What a poller has done, in numbers.
//!
//! The poller writes them once a turn, as plain stores to atomics that other threads may read. So
//! counting costs additions, and reading costs the poller nothing.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sys::ticks;
use crate::sys::traffic::Traffic;

/// A snapshot of what a poller has done since it began, from [`ReactorHandle::stats`].
///
/// The numbers are those of the end of its last turn, so they are exact while the poller waits.
/// They are read one after the other, so those of a busy poller may be a turn apart.
///
/// # Examples
///
/// ```
/// use corepoll::{Reactor, block_on};
///
/// # fn main() -> std::io::Result<()> {
/// let running = Reactor::builder().pollers(1).build()?.start()?;
/// let handle = running.handle();
/// block_on(handle.pollers()[0].spawn_on(|| async {})).unwrap();
/// let stats = handle.stats();
/// assert_eq!(stats.len(), 1);
/// println!("{} turns, busy for {:?}", stats[0].turns, stats[0].busy);
/// # Ok(())
/// # }
/// ```
///
/// [`ReactorHandle::stats`]: crate::ReactorHandle::stats
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PollerStats {
    /// The number of turns of the poller's loop.
    pub turns: u64,
    /// The number of events from the kernel, with those of the poller's own mailbox.
    pub events: u64,
    /// The number of polls of tasks.
    pub polls: u64,
    /// The number of wakes that made a task runnable and came from the poller's own thread.
    pub wakes_local: u64,
    /// The number of wakes of its tasks that came from other threads.
    pub wakes_remote: u64,
    /// The number of closures that wait for the poller now: those of [`PollerHandle::run_on`] and
    /// its like, of `spawn_on` and of `broadcast`.
    ///
    /// While other threads send and the poller runs closures, it is an estimate. A number that
    /// stays high or grows means that the poller is stuck, or gets more than it can do.
    ///
    /// [`PollerHandle::run_on`]: crate::PollerHandle::run_on
    pub mail_waiting: u64,
    /// The number of timers that have fired: of handlers, of tasks and of the poller itself.
    pub timers_fired: u64,
    /// The number of tasks that it has now.
    pub tasks: u64,
    /// The number of connections that it has now: those of handlers, whatever their descriptors
    /// are, and the streams of tasks. Listeners do not count.
    pub connections: u64,
    /// The number of connections that it has accepted, for itself or for other pollers.
    pub accepts: u64,
    /// The number of attempts to accept that have failed, for lack of descriptors, for example.
    pub accept_errors: u64,
    /// The number of bytes that it has read.
    pub bytes_in: u64,
    /// The number of bytes that it has written.
    pub bytes_out: u64,
    /// The number of bytes that handlers and `Writer`s have queued and that were never sent.
    ///
    /// Their connection ended before: by an error, by too much output, or because its peer took
    /// nothing for `Budget::close_linger`. Queued datagrams that fail count as well. A write to a
    /// connection that has ended already is an error, and does not count.
    pub bytes_dropped: u64,
    /// The time in which it did not wait for events.
    pub busy: Duration,
    /// The longest time that one callback or poll has taken.
    ///
    /// The clock is read after every 64th callback, after every eighth poll while polls are short,
    /// and at the end of each phase. So a short call is measured together with its neighbours, and
    /// a long one stands out.
    pub longest: Duration,
}

/// The numbers as other threads read them. Most are the fields of [`PollerStats`] of the same names.
///
/// Only the poller writes them. All accesses are relaxed, as each number stands for itself.
#[derive(Debug, Default)]
// Two cache lines of its own: the poller's stores do not slow down readers of what lies beside it.
#[repr(align(128))]
pub(crate) struct SharedStats {
    /// Turns of the loop.
    turns: AtomicU64,
    /// Events from the kernel.
    events: AtomicU64,
    /// Polls of tasks.
    polls: AtomicU64,
    /// Wakes by the poller's own thread.
    wakes_local: AtomicU64,
    /// Wakes by other threads.
    wakes_remote: AtomicU64,
    /// Timers that have fired.
    timers_fired: AtomicU64,
    /// Tasks at the last report.
    tasks: AtomicU64,
    /// Connections at the last report.
    connections: AtomicU64,
    /// Accepted connections.
    accepts: AtomicU64,
    /// Failed attempts to accept.
    accept_errors: AtomicU64,
    /// Bytes read.
    bytes_in: AtomicU64,
    /// Bytes written.
    bytes_out: AtomicU64,
    /// Queued bytes that were never sent.
    bytes_dropped: AtomicU64,
    /// The time awake, in ticks.
    busy: AtomicU64,
    /// The longest call, in ticks.
    longest: AtomicU64,
    /// The number of steps inside of turns, and of the end after the last turn.
    steps: AtomicU64,
}

/// Adds to a counter. It is no atomic addition, as there is one writer.
#[inline(always)]
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

impl SharedStats {
    /// Returns a number that changes as long as the poller goes on: from turn to turn, and with
    /// each event and after some other calls inside of a turn.
    pub(crate) fn progress(&self) -> u64 {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        read(&self.turns).wrapping_add(read(&self.events)).wrapping_add(read(&self.steps))
    }

    /// Returns a snapshot, on any thread. The caller knows how much mail waits.
    pub(crate) fn look(&self, mail_waiting: u64) -> PollerStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PollerStats {
            turns: read(&self.turns),
            events: read(&self.events),
            polls: read(&self.polls),
            wakes_local: read(&self.wakes_local),
            wakes_remote: read(&self.wakes_remote),
            mail_waiting,
            timers_fired: read(&self.timers_fired),
            tasks: read(&self.tasks),
            connections: read(&self.connections),
            accepts: read(&self.accepts),
            accept_errors: read(&self.accept_errors),
            bytes_in: read(&self.bytes_in),
            bytes_out: read(&self.bytes_out),
            bytes_dropped: read(&self.bytes_dropped),
            busy: ticks::to_duration(read(&self.busy)),
            longest: ticks::to_duration(read(&self.longest)),
        }
    }
}

/// The counts of a poller on its own thread.
pub(crate) struct Recorder {
    /// What other threads read.
    published: Arc<SharedStats>,
    /// When the poller last woke up, in ticks.
    awake_since: Cell<u64>,
    /// When the clock was last read, in ticks.
    last: Cell<u64>,
    /// The longest time between two readings of the clock, in ticks.
    longest: Cell<u64>,
    /// The bytes read since the last report, as the request path counts them.
    bytes_in: Cell<u64>,
    /// The bytes written since the last report, as the request path counts them.
    bytes_out: Cell<u64>,
}

/// What a poller reports at the end of a turn.
pub(crate) struct Report {
    /// The wakes so far by its own thread, and those by others.
    pub(crate) wakes: (u64, u64),
    /// The tasks that it has.
    pub(crate) tasks: u64,
    /// The connections that it has.
    pub(crate) connections: u64,
    /// What its thread has read, written and accepted since the last report.
    pub(crate) traffic: Traffic,
}

/// Counts the events of a poller.
pub(crate) struct EventCounter<'a>(&'a AtomicU64);

impl EventCounter<'_> {
    /// Counts an event that is about to be acted on.
    #[inline(always)]
    pub(crate) fn count(&self) {
        add(self.0, 1);
    }
}

impl Recorder {
    /// Creates the counts of a poller that begins now.
    pub(crate) fn new(published: Arc<SharedStats>) -> Recorder {
        let now = ticks::now();
        Recorder {
            published,
            awake_since: Cell::new(now),
            last: Cell::new(now),
            longest: Cell::new(0),
            bytes_in: Cell::new(0),
            bytes_out: Cell::new(0),
        }
    }

    /// Notes that the poller has woken up.
    #[inline]
    pub(crate) fn awake(&self) {
        let now = ticks::now();
        self.awake_since.set(now);
        self.last.set(now);
    }

    /// Returns what counts events, for a loop that looks for it once.
    #[inline]
    pub(crate) fn event_counter(&self) -> EventCounter<'_> {
        EventCounter(&self.published.events)
    }

    /// Returns the number of events so far. It begins anew after its end.
    #[inline]
    pub(crate) fn events(&self) -> u64 {
        self.published.events.load(Ordering::Relaxed)
    }

    /// Reads the clock after foreign code has run. Returns the reading and the time since the one
    /// before, both in ticks.
    #[inline]
    pub(crate) fn lap(&self) -> (u64, u64) {
        let now = ticks::now();
        let lap = now.saturating_sub(self.last.replace(now));
        if lap > self.longest.get() {
            self.longer(lap);
        }
        (now, lap)
    }

    /// Returns the last reading of the clock, in ticks.
    #[inline]
    pub(crate) fn last_look(&self) -> u64 {
        self.last.get()
    }

    /// Reads the clock without measuring: the poller has stood still on purpose.
    pub(crate) fn restart(&self) {
        self.last.set(ticks::now());
    }

    /// Notes a new longest time.
    #[cold]
    fn longer(&self, lap: u64) {
        self.longest.set(lap);
        self.published.longest.store(lap, Ordering::Relaxed);
    }

    /// Counts bytes that were read and that the thread's traffic does not have.
    #[inline(always)]
    pub(crate) fn bytes_in(&self, count: usize) {
        self.bytes_in.set(self.bytes_in.get() + count as u64);
    }

    /// Counts bytes that were written and that the thread's traffic does not have.
    #[inline(always)]
    pub(crate) fn bytes_out(&self, count: usize) {
        self.bytes_out.set(self.bytes_out.get() + count as u64);
    }

    /// Counts bytes that were queued and will not be sent.
    pub(crate) fn dropped(&self, count: usize) {
        add(&self.published.bytes_dropped, count as u64);
    }

    /// Counts polls of tasks.
    #[inline]
    pub(crate) fn polled(&self, count: usize) {
        add(&self.published.polls, count as u64);
    }

    /// Counts a timer that has fired.
    #[inline]
    pub(crate) fn fired(&self) {
        add(&self.published.timers_fired, 1);
    }

    /// Counts a step: some calls of a long phase are over, so the poller is not stuck.
    #[inline]
    pub(crate) fn step(&self) {
        add(&self.published.steps, 1);
    }

    /// Publishes the numbers at the end of a turn, before the wait.
    #[inline]
    pub(crate) fn report(&self, report: &Report) {
        let it = &*self.published;
        let now = ticks::now();
        add(&it.busy, now.saturating_sub(self.awake_since.replace(now)));
        add(&it.turns, 1);
        it.wakes_local.store(report.wakes.0, Ordering::Relaxed);
        it.wakes_remote.store(report.wakes.1, Ordering::Relaxed);
        it.tasks.store(report.tasks, Ordering::Relaxed);
        it.connections.store(report.connections, Ordering::Relaxed);
        // Counted in two places: the request path counts in cells of its own, all others in the
        // thread's.
        add(&it.bytes_in, self.bytes_in.take() + report.traffic.bytes_in);
        add(&it.bytes_out, self.bytes_out.take() + report.traffic.bytes_out);
        add(&it.accepts, report.traffic.accepts);
        add(&it.accept_errors, report.traffic.accept_errors);
    }
}

#[cfg(test)]
mod tests {
    use super::{Recorder, Report, SharedStats};
    use crate::sys::traffic::Traffic;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    #[test]
    fn numbers_at_their_end_begin_anew_and_progress_goes_on() {
        let published = Arc::<SharedStats>::default();
        let SharedStats { turns, events, steps, polls, bytes_in, .. } = &*published;
        for counter in [turns, events, steps, polls, bytes_in] {
            counter.store(u64::MAX - 1, Ordering::Relaxed);
        }
        let recorder = Recorder::new(published.clone());
        let mut seen = Vec::new();
        for _ in 0..4 {
            recorder.event_counter().count();
            recorder.step();
            recorder.polled(1);
            recorder.bytes_in(3);
            let traffic = Traffic { bytes_in: 0, bytes_out: 0, accepts: 0, accept_errors: 0 };
            recorder.report(&Report { wakes: (0, 0), tasks: 0, connections: 0, traffic });
            seen.push(published.progress());
        }
        assert!(seen.windows(2).all(|two| two[0] != two[1]), "{seen:?}");
        let stats = published.look(0);
        assert_eq!((stats.turns, stats.polls, stats.bytes_in), (2, 2, 10));
    }
}

//! What a poller has done so far, in numbers.
//!
//! They are written by the poller alone, once a turn, as plain stores to words that other threads
//! may read; so counting costs additions, and asking costs the poller nothing.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sys::ticks;
use crate::sys::traffic::Traffic;

/// A look at what a poller has done since it began: [`ReactorHandle::stats`].
///
/// The numbers are those of the last turn's end: of a poller that waits they are exact. They are
/// read one after the other, so of one that works they may be a turn apart.
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
    /// Turns of its loop.
    pub turns: u64,
    /// Events that the kernel has brought, those of its own mailbox included.
    pub events: u64,
    /// Polls of tasks.
    pub polls: u64,
    /// Wakes that made a task runnable, by code on the poller's own thread.
    pub wakes_local: u64,
    /// Wakes of its tasks that came from other threads.
    pub wakes_remote: u64,
    /// Closures that wait for the poller now: those of [`PollerHandle::run_on`] and the like, of
    /// `spawn_on` and of `broadcast`. About as many, while others send and the poller runs them. A number
    /// that stays high or grows says that the poller is stuck, or that it gets more than it can do.
    ///
    /// [`PollerHandle::run_on`]: crate::PollerHandle::run_on
    pub mail_waiting: u64,
    /// Timers that fired: handlers' tasks' and its own.
    pub timers_fired: u64,
    /// Tasks that it has now.
    pub tasks: u64,
    /// Connections that it has now: those of handlers, whatever their descriptors are, and streams.
    /// Listeners are none.
    pub connections: u64,
    /// Connections that it has accepted, for itself or for others.
    pub accepts: u64,
    /// Attempts to accept that have failed, as for want of descriptors.
    pub accept_errors: u64,
    /// Bytes that it has read.
    pub bytes_in: u64,
    /// Bytes that it has written.
    pub bytes_out: u64,
    /// Bytes of handlers and `Writer`s that were accepted and never written, as their connection
    /// ended before: by an error, by too much output, or because its peer took nothing for
    /// `Budget::close_linger`; and those of datagrams that failed when they had waited. What is
    /// written to a connection that is gone is an error, and not counted.
    pub bytes_dropped: u64,
    /// How long it did not wait for events.
    pub busy: Duration,
    /// The longest time that it was held up by one callback or poll. The clock is looked at after
    /// every 64th callback, after every eighth poll while polls are short, and at the end of each
    /// phase: a short one is counted together with its neighbours, a long one stands out.
    pub longest: Duration,
}

/// The numbers as other threads see them. Written by the poller only, and relaxed throughout:
/// each stands for itself.
#[derive(Debug, Default)]
#[repr(align(128))] // The poller's stores don't slow down whoever reads what would lie beside them.
pub(crate) struct SharedStats {
    turns: AtomicU64,
    events: AtomicU64,
    polls: AtomicU64,
    wakes_local: AtomicU64,
    wakes_remote: AtomicU64,
    timers_fired: AtomicU64,
    tasks: AtomicU64,
    connections: AtomicU64,
    accepts: AtomicU64,
    accept_errors: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    bytes_dropped: AtomicU64,
    /// Ticks.
    busy: AtomicU64,
    /// Ticks.
    longest: AtomicU64,
    /// Steps inside of a turn, and of the end after the last one.
    steps: AtomicU64,
}

/// Not an atomic addition: there is one writer.
#[inline(always)]
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

impl SharedStats {
    /// Another number each time that somebody looks, as long as the poller goes on: from turn to
    /// turn, and inside of one from some calls to the next.
    pub(crate) fn progress(&self) -> u64 {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        read(&self.turns).wrapping_add(read(&self.steps))
    }

    /// A look at the numbers, from any thread; the caller knows how much mail waits.
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

/// The poller's side.
pub(crate) struct Recorder {
    published: Arc<SharedStats>,
    /// When the poller last woke up, in ticks.
    awake_since: Cell<u64>,
    /// The last look at the clock, in ticks.
    last: Cell<u64>,
    /// The longest time between two looks, in ticks.
    longest: Cell<u64>,
    /// Bytes since the last report that the request path has counted here.
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
}

/// What a poller says of itself before it waits.
pub(crate) struct Report {
    /// Wakes so far, by its own thread and by others.
    pub(crate) wakes: (u64, u64),
    /// Tasks now.
    pub(crate) tasks: u64,
    /// Connections now.
    pub(crate) connections: u64,
    /// What its thread has read, written and accepted since the last report.
    pub(crate) traffic: Traffic,
}

impl Recorder {
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

    /// The poller is awake, with so many events.
    #[inline]
    pub(crate) fn awake(&self, events: usize) {
        let now = ticks::now();
        self.awake_since.set(now);
        self.last.set(now);
        add(&self.published.events, events as u64);
    }

    /// The kernel has brought so many events more.
    pub(crate) fn more_events(&self, events: usize) {
        add(&self.published.events, events as u64);
    }

    /// Something foreign has run since the last look at the clock. Returns what the clock says, and
    /// how long that took, both in ticks.
    #[inline]
    pub(crate) fn lap(&self) -> (u64, u64) {
        let now = ticks::now();
        let lap = now.saturating_sub(self.last.replace(now));
        if lap > self.longest.get() {
            self.longer(lap);
        }
        (now, lap)
    }

    /// The last look at the clock, in ticks.
    #[inline]
    pub(crate) fn last_look(&self) -> u64 {
        self.last.get()
    }

    /// The poller has stood still, as far as it knows: what comes is measured from now on.
    pub(crate) fn restart(&self) {
        self.last.set(ticks::now());
    }

    #[cold]
    fn longer(&self, lap: u64) {
        self.longest.set(lap);
        self.published.longest.store(lap, Ordering::Relaxed);
    }

    /// So many bytes have been read, and the counts of the thread's traffic don't have them.
    #[inline(always)]
    pub(crate) fn bytes_in(&self, count: usize) {
        self.bytes_in.set(self.bytes_in.get() + count as u64);
    }

    /// So many bytes have been written, and the counts of the thread's traffic don't have them.
    #[inline(always)]
    pub(crate) fn bytes_out(&self, count: usize) {
        self.bytes_out.set(self.bytes_out.get() + count as u64);
    }

    /// So many bytes were queued, and will not be written.
    pub(crate) fn dropped(&self, count: usize) {
        add(&self.published.bytes_dropped, count as u64);
    }

    /// So many tasks have been polled.
    #[inline]
    pub(crate) fn polled(&self, count: usize) {
        add(&self.published.polls, count as u64);
    }

    /// A timer has fired.
    #[inline]
    pub(crate) fn fired(&self) {
        add(&self.published.timers_fired, 1);
    }

    /// One call of many is over, or some.
    #[inline]
    pub(crate) fn step(&self) {
        add(&self.published.steps, 1);
    }

    /// The turn is over but for the wait.
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
        for counter in [&published.turns, &published.steps, &published.polls, &published.bytes_in] {
            counter.store(u64::MAX - 1, Ordering::Relaxed);
        }
        let recorder = Recorder::new(published.clone());
        let mut seen = Vec::new();
        for _ in 0..4 {
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

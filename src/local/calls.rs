//! What a poller tells its watchdog, if it has one.
//!
//! It tells of the beginning of each callback, and of the ends of many at once: what is done between
//! two callbacks is ours, and short. Without a watchdog a callback costs what it did: the word that
//! says that callbacks never nest says that none is to be told of as well.

use std::cell::Cell;
use std::sync::Arc;

use crate::parts::watched::Watched;
use crate::task::StallKind;

use crate::local::handler::{EvHandler, Ours};
use crate::local::state::Local;

/// Bits of `Local::callback`: a callback is running.
const RUNNING: u8 = 1;
/// The beginning of a callback is to be told.
const TOLD: u8 = 2;

impl Local {
    /// From now on the poller tells what it runs.
    pub(crate) fn be_watched(&mut self, watched: Arc<Watched>) {
        self.watched = Some(watched);
        self.callback.set(TOLD);
    }

    /// A callback of `handler` runs until the guard is dropped: callbacks never nest.
    #[inline(always)]
    pub(crate) fn begin_callback(&self, handler: &dyn EvHandler) -> impl Drop + '_ {
        struct Running<'a>(&'a Cell<u8>);
        impl Drop for Running<'_> {
            #[inline]
            fn drop(&mut self) {
                self.0.set(self.0.get() & !RUNNING);
            }
        }
        if self.callback.get() != 0 {
            self.tell_of_callback(handler);
        }
        self.callback.set(self.callback.get() | RUNNING);
        self.has_written.set(false);
        Running(&self.callback)
    }

    #[cold]
    fn tell_of_callback(&self, handler: &dyn EvHandler) {
        assert!(!self.is_in_callback(), "callbacks never nest");
        if let Some(watched) = &self.watched {
            watched.calls.begin(StallKind::Callback, handler.type_name(Ours));
        }
    }

    /// Whether a callback is running.
    pub(crate) fn is_in_callback(&self) -> bool {
        self.callback.get() & RUNNING != 0
    }

    /// Something foreign has run since the last look at the clock, and is over. Returns the time, and
    /// how long that took, both in ticks.
    #[inline]
    pub(crate) fn lap(&self) -> (u64, u64) {
        self.nothing_runs();
        self.recorder.lap()
    }

    /// A phase of many calls begins. Returns how many may be made before
    /// [`Local::go_on_with_phase`]. If none is longer than a slice, it may make `least` in all.
    #[inline]
    pub(crate) fn begin_phase(&self, least: usize) -> usize {
        let calls = self.slice.begin(self.recorder.last_look(), least);
        if self.drain.is_requested() { self.calls_in_grace() } else { calls }
    }

    /// The calls that were granted to a phase are made, `made` in all. Returns how many more may be:
    /// none when its slice is over.
    #[inline]
    pub(crate) fn go_on_with_phase(&self, made: usize) -> usize {
        let (now, lap) = self.lap();
        let calls = self.slice.go_on(now, lap, made);
        if self.drain.is_requested() { self.calls_in_grace().min(calls) } else { calls }
    }

    /// In the grace of a shutdown the clock is looked at after each call: when the grace ends, no
    /// other one begins.
    #[cold]
    fn calls_in_grace(&self) -> usize {
        usize::from(!self.drain.is_over())
    }

    /// What is done from here on is ours.
    #[inline]
    pub(crate) fn nothing_runs(&self) {
        if let Some(watched) = &self.watched {
            watched.calls.none();
        }
    }

    /// The poller is about to wait for events, or has ended.
    pub(crate) fn fall_asleep(&self) {
        if let Some(watched) = &self.watched {
            watched.fall_asleep();
        }
    }

    /// The poller has waited.
    pub(crate) fn wake_up(&self) {
        if let Some(watched) = &self.watched {
            watched.wake_up();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Arc, Watched};
    use crate::parts::budget::Budget;
    use crate::poller::{Poller, PollerSeed};
    use crate::task;
    use std::time::Duration;

    #[test]
    fn a_turn_that_does_not_wait_leaves_no_call_behind() {
        let watched = Arc::new(Watched::new(Arc::default()));
        let mut seed = PollerSeed::new(0, Budget::default(), 1024).unwrap();
        seed.be_watched(watched.clone());
        let poller = Poller::adopt(seed);
        let entered = poller.enter();
        let its_own = watched.clone();
        let task = task::spawn(async move { its_own.calls.current().is_some() });
        poller.turn(Some(Duration::ZERO)).unwrap();
        assert!(watched.calls.current().is_none());
        let Ok(mut task) = task else { unreachable!("the thread is in a poller") };
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let told = std::future::Future::poll(std::pin::Pin::new(&mut task), &mut cx);
        assert!(matches!(told, std::task::Poll::Ready(Ok(true))));
        drop(entered);
    }
}

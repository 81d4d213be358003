//! What a poller tells its watchdog, if it has one.
//!
//! It tells of the beginning of each callback, and of the ends of many at once: what is done between
//! two callbacks is ours, and short. Without a watchdog a callback costs what it did: the word that
//! says that callbacks never nest says that none is to be told of as well.

use std::cell::Cell;
use std::sync::Arc;

use crate::local::handler::{EvHandler, Sealed};
use crate::local::state::Local;
use crate::parts::activity::Activity;
use crate::task::StallKind;

/// Bits of `Local::callback`: a callback is running.
const RUNNING: u8 = 1;
/// The beginning of a callback is to be told.
const REPORTED: u8 = 2;

/// From now on the poller tells what it runs.
pub(crate) fn set_activity(local: &mut Local, activity: Arc<Activity>) {
    local.activity = Some(activity);
    local.callback.set(REPORTED);
}

/// A callback of `handler` runs until the guard is dropped: callbacks never nest.
#[inline(always)]
pub(crate) fn begin_callback<'a>(local: &'a Local, handler: &dyn EvHandler) -> impl Drop + 'a {
    struct Running<'a>(&'a Cell<u8>);
    impl Drop for Running<'_> {
        #[inline]
        fn drop(&mut self) {
            self.0.set(self.0.get() & !RUNNING);
        }
    }
    if local.callback.get() != 0 {
        report_callback(local, handler);
    }
    local.callback.set(local.callback.get() | RUNNING);
    local.has_written.set(false);
    Running(&local.callback)
}

#[cold]
fn report_callback(local: &Local, handler: &dyn EvHandler) {
    assert!(!is_in_callback(local), "callbacks never nest");
    if let Some(activity) = &local.activity {
        activity.current_call.begin(StallKind::Callback, handler.type_name(Sealed));
    }
}

/// Whether a callback is running.
pub(crate) fn is_in_callback(local: &Local) -> bool {
    local.callback.get() & RUNNING != 0
}

/// Something foreign has run since the last look at the clock, and is over. Returns the time, and
/// how long that took, both in ticks.
#[inline]
pub(crate) fn lap(local: &Local) -> (u64, u64) {
    end_calls(local);
    local.recorder.lap()
}

/// A phase of many calls begins. Returns how many may be made before
/// [`continue_phase`]. If none is longer than a slice, it may make `least` in all.
#[inline]
pub(crate) fn begin_phase(local: &Local, least: usize) -> usize {
    let calls = local.slice.begin(local.recorder.last_look(), least);
    if local.shutdown.is_requested() { calls_in_grace(local) } else { calls }
}

/// The calls that were granted to a phase are made, `made` in all. Returns how many more may be:
/// none when its slice is over.
#[inline]
pub(crate) fn continue_phase(local: &Local, made: usize) -> usize {
    let (now, lap) = lap(local);
    let calls = local.slice.go_on(now, lap, made);
    if local.shutdown.is_requested() { calls_in_grace(local).min(calls) } else { calls }
}

/// In the grace of a shutdown the clock is looked at after each call: when the grace ends, no
/// other one begins.
#[cold]
fn calls_in_grace(local: &Local) -> usize {
    usize::from(!local.shutdown.is_over())
}

/// What is done from here on is ours.
#[inline]
pub(crate) fn end_calls(local: &Local) {
    if let Some(activity) = &local.activity {
        activity.current_call.end();
    }
}

/// The poller is about to wait for events, or has ended.
pub(crate) fn begin_wait(local: &Local) {
    if let Some(activity) = &local.activity {
        activity.fall_asleep();
    }
}

/// The poller has waited.
pub(crate) fn end_wait(local: &Local) {
    if let Some(activity) = &local.activity {
        activity.wake_up();
    }
}

//! The calls that a poller makes: callbacks never nest, phases of calls end in time, and a stall
//! watch sees what runs.
//!
//! With a stall watch the poller reports the beginning of each callback. It reports the end of many
//! at once, since the crate's own code between two callbacks is short. Without one a callback costs
//! nothing extra: the loop that dispatches events exists twice.
//!
//! That a callback runs is noted once for a batch of events, and not for each: between two of the
//! usual callbacks nothing runs that could call one.

use std::cell::Cell;
use std::sync::Arc;

use crate::local::connection::Connection;
use crate::local::handler::{EvHandler, Sealed};
use crate::local::in_place::Key;
use crate::local::state::Local;
use crate::parts::activity::Activity;
use crate::task::StallKind;

/// The bit of `Local::callback_bits` that is set while a callback runs.
const RUNNING: u8 = 1;
/// The bit of `Local::callback_bits` that is set if callbacks are reported to a stall watch.
const REPORTED: u8 = 2;

/// Reports what the poller runs to `activity`, from now on.
pub(crate) fn set_activity(local: &mut Local, activity: Arc<Activity>) {
    local.activity = Some(activity);
    local.callback_bits.set(REPORTED);
}

/// While it lives callbacks run, one after the other. The code that borrows it for itself makes the
/// next.
pub(crate) struct Callbacks<'a> {
    /// The poller.
    local: &'a Local,
    /// Proves that none of the callbacks runs.
    pub(crate) key: Key,
}

impl Drop for Callbacks<'_> {
    #[inline]
    fn drop(&mut self) {
        self.local.callback_bits.set(self.local.callback_bits.get() & !RUNNING);
        self.local.called.set(None);
    }
}

/// Notes that callbacks run one after the other, until the guard is dropped. Each is reported by
/// itself. What else is done meanwhile, and may call a callback, is done [`between_callbacks`].
///
/// # Panics
///
/// Panics if a callback is running: callbacks never nest.
#[inline]
pub(crate) fn begin_callbacks(local: &Local) -> Callbacks<'_> {
    assert!(!is_in_callback(local), "callbacks never nest");
    local.callback_bits.set(local.callback_bits.get() | RUNNING);
    local.last_writer.set(std::ptr::null());
    Callbacks { local, key: Key::new() }
}

/// Notes that none of `callbacks` runs, until the guard is dropped.
pub(crate) fn between_callbacks<'a>(callbacks: &'a mut Callbacks<'_>) -> impl Drop + 'a {
    /// Says that callbacks run again.
    struct Between<'a>(&'a Cell<u8>);
    impl Drop for Between<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() | RUNNING);
        }
    }
    let bits = &callbacks.local.callback_bits;
    bits.set(bits.get() & !RUNNING);
    Between(bits)
}

/// Notes that the callback of `connection` has written something.
#[inline]
pub(crate) fn note_written(local: &Local, connection: &Connection) {
    local.last_writer.set(connection);
}

/// Returns `true` if the callback of `connection` that runs, or that has just returned, has written
/// something. epoll reports a descriptor once in a batch, so that a batch has one of them at most.
pub(crate) fn has_written(local: &Local, connection: &Connection) -> bool {
    std::ptr::eq(local.last_writer.get(), connection)
}

/// Reports a callback that begins to the stall watch, if there is one.
#[inline]
pub(crate) fn report_if_watched(local: &Local, handler: &dyn EvHandler) {
    if local.callback_bits.get() & REPORTED != 0 {
        report_callback(local, handler);
    }
}

/// Reports the beginning of a callback to the stall watch.
#[cold]
pub(crate) fn report_callback(local: &Local, handler: &dyn EvHandler) {
    if let Some(activity) = &local.activity {
        activity.current_call.begin(StallKind::Callback, handler.type_name(Sealed));
    }
}

/// Returns `true` if a callback is running.
pub(crate) fn is_in_callback(local: &Local) -> bool {
    local.callback_bits.get() & RUNNING != 0
}

/// Ends the calls that were made since the last reading of the tick counter. Returns the time, and
/// how long they took, both in ticks.
#[inline]
pub(crate) fn lap(local: &Local) -> (u64, u64) {
    end_calls(local);
    local.recorder.lap()
}

/// Begins a phase of many calls, and returns how many may be made before [`continue_phase`] is
/// asked. If no call takes longer than a slice, the phase may make at least `least` calls in all.
#[inline]
pub(crate) fn begin_phase(local: &Local, least: usize) -> usize {
    let calls = begin_slice(local, least);
    if local.shutdown.is_requested() { calls_in_grace(local) } else { calls }
}

/// Returns how many more calls a phase may make, after it has made `made` in all. It is 0 when the
/// slice of the phase is over.
#[inline]
pub(crate) fn continue_phase(local: &Local, made: usize) -> usize {
    let calls = continue_slice(local, made);
    if local.shutdown.is_requested() { calls_in_grace(local).min(calls) } else { calls }
}

/// Begins a phase that opens mail, as [`begin_phase`] does. The mail that came before the request for a
/// shutdown is opened whatever the time is: what was sent first is done first.
#[inline]
pub(crate) fn begin_mail(local: &Local) -> usize {
    let calls = begin_slice(local, 1);
    if local.shutdown.has_begun() { mail_in_grace(local) } else { calls }
}

/// Returns how many more pieces of mail a phase may open, after it has opened `opened`.
#[inline]
pub(crate) fn continue_mail(local: &Local, opened: usize) -> usize {
    let calls = continue_slice(local, opened);
    if local.shutdown.has_begun() { mail_in_grace(local).min(calls) } else { calls }
}

/// Begins the slice of a phase. It begins at the last reading of the tick counter, which saves another.
#[inline]
fn begin_slice(local: &Local, least: usize) -> usize {
    local.slice.begin(local.recorder.last_look(), least)
}

/// Goes on with the slice of a phase that has made `made` calls.
#[inline]
fn continue_slice(local: &Local, made: usize) -> usize {
    let (now, lap) = lap(local);
    local.slice.go_on(now, lap, made)
}

/// Returns how many calls a phase may make in the grace of a shutdown: one before the clock is read
/// again, so that none begins after the grace has ended.
#[cold]
fn calls_in_grace(local: &Local) -> usize {
    usize::from(!local.shutdown.has_grace_passed())
}

/// Returns the same for mail. It is opened also if a grace has passed whose request it has yet to bring.
#[cold]
fn mail_in_grace(local: &Local) -> usize {
    usize::from(!local.shutdown.is_over())
}

/// Tells the stall watch that no foreign code runs any more.
#[inline]
pub(crate) fn end_calls(local: &Local) {
    if let Some(activity) = &local.activity {
        activity.current_call.end();
    }
}

/// Tells the stall watch that the poller is about to wait for events, or has ended.
pub(crate) fn begin_wait(local: &Local) {
    if let Some(activity) = &local.activity {
        activity.fall_asleep();
    }
}

/// Tells the stall watch that the poller's wait is over.
pub(crate) fn end_wait(local: &Local) {
    if let Some(activity) = &local.activity {
        activity.wake_up();
    }
}

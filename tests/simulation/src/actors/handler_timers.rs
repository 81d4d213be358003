//! The timers of a handler: armed, moved, cancelled, and fired when they are due.

use std::time::{Duration, Instant};

use corepoll::{EvContext, TimerId};
use fastrand::Rng;

use crate::model::{model, now};

/// How often an interval fires before it is cancelled.
const MOST_TICKS: u32 = 4;

/// The timers of a handler.
#[derive(Debug, Default)]
pub struct HandlerTimers {
    /// Those that are armed.
    armed: Vec<Armed>,
    /// The last one that has ended.
    ended: Option<TimerId>,
}

/// A timer that is armed.
#[derive(Debug, Clone, Copy)]
struct Armed {
    /// Its id.
    timer: TimerId,
    /// When it fires, at the earliest and at the latest. They differ for an interval that was late.
    due: (Instant, Instant),
    /// The period of an interval, and how often it has fired.
    interval: Option<(Duration, u32)>,
}

impl HandlerTimers {
    /// Arms a few.
    pub fn arm(&mut self, cx: &mut EvContext<'_>, rng: &mut Rng) {
        for _ in 0..rng.usize(0..3) {
            let delay = delay(rng);
            let due = now() + delay;
            let (timer, interval) = if rng.u32(0..3) == 0 {
                (cx.set_interval(delay), Some((delay, 0)))
            } else {
                (cx.set_timer(delay), None)
            };
            self.armed.push(Armed { timer, due: (due, now() + delay), interval });
        }
    }

    /// Moves or cancels one by chance, and checks that none is overdue.
    pub fn change(&mut self, cx: &mut EvContext<'_>, rng: &mut Rng) {
        for Armed { due, .. } in &self.armed {
            let late = now().saturating_duration_since(due.1);
            model().check_prompt("a timer that has not fired", late);
        }
        if self.armed.is_empty() || rng.bool() {
            return;
        }
        let index = rng.usize(0..self.armed.len());
        let timer = self.armed[index].timer;
        if rng.bool() {
            self.armed.swap_remove(index);
            self.cancel(cx, timer);
        } else {
            let (delay, due) = (delay(rng), now());
            if !cx.reset_timer(timer, delay) {
                model().violated(format_args!("{timer:?} is armed and can't be moved"));
            }
            self.armed[index].due = (due + delay, now() + delay);
        }
    }

    /// Cancels a timer that is armed.
    fn cancel(&mut self, cx: &mut EvContext<'_>, timer: TimerId) {
        self.ended = Some(timer);
        if !cx.cancel_timer(timer) {
            model().violated(format_args!("{timer:?} is armed and can't be cancelled"));
        }
    }

    /// Checks that a timer which has ended is not there any more. One that has fired is, until its
    /// callback has returned.
    pub fn check_ended(&mut self, cx: &mut EvContext<'_>) {
        if let Some(timer) = self.ended.take()
            && (cx.cancel_timer(timer) || cx.reset_timer(timer, Duration::ZERO))
        {
            model().violated(format_args!("{timer:?} has ended, and can be cancelled or moved"));
        }
    }

    /// Checks a timer that has fired.
    pub fn fired(&mut self, cx: &mut EvContext<'_>, timer: TimerId) {
        let (model, now) = (model(), now());
        let Some(index) = self.armed.iter().position(|armed| armed.timer == timer) else {
            return model.violated(format_args!("{timer:?} has fired, and is not armed"));
        };
        let Armed { due: (earliest, latest), interval, .. } = self.armed[index];
        model.check_due("the timer of a handler", earliest.max(now.min(latest)), now);
        if let Some((period, ticks)) = interval.filter(|(_, ticks)| *ticks < MOST_TICKS) {
            self.armed[index].due = (earliest + period, now + period);
            self.armed[index].interval = Some((period, ticks + 1));
            return;
        }
        self.armed.swap_remove(index);
        if interval.is_some() {
            return self.cancel(cx, timer);
        }
        self.check_ended(cx);
        self.ended = Some(timer);
    }
}

/// Returns a delay by chance.
fn delay(rng: &mut Rng) -> Duration {
    let most = if rng.bool() { 10_000 } else { 1_000_000 };
    Duration::from_micros(rng.u64(0..most))
}

//! The timers of a handler: armed, moved, cancelled, and fired when they are due.

use std::time::{Duration, Instant};

use corepoll::{EvContext, TimerId};
use fastrand::Rng;

use crate::model::{model, now};

/// The timers of a handler.
#[derive(Debug, Default)]
pub struct HandlerTimers {
    /// Those that are armed, and when they are due.
    armed: Vec<(TimerId, Instant)>,
}

impl HandlerTimers {
    /// Arms a few.
    pub fn arm(&mut self, cx: &mut EvContext<'_>, rng: &mut Rng) {
        for _ in 0..rng.usize(0..3) {
            let delay = delay(rng);
            let due = now() + delay;
            self.armed.push((cx.set_timer(delay), due));
        }
    }

    /// Moves or cancels one by chance, and checks that none is overdue.
    pub fn change(&mut self, cx: &mut EvContext<'_>, rng: &mut Rng) {
        let most = model().plan.promptness();
        let now = now();
        for (timer, due) in &self.armed {
            let late = now.saturating_duration_since(*due);
            if late > most {
                model()
                    .violated(format_args!("{timer:?} has not fired, {late:?} after it was due"));
            }
        }
        if self.armed.is_empty() || rng.bool() {
            return;
        }
        let index = rng.usize(0..self.armed.len());
        let (timer, _) = self.armed[index];
        if rng.bool() {
            self.armed.swap_remove(index);
            if !cx.cancel_timer(timer) {
                model().violated(format_args!("{timer:?} is armed and can't be cancelled"));
            }
        } else {
            let delay = delay(rng);
            self.armed[index].1 = now + delay;
            if !cx.reset_timer(timer, delay) {
                model().violated(format_args!("{timer:?} is armed and can't be moved"));
            }
        }
    }

    /// Checks a timer that has fired.
    pub fn fired(&mut self, timer: TimerId) {
        let model = model();
        let Some(index) = self.armed.iter().position(|(armed, _)| *armed == timer) else {
            return model.violated(format_args!("{timer:?} has fired, and is not armed"));
        };
        let (_, due) = self.armed.swap_remove(index);
        model.check_due("the timer of a handler", due, now());
    }
}

/// Returns a delay by chance.
fn delay(rng: &mut Rng) -> Duration {
    let most = if rng.bool() { 10_000 } else { 1_000_000 };
    Duration::from_micros(rng.u64(0..most))
}

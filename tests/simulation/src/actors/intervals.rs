//! Intervals of tasks: which of their ticks are due, where some are missed, and where they are restarted.

use std::future::poll_fn;
use std::time::{Duration, Instant};

use corepoll::time::{self, Interval, MissedTickBehavior};
use fastrand::Rng;

use super::task_timers::check_wait;
use crate::model::{model, now};

/// How late a tick may be at most with which `MissedTickBehavior::Delay` keeps the schedule.
const PUNCTUAL: Duration = Duration::from_millis(5);

/// What may be done about missed ticks.
const BEHAVIORS: [MissedTickBehavior; 3] =
    [MissedTickBehavior::Burst, MissedTickBehavior::Delay, MissedTickBehavior::Skip];

/// An interval, and what is known of its next tick.
struct Watched {
    /// The interval.
    ticks: Interval,
    /// When its next tick is due, at the earliest and at the latest: it has read the clock between two
    /// readings of the model.
    due: (Instant, Instant),
}

/// Waits for some ticks of an interval, and misses others.
pub async fn use_interval(rng: &mut Rng, period: Duration, count: u32) {
    let period = period.max(Duration::from_micros(1));
    let before = now();
    let ticks = time::interval(period);
    let mut watched = Watched { ticks, due: (before, now()) };
    watched.ticks.set_missed_tick_behavior(BEHAVIORS[rng.usize(0..BEHAVIORS.len())]);
    for _ in 0..=count {
        watched.tick().await;
        match rng.u32(0..4) {
            0 => time::sleep(period.mul_f64(4.0 * rng.f64())).await,
            1 => watched.restart(rng),
            _ => {}
        }
    }
}

impl Watched {
    /// Waits for the next tick, and checks that it is the one that is due.
    async fn tick(&mut self) {
        let begun = now();
        let (before, at) = poll_fn(|cx| {
            let before = now();
            self.ticks.poll_tick(cx).map(|at| (before, at))
        })
        .await;
        let (earliest, latest) = self.due;
        if at < earliest || at > latest {
            let behavior = self.ticks.missed_tick_behavior();
            let off = if at < earliest { earliest - at } else { at - latest };
            let side = if at < earliest { "before" } else { "after" };
            model().violated(format_args!("a tick by {behavior:?} is {off:?} {side} its time"));
        }
        check_wait("a tick", at, begun);
        self.due = (self.following(at, before), self.following(at, now()));
    }

    /// Returns when the tick behind one that was due at `due` is due, if that one has come at `now`.
    fn following(&self, due: Instant, now: Instant) -> Instant {
        let period = self.ticks.period();
        let next = due + period;
        match self.ticks.missed_tick_behavior() {
            MissedTickBehavior::Delay if now > next.min(due + PUNCTUAL) => now + period,
            MissedTickBehavior::Skip if now > next => {
                let passed = (now - due).as_nanos() / period.as_nanos() + 1;
                due + period * u32::try_from(passed).expect("programs are short")
            }
            _ => next,
        }
    }

    /// Restarts the interval in one of the ways that there are.
    fn restart(&mut self, rng: &mut Rng) {
        let period = self.ticks.period();
        let (after, before) = (period.mul_f64(2.0 * rng.f64()), now());
        let after = match rng.u32(0..4) {
            0 => {
                self.ticks.reset();
                period
            }
            1 => {
                self.ticks.reset_immediately();
                Duration::ZERO
            }
            2 => {
                self.ticks.reset_after(after);
                after
            }
            _ => {
                // It may be a time that has passed.
                let deadline = before + after - period.min(after);
                self.ticks.reset_at(deadline);
                return self.due = (deadline, deadline);
            }
        };
        self.due = (before + after, now() + after);
    }
}

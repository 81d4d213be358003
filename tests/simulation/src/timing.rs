//! What a seed stands for in time: the budget of its pollers, a host that stands still, and the
//! connections whose silence is limited.

use std::time::Duration;

use corepoll::Budget;
use corepoll::sim::Faults;
use fastrand::Rng;

use crate::plan::{End, Service, TalkPlan, one_in};

/// More than any poller of a program has of descriptors, tasks, timers or closures that are ready at
/// once. A budget that takes one of them in a turn needs so many turns for all.
const MOST_READY: usize = 64;

/// The same of closures: each of some tasks sends many at once.
const MOST_MAIL: usize = 512;

/// The longest time for which a callback computes, in milliseconds. A poller is given up whose shutdown
/// is over and whose callback goes on for longer.
const LONGEST_CALL: u64 = 50;

/// What a turn costs that does little of each kind.
const SMALL_TURN: Duration = Duration::from_micros(100);

/// A time in which the programs of a host stand still.
#[derive(Debug, Clone)]
pub struct Pause {
    /// The host.
    pub host: String,
    /// When it begins.
    pub start: Duration,
    /// When it ends.
    pub end: Duration,
}

/// The times and limits of a program.
#[derive(Debug, Clone)]
pub struct Timing {
    /// The budget of all pollers of the server and of the backend.
    pub budget: Budget,
    /// Whether it was drawn, and is not the default.
    pub has_own_budget: bool,
    /// When a host stands still, if one does.
    pub pause: Option<Pause>,
    /// The limit of silence of the connections that have one.
    pub limit: Duration,
    /// Whether the server stands still for longer than the limit, while its peers send, and can take
    /// few events at a time afterwards.
    pub is_held_up: bool,
    /// How long a callback computes that computes.
    pub computes: Duration,
}

impl Timing {
    /// Draws the times of a program, and makes some of its connections such as have a limit.
    pub fn draw(seed: u64, talks: &mut [TalkPlan]) -> Timing {
        // Of its own: what is drawn here changes nothing of what is drawn elsewhere.
        let mut rng = Rng::with_seed(seed ^ 0x7469_6d69_6e67);
        let mut timing = Timing {
            budget: Budget::default(),
            has_own_budget: one_in(&mut rng, 4),
            pause: None,
            is_held_up: false,
            limit: Duration::from_millis(1 << rng.u32(5..=10)),
            computes: Duration::ZERO,
        };
        timing.budget.files_per_connection = rng.usize(1..=16);
        for talk in talks.iter_mut() {
            match rng.u32(0..40) {
                0 => send_files(talk, &mut rng),
                1..=3 => talk.service = Service::HandlerPool,
                _ => {}
            }
        }
        if timing.has_own_budget {
            timing.draw_budget(&mut rng, talks);
        } else if one_in(&mut rng, 4) {
            timing.computes = Duration::from_millis(rng.u64(1..=LONGEST_CALL));
        }
        timing.is_held_up = one_in(&mut rng, 12);
        if timing.is_held_up {
            timing.budget.events_per_wait = rng.usize(1..=3);
        }
        if timing.is_held_up || one_in(&mut rng, 3) {
            for talk in talks {
                if timing.is_held_up || rng.bool() {
                    timing.limit_silence(talk, &mut rng);
                }
            }
        }
        timing
    }

    /// Draws the budget, each of its numbers apart.
    fn draw_budget(&mut self, rng: &mut Rng, talks: &[TalkPlan]) {
        let budget = &mut self.budget;
        for count in [
            &mut budget.events_per_wait,
            &mut budget.tasks_per_turn,
            &mut budget.accepts_per_event,
            &mut budget.mail_per_turn,
            &mut budget.timers_per_turn,
            &mut budget.mail_waiting,
        ] {
            if rng.bool() {
                *count = any_number(rng, 16);
            }
        }
        // With fewer bytes a turn, long connections would take most of the time of a run.
        let least = talks.iter().map(|talk| talk.length / 100).max().unwrap_or(0);
        for bytes in [&mut budget.read_per_event, &mut budget.send_per_event] {
            if rng.bool() {
                *bytes = least + any_number(rng, 24);
            }
        }
        if rng.bool() {
            budget.slice = Duration::from_micros(any_number(rng, 12) as u64 - 1);
        }
        if one_in(rng, 8) {
            budget.output_per_connection = any_number(rng, 20) - 1;
        }
    }

    /// Draws when a host stands still, if one does, and adds that to the faults. Connections have
    /// longer to end then.
    pub fn draw_pause(&mut self, seed: u64, hosts: (usize, bool), faults: Faults) -> Faults {
        let mut rng = Rng::with_seed(seed ^ 0x0070_6175_7365);
        let (clients, has_backend) = hosts;
        if !self.is_held_up && !one_in(&mut rng, 4) {
            return faults;
        }
        let host = match rng.usize(0..3) {
            _ if self.is_held_up => "server".to_owned(),
            0 => format!("client {}", rng.usize(0..clients)),
            1 if has_backend => "backend".to_owned(),
            _ => "server".to_owned(),
        };
        let start = Duration::from_millis(rng.u64(0..=1000));
        let mut end = start + Duration::from_millis(any_number(&mut rng, 12) as u64);
        if self.is_held_up {
            end += self.limit;
        }
        self.budget.close_linger += end - start;
        let faults = faults.pause(host.clone(), start..end);
        self.pause = Some(Pause { host, start, end });
        faults
    }

    /// Makes a connection one with a limit of silence. Some of its pauses are longer.
    fn limit_silence(&self, talk: &mut TalkPlan, rng: &mut Rng) {
        let kinds = if self.is_held_up { 2 } else { Service::TIMED.len() };
        talk.service = Service::TIMED[rng.usize(0..kinds)];
        talk.end = if rng.bool() { End::HalfClose } else { End::Silence };
        talk.length = rng.usize(1..=300);
        talk.chunk = 1 + talk.length / 10;
        talk.pause = self.limit.mul_f64(1.5 * rng.f64());
        talk.read_pause = Duration::ZERO;
    }

    /// Returns how long it may take until something is done that can be done, if a turn of all that
    /// may be ready takes `turn`, and `tasks` tasks compute for `computing` in each poll.
    ///
    /// With a small budget it takes many turns. In each of them tasks run until their slice is over,
    /// and so do closures and timers. When the polls before were short, the poller looks after the
    /// eighth.
    pub fn promptness(&self, turn: Duration, tasks: u32, computing: Duration) -> Duration {
        let budget = &self.budget;
        let counts = [
            budget.events_per_wait,
            budget.tasks_per_turn,
            budget.accepts_per_event,
            budget.timers_per_turn,
        ];
        let turns: usize = counts.into_iter().map(|count| MOST_READY / count).sum();
        let turns = (turns + MOST_MAIL / budget.mail_per_turn) as u32;
        let one = SMALL_TURN + budget.slice * 3 + computing * 9;
        let calls = MOST_READY as u32 / 4 * self.computes;
        turn + one * turns + budget.slice * 3 + computing * (tasks + 9) + calls
    }

    /// Returns how long a host stands still in the time of `passed` before `now`, which counts from
    /// the start of the simulation.
    pub fn paused_within(&self, passed: Duration, now: Duration) -> Duration {
        let Some(pause) = &self.pause else { return Duration::ZERO };
        let start = pause.start.max(now.saturating_sub(passed));
        pause.end.min(now).saturating_sub(start)
    }
}

/// Makes a connection one that is answered by files. Some clients send far more than the kernels
/// hold before they read.
fn send_files(talk: &mut TalkPlan, rng: &mut Rng) {
    talk.service = Service::Files;
    if rng.bool() {
        talk.end = End::Hoard;
        talk.length = rng.usize(200_000..=400_000);
        talk.chunk = 10_000;
        talk.pause = Duration::ZERO;
    }
}

/// Returns a number from 1 to 2 to the power of `bits`. Each length is as likely as the others.
fn any_number(rng: &mut Rng, bits: u32) -> usize {
    let most = 1 << rng.u32(0..=bits);
    rng.usize(1..=most)
}

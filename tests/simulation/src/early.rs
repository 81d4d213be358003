//! What is known of a connection that its server ends before its client does.

use std::cell::Cell;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::plan::{End, Service, TalkPlan, one_in};

/// How long the server of a connection goes on reading after its close: the default of
/// `Budget::close_linger`.
const LINGER: Duration = Duration::from_secs(5);

/// How the server has ended, if it has ended first.
#[derive(Debug, Default)]
pub struct EarlyEnd {
    /// The number of bytes after which it has ended its output.
    pub answered: Cell<Option<usize>>,
    /// When it has closed the connection.
    pub closed_at: Cell<Option<Instant>>,
}

impl EarlyEnd {
    /// Returns `true` if the server reads no more at `now`, or need not: where accepting fails, it
    /// closes what waits for its peer.
    pub fn is_over(&self, now: impl FnOnce() -> Instant, closes_early: bool) -> bool {
        let is_over = |closed_at| closes_early || now() >= closed_at + LINGER;
        self.closed_at.get().is_some_and(is_over)
    }
}

/// Gives a connection by chance a service that ends first.
pub fn draw(plan: &mut TalkPlan, rng: &mut Rng) {
    if !one_in(rng, 4) || !Service::ALL.contains(&plan.service) {
        return;
    }
    let services = [Service::EndsFirst, Service::ClosesFirst];
    plan.service = services[rng.usize(0..services.len())];
    let may_stay = one_in(rng, 4) && plan.end != End::GiveUp;
    plan.end = if may_stay { plan.end } else { End::HalfClose };
    plan.panics_at = None;
    if one_in(rng, 3) {
        // More than the buffers hold: some of it is on its way when the server ends.
        plan.length = rng.usize(1..=400_000);
        plan.chunk = 1 + rng.usize(plan.length / 30..=plan.length);
        plan.read = 1 + plan.length / 40 + rng.usize(0..=8192);
    }
    plan.turn = 1 + rng.usize(0..=plan.length);
}

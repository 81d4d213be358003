//! Tasks that keep their poller for a while in each poll.

use std::time::Duration;

use corepoll::{sim, yield_now};

/// Computes for a time in each of so many polls.
pub async fn compute(time: Duration, polls: u32) {
    for _ in 0..polls {
        sim::compute(time);
        yield_now().await;
    }
}

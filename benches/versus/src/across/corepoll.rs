//! Tasks of two pollers, each beside a task that always runs.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use corepoll::{Reactor, block_on, spawn_local, yield_now};

use super::{Court, play};

pub(super) fn round_trips(rounds: u64) -> io::Result<Duration> {
    let running = Reactor::builder().pollers(2).build()?.start()?;
    let court = Arc::new(Court::default());
    let start = Instant::now();
    let player = |me: usize| {
        let court = court.clone();
        running.handle().pollers()[me].spawn_on(move || async move {
            let busy = spawn_local(async {
                loop {
                    yield_now().await;
                }
            });
            play(court, me, rounds).await;
            busy.abort();
        })
    };
    for player in [0, 1].map(player) {
        block_on(player).map_err(io::Error::other)?;
    }
    let elapsed = start.elapsed();
    running.handle().shutdown(Duration::ZERO);
    running.join()?;
    Ok(elapsed)
}

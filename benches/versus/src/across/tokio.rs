//! Tasks of two current-thread runtimes, each beside a task that always runs.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::task::yield_now;

use super::{Court, play};

pub(super) fn round_trips(rounds: u64) -> io::Result<Duration> {
    let court = Arc::new(Court::default());
    let start = Instant::now();
    let player = |me: usize| {
        let court = court.clone();
        thread::spawn(move || -> io::Result<()> {
            let runtime = Builder::new_current_thread().enable_io().build()?;
            runtime.block_on(async move {
                let busy = tokio::spawn(async {
                    loop {
                        yield_now().await;
                    }
                });
                // As a task of its own: what block_on runs is woken in another way.
                let played = tokio::spawn(play(court, me, rounds)).await;
                busy.abort();
                played.map_err(io::Error::other)
            })
        })
    };
    for player in [0, 1].map(player) {
        player.join().map_err(|_| io::Error::other("a runtime panicked"))??;
    }
    Ok(start.elapsed())
}

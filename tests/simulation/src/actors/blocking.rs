//! Blocking calls, each on a thread of its own.

use std::time::Duration;

use corepoll::{sim, spawn_blocking, time};
use fastrand::Rng;

use crate::model::{model, now};

/// Makes a blocking call, whose result comes when it is over. Some panic, and some are aborted.
pub async fn block(rng: &mut Rng) {
    let time = Duration::from_micros(rng.u64(0..50_000));
    let panics = rng.u32(0..4) == 0;
    let begun = now();
    let call = spawn_blocking(move || {
        sim::compute(time);
        if panics {
            panic!("planned");
        }
        time
    });
    if rng.u32(0..4) == 0 {
        time::sleep(time / 2).await;
        let is_over = call.is_finished();
        call.abort();
        if !is_over && !matches!(call.await, Err(error) if error.is_cancelled()) {
            model().violated("an aborted call has not been cancelled");
        }
        return;
    }
    let result = call.await;
    model().check_due("a blocking call", begun + time, now());
    let is_right = match result {
        Ok(returned) => !panics && returned == time,
        Err(error) => panics && error.is_panic(),
    };
    if !is_right {
        model().violated("a blocking call has not brought its result");
    }
}

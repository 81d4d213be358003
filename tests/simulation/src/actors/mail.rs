//! Closures for another poller, of which no more than its budget allows may wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use corepoll::{ReactorHandle, TryRunOnError, time};
use fastrand::Rng;

use crate::model::model;

/// Long enough for a poller to run all that waits for it.
const LONG: Duration = Duration::from_secs(10);

/// Sends closures faster than a poller runs them. Those that it takes run once, in their order.
pub async fn use_mail(reactor: &ReactorHandle, rng: &mut Rng) {
    let pollers = reactor.pollers();
    let other = &pollers[rng.usize(0..pollers.len())];
    let limit = model().plan.timing.budget.mail_waiting as u64;
    let run = Arc::new(AtomicU64::new(0));
    let mut taken = 0;
    for number in 0..rng.u64(1..50) {
        // No other thread runs before this one calls the kernel, so the number is exact.
        let waiting = other.stats().mail_waiting;
        let (run, expected) = (run.clone(), taken);
        let sent = other.try_run_on(move || {
            if run.fetch_add(1, Ordering::Relaxed) != expected {
                model().violated("closures of a thread have changed their order");
            }
        });
        match sent {
            Ok(()) if waiting >= limit => {
                model().violated(format_args!("{waiting} closures wait, and one more may"));
            }
            Err(TryRunOnError::Full(_)) if waiting < limit => {
                model().violated(format_args!("{waiting} closures of {limit} are too many"));
            }
            Err(TryRunOnError::Ended(_)) if !model().is_shut_down.get() => {
                model().violated(format_args!("a poller has ended at closure {number}"));
            }
            Ok(()) => taken += 1,
            Err(_) => {}
        }
    }
    time::sleep(LONG).await;
    let run = run.load(Ordering::Relaxed);
    if run != taken && !model().is_shut_down.get() {
        model().violated(format_args!("{taken} closures were taken, and {run} have run"));
    }
}

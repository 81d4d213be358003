//! Tasks that arm timers, and move and cancel them before they fire.

use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use corepoll::time::{self, Sleep};
use fastrand::Rng;

use super::intervals::use_interval;
use crate::model::{model, now};

/// Uses timers in all ways, a few times.
pub async fn use_timers(mut rng: Rng) {
    for _ in 0..rng.u32(1..10) {
        let delay = delay(&mut rng);
        let due = now() + delay;
        match rng.u32(0..5) {
            0 => drop(Box::pin(polled_once(time::sleep(delay)).await)),
            1 => {
                let _ = time::timeout(delay, pending::<()>()).await;
                model().check_due("a timeout", due, now());
            }
            2 => move_sleep(&mut rng, delay).await,
            3 => {
                let count = rng.u32(1..4);
                use_interval(&mut rng, delay, count).await;
            }
            _ => {
                time::sleep(delay).await;
                model().check_due("a sleep", due, now());
            }
        }
    }
}

/// Returns a sleep that is armed.
async fn polled_once(sleep: Sleep) -> Pin<Box<Sleep>> {
    let mut sleep = Box::pin(sleep);
    poll_fn(|cx| {
        let _ = sleep.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
    sleep
}

/// Moves a sleep a few times, and waits for it.
async fn move_sleep(rng: &mut Rng, first: Duration) {
    let mut sleep = polled_once(time::sleep(first)).await;
    for _ in 0..rng.u32(1..4) {
        let due = if rng.u32(0..4) == 0 { now() } else { now() + delay(rng) };
        sleep.as_mut().reset(due);
        if sleep.is_elapsed() {
            let polled = poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx))).await;
            if polled.is_pending() {
                model().violated("a sleep has elapsed and is pending");
            }
        } else if rng.bool() {
            time::sleep(delay(rng) / 8).await;
        }
    }
    let (due, begun) = (sleep.deadline(), now());
    sleep.await;
    check_wait("a sleep that was moved", due, begun);
}

/// Checks a wait that began at `begun` for something due at `due`, which may have been before.
pub(super) fn check_wait(what: &str, due: Instant, begun: Instant) {
    if due > begun {
        model().check_due(what, due, now());
    } else {
        model().check_prompt(what, now() - begun);
    }
}

/// Returns a delay by chance: often short, at times a while.
fn delay(rng: &mut Rng) -> Duration {
    let most = [1_000, 50_000, 2_000_000][rng.usize(0..3)];
    Duration::from_micros(rng.u64(0..most))
}

//! Values at the edge: every number, duration and point in time that a user can pass, from nothing to
//! the greatest that there is.

mod common;

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use corepoll::block_on;
use corepoll::time::{self, Sleep};

// ---- points in time ----

/// One poll, of which nobody hears.
fn poll(future: Pin<&mut impl Future>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// The next poll is ready if the sleep says so, and never else.
fn agrees(mut sleep: Pin<&mut Sleep>) -> bool {
    let said = sleep.is_elapsed();
    let found = poll(sleep.as_mut());
    assert!(found || !said, "it has elapsed, and waits");
    assert!(!found || sleep.is_elapsed(), "it is early");
    found
}

#[test]
fn a_sleep_whose_time_has_come_is_ready_at_the_next_poll() {
    block_on(async {
        let hour = Duration::from_secs(3600);
        let past =
            [Instant::now(), Instant::now() - Duration::from_nanos(1), Instant::now() - hour];
        for deadline in past {
            // Never armed; armed for later, and reset; armed, reset and never polled in between.
            assert!(agrees(pin!(time::sleep_until(deadline))));
            let mut sleep = pin!(time::sleep(hour));
            assert!(!agrees(sleep.as_mut()));
            sleep.as_mut().reset(deadline);
            assert!(agrees(sleep.as_mut()) && agrees(sleep.as_mut()));
            sleep.as_mut().reset(Instant::now() + hour);
            assert!(!agrees(sleep.as_mut()));
            sleep.as_mut().reset(Instant::now() + 2 * hour);
            sleep.as_mut().reset(deadline);
            assert!(agrees(sleep.as_mut()));
        }
        // Its time comes while its poller does something else.
        let mut sleep = pin!(time::sleep(Duration::from_millis(1)));
        let mut limit = pin!(time::timeout(Duration::from_millis(1), std::future::pending::<()>()));
        assert!(!poll(limit.as_mut()));
        let armed = agrees(sleep.as_mut());
        thread::sleep(Duration::from_millis(2));
        assert!(armed || sleep.is_elapsed());
        assert!(agrees(sleep) && poll(limit));
        // A beat that is begun anew, with a period of nothing.
        let mut beat = time::interval(Duration::ZERO);
        beat.reset();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(beat.poll_tick(&mut cx), Poll::Ready(due) if due <= time::now()));
    });
}

//! hyper's timers.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use corepoll::time;

/// Gives hyper the timers of the poller that polls it, and its clock.
///
/// A timer that is reset to a later time costs a store. On a thread without a poller, waiting
/// panics.
///
/// hyper's own timeouts need a timer: `http1::Builder` has a limit of 30 seconds for the head of a
/// request, which has no effect before `timer` is called.
///
/// # Examples
///
/// ```
/// use corepoll_hyper::LocalTimer;
/// use hyper::server::conn::http1;
/// use std::time::Duration;
///
/// let mut http = http1::Builder::new();
/// http.timer(LocalTimer).header_read_timeout(Duration::from_secs(10));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct LocalTimer;

impl hyper::rt::Timer for LocalTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep(time::sleep(duration)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep(time::sleep_until(deadline)))
    }

    fn now(&self) -> Instant {
        time::now()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Sleep>() {
            Some(ours) => Pin::new(&mut ours.get_mut().0).reset(deadline),
            // The sleep of another timer.
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

/// A sleep of corepoll that hyper knows as its own.
struct Sleep(time::Sleep);

impl hyper::rt::Sleep for Sleep {}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

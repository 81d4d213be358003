//! A future with a deadline.
//!
//! The inner future is polled first, and its output wins. So a timeout never takes away what has
//! come in time.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::task::coop;

use super::sleep::{Sleep, sleep, sleep_until};

/// Limits `future` to the time `limit`, from now on.
///
/// If both the output and the deadline are ready in one turn, the output wins.
///
/// # Cancel safety
///
/// Dropping the [`Timeout`] drops `future`: it is cancel-safe if `future` is.
///
/// # Examples
///
/// ```
/// use corepoll::{block_on, time};
/// use std::time::Duration;
///
/// block_on(async {
///     let limit = Duration::from_millis(1);
///     assert_eq!(time::timeout(limit, async { 7 }).await, Ok(7));
///     assert!(time::timeout(limit, std::future::pending::<()>()).await.is_err());
/// });
/// ```
pub fn timeout<F: Future>(limit: Duration, future: F) -> Timeout<F> {
    Timeout { future, sleep: sleep(limit), has_waited: false }
}

/// Limits `future` to the time until `deadline`: see [`timeout`].
///
/// # Cancel safety
///
/// Dropping the [`Timeout`] drops `future`: it is cancel-safe if `future` is.
///
/// # Examples
///
/// ```
/// use corepoll::{block_on, time};
/// use std::time::Instant;
///
/// block_on(async {
///     let late = time::timeout_at(Instant::now(), std::future::pending::<()>()).await;
///     assert!(late.is_err());
/// });
/// ```
pub fn timeout_at<F: Future>(deadline: Instant, future: F) -> Timeout<F> {
    Timeout { future, sleep: sleep_until(deadline), has_waited: false }
}

pin_project_lite::pin_project! {
    /// The future of [`timeout`] and [`timeout_at`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::time::{self, Timeout};
    /// # use std::future::{Ready, ready};
    /// # use std::time::Duration;
    /// # corepoll::block_on(async {
    /// let limited: Timeout<Ready<u8>> = time::timeout(Duration::from_secs(1), ready(7));
    /// assert_eq!(limited.await, Ok(7));
    /// # });
    /// ```
    #[derive(Debug)]
    #[must_use = "a future does nothing until it is awaited"]
    pub struct Timeout<F> {
        // The future that is limited.
        #[pin]
        future: F,
        // The time that is left for it. It arms its timer at the first poll that is pending.
        sleep: Sleep,
        // `true` after a poll that was pending. A timeout that has elapsed in its first poll uses
        // an operation of its task, so that a loop of such timeouts does not keep the poller.
        has_waited: bool,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        // This uses no operation of the task: a future that uses up all of them must not outlive
        // its time.
        let missed = this.sleep.poll_missed(cx);
        if !std::mem::replace(this.has_waited, true) && missed.is_ready() {
            ready!(coop::poll_proceed(cx));
        }
        missed.map(|()| Err(Elapsed(())))
    }
}

/// The error of a future whose deadline came first.
///
/// # Examples
///
/// ```
/// use corepoll::{block_on, time};
/// use std::io;
/// use std::time::Duration;
///
/// let result: io::Result<()> = block_on(async {
///     time::timeout(Duration::from_millis(1), std::future::pending()).await?
/// });
/// assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the deadline has passed")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}

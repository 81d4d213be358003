//! The error of `PollerHandle::try_run_on`, with the closure that the poller did not take.
//!
//! The closure comes back, since it may own what the caller needs for another try, or for an
//! answer.

use std::error::Error;
use std::fmt;

/// The error of [`PollerHandle::try_run_on`](crate::PollerHandle::try_run_on): why the poller did
/// not take the closure, with the closure.
///
/// # Examples
///
/// ```
/// use corepoll::{PollerHandle, TryRunOnError};
///
/// /// Sends a report, or drops it if the poller has enough to do.
/// fn report(poller: &PollerHandle, text: String) -> Result<(), &'static str> {
///     match poller.try_run_on(move || println!("{text}")) {
///         Err(TryRunOnError::Ended(_)) => Err("the poller has ended"),
///         Ok(()) | Err(_) => Ok(()),
///     }
/// }
///
/// # fn main() -> std::io::Result<()> {
/// # let running = corepoll::Reactor::builder().pollers(1).build()?.start()?;
/// let poller = running.handle().pollers()[0].clone();
/// assert!(report(&poller, "all is well".to_owned()).is_ok());
/// # running.handle().shutdown(std::time::Duration::ZERO);
/// # running.join()?;
/// assert!(report(&poller, "too late".to_owned()).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryRunOnError<F> {
    /// As many closures as [`Budget::mail_waiting`](crate::Budget::mail_waiting) allows wait for
    /// the poller already. A later try may succeed.
    Full(F),
    /// The poller has ended. No later try succeeds.
    Ended(F),
}

impl<F> TryRunOnError<F> {
    /// Returns the closure that was not taken.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::TryRunOnError;
    /// let error = TryRunOnError::Full(|| 7);
    /// assert_eq!(error.into_inner()(), 7);
    /// ```
    pub fn into_inner(self) -> F {
        match self {
            TryRunOnError::Full(f) | TryRunOnError::Ended(f) => f,
        }
    }
}

impl<F> fmt::Debug for TryRunOnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryRunOnError::Full(_) => "Full(..)",
            TryRunOnError::Ended(_) => "Ended(..)",
        })
    }
}

impl<F> fmt::Display for TryRunOnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryRunOnError::Full(_) => "too many closures wait for the poller",
            TryRunOnError::Ended(_) => "the poller has ended",
        })
    }
}

impl<F> Error for TryRunOnError<F> {}

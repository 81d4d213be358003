//! Signals of the process, as futures. Needs the feature `signal`.
//!
//! The first use of a signal installs a handler for the life of the process: from then on the
//! signal no longer does what the kernel has it do by default, even while nobody waits for it. What
//! a second SIGTERM does is for the program to say:
//!
//! ```no_run
//! use corepoll::{Reactor, signal};
//! use std::time::Duration;
//!
//! # fn main() -> std::io::Result<()> {
//! let running = Reactor::new()?.start()?;
//! let handle = running.handle();
//! // Not a task of the reactor, whose shutdown waits for its tasks.
//! std::thread::spawn(move || -> std::io::Result<()> {
//!     corepoll::block_on(async move {
//!         let mut ends = signal::Signal::new([libc::SIGINT, libc::SIGTERM])?;
//!         ends.recv().await?;
//!         handle.shutdown(Duration::from_secs(30));
//!         // Again: somebody is in a hurry.
//!         ends.recv().await?;
//!         std::process::exit(1)
//!     })
//! });
//! running.join()?;
//! # Ok(())
//! # }
//! ```
//!
//! A signal reaches everybody who waits for it, on whichever poller.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::local::registration::Registration;
use crate::local::state::Local;
use crate::parts::readiness::Direction;
use crate::sys::signal::{PendingSignals, SIGINT, SIGTERM};

/// Resolves at the next SIGINT: Ctrl-C in the terminal. It counts from this call on, not from the
/// first poll.
///
/// Cancel-safe in itself; but a signal that comes between one of these futures and the next is
/// nobody's: a loop keeps a [`Signal`].
///
/// ```
/// use corepoll::{Reactor, signal};
///
/// # fn main() -> std::io::Result<()> {
/// let reactor = Reactor::new()?;
/// reactor.handle().serve("127.0.0.1:0", |stream, _peer| async move {
///     futures::io::copy(&stream, &mut &stream).await
/// })?;
/// let interrupted = signal::ctrl_c();
/// # signal_hook::low_level::raise(libc::SIGINT)?;
/// reactor.run_until(interrupted)??;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When it is awaited: sigaction(2)'s; there are no descriptors; it is awaited outside of a poller.
pub fn ctrl_c() -> impl Future<Output = io::Result<()>> {
    let next = any([SIGINT]);
    async move { next.await.map(drop) }
}

/// Resolves at the next SIGTERM, the polite request to end: see [`ctrl_c`].
///
/// ```
/// # use corepoll::signal;
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let terminated = signal::terminate();
///     # signal_hook::low_level::raise(libc::SIGTERM)?;
///     terminated.await
/// })?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`ctrl_c`].
pub fn terminate() -> impl Future<Output = io::Result<()>> {
    let next = any([SIGTERM]);
    async move { next.await.map(drop) }
}

/// Resolves at the next one of `signals`, by their numbers, and says which it was: see [`ctrl_c`].
///
/// ```
/// use corepoll::signal;
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let next = signal::any([libc::SIGINT, libc::SIGTERM]);
///     # signal_hook::low_level::raise(libc::SIGTERM)?;
///     match next.await? {
///         libc::SIGINT => println!("interrupted"),
///         _ => println!("terminated"),
///     }
///     Ok(())
/// })
/// # }
/// ```
///
/// # Errors
/// As [`ctrl_c`]; and `InvalidInput` if one of them cannot be waited for, like SIGKILL.
pub fn any(signals: impl IntoIterator<Item = i32>) -> impl Future<Output = io::Result<i32>> {
    let signal = Signal::new(signals);
    async move { signal?.recv().await }
}

/// Signals of the process, one after the other, as a stream or by [`Signal::recv`].
///
/// None is lost while it lives, from [`Signal::new`] on; but one that comes again before it was
/// received is received once, as always with signals.
///
/// ```
/// use corepoll::signal::Signal;
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let mut hangups = Signal::new([libc::SIGHUP])?;
///     # signal_hook::low_level::raise(libc::SIGHUP)?;
///     assert_eq!(hangups.recv().await?, libc::SIGHUP);
///     Ok(())
/// })
/// # }
/// ```
#[derive(Debug)]
#[must_use = "it does nothing until it is polled"]
pub struct Signal {
    /// The registration with the poller that last polled it. Declared first, dropped first.
    registration: Option<Registration>,
    pending: PendingSignals,
}

impl Signal {
    /// Watches for `signals`, by their numbers, from now on. May be called outside of a poller.
    ///
    /// ```
    /// # use corepoll::signal::Signal;
    /// # fn main() -> std::io::Result<()> {
    /// let ends = Signal::new([libc::SIGINT, libc::SIGTERM])?;
    /// // Nobody is told of SIGKILL.
    /// assert!(Signal::new([libc::SIGKILL]).is_err());
    /// # drop(ends);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `InvalidInput`: one of them cannot be waited for, like SIGKILL; sigaction(2)'s; there are no
    /// descriptors.
    pub fn new(signals: impl IntoIterator<Item = i32>) -> io::Result<Signal> {
        Ok(Signal { registration: None, pending: PendingSignals::new(signals)? })
    }

    /// The number of the next signal.
    ///
    /// Cancel-safe: dropping the future loses no signal.
    ///
    /// ```
    /// # use corepoll::signal::Signal;
    /// # corepoll::block_on(async {
    /// let mut user = Signal::new([libc::SIGUSR1, libc::SIGUSR2])?;
    /// # signal_hook::low_level::raise(libc::SIGUSR2)?;
    /// assert_eq!(user.recv().await?, libc::SIGUSR2);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// It is awaited outside of a poller, or the kernel refuses the registration.
    pub async fn recv(&mut self) -> io::Result<i32> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<i32>> {
        let pending = &self.pending;
        let registration = match &mut self.registration {
            Some(present) if is_here(present) => present,
            other => {
                *other = None;
                let local = Local::expect_current("Signal::recv")?;
                other.insert(Registration::new(std::os::fd::AsFd::as_fd(pending), local)?)
            }
        };
        registration.poll_io(cx, Direction::Read, || {
            pending.take().ok_or_else(|| io::ErrorKind::WouldBlock.into())
        })
    }
}

/// Whether a registration is with the poller of this thread.
fn is_here(registration: &Registration) -> bool {
    Local::current().is_some_and(|here| Rc::ptr_eq(&here, registration.local()))
}

impl Stream for Signal {
    type Item = io::Result<i32>;

    /// Never ends; an error is that of [`Signal::recv`].
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_recv(cx).map(Some)
    }
}

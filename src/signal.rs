//! Signals of the process, as futures. Needs the feature `signal`.
//!
//! | to | use |
//! |---|---|
//! | wait for Ctrl-C once | [`ctrl_c`] |
//! | wait for the SIGTERM of a service manager once | [`terminate`] |
//! | wait for the first of several signals once | [`any`] |
//! | receive signals in a loop, without losing one in between | [`Signal`] |
//!
//! A signal is given by its number. The usual ones are here; the crate `libc` has the others. It
//! reaches every future and every [`Signal`] that waits for it, on whichever poller.
//!
//! # What a signal does from then on
//!
//! The first use of a signal installs a handler for the life of the process. From then on the signal
//! no longer has its default action, even while no task waits for it. So a program that stops at the
//! first SIGTERM must also decide what the second one does.
//!
//! # Examples
//!
//! A server that shuts down with a grace of 30 seconds, and ends at once if it is asked again:
//!
//! ```no_run
//! use corepoll::{Reactor, signal};
//! use std::time::Duration;
//!
//! # fn main() -> std::io::Result<()> {
//! let running = Reactor::new()?.start()?;
//! let handle = running.handle();
//! // A thread and not a task of the reactor, as a shutdown waits for tasks.
//! std::thread::spawn(move || -> std::io::Result<()> {
//!     corepoll::block_on(async move {
//!         let mut requests = signal::Signal::new([signal::SIGINT, signal::SIGTERM])?;
//!         requests.recv().await?;
//!         handle.shutdown(Duration::from_secs(30));
//!         requests.recv().await?;
//!         std::process::exit(1)
//!     })
//! });
//! running.join()?;
//! # Ok(())
//! # }
//! ```

use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::base::slab::Slab;
use crate::base::token::Token;
use crate::local::registration::Registration;
use crate::local::state::Local;
use crate::parts::readiness::Direction;
use crate::sys::signal::PendingSignals;
use crate::task::SharedRef;

pub use crate::sys::signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

/// Waits for the next SIGINT, which Ctrl-C sends in a terminal. It counts from this call on, and
/// not from the first poll.
///
/// The future is `Send` and `Sync`: see [`Signal`] for what happens where it is polled.
///
/// # Errors
///
/// When it is awaited, it returns the errors of sigaction(2) and eventfd(2), and an error if there
/// is no poller on this thread.
///
/// # Cancel safety
///
/// Dropping the future does no harm. But a signal that comes between two of these futures is lost: a
/// loop should keep a [`Signal`].
///
/// # Examples
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
pub fn ctrl_c() -> impl Future<Output = io::Result<()>> + Send + Sync {
    let next = any([SIGINT]);
    async move { next.await.map(drop) }
}

/// Waits for the next SIGTERM, by which a service manager asks a program to end: see [`ctrl_c`].
///
/// # Errors
///
/// Returns the errors of [`ctrl_c`].
///
/// # Cancel safety
///
/// See [`ctrl_c`].
///
/// # Examples
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
pub fn terminate() -> impl Future<Output = io::Result<()>> + Send + Sync {
    let next = any([SIGTERM]);
    async move { next.await.map(drop) }
}

/// Waits for the next one of `signals`, given by their numbers, and returns which it was: see
/// [`ctrl_c`].
///
/// # Errors
///
/// Returns the errors of [`ctrl_c`], and `InvalidInput` if one of the signals cannot be caught, such
/// as SIGKILL.
///
/// # Cancel safety
///
/// See [`ctrl_c`].
///
/// # Examples
///
/// ```
/// use corepoll::signal;
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let next = signal::any([signal::SIGINT, signal::SIGTERM]);
///     # signal_hook::low_level::raise(libc::SIGTERM)?;
///     match next.await? {
///         signal::SIGINT => println!("interrupted"),
///         _ => println!("terminated"),
///     }
///     Ok(())
/// })
/// # }
/// ```
pub fn any(
    signals: impl IntoIterator<Item = i32>,
) -> impl Future<Output = io::Result<i32>> + Send + Sync {
    let signal = Signal::new(signals);
    async move { signal?.recv().await }
}

/// A stream of signals of the process, which [`Signal::recv`] also returns one by one.
///
/// No signal is lost from [`Signal::new`] on while the value lives. A signal that comes again
/// before it was received is received once, as always with signals.
///
/// It is `Send` and `Sync`, and so are its futures. The first poll registers it with the poller of
/// that thread. If another poller polls it later, the registration moves there; the signals that
/// have come meanwhile come along. It may be dropped on any thread.
///
/// # Examples
///
/// ```
/// use corepoll::signal::{SIGHUP, Signal};
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let mut hangups = Signal::new([SIGHUP])?;
///     # signal_hook::low_level::raise(SIGHUP)?;
///     assert_eq!(hangups.recv().await?, SIGHUP);
///     Ok(())
/// })
/// # }
/// ```
#[derive(Debug)]
#[must_use = "it does nothing until it is polled"]
pub struct Signal {
    /// Where it is registered: the poller that last polled it. `None` until the first poll.
    armed: Option<Armed>,
    /// The signals that have come, and the descriptor that says so.
    pending: Arc<PendingSignals>,
}

/// The place of a registration in the poller that has it.
#[derive(Debug)]
struct Armed {
    /// The poller.
    poller: SharedRef,
    /// The place among its [`Registrations`].
    place: Token,
}

/// The signals that are registered with one poller: a value of the poller, as
/// [`with_local`](crate::with_local) lends them. It keeps what must not leave the poller's thread,
/// and ends with the poller.
struct Registrations(Slab<Rc<Registered>>);

/// A signal that is registered with a poller.
struct Registered {
    /// The registration. It is declared first, so that it is dropped before its descriptor.
    registration: Registration,
    /// Keeps the descriptor open for as long as it is registered, on whichever thread the `Signal`
    /// is dropped: its number could otherwise be that of another descriptor by then.
    pending: Arc<PendingSignals>,
}

impl Registrations {
    /// Lends the registrations of `local` to `f`, in which no foreign code may run.
    fn with<R>(local: &Local, f: impl FnOnce(&mut Slab<Rc<Registered>>) -> R) -> R {
        local.values.with(|| Registrations(Slab::new()), |registrations| f(&mut registrations.0))
    }
}

impl Signal {
    /// Starts to receive `signals`, given by their numbers. May be called outside of a poller.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` if one of the signals cannot be caught, such as SIGKILL; and the errors of
    /// sigaction(2) and eventfd(2).
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::signal::Signal;
    /// # fn main() -> std::io::Result<()> {
    /// let ends = Signal::new([libc::SIGINT, libc::SIGTERM])?;
    /// // SIGKILL cannot be caught.
    /// assert!(Signal::new([libc::SIGKILL]).is_err());
    /// # drop(ends);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(signals: impl IntoIterator<Item = i32>) -> io::Result<Signal> {
        Ok(Signal { armed: None, pending: Arc::new(PendingSignals::new(signals)?) })
    }

    /// Waits for the next signal and returns its number.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no poller on this thread, and the errors of epoll_ctl(2).
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe: dropping its future loses no signal.
    ///
    /// # Examples
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
    pub async fn recv(&mut self) -> io::Result<i32> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Polls for the next signal, in the poller of this thread.
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<i32>> {
        let local = Local::expect_current("Signal::recv")?;
        let registered = self.registered(&local)?;
        registered.registration.poll_io(cx, Direction::Read, || {
            registered.pending.take().ok_or_else(|| io::ErrorKind::WouldBlock.into())
        })
    }

    /// Returns the registration with `local`, the poller of this thread. It is made if there is
    /// none, and that with another poller ends.
    fn registered(&mut self, local: &Rc<Local>) -> io::Result<Rc<Registered>> {
        if let Some(armed) = self.armed.as_ref().filter(|armed| armed.poller.is_current())
            && let Some(present) =
                Registrations::with(local, |registrations| registrations.get(armed.place).cloned())
        {
            return Ok(present);
        }
        self.disarm();
        let registered = match self.take_left_over(local) {
            Some(left_over) => left_over,
            None => Rc::new(Registered {
                registration: Registration::new(self.pending.as_fd(), local.clone())?,
                pending: self.pending.clone(),
            }),
        };
        let place = Registrations::with(local, |registrations| {
            registrations.insert_with(|_| registered.clone())
        });
        self.armed = SharedRef::current().map(|poller| Armed { poller, place });
        Ok(registered)
    }

    /// Takes out the registration that is left of an earlier visit to the poller `local`, if the mail
    /// that ends it has not been opened yet. Epoll would refuse a second one. In its new place the
    /// mail no longer finds it.
    fn take_left_over(&self, local: &Local) -> Option<Rc<Registered>> {
        Registrations::with(local, |registrations| {
            let is_ours = |it: &Rc<Registered>| Arc::ptr_eq(&it.pending, &self.pending);
            let place =
                registrations.tokens().find(|place| registrations.get(*place).is_some_and(is_ours));
            registrations.remove(place?)
        })
    }

    /// Ends the registration, in whichever poller it is.
    fn disarm(&mut self) {
        let Some(Armed { poller, place }) = self.armed.take() else { return };
        let remove = move || {
            // The registrations of a poller that has ended are dropped with its other values.
            let local = Local::current().filter(|local| !local.has_ended());
            drop(local.and_then(|local| {
                Registrations::with(&local, |registrations| registrations.remove(place))
            }));
        };
        // A registration can only be taken out on the thread of its poller. Elsewhere the request
        // goes by mail.
        if poller.is_current() {
            remove();
        } else {
            // A poller that has ended has dropped it.
            let _ = poller.post(remove);
        }
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl Stream for Signal {
    type Item = io::Result<i32>;

    /// Polls for the next signal. The stream never ends; its errors are those of [`Signal::recv`].
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_recv(cx).map(Some)
    }
}

const _: () = {
    const fn send_and_sync<T: Send + Sync + Unpin>() {}
    send_and_sync::<Signal>();
};

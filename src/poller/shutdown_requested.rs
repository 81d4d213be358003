//! Waiting for the shutdown of a poller, in a future that may be sent to other threads.
//!
//! The poller that first polls the future is the one whose shutdown it waits for. In that poller
//! its waker lies in the list of `local::shutdown`, and a poll costs a comparison of wakers. If
//! another thread or poller polls it later, a [`Relay`] takes the place in the list: its wake
//! reaches the task wherever that is.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use crate::base::token::Token;
use crate::local::state::Local;
use crate::task::{SharedRef, drop_ignoring_panic, ignore_panic};

/// Waits until the reactor of this poller is asked to shut down, or the poller ends.
///
/// It returns at once if that has happened already. A poller without a reactor, such as that of
/// [`block_on`](crate::block_on), is never asked to shut down.
///
/// # Panics
///
/// The future panics if it is first polled outside of a poller.
///
/// # Cancel safety
///
/// Dropping the future loses nothing: a later call finds the request again.
///
/// # Examples
///
/// ```
/// use corepoll::{Reactor, block_on, shutdown_requested};
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// let running = Reactor::builder().pollers(1).build()?.start()?;
/// let task = running.handle().pollers()[0].spawn_on(|| async {
///     shutdown_requested().await;
///     "goodbye"
/// });
/// running.handle().shutdown(Duration::from_secs(5));
/// assert_eq!(block_on(task).unwrap(), "goodbye");
/// running.join()?;
/// # Ok(())
/// # }
/// ```
pub fn shutdown_requested() -> ShutdownRequested {
    ShutdownRequested { waiting: None }
}

/// The future of [`shutdown_requested`].
///
/// It is plain data, `Send` and `Sync`, until it is first polled. From then on it waits for the
/// shutdown or the end of the poller that has polled it, even if it is polled somewhere else later:
/// in another poller, or on a thread without one. It may be dropped on any thread.
///
/// # Examples
///
/// ```
/// use corepoll::{ShutdownRequested, shutdown_requested};
///
/// /// A connection, which says goodbye when the server shuts down.
/// struct Session {
///     end: ShutdownRequested,
/// }
///
/// fn asks_for_send(_: &impl Send) {}
/// let session = Session { end: shutdown_requested() };
/// asks_for_send(&session);
/// ```
#[must_use = "a future does nothing until it is awaited"]
pub struct ShutdownRequested {
    /// Where it waits; `None` until the first poll.
    waiting: Option<Waiting>,
}

/// A place in the list of a poller's waiters.
struct Waiting {
    /// The poller.
    poller: SharedRef,
    /// The place of the waker in its list.
    place: Option<Token>,
    /// What lies at that place, or is on its way there, once other code than the poller's has
    /// polled the future.
    relay: Option<Arc<Relay>>,
}

impl Waiting {
    /// Polls on the thread of the poller.
    fn poll_here(&mut self, local: &Local, cx: &mut Context<'_>) -> Poll<()> {
        // Nothing asks a poller that has ended.
        if local.has_ended() || local.shutdown.has_begun() {
            return Poll::Ready(());
        }
        match &self.relay {
            Some(relay) => relay.poll(cx),
            None => local.shutdown.poll(cx, &mut self.place),
        }
    }

    /// Polls outside of the poller: on another thread, or in another poller of this one.
    #[cold]
    fn poll_elsewhere(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(relay) = &self.relay {
            return relay.poll(cx);
        }
        let relay = Arc::new(Relay::default());
        let waits = relay.poll(cx);
        self.relay = Some(relay.clone());
        // If the poller has ended, or ends before it takes the closure up, the drop of `ends` says
        // that the wait is over.
        let (place, ends) = (self.place, EndsOnDrop(Some(relay)));
        let take_place = move || {
            let mut ends = ends;
            let Some(local) = Local::current() else { return };
            if local.has_ended() || local.shutdown.has_begun() {
                return;
            }
            // The wait goes on in the list. If the place is gone, the future was dropped meanwhile.
            if let Some(relay) = ends.0.take() {
                drop_ignoring_panic(local.shutdown.replace(place, relay.into()));
            }
        };
        match self.poller.post(take_place) {
            Ok(()) => waits,
            Err(_) => Poll::Ready(()),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(relay) = &self.relay {
            drop_ignoring_panic(relay.lock().waker.take());
        }
        let place = self.place;
        // The list belongs to the poller's thread. Elsewhere the request goes by mail.
        let forget = move || {
            let mut place = place;
            let forgotten = Local::with_current(|local| local.shutdown.forget(&mut place));
            drop_ignoring_panic(forgotten.flatten());
        };
        if self.poller.is_current() {
            forget();
        } else {
            // If the poller has ended, its list is empty.
            let _ = self.poller.post(forget);
        }
    }
}

/// A waker in the list of a poller, for a task that is somewhere else.
#[derive(Default)]
struct Relay {
    /// Whether the wait is over, and which task is woken then.
    state: Mutex<RelayState>,
}

/// The state of a relay.
#[derive(Default)]
struct RelayState {
    /// Whether the shutdown was requested, or the poller has ended.
    is_over: bool,
    /// The task that was the last to poll.
    waker: Option<Waker>,
}

impl Relay {
    /// Locks the state. No foreign code runs under this lock.
    fn lock(&self) -> MutexGuard<'_, RelayState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns `Ready` if the wait is over; otherwise the task is woken when it is.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        // Cloned before the lock, and what was there is dropped after it: both are foreign code.
        let waker = cx.waker().clone();
        let mut state = self.lock();
        let is_over = state.is_over;
        let before = state.waker.replace(waker);
        drop(state);
        drop_ignoring_panic(before);
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        let mut state = self.lock();
        state.is_over = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            ignore_panic(|| waker.wake());
        }
    }
}

/// Ends the wait of a relay when it is dropped with it.
struct EndsOnDrop(Option<Arc<Relay>>);

impl Drop for EndsOnDrop {
    fn drop(&mut self) {
        if let Some(relay) = self.0.take() {
            relay.wake();
        }
    }
}

impl Future for ShutdownRequested {
    type Output = ();

    ///
    /// # Panics
    ///
    /// Panics if it is first polled outside of a poller.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let waiting = self.waiting.get_or_insert_with(|| {
            let poller = SharedRef::current();
            let poller = poller.expect("shutdown_requested was awaited outside of a poller");
            Waiting { poller, place: None, relay: None }
        });
        if !waiting.poller.is_current() {
            return waiting.poll_elsewhere(cx);
        }
        let local = Local::current().expect("the code of an executor runs in its poller");
        waiting.poll_here(&local, cx)
    }
}

impl fmt::Debug for ShutdownRequested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_waiting = self.waiting.is_some();
        f.debug_struct("ShutdownRequested").field("is_waiting", &is_waiting).finish()
    }
}

const _: () = {
    const fn send_and_sync<T: Send + Sync + Unpin>() {}
    send_and_sync::<ShutdownRequested>();
};

//! How a poller is shut down: it is told, its connections and tasks get a grace, and what is left
//! is dropped.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::base::slab::Slab;
use crate::base::token::Token;
use crate::sys::clock;
use crate::task::{drop_ignoring_panic, executor, ignore_panic};

use super::Poller;
use crate::local::connection::{Connection, State, bits};
use crate::local::handler::CloseReason;
use crate::local::state::{Local, TimerTarget};
use crate::local::table::Entry;

/// Where a poller is in its shutdown.
#[derive(Default)]
pub(crate) struct Drain {
    /// When the grace ends; 0 while no shutdown has been asked for.
    deadline: Cell<u64>,
    /// Connections and tasks that had ended when it was asked for.
    ended_before: Cell<u64>,
    /// Who waits to hear of it: `shutdown_requested`. Each future knows its place.
    waiters: RefCell<Slab<Waker>>,
}

/// What became of the connections and tasks of one poller.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Drained {
    /// Ended within the grace.
    pub(crate) drained: usize,
    /// Dropped at its end.
    pub(crate) cancelled: usize,
    /// Blocking calls that outlive the poller.
    pub(crate) leaked_blocking: usize,
}

impl Drain {
    #[inline]
    pub(crate) fn is_requested(&self) -> bool {
        self.deadline.get() != 0
    }

    /// Whether the grace has passed.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.is_requested() && clock::now() >= self.deadline.get()
    }

    /// Waits for the request; `place` is the future's. A task that waits for this beside every
    /// read comes here once a request, so the waker that is here already is kept.
    fn poll(&self, cx: &mut Context<'_>, place: &mut Option<Token>) -> Poll<()> {
        if self.is_requested() {
            return Poll::Ready(());
        }
        if !place.is_some_and(|place| self.will_wake(place, cx.waker())) {
            let waker = cx.waker().clone();
            drop_ignoring_panic(self.forget(place));
            *place = Some(self.waiters.borrow_mut().insert_with(|_| waker));
        }
        Poll::Pending
    }

    fn will_wake(&self, place: Token, waker: &Waker) -> bool {
        self.waiters.borrow().get(place).is_some_and(|present| present.will_wake(waker))
    }

    /// Takes a future's waker out, to be dropped after this: that is foreign code.
    fn forget(&self, place: &mut Option<Token>) -> Option<Waker> {
        self.waiters.borrow_mut().remove(place.take()?)
    }
}

impl Local {
    /// Begins the shutdown, or brings its deadline forward: stops accepting, and tells handlers
    /// and tasks.
    pub(crate) fn begin_shutdown(&self, deadline: u64) {
        let deadline = deadline.max(1);
        let begun = self.drain.is_requested();
        if begun && deadline >= self.drain.deadline.get() {
            return;
        }
        self.drain.deadline.set(deadline);
        self.arm(deadline, TimerTarget::Turn);
        // From now on the clock is looked at before each poll.
        executor::interrupt();
        if begun {
            return;
        }
        self.drain.ended_before.set(self.census.ended_so_far() + executor::ended_here());
        for token in self.tokens() {
            let Some(Entry::Handler(connection)) = self.entry(token) else { continue };
            if connection.has(bits::LISTENER) {
                self.request_close(&connection, CloseReason::Requested);
            } else if connection.state() == State::Opening {
                self.open(&connection);
            } else {
                self.tell_of_shutdown(&connection);
            }
            self.recorder.step();
        }
        for waker in self.drain.waiters.take().into_values() {
            // One that panics must not cost the others their wake-up.
            ignore_panic(|| waker.wake());
        }
    }

    /// Calls `on_shutdown`, unless the connection is one of ours.
    #[cold]
    pub(crate) fn tell_of_shutdown(&self, connection: &Connection) {
        if !connection.has(bits::INTERNAL) {
            self.call_aside(connection, |handler, cx| handler.on_shutdown(cx));
        }
    }

    /// How many blocking calls of this poller are not over.
    pub(crate) fn blocking_calls(&self) -> usize {
        Arc::strong_count(&self.blocking_calls) - 1
    }
}

impl Poller {
    /// Whether the shutdown is over: nothing is left, or the grace has passed.
    pub(crate) fn is_drained(&self) -> bool {
        self.local.drain.is_requested() && (self.is_empty() || self.local.drain.is_over())
    }

    /// Returns `true` if nothing is left that the shutdown waits for.
    fn is_empty(&self) -> bool {
        self.alive() == 0 && !self.local.census.has_detached()
    }

    fn alive(&self) -> usize {
        self.executor.tasks() + self.local.census.handlers()
    }

    /// Runs until it has been shut down.
    pub(crate) fn run(self) -> std::io::Result<Drained> {
        let entered = self.enter();
        while !self.is_drained() {
            self.turn(None)?;
        }
        let ended = self.local.census.ended_so_far() + executor::ended_here();
        let drained = (ended - self.local.drain.ended_before.get()) as usize;
        let cancelled = self.alive();
        drop(entered);
        let local = self.local.clone();
        // The end of a task may cancel a call that has not begun.
        drop(self);
        Ok(Drained { drained, cancelled, leaked_blocking: local.blocking_calls() })
    }
}

/// Resolves when the reactor of this poller is asked to shut down; at once if it was already.
/// Never under [`block_on`](crate::block_on) alone, which has no reactor.
///
/// Cancel-safe: dropping it loses nothing.
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
///
/// # Panics
/// If it is polled outside of a poller.
pub async fn shutdown_requested() {
    let local = Local::current().expect("shutdown_requested was awaited outside of a poller");
    let mut waiting = Waiting { local, place: None };
    poll_fn(|cx| {
        let Waiting { local, place } = &mut waiting;
        local.drain.poll(cx, place)
    })
    .await;
}

/// A place in the list of those who wait, given up on drop.
struct Waiting {
    local: Rc<Local>,
    place: Option<Token>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        drop_ignoring_panic(self.local.drain.forget(&mut self.place));
    }
}

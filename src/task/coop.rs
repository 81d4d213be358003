//! The budget that makes a task yield whose sockets are always ready.

use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::base::sync::Cell;

use super::core::UNLIMITED;
use super::shared::{self, SharedRef};

/// I/O operations that a task may do in one poll. Enough for a burst of pipelined requests; at a
/// microsecond for each, other tasks wait a tenth of a millisecond at the most. One that moves many
/// bytes counts for several.
pub(super) const OPERATIONS_PER_POLL: u32 = 128;

/// Bytes that count for an operation more: to copy so many takes as long as a small system call.
/// Without this, reads of 64 KiB would keep other tasks waiting for two milliseconds.
const BYTES_PER_OPERATION: usize = 4096;

/// How much the task that runs may still do: the owner's look at its executor, which puts the count
/// up again before each poll. Not Send: **Owner**.
pub(crate) struct Allowance {
    shared: SharedRef,
    not_send: PhantomData<*const ()>,
}

impl Allowance {
    /// For `Executor::allowance`: the caller is the core.
    pub(super) fn new(shared: SharedRef) -> Allowance {
        Allowance { shared, not_send: PhantomData }
    }

    #[inline]
    fn left(&self) -> &Cell<u32> {
        &self.shared.as_ref().core.allowance
    }

    /// Takes one operation off the running task's allowance. When it is used up the task is told to
    /// wait: it goes on when the poller has looked at events, timers and mail, behind what these
    /// have made runnable.
    #[inline]
    pub(crate) fn poll_proceed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(left) = self.left().get().checked_sub(1) else { return self.used_up(cx) };
        self.left().set(left);
        Poll::Ready(())
    }

    /// Takes what moving so many bytes costs beyond the operation itself.
    #[inline(always)]
    pub(crate) fn charge(&self, bytes: usize) {
        if bytes >= BYTES_PER_OPERATION {
            self.charge_many(bytes);
        }
    }

    #[cold]
    fn charge_many(&self, bytes: usize) {
        let operations = u32::try_from(bytes / BYTES_PER_OPERATION).unwrap_or(u32::MAX);
        if self.left().get() != UNLIMITED {
            self.left().set(self.left().get().saturating_sub(operations));
        }
    }

    #[cold]
    fn used_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        let core = &self.shared.as_ref().core;
        // SAFETY: **Owner**: an allowance is on its owner's thread, as it is not Send.
        unsafe {
            if !core.has_just_deferred(cx.waker()) {
                // Cloned first: that is foreign code.
                let waker = cx.waker().clone();
                core.defer(waker);
            }
        }
        Poll::Pending
    }

    /// [`Allowance::poll_proceed`] as a future. Cancel-safe: it holds nothing.
    pub(crate) async fn proceed(&self) {
        poll_fn(|cx| self.poll_proceed(cx)).await;
    }

    /// Gives back what [`Allowance::poll_proceed`] took, for an operation that has to wait: waiting
    /// is free, or a task that waits for hundreds of things at once would never come to the last of
    /// them.
    #[inline]
    pub(crate) fn give_back(&self) {
        self.left().set(self.left().get().saturating_add(1));
    }
}

/// [`Allowance::poll_proceed`] of the poller that this thread is in.
pub(crate) fn poll_proceed(cx: &mut Context<'_>) -> Poll<()> {
    match SharedRef::current().map(Allowance::new) {
        Some(allowance) => allowance.poll_proceed(cx),
        None => Poll::Ready(()),
    }
}

/// Waits until the task may make another operation. What may come to an end without an event waits
/// here first: a loop of it, as of attempts that fail at once, does not keep the poller.
pub(crate) async fn proceed() {
    poll_fn(poll_proceed).await;
}

/// Gives every other runnable task of the poller a turn, then goes on.
///
/// Events, timers and mail have theirs as well: the poller looks at them after
/// [`Budget::slice`](crate::Budget::slice), or after one poll that takes longer. So a task that
/// computes can yield after each piece of work, and holds nothing up for longer than one piece. A
/// yield by itself costs no system call.
///
/// # Cancel safety
/// Cancel-safe: it holds nothing.
///
/// ```
/// corepoll::block_on(async {
///     for _ in 0..3 {
///         corepoll::yield_now().await;
///     }
/// });
/// ```
pub async fn yield_now() {
    YieldNow { yielded: false }.await;
}

struct YieldNow {
    /// Whether the others have had their turn.
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Lets `future` do as much I/O in one poll as it finds to do.
///
/// A task whose sockets are always ready yields after 128 operations, or half a megabyte, so that its
/// neighbours get their turn: it goes on when the poller has looked at events, timers and mail, behind the tasks
/// that these have woken. Inside of `unconstrained` nothing is counted: the neighbours wait until `future` waits.
/// Cancel-safe if `future` is.
///
/// ```
/// use corepoll::{block_on, unconstrained};
///
/// assert_eq!(block_on(unconstrained(async { 7 })), 7);
/// ```
pub fn unconstrained<F: Future>(future: F) -> Unconstrained<F> {
    Unconstrained { future }
}

pin_project_lite::pin_project! {
    /// The future of [`unconstrained`].
    ///
    /// ```
    /// # use corepoll::{Unconstrained, unconstrained};
    /// # use std::future::{Ready, ready};
    /// # corepoll::block_on(async {
    /// let unlimited: Unconstrained<Ready<u8>> = unconstrained(ready(7));
    /// assert_eq!(unlimited.await, 7);
    /// # });
    /// ```
    #[derive(Debug)]
    #[must_use = "a future does nothing until it is awaited"]
    pub struct Unconstrained<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Unconstrained<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        /// Gives the task its allowance back, however the poll ends.
        struct Restore(Option<u32>);
        impl Drop for Restore {
            fn drop(&mut self) {
                if let Some(left) = self.0 {
                    shared::with_current_core(|core| core.allowance.set(left));
                }
            }
        }
        let _restore = Restore(shared::with_current_core(|core| core.allowance.replace(UNLIMITED)));
        self.project().future.poll(cx)
    }
}

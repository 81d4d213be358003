//! Cooperation of tasks: what one of them may do before the others have their turn.
//!
//! A task whose sockets are always ready never has to wait, and would keep its poller for itself. So
//! each poll of a task has an allowance of 128 I/O operations. An operation that moves many bytes
//! counts for several, one more for each 4 KiB, and a batch of datagrams for as many as it has
//! messages. When the allowance is used up, the next operation
//! returns `Pending`, and the task goes on in its next turn: after the poller has looked at events,
//! timers and mail, and behind the tasks that these have woken.
//!
//! - [`yield_now`] is for tasks that compute, or that only do what does not count:
//!   channels, locks, the `try_` methods of sockets, reads and writes of an empty buffer. No allowance
//!   stops them, so they give the others a turn by themselves.
//! - [`unconstrained`] lifts the limit for one future.
//!
//! # Executors inside of a task
//!
//! Don't call `futures::executor::block_on`, or any other executor that parks its thread, inside of a
//! task or a callback. It blocks the poller; and if its future waits for a socket or a timer of that
//! poller, it blocks for ever, since only the poller can bring the event. Even if all sockets are
//! ready it stops at the 129th operation, since the poller renews the allowance. Await the future, or
//! [spawn](crate::spawn_local) it. For code that has to block there is
//! [`spawn_blocking`](crate::spawn_blocking) with the feature `blocking`.
//!
//! Combinators that poll several futures inside of one task, such as `join_all` and
//! `FuturesUnordered` of the crate futures, share the allowance of their task, and go on together.
//!
//! # Examples
//!
//! A long computation that lets the other tasks have their turns:
//!
//! ```
//! use corepoll::{block_on, spawn_local, yield_now};
//!
//! block_on(async {
//!     let other = spawn_local(async {});
//!     let mut sum = 0;
//!     for chunk in (0..1_000_000_u64).collect::<Vec<_>>().chunks(10_000) {
//!         sum += chunk.iter().sum::<u64>();
//!         yield_now().await;
//!     }
//!     assert_eq!(sum, 499_999_500_000);
//!     assert!(other.is_finished());
//! });
//! ```

use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::base::sync::Cell;

use super::core::UNLIMITED;
use super::shared::{self, SharedRef};

/// The I/O operations that a task may do in one poll. Enough for a burst of pipelined requests; at a
/// microsecond for each, other tasks wait a tenth of a millisecond at the most. An operation that
/// moves many bytes counts for several.
pub(super) const OPERATIONS_PER_POLL: u32 = 128;

/// The bytes that count for an operation more: to copy so many takes as long as a small system call.
/// Without this, reads of 64 KiB would keep other tasks waiting for two milliseconds.
const BYTES_PER_OPERATION: usize = 4096;

/// The operations that the running task may still do. It is a look at the executor of this thread,
/// which renews the count before each poll. Not `Send`: **Owner**.
pub(crate) struct Allowance {
    /// The executor.
    executor: SharedRef,
    /// Keeps the allowance on its thread.
    not_send: PhantomData<*const ()>,
}

impl Allowance {
    /// Makes the allowance of an executor's tasks. For `Executor::allowance`: the caller is the owner.
    pub(super) fn new(executor: SharedRef) -> Allowance {
        Allowance { executor, not_send: PhantomData }
    }

    /// Returns the number of operations that are left.
    #[inline]
    fn left(&self) -> &Cell<u32> {
        &self.executor.as_ref().core.allowance
    }

    /// Takes one operation off the running task's allowance. When it is used up, this is pending, and
    /// the task goes on after the poller has looked at events, timers and mail, behind the tasks that
    /// these have made runnable.
    #[inline]
    pub(crate) fn poll_proceed(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.take() { Poll::Ready(()) } else { self.used_up(cx) }
    }

    /// Takes one operation off the running task's allowance. Returns `false` if that is used up: the
    /// caller then has to call [`Allowance::used_up`].
    #[inline(always)]
    pub(crate) fn take(&self) -> bool {
        // Subtracted where it stands: two instructions instead of five.
        let (left, is_used_up) = self.left().get().overflowing_sub(1);
        self.left().set(left);
        !is_used_up
    }

    /// Returns `true` if moving so many bytes costs more than the operation itself.
    #[inline(always)]
    pub(crate) fn is_charged(bytes: usize) -> bool {
        bytes >= BYTES_PER_OPERATION
    }

    /// Takes one operation off the running task's allowance. Returns `false` if it is used up: the
    /// task has to ask [`Allowance::poll_proceed`] then.
    #[inline]
    pub(crate) fn proceed_now(&self) -> bool {
        let Some(left) = self.left().get().checked_sub(1) else { return false };
        self.left().set(left);
        true
    }

    /// Takes what moving so many bytes costs beyond the operation itself.
    #[inline(always)]
    pub(crate) fn charge(&self, bytes: usize) {
        if Allowance::is_charged(bytes) {
            self.charge_many(bytes);
        }
    }

    /// Takes what moving many bytes costs.
    #[cold]
    fn charge_many(&self, bytes: usize) {
        self.deduct(u32::try_from(bytes / BYTES_PER_OPERATION).unwrap_or(u32::MAX));
    }

    /// Returns how many messages the operation that has been begun may move, at least one: as many
    /// as operations are left.
    #[inline]
    pub(crate) fn affordable(&self) -> usize {
        (self.left().get() as usize).saturating_add(1)
    }

    /// Takes what a batch of `count` messages of together so many bytes costs beyond the operation
    /// itself: each message is one, whether or not it has a system call of its own.
    #[inline]
    pub(crate) fn charge_batch(&self, count: usize, bytes: usize) {
        let operations = count.saturating_sub(1) + bytes / BYTES_PER_OPERATION;
        self.deduct(u32::try_from(operations).unwrap_or(u32::MAX));
    }

    /// Takes so many operations, as far as there are.
    fn deduct(&self, operations: u32) {
        if self.left().get() != UNLIMITED {
            self.left().set(self.left().get().saturating_sub(operations));
        }
    }

    /// Defers the task, whose allowance is used up: [`Allowance::take`] has said so.
    #[cold]
    #[inline(never)]
    pub(crate) fn used_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.left().set(0);
        let core = &self.executor.as_ref().core;
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

    /// Waits until the task may make another operation: [`Allowance::poll_proceed`] as a future.
    /// Cancel-safe: it holds nothing.
    pub(crate) async fn proceed(&self) {
        poll_fn(|cx| self.poll_proceed(cx)).await;
    }

    /// Gives back what [`Allowance::poll_proceed`] took, for an operation that has to wait. Waiting
    /// is free: otherwise a task that waits for hundreds of things at once would never come to the
    /// last of them.
    #[inline]
    pub(crate) fn give_back(&self) {
        self.left().set(self.left().get().saturating_add(1));
    }
}

/// Takes one operation off the allowance, like [`Allowance::poll_proceed`], of the poller that this
/// thread is in. Outside of a poller nothing is counted.
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
///
/// Cancel-safe: it holds nothing.
///
/// # Examples
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

/// The future of [`yield_now`].
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

/// Makes a future that may do as much I/O in one poll as it finds to do.
///
/// A task whose sockets are always ready has to yield after 128 operations, or half a megabyte: see
/// the [module](self). Inside of `unconstrained` nothing is counted, and the other tasks of the
/// poller wait until `future` waits.
///
/// # Cancel safety
///
/// Cancel-safe if `future` is.
///
/// # Examples
///
/// ```
/// use corepoll::{block_on, coop::unconstrained};
///
/// assert_eq!(block_on(unconstrained(async { 7 })), 7);
/// ```
pub fn unconstrained<F: Future>(future: F) -> Unconstrained<F> {
    Unconstrained { future }
}

pin_project_lite::pin_project! {
    /// The future of [`unconstrained`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::coop::{Unconstrained, unconstrained};
    /// # use std::future::{Ready, ready};
    /// # corepoll::block_on(async {
    /// let unlimited: Unconstrained<Ready<u8>> = unconstrained(ready(7));
    /// assert_eq!(unlimited.await, 7);
    /// # });
    /// ```
    #[derive(Debug)]
    #[must_use = "a future does nothing until it is awaited"]
    pub struct Unconstrained<F> {
        // The future that is not limited.
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
        let before = shared::with_current_core(|core| core.allowance.replace(UNLIMITED));
        let _restore = Restore(before);
        self.project().future.poll(cx)
    }
}

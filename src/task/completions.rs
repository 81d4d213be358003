//! How the tasks of a group tell the group that they have ended.
//!
//! Each task of a group carries a guard, and the drop of the guard is the message: it comes however
//! the task ends. So the group polls no join handle that has nothing to say.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::base::token::Token;

use super::ignore_panic::{drop_ignoring_panic, ignore_panic};

/// The part of a group that its tasks reach. Nothing in it is borrowed while foreign code runs.
#[derive(Default)]
pub(super) struct Completions {
    /// The tokens of tasks that have ended, in the order in which they did.
    ended: RefCell<VecDeque<Token>>,
    /// The waker of the code that waits for the next one.
    waiter: Cell<Option<Waker>>,
}

/// Tells the group that a task has ended, when it is dropped. It is dropped with the task's future,
/// whether that has ended, has panicked or was aborted.
pub(super) struct CompletionGuard {
    /// The part of the group that records the end.
    completions: Rc<Completions>,
    /// The task's place in the group.
    token: Token,
}

impl CompletionGuard {
    /// Makes the guard of the task at `token`.
    pub(super) fn new(completions: Rc<Completions>, token: Token) -> CompletionGuard {
        CompletionGuard { completions, token }
    }
}

impl Drop for CompletionGuard {
    fn drop(&mut self) {
        // Before the wake: the group may poll inside of it, and looks for the token.
        self.completions.ended.borrow_mut().push_back(self.token);
        if let Some(waiter) = self.completions.waiter.take() {
            ignore_panic(|| waiter.wake());
        }
    }
}

pin_project_lite::pin_project! {
    /// A future of a group. The guard is dropped after the future, even if that panics.
    pub(super) struct Member<F> {
        // The task's future.
        #[pin]
        future: F,
        // Dropped after the future.
        guard: CompletionGuard,
    }
}

impl<F> Member<F> {
    /// Makes a future whose end `guard` reports to the group.
    pub(super) fn new(future: F, guard: CompletionGuard) -> Member<F> {
        Member { future, guard }
    }
}

impl<F: Future> Future for Member<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}

impl Completions {
    /// Returns the number of tasks that have ended and whose output has not been taken.
    pub(super) fn count(&self) -> usize {
        self.ended.borrow().len()
    }

    /// Returns the task that has ended first.
    pub(super) fn first(&self) -> Option<Token> {
        self.ended.borrow().front().copied()
    }

    /// Makes the next task that ends wake `cx`. Cloning and dropping wakers is foreign code.
    pub(super) fn wait(&self, cx: &Context<'_>) {
        let waker = cx.waker().clone();
        drop_ignoring_panic(self.waiter.replace(Some(waker)));
    }

    /// Removes the task that has ended first.
    pub(super) fn remove_first(&self) {
        self.ended.borrow_mut().pop_front();
    }

    /// Drops the waker of the code that waits: tasks that end later wake nothing.
    pub(super) fn wake_no_more(&self) {
        drop_ignoring_panic(self.waiter.take());
    }
}

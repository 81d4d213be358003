//! Tasks that are awaited together, and end together.
//!
//! The members are real tasks, polled by the run queue like any other, and not futures that the
//! group polls itself. So the group does as much work as tasks end, whatever their number.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use crate::base::slab::Slab;
use crate::base::token::Token;

use super::abort::AbortHandle;
use super::completions::{CompletionGuard, Completions, Member};
use super::coop;
use super::executor::spawn;
use super::ignore_panic::panic_outside_poller;
use super::join::JoinHandle;
use super::join_error::JoinError;
use super::shared;

/// Tasks of one poller that are awaited together, and end together: dropping the group aborts the
/// tasks that still run.
///
/// A task that ends touches its own entry only. So a completion costs a group of a hundred thousand
/// tasks no more than a group of one.
///
/// # Examples
///
/// ```
/// use corepoll::{TaskGroup, block_on, yield_now};
///
/// block_on(async {
///     let mut group = TaskGroup::new();
///     for n in 0..3u32 {
///         group.spawn(async move {
///             for _ in n..3 {
///                 yield_now().await;
///             }
///             n
///         });
///     }
///     let mut order = Vec::new();
///     while let Some(result) = group.next().await {
///         order.push(result.unwrap());
///     }
///     assert_eq!(order, [2, 1, 0]);
/// });
/// ```
pub struct TaskGroup<T: 'static> {
    /// The tasks whose output has not been taken, by the tokens of their completion guards.
    members: Slab<JoinHandle<T>>,
    /// The tasks that have ended, as they have reported it.
    completions: Rc<Completions>,
}

impl<T: 'static> TaskGroup<T> {
    /// Makes an empty group.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::TaskGroup;
    /// let group: TaskGroup<()> = TaskGroup::new();
    /// assert!(group.is_empty());
    /// ```
    pub fn new() -> TaskGroup<T> {
        TaskGroup { members: Slab::new(), completions: Rc::default() }
    }

    /// Spawns a task on the poller of this thread, as [`spawn_local`](crate::spawn_local) does.
    ///
    /// # Panics
    ///
    /// Panics outside of a poller. The group is as it was before.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::TaskGroup;
    /// # corepoll::block_on(async {
    /// let mut group = TaskGroup::new();
    /// group.spawn(async { 7 });
    /// assert_eq!(group.next().await.unwrap().unwrap(), 7);
    /// # });
    /// ```
    #[track_caller]
    pub fn spawn<F>(&mut self, future: F)
    where
        F: Future<Output = T> + 'static,
    {
        self.insert("TaskGroup::spawn", future);
    }

    /// Spawns a task like [`TaskGroup::spawn`], and returns a handle that can abort it. The output
    /// comes from [`TaskGroup::next`] all the same.
    ///
    /// # Panics
    ///
    /// Panics outside of a poller. The group is as it was before.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::TaskGroup;
    /// # corepoll::block_on(async {
    /// let mut group = TaskGroup::new();
    /// let abort = group.spawn_abortable(std::future::pending::<()>());
    /// abort.abort();
    /// assert!(group.next().await.unwrap().unwrap_err().is_cancelled());
    /// # });
    /// ```
    #[track_caller]
    pub fn spawn_abortable<F>(&mut self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        let token = self.insert("TaskGroup::spawn_abortable", future);
        self.members.get(token).expect("it has just been inserted").abort_handle()
    }

    /// Spawns a task for the method `what`, and makes it a member.
    #[track_caller]
    fn insert<F>(&mut self, what: &str, future: F) -> Token
    where
        F: Future<Output = T> + 'static,
    {
        if shared::current().is_null() {
            panic_outside_poller(what, future);
        }
        let completions = &self.completions;
        self.members.insert_with(|token| {
            let guard = CompletionGuard::new(completions.clone(), token);
            match spawn(Member::new(future, guard)) {
                Ok(handle) => handle,
                Err(_) => unreachable!("the thread is in a poller"),
            }
        })
    }

    /// Waits for the next task to end, and returns its output. Tasks come in the order in which
    /// they end. A task that panicked or was aborted gives its [`JoinError`]. Returns `None` at
    /// once if the group is empty.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: an output that was not returned is still in the group.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::TaskGroup;
    /// # corepoll::block_on(async {
    /// let mut group = TaskGroup::new();
    /// group.spawn(async { "done" });
    /// while let Some(ended) = group.next().await {
    ///     assert_eq!(ended.unwrap(), "done");
    /// }
    /// # });
    /// ```
    pub async fn next(&mut self) -> Option<Result<T, JoinError>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Polls for the next task to end: [`TaskGroup::next`] for futures written by hand.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::TaskGroup;
    /// # use std::future::poll_fn;
    /// # corepoll::block_on(async {
    /// let mut group = TaskGroup::new();
    /// group.spawn(async { 7 });
    /// let ended = poll_fn(|cx| group.poll_next(cx)).await;
    /// assert_eq!(ended.unwrap().unwrap(), 7);
    /// # });
    /// ```
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, JoinError>>> {
        if self.members.len() == 0 {
            return coop::poll_proceed(cx).map(|()| None);
        }
        if self.completions.count() == 0 {
            self.completions.wait(cx);
        }
        // After the waker was cloned: that is foreign code, in which a task may end.
        let Some(token) = self.completions.first() else { return Poll::Pending };
        ready!(coop::poll_proceed(cx));
        self.take(token, cx).map(Some)
    }

    /// Returns the output of a task that has ended, as [`TaskGroup::next`] does, without waiting.
    /// Returns `None` if no task has ended, or the group is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{TaskGroup, block_on, yield_now};
    ///
    /// block_on(async {
    ///     let mut group = TaskGroup::new();
    ///     group.spawn(async { 7 });
    ///     assert!(group.try_next().is_none(), "the task has not run");
    ///     yield_now().await;
    ///     assert_eq!(group.try_next().unwrap().unwrap(), 7);
    ///     assert!(group.try_next().is_none() && group.is_empty());
    /// });
    /// ```
    pub fn try_next(&mut self) -> Option<Result<T, JoinError>> {
        let token = self.completions.first()?;
        // If the task is just being dropped, its output is not there: the waker stays that waits.
        if !self.members.get(token)?.is_finished() {
            return None;
        }
        match self.take(token, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    /// Takes the output of the task that was the first to end, and removes it from the group.
    fn take(&mut self, token: Token, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        let handle = self.members.get_mut(token).expect("a token stands for a member");
        // Pending if the task is just being dropped: a waker that it woke polls from inside there.
        // The token stays until the output is here, so a panic of the waker loses nothing.
        let output = ready!(Pin::new(handle).poll(cx));
        drop(self.members.remove(token));
        self.completions.remove_first();
        Poll::Ready(output)
    }

    /// Waits for all tasks to end, and returns their outputs in the order in which they did. The
    /// group is empty then.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: dropping the future before its end takes nothing out of the group.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{TaskGroup, block_on};
    ///
    /// block_on(async {
    ///     let mut group = TaskGroup::new();
    ///     (1..=4).for_each(|n| group.spawn(async move { n }));
    ///     let sum: i32 = group.join_all().await.into_iter().map(Result::unwrap).sum();
    ///     assert_eq!(sum, 10);
    /// });
    /// ```
    pub async fn join_all(&mut self) -> Vec<Result<T, JoinError>> {
        poll_fn(|cx| {
            if self.completions.count() < self.members.len() {
                self.completions.wait(cx);
            }
            // Counted anew after the waker was cloned, as in `poll_next`.
            let all_ended = self.completions.count() >= self.members.len();
            if all_ended { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        // All have ended, so that each `next` below is ready, and nothing is taken out before: the
        // future is cancel-safe.
        let mut outputs = Vec::with_capacity(self.len());
        while let Some(output) = self.next().await {
            outputs.push(output);
        }
        outputs
    }

    /// Aborts every task, as [`JoinHandle::abort`] does. The tasks stay in the group, and
    /// [`TaskGroup::next`] returns the output of each: an error for which
    /// [`JoinError::is_cancelled`] is `true`, unless the task had ended before.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::TaskGroup;
    /// # corepoll::block_on(async {
    /// let mut group = TaskGroup::new();
    /// group.spawn(std::future::pending::<()>());
    /// group.abort_all();
    /// assert!(group.next().await.unwrap().unwrap_err().is_cancelled());
    /// # });
    /// ```
    pub fn abort_all(&mut self) {
        for token in self.members.tokens() {
            if let Some(handle) = self.members.get(token) {
                handle.abort();
            }
        }
    }

    /// Removes every task from the group without aborting it. The tasks go on, and their outputs
    /// are dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{TaskGroup, block_on, yield_now};
    /// use std::{cell::Cell, rc::Rc};
    ///
    /// block_on(async {
    ///     let done = Rc::new(Cell::new(false));
    ///     let its_done = done.clone();
    ///     let mut group = TaskGroup::new();
    ///     group.spawn(async move { its_done.set(true) });
    ///     group.detach_all();
    ///     assert!(group.is_empty());
    ///     drop(group);
    ///     yield_now().await;
    ///     assert!(done.get());
    /// });
    /// ```
    pub fn detach_all(&mut self) {
        // Tasks that end later tell the completions that they know, which belong to no group then.
        let before = std::mem::take(&mut self.completions);
        before.wake_no_more();
        drop(std::mem::take(&mut self.members));
    }

    /// Returns the number of tasks whose output has not been taken.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::TaskGroup;
    /// # corepoll::block_on(async {
    /// let mut group = TaskGroup::new();
    /// group.spawn(async {});
    /// group.spawn(async {});
    /// assert_eq!(group.len(), 2);
    /// # });
    /// ```
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Returns `true` if the group has no tasks.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::TaskGroup;
    /// # corepoll::block_on(async {
    /// let mut group = TaskGroup::new();
    /// group.spawn(async {});
    /// assert!(!group.is_empty());
    /// group.join_all().await;
    /// assert!(group.is_empty());
    /// # });
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: 'static> Default for TaskGroup<T> {
    fn default() -> TaskGroup<T> {
        TaskGroup::new()
    }
}

impl<T: 'static> Drop for TaskGroup<T> {
    fn drop(&mut self) {
        self.abort_all();
        // The tasks keep their side until they have been dropped, and must not wake this waker
        // then.
        self.completions.wake_no_more();
    }
}

impl<T: 'static> fmt::Debug for TaskGroup<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskGroup")
            .field("len", &self.len())
            .field("ended", &self.completions.count())
            .finish()
    }
}

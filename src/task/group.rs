//! Tasks that belong together.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use crate::base::slab::Slab;
use crate::base::token::Token;

use super::coop;
use super::executor::spawn;
use super::ignore_panic::{drop_ignoring_panic, ignore_panic, panic_outside_poller};
use super::join::JoinHandle;
use super::join_error::JoinError;
use super::shared;

/// Tasks of one poller that are awaited together, and end together: dropping the group aborts
/// those that still run.
///
/// A task that ends touches its own entry only: a group of a hundred thousand costs a completion
/// no more than a group of one.
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
    /// The tasks whose output nobody has taken, by the tickets that they hold.
    members: Slab<JoinHandle<T>>,
    /// What the tasks tell the group.
    ended: Rc<Ended>,
}

/// The tasks' side of a group. Nothing in it is borrowed while foreign code runs.
#[derive(Default)]
struct Ended {
    /// The tickets of tasks that have ended, the first one first.
    tickets: RefCell<VecDeque<Token>>,
    /// Who waits for the next one.
    waiter: Cell<Option<Waker>>,
}

/// Tells the group when it is dropped, and it is dropped with the task's future: whether that has
/// ended, has panicked or was aborted.
struct Ticket {
    ended: Rc<Ended>,
    token: Token,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.ended.tickets.borrow_mut().push_back(self.token);
        if let Some(waiter) = self.ended.waiter.take() {
            ignore_panic(|| waiter.wake());
        }
    }
}

pin_project_lite::pin_project! {
    /// A future of a group. The ticket is dropped after the future, even if that panics.
    struct Member<F> {
        #[pin]
        future: F,
        ticket: Ticket,
    }
}

impl<F: Future> Future for Member<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}

impl<T: 'static> TaskGroup<T> {
    /// An empty group.
    ///
    /// ```
    /// # use corepoll::TaskGroup;
    /// let group: TaskGroup<()> = TaskGroup::new();
    /// assert!(group.is_empty());
    /// ```
    pub fn new() -> TaskGroup<T> {
        TaskGroup { members: Slab::new(), ended: Rc::default() }
    }

    /// Spawns a task on the poller of this thread, as [`spawn_local`](crate::spawn_local) does.
    ///
    /// ```
    /// # use corepoll::TaskGroup;
    /// # corepoll::block_on(async {
    /// let mut group = TaskGroup::new();
    /// group.spawn(async { 7 });
    /// assert_eq!(group.next().await.unwrap().unwrap(), 7);
    /// # });
    /// ```
    ///
    /// # Panics
    /// Outside of a poller. The group is as it was before.
    #[track_caller]
    pub fn spawn<F>(&mut self, future: F)
    where
        F: Future<Output = T> + 'static,
    {
        if shared::current().is_null() {
            panic_outside_poller("TaskGroup::spawn", future);
        }
        let ended = &self.ended;
        self.members.insert_with(|token| {
            let ticket = Ticket { ended: ended.clone(), token };
            match spawn(Member { future, ticket }) {
                Ok(handle) => handle,
                Err(_) => unreachable!("the thread is in a poller"),
            }
        });
    }

    /// Waits for the next task to end, in the order in which they do; `None` at once if the group
    /// is empty. A task that panicked or was aborted gives its [`JoinError`].
    ///
    /// Cancel-safe: an output that was not given is still in the group.
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

    /// [`TaskGroup::next`], for futures written by hand.
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
        if self.ended.count() == 0 {
            self.ended.wait(cx);
        }
        // Looked at after the waker was cloned, which is foreign code in which a task may end.
        let Some(token) = self.ended.first() else { return Poll::Pending };
        ready!(coop::poll_proceed(cx));
        let handle = self.members.get_mut(token).expect("a ticket stands for a member");
        // Pending if the task is just being dropped: a waker that it woke polls from inside there.
        // The ticket stays until the output is here, so a panic of the waker loses nothing.
        let output = ready!(Pin::new(handle).poll(cx));
        drop(self.members.remove(token));
        self.ended.tickets.borrow_mut().pop_front();
        Poll::Ready(Some(output))
    }

    /// Waits for all tasks to end, and gives their outputs in the order in which they did. The
    /// group is empty then.
    ///
    /// Cancel-safe: dropping the future before its end takes nothing out of the group.
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
            if self.ended.count() < self.members.len() {
                self.ended.wait(cx);
            }
            if self.ended.count() < self.members.len() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        let mut outputs = Vec::with_capacity(self.len());
        while let Some(output) = self.next().await {
            outputs.push(output);
        }
        outputs
    }

    /// Asks for every task to be dropped at its next turn. They stay in the group:
    /// [`TaskGroup::next`] gives an error for each, for which [`JoinError::is_cancelled`] is true;
    /// or the output, for those that had ended before.
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

    /// How many tasks there are whose output nobody has taken.
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

    /// Whether there are none.
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

impl Ended {
    fn count(&self) -> usize {
        self.tickets.borrow().len()
    }

    fn first(&self) -> Option<Token> {
        self.tickets.borrow().front().copied()
    }

    /// The next task that ends wakes `cx`. Cloning and dropping wakers is foreign code.
    fn wait(&self, cx: &Context<'_>) {
        let waker = cx.waker().clone();
        drop_ignoring_panic(self.waiter.replace(Some(waker)));
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
        // The tasks keep their side until they have been dropped: nobody is to be woken by then.
        drop_ignoring_panic(self.ended.waiter.take());
    }
}

impl<T: 'static> fmt::Debug for TaskGroup<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskGroup")
            .field("len", &self.len())
            .field("ended", &self.ended.count())
            .finish()
    }
}

//! The owner's handle on its executor.

use std::borrow::Cow;
use std::cell::Cell;
use std::future::Future;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::calls::Calls;
use super::coop::Allowance;
use super::home::{Bell, Home, HomeRef, OwnerSide};
use super::ignore_panic::{drop_ignoring_panic, ignore_panic};
use super::inbox::Node;
use super::join::{JoinError, JoinHandle};
use super::{current, ending, raw};

/// An executor that has no thread yet. It takes mail already.
pub(crate) struct Seed {
    home: NonNull<Home>,
}

// SAFETY: a seed has no owner, so nothing of the owner's side is in use.
unsafe impl Send for Seed {}

/// The executor of this thread. Not Send.
pub(crate) struct Executor {
    pub(super) home: NonNull<Home>,
    /// A task is being polled or mail is being opened.
    pub(super) running: Cell<bool>,
    /// Where it says what it runs, if somebody watches it.
    pub(super) calls: Option<Arc<Calls>>,
    not_send: PhantomData<*const ()>,
}

/// The thread is inside an executor for as long as this lives.
pub(crate) struct Entered<'a> {
    before: *const Home,
    executor: PhantomData<&'a Executor>,
}

impl Seed {
    /// A seed whose owner, when it sleeps, is woken by `bell`.
    pub(crate) fn new(bell: Arc<dyn Bell>) -> Seed {
        Seed { home: Home::allocate(bell) }
    }

    /// The way in for other threads.
    pub(crate) fn home(&self) -> HomeRef {
        // SAFETY: the seed keeps the home alive.
        unsafe { HomeRef::new(self.home) }
    }

    /// Makes the calling thread the owner.
    pub(crate) fn adopt(self) -> Executor {
        let seed = std::mem::ManuallyDrop::new(self);
        let (running, calls) = (Cell::new(false), None);
        Executor { home: seed.home, running, calls, not_send: PhantomData }
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        // SAFETY: the seed is the only one who could have become the owner, so it may act as it.
        unsafe {
            refuse(self.home.as_ref(), self.home.as_ref().inbox.close(|| {}));
            self.home.as_ref().nothing_waits();
            Home::end(self.home);
        }
    }
}

/// Drops what was taken out of a closed inbox.
///
/// # Safety
/// The caller is the owner; `first` heads a chain of nodes from its inbox.
unsafe fn refuse(home: &Home, first: *mut Node) {
    let mut rest = first;
    while !rest.is_null() {
        let node = rest;
        // SAFETY: **Link**: nodes that were taken out are alive, and their links the taker's.
        unsafe {
            rest = (*node).next.replace(ptr::null_mut());
            let refuse = (*(*node).vtable).refuse;
            ignore_panic(|| refuse(node));
        }
        home.step();
    }
}

impl Executor {
    pub(super) fn owner(&self) -> &OwnerSide {
        // SAFETY: the executor keeps its home alive, and is on the owner's thread.
        unsafe { &self.home.as_ref().owner }
    }

    /// How much the task that runs may still do.
    pub(crate) fn allowance(&self) -> Allowance {
        // SAFETY: the executor keeps the home alive.
        Allowance::new(unsafe { HomeRef::new(self.home) })
    }

    /// The way in for other threads.
    #[cfg(test)]
    pub(crate) fn home(&self) -> HomeRef {
        // SAFETY: the executor keeps the home alive.
        unsafe { HomeRef::new(self.home) }
    }

    /// From now on it says what it runs.
    pub(crate) fn be_watched(&mut self, calls: Arc<Calls>) {
        self.calls = Some(calls);
    }

    /// Makes this the executor of the thread until the guard is dropped.
    pub(crate) fn enter(&self) -> Entered<'_> {
        Entered { before: current::set(self.home.as_ptr()), executor: PhantomData }
    }

    /// Whether mail waits to be opened.
    #[inline]
    pub(crate) fn has_mail(&self) -> bool {
        // SAFETY: the executor keeps the home alive.
        !self.owner().mail.get().is_null() || unsafe { self.home.as_ref() }.inbox.has_mail()
    }

    /// Whether a task is runnable, or will be at the end of the turn, or mail has come.
    #[inline]
    pub(crate) fn has_work(&self) -> bool {
        // SAFETY: the executor is on the owner's thread.
        let is_deferred = || unsafe { self.owner().has_deferred() };
        !self.owner().queue_first.get().is_null() || self.has_mail() || is_deferred()
    }

    /// Announces sleep: from now on mail rings the bell. False: there is mail, don't sleep.
    #[inline]
    pub(crate) fn park(&self) -> bool {
        // Mail that was taken out and not opened no bell will announce.
        // SAFETY: the executor keeps the home alive.
        self.owner().mail.get().is_null() && unsafe { self.home.as_ref() }.inbox.park()
    }

    /// Takes the announcement back.
    #[inline]
    pub(crate) fn unpark(&self) {
        // SAFETY: the executor keeps the home alive.
        unsafe { self.home.as_ref() }.inbox.unpark();
    }

    /// How many tasks there are that have not ended.
    pub(crate) fn tasks(&self) -> usize {
        // SAFETY: **Owner**; nothing foreign runs while the table is borrowed.
        unsafe { (*self.owner().tasks.get()).len() }
    }

    /// Wakes so far: those by the owner that queued a task, and those by other threads.
    #[inline]
    pub(crate) fn wakes(&self) -> (u64, u64) {
        (self.owner().wakes.get(), self.owner().wakes_by_mail.get())
    }

    /// Drops every future, and from now on every new one at once; or, inside the destructor of
    /// another one, right after that. The caller has entered.
    pub(crate) fn cancel_tasks(&self) {
        let _running = self.start_running();
        // SAFETY: the executor keeps the home alive; no task is being polled, as `running` shows, and
        // none will be.
        unsafe { ending::cancel_tasks(self.home.as_ref()) };
        self.drain();
    }

    /// Drops the mail that is left, and takes no more. To be called after
    /// [`Executor::cancel_tasks`]; the caller has entered.
    pub(crate) fn refuse_mail(&self) {
        // SAFETY: the executor is on the owner's thread; what it takes out is refused, first what
        // it had taken out before.
        unsafe {
            let home = self.home.as_ref();
            refuse(home, home.owner.mail.replace(ptr::null_mut()));
            refuse(home, home.inbox.close(|| home.step()));
            home.nothing_waits();
        }
        // What was refused may have spawned and woken while it was dropped.
        self.drain();
    }

    /// Empties the run queue of tasks that are all complete, and forgets whom it was to wake.
    fn drain(&self) {
        // SAFETY: the executor is on the owner's thread.
        unsafe { self.owner().take_deferred(drop_ignoring_panic) };
        // SAFETY: the executor is on the owner's thread.
        while let Some(task) = unsafe { self.owner().dequeue() } {
            // SAFETY: as above; the task has just been taken out of the run queue.
            unsafe {
                raw::run(task);
                self.home.as_ref().step();
            }
        }
    }

    /// Runs `future` as a task, by calling `turn` until it has ended or `turn` gives an error.
    /// The caller has entered.
    pub(crate) fn drive<F: Future, E>(
        &self,
        future: F,
        mut turn: impl FnMut() -> Result<(), E>,
    ) -> Result<Result<F::Output, JoinError>, E> {
        // SAFETY: the executor is on the owner's thread; the guard sees to it that the task is
        // complete and its output gone before the borrows of `future` end.
        let task = unsafe { raw::spawn(self.home, future) };
        // SAFETY: the task is fresh, and this is its join handle.
        let handle = unsafe { JoinHandle::<F::Output>::new(task) };
        let mut guard = Ended { handle, task, running: &self.running };
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            if guard.handle.is_finished()
                && let Poll::Ready(output) = std::pin::Pin::new(&mut guard.handle).poll(&mut cx)
            {
                return Ok(output);
            }
            turn()?;
        }
    }
}

/// Sees to it that a task has ended before its borrows do.
struct Ended<'a, T> {
    handle: JoinHandle<T>,
    task: NonNull<raw::Header>,
    /// The executor's.
    running: &'a Cell<bool>,
}

impl<T> Drop for Ended<'_, T> {
    fn drop(&mut self) {
        if !self.handle.is_finished() {
            // While the future's destructor runs, nothing may poll the task.
            let before = self.running.replace(true);
            // SAFETY: on the owner's thread, and no poll is under way: polls catch panics, so an
            // unwinding turn doesn't come out of one.
            unsafe { raw::cancel_now(self.task) };
            self.running.set(before);
        }
        // The handle, dropped after this, drops the output if it is still there.
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        let entered = self.enter();
        self.cancel_tasks();
        self.refuse_mail();
        drop(entered);
        // SAFETY: this was the owner's last act.
        unsafe { Home::end(self.home) };
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        current::set(self.before);
    }
}

/// Spawns on the executor that this thread is in; gives the future back if it is in none.
#[inline]
pub(crate) fn spawn<F: Future + 'static>(future: F) -> Result<JoinHandle<F::Output>, F> {
    let Some(home) = NonNull::new(current::get().cast_mut()) else { return Err(future) };
    // SAFETY: a current home is kept alive by its executor, and this thread is its owner; the
    // future borrows nothing. The handle gets the handle's reference.
    Ok(unsafe { JoinHandle::new(raw::spawn(home, future)) })
}

/// As [`spawn`], with a name.
pub(crate) fn spawn_named<F: Future + 'static>(
    name: Cow<'static, str>,
    future: F,
) -> Result<JoinHandle<F::Output>, F> {
    let Some(home) = NonNull::new(current::get().cast_mut()) else { return Err(future) };
    // SAFETY: as in `spawn`.
    Ok(unsafe { JoinHandle::new(raw::spawn_named(home, name, future)) })
}

/// Called by mail: the run of tasks that this thread's executor is in ends before the next one is
/// polled.
pub(crate) fn interrupt() {
    current::owner(|owner| owner.interrupted.set(true));
}

/// How many tasks of the executor that this thread is in have ended.
pub(crate) fn ended_here() -> u64 {
    // SAFETY: **Owner**; nothing foreign runs while the table is borrowed.
    let alive = |owner: &OwnerSide| unsafe { (*owner.tasks.get()).len() as u64 };
    current::owner(|owner| owner.spawned.get() - alive(owner)).unwrap_or(0)
}

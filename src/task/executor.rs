//! The owner's handle on its executor: entering it, parking, spawning and cancelling.
//!
//! How mail is opened and tasks are polled stands in `running`.
//!
//! It is made in two steps. An [`UnboundExecutor`] takes mail and may go to another thread; bound
//! to its thread, it becomes an [`Executor`], which may not. So a reactor can hand out handles
//! before its threads run.

use std::borrow::Cow;
use std::cell::Cell;
use std::future::Future;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::coop::Allowance;
use super::core::Core;
use super::current_call::CurrentCall;
use super::ignore_panic::{drop_ignoring_panic, ignore_panic};
use super::inbox::Node;
use super::join::JoinHandle;
use super::join_error::JoinError;
use super::shared::{self, Bell, Shared, SharedRef};
use super::{cancel, raw};

/// An executor that is not bound to a thread yet. It takes mail already.
pub(crate) struct UnboundExecutor {
    /// The executor's state.
    shared: NonNull<Shared>,
}

// SAFETY: there is no owner yet, so nothing of the owner's half is in use.
unsafe impl Send for UnboundExecutor {}

/// The executor of this thread. Not `Send`.
pub(crate) struct Executor {
    /// The executor's state.
    pub(super) shared: NonNull<Shared>,
    /// Whether a task is being polled or mail is being opened.
    pub(super) running: Cell<bool>,
    /// Where it says what it runs, if a watchdog watches it.
    pub(super) current_call: Option<Arc<CurrentCall>>,
    /// Keeps the executor on its thread.
    not_send: PhantomData<*const ()>,
}

/// Keeps the thread inside an executor for as long as this lives.
pub(crate) struct EnterGuard<'a> {
    /// The executor that the thread was in before.
    before: *const Shared,
    /// Keeps the executor alive as long as the guard.
    executor: PhantomData<&'a Executor>,
}

impl UnboundExecutor {
    /// Makes an executor whose owner, when it sleeps, is woken by `bell`.
    pub(crate) fn new(bell: Arc<dyn Bell>) -> UnboundExecutor {
        UnboundExecutor { shared: Shared::allocate(bell) }
    }

    /// Returns a reference by which other threads reach the executor.
    pub(crate) fn shared(&self) -> SharedRef {
        // SAFETY: `self` keeps the executor's state alive.
        unsafe { SharedRef::new(self.shared) }
    }

    /// Makes the calling thread the owner.
    pub(crate) fn bind(self) -> Executor {
        let unbound = std::mem::ManuallyDrop::new(self);
        Executor {
            shared: unbound.shared,
            running: Cell::new(false),
            current_call: None,
            not_send: PhantomData,
        }
    }
}

impl Drop for UnboundExecutor {
    fn drop(&mut self) {
        // SAFETY: no other thread can have become the owner, so this one may act as it.
        unsafe {
            refuse(self.shared.as_ref(), self.shared.as_ref().inbox.close(|| {}));
            self.shared.as_ref().clear_waiting();
            Shared::end(self.shared);
        }
    }
}

/// Drops what was taken out of a closed inbox.
///
/// # Safety
///
/// The caller is the owner; `first` heads a chain of nodes from its inbox.
unsafe fn refuse(shared: &Shared, first: *mut Node) {
    let mut rest = first;
    while !rest.is_null() {
        let node = rest;
        // SAFETY: **Link**: nodes that were taken out are alive, and their links the taker's.
        unsafe {
            rest = (*node).next.replace(ptr::null_mut());
            let refuse = (*(*node).vtable).refuse;
            ignore_panic(|| refuse(node));
        }
        shared.count_step();
    }
}

impl Executor {
    /// Returns the owner's half of the executor's state.
    pub(super) fn core(&self) -> &Core {
        // SAFETY: the executor keeps its state alive, and is on the owner's thread.
        unsafe { &self.shared.as_ref().core }
    }

    /// Returns the allowance of the task that runs.
    pub(crate) fn allowance(&self) -> Allowance {
        // SAFETY: the executor keeps its state alive.
        Allowance::new(unsafe { SharedRef::new(self.shared) })
    }

    /// Returns a reference by which other threads reach the executor.
    #[cfg(test)]
    pub(crate) fn shared(&self) -> SharedRef {
        // SAFETY: the executor keeps its state alive.
        unsafe { SharedRef::new(self.shared) }
    }

    /// Makes the executor say in `current_call` what it runs, from now on.
    pub(crate) fn report_calls_to(&mut self, current_call: Arc<CurrentCall>) {
        self.current_call = Some(current_call);
    }

    /// Makes this the executor of the thread until the guard is dropped.
    pub(crate) fn enter(&self) -> EnterGuard<'_> {
        let before = shared::replace_current(self.shared.as_ptr());
        EnterGuard { before, executor: PhantomData }
    }

    /// Returns `true` if mail waits to be opened.
    #[inline]
    pub(crate) fn has_mail(&self) -> bool {
        // SAFETY: the executor keeps its state alive.
        !self.core().mail.get().is_null() || unsafe { self.shared.as_ref() }.inbox.has_mail()
    }

    /// Returns `true` if a task is runnable, or will be at the end of the turn, or mail has come.
    #[inline]
    pub(crate) fn has_work(&self) -> bool {
        // SAFETY: the executor is on the owner's thread.
        let has_deferred = || unsafe { self.core().has_deferred() };
        !self.core().run_queue.is_empty() || self.has_mail() || has_deferred()
    }

    /// Announces sleep: from now on mail rings the bell. Returns `false` if there is mail, and the
    /// owner must not sleep.
    #[inline]
    pub(crate) fn park(&self) -> bool {
        // The bell does not announce mail that was taken out and has not been opened.
        // SAFETY: the executor keeps its state alive.
        self.core().mail.get().is_null() && unsafe { self.shared.as_ref() }.inbox.park()
    }

    /// Takes the announcement of [`Executor::park`] back.
    #[inline]
    pub(crate) fn unpark(&self) {
        // SAFETY: the executor keeps its state alive.
        unsafe { self.shared.as_ref() }.inbox.unpark();
    }

    /// Returns the number of tasks that have not ended.
    pub(crate) fn tasks(&self) -> usize {
        // SAFETY: the executor is on the owner's thread.
        unsafe { self.core().alive() }
    }

    /// Returns the wakes so far: those by the owner that queued a task, and those by other threads.
    #[inline]
    pub(crate) fn wakes(&self) -> (u64, u64) {
        (self.core().wakes.get(), self.core().wakes_by_mail.get())
    }

    /// Asserts that callbacks and polls never nest, until the guard is dropped.
    pub(super) fn start_running(&self) -> impl Drop + '_ {
        struct Running<'a>(&'a Cell<bool>);
        impl Drop for Running<'_> {
            fn drop(&mut self) {
                self.0.set(false);
            }
        }
        assert!(!self.running.replace(true), "a poller cannot be run from inside itself");
        Running(&self.running)
    }

    /// Drops every future, and from now on every new one: at once, or right after the destructor
    /// that has spawned it. The caller has entered.
    pub(crate) fn cancel_tasks(&self) {
        let _running = self.start_running();
        // SAFETY: the executor keeps its state alive; no task is being polled, as `running` shows,
        // and none will be.
        unsafe { cancel::cancel_tasks(self.shared.as_ref()) };
        self.drain();
    }

    /// Drops the mail that is left, and takes no more. To be called after
    /// [`Executor::cancel_tasks`]; the caller has entered.
    pub(crate) fn refuse_mail(&self) {
        // SAFETY: the executor is on the owner's thread. What was taken out and not opened is older
        // than what the inbox still holds, so it is refused first.
        unsafe {
            let shared = self.shared.as_ref();
            refuse(shared, shared.core.mail.replace(ptr::null_mut()));
            refuse(shared, shared.inbox.close(|| shared.count_step()));
            shared.clear_waiting();
        }
        // What was refused may have spawned and woken tasks while it was dropped.
        self.drain();
    }

    /// Empties the run queue of tasks that are all complete, and drops the deferred wakers.
    fn drain(&self) {
        // SAFETY: the executor is on the owner's thread.
        unsafe { self.core().take_deferred(drop_ignoring_panic) };
        // SAFETY: the executor is on the owner's thread.
        while let Some(task) = unsafe { self.core().run_queue.pop() } {
            // SAFETY: as above; the task has just been taken out of the run queue.
            unsafe {
                raw::run(task.cast());
                self.shared.as_ref().count_step();
            }
        }
    }

    /// Runs `future` as a task, by calling `turn` until the task has ended or `turn` fails. The
    /// caller has entered.
    pub(crate) fn drive<F: Future, E>(
        &self,
        future: F,
        mut turn: impl FnMut() -> Result<(), E>,
    ) -> Result<Result<F::Output, JoinError>, E> {
        // SAFETY: the executor is on the owner's thread; the guard makes the task complete and its
        // output dropped before the borrows of `future` end.
        let (handle, task) = unsafe { spawn_on_owner(self.shared, |on| raw::spawn(on, future)) };
        let mut guard = DriveGuard { handle, task, running: &self.running };
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

/// Ends a driven task before its borrows end.
struct DriveGuard<'a, T> {
    /// The task's join handle.
    handle: JoinHandle<T>,
    /// The task, which the handle keeps alive.
    task: NonNull<raw::Header>,
    /// The executor's mark that a task is being polled.
    running: &'a Cell<bool>,
}

impl<T> Drop for DriveGuard<'_, T> {
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
        unsafe { Shared::end(self.shared) };
    }
}

impl Drop for EnterGuard<'_> {
    fn drop(&mut self) {
        shared::replace_current(self.before);
    }
}

/// Spawns a task by `spawn`, and cancels it if its executor is ending.
///
/// # Safety
///
/// The caller is the owner of `shared`. `spawn` makes a task there by `raw::spawn` or
/// `raw::spawn_named`, whose output is `T`.
#[inline]
unsafe fn spawn_on_owner<T>(
    shared: NonNull<Shared>,
    spawn: impl FnOnce(NonNull<Shared>) -> NonNull<raw::Header>,
) -> (JoinHandle<T>, NonNull<raw::Header>) {
    let task = spawn(shared);
    // SAFETY: the task is fresh, and this is its join handle.
    let handle = unsafe { JoinHandle::new(task) };
    // SAFETY: the caller is the owner, and the handle keeps the task alive. No other code knows it.
    unsafe {
        if shared.as_ref().core.closing.get() {
            cancel::cancel_late_spawn(shared.as_ref(), task);
        }
    }
    (handle, task)
}

/// Spawns a task on the executor that this thread is in. Gives the future back if it is in none.
#[inline]
pub(crate) fn spawn<F: Future + 'static>(future: F) -> Result<JoinHandle<F::Output>, F> {
    let Some(shared) = NonNull::new(shared::current().cast_mut()) else { return Err(future) };
    // SAFETY: a current executor is alive, and this thread is its owner; the future borrows nothing.
    Ok(unsafe { spawn_on_owner(shared, |on| raw::spawn(on, future)) }.0)
}

/// Spawns a task with a name, like [`spawn`].
pub(crate) fn spawn_named<F: Future + 'static>(
    name: Cow<'static, str>,
    future: F,
) -> Result<JoinHandle<F::Output>, F> {
    let Some(shared) = NonNull::new(shared::current().cast_mut()) else { return Err(future) };
    // SAFETY: as in `spawn`.
    Ok(unsafe { spawn_on_owner(shared, |on| raw::spawn_named(on, name, future)) }.0)
}

/// Ends the run of tasks that this thread's executor is in, before the next task is polled. Called
/// by mail.
pub(crate) fn interrupt() {
    shared::with_current_core(|core| core.interrupted.set(true));
}

/// Returns the number of tasks of the executor that this thread is in that have ended.
pub(crate) fn tasks_ended() -> u64 {
    // SAFETY: a current executor's thread is its owner.
    let ended = |core: &Core| core.spawned.get() - unsafe { core.alive() } as u64;
    shared::with_current_core(ended).unwrap_or(0)
}

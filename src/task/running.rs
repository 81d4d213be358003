//! How an executor runs: it opens mail and polls tasks, as many as it is granted.
//!
//! The loop asks its [`Grant`] for a number of calls, makes them, and asks again. So the poller
//! decides about time, and the executor about tasks, and the clock is read between two batches
//! only.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::{self, NonNull};

use super::coop::OPERATIONS_PER_POLL;
use super::core::UNLIMITED;
use super::current_call::{StallKind, TypeName};
use super::executor::Executor;
use super::ignore_panic::ignore_panic;
use super::inbox::NodeVTable;
use super::raw;

/// Says how many calls a run of tasks may make. It is a trait, so that the hot loop can inline it.
pub(crate) trait Grant {
    /// Returns how many more calls may be made, after `made` in all. Zero ends the run.
    fn next(&mut self, made: usize) -> usize;

    /// Returns `true` if a task may be polled behind mail, which has taken any time.
    fn may_poll(&self) -> bool {
        true
    }
}

/// How far a run of tasks has come.
struct Progress {
    /// The number of calls after which the run asks its grant again.
    granted: usize,
    /// The calls so far.
    made: usize,
    /// Those of them that opened a piece of mail.
    opened: usize,
    /// The task that is being polled.
    task: Option<NonNull<raw::Header>>,
}

impl Progress {
    /// Counts the pieces of mail that `deliver` opens. It may open as many as are granted.
    #[cold]
    fn open(&mut self, deliver: impl FnOnce(usize) -> usize) {
        let opened = deliver(self.granted - self.made);
        self.made += opened;
        self.opened += opened;
    }
}

impl Executor {
    /// Makes as many calls as `grant` allows, and asks it again each time they are used up. The run
    /// ends when it grants none, or nothing is left to call. Returns the number of polls.
    ///
    /// A call is the poll of a task, or the opening of a piece of mail. Mail is opened before each
    /// poll: a wake from another thread waits for one poll, not for a turn.
    ///
    /// The caller has entered.
    pub(crate) fn run(&self, mut grant: impl Grant) -> usize {
        let mut progress = Progress { granted: 0, made: 0, opened: 0, task: None };
        // Two copies of what follows: the one without a watchdog pays nothing for the other.
        match &self.current_call {
            None => self.run_reporting(&mut progress, &mut grant, |_, _| {}),
            Some(call) => {
                self.run_reporting(&mut progress, &mut grant, |kind, of| call.begin(kind, of));
            }
        }
        progress.made - progress.opened
    }

    /// Makes up to `calls` calls, as a turn of a poller does.
    #[cfg(test)]
    pub(crate) fn run_up_to(&self, calls: usize) -> usize {
        struct Once(usize);
        impl Grant for Once {
            fn next(&mut self, _: usize) -> usize {
                std::mem::take(&mut self.0)
            }
        }
        let polled = self.run(Once(calls));
        self.wake_deferred();
        polled
    }

    /// Does the work of [`Executor::run`], and reports each call to `begin` before it is made.
    fn run_reporting(
        &self,
        progress: &mut Progress,
        grant: &mut impl Grant,
        begin: impl Fn(StallKind, TypeName),
    ) {
        let _running = self.start_running();
        // One `catch_unwind` covers the whole run: the task that panicked ends, and the run goes on
        // behind it.
        while let Err(panic) =
            catch_unwind(AssertUnwindSafe(|| self.run_some(progress, grant, &begin)))
        {
            // Nothing but a poll panics, or there is a bug in this crate, which must not be hidden.
            let Some(task) = progress.task.take() else { resume_unwind(panic) };
            // SAFETY: the executor is on the owner's thread; the task's poll has thrown.
            unsafe { raw::run_panicked(task, panic) };
        }
        self.core().allowance.set(UNLIMITED);
    }

    /// Runs the loop of [`Executor::run`], until it is through or a poll panics.
    #[inline]
    fn run_some(
        &self,
        progress: &mut Progress,
        grant: &mut impl Grant,
        begin: &impl Fn(StallKind, TypeName),
    ) {
        // SAFETY: the executor keeps its state alive. Looked up once, and not before each poll.
        let shared = unsafe { self.shared.as_ref() };
        let core = &shared.core;
        loop {
            let mut has_left_mail = false;
            if progress.made >= progress.granted {
                // The last task has been polled, and may be freed: a panic of `grant` is not its.
                progress.task = None;
                let more = grant.next(progress.made);
                if more == 0 {
                    break;
                }
                progress.granted = progress.made + more;
                // Mail that was taken out of the inbox is left only where a grant was used up: it
                // is not looked for before each poll.
                has_left_mail = !core.mail.get().is_null();
            }
            if has_left_mail || shared.inbox.has_mail() {
                progress.task = None;
                progress.open(|most| self.deliver(most, begin));
                if core.interrupted.take() || !grant.may_poll() {
                    break;
                }
            }
            // SAFETY: the executor is on the owner's thread.
            let Some(task) = (unsafe { core.run_queue.pop() }) else { break };
            let task = task.cast();
            // If mail has used up what was granted, there is one poll all the same: a flood of mail
            // does not keep the tasks from running.
            progress.made += 1;
            progress.task = Some(task);
            core.allowance.set(OPERATIONS_PER_POLL);
            // SAFETY: as above; the task has just been taken out of the run queue.
            unsafe {
                begin(StallKind::Poll, raw::future_type(task));
                raw::run(task);
            }
        }
        progress.task = None;
    }

    /// Opens up to `budget` pieces of mail. The caller has entered.
    pub(crate) fn open_mail(&self, budget: usize) {
        if self.has_mail() {
            let _running = self.start_running();
            match &self.current_call {
                None => self.deliver(budget, &|_, _| {}),
                Some(call) => self.deliver(budget, &|kind, of| call.begin(kind, of)),
            };
        }
    }

    /// Wakes the tasks that have used their allowance up. The poller calls this after it has looked
    /// at everything else.
    #[inline]
    pub(crate) fn wake_deferred(&self) {
        // SAFETY: the executor is on the owner's thread.
        unsafe {
            if self.core().has_deferred() {
                // One of the wakers may belong to a future that is polled outside of tasks. There
                // nothing else renews the allowance, and 2³² operations use it up as well.
                self.core().allowance.set(UNLIMITED);
                self.core().take_deferred(|waker| ignore_panic(|| waker.wake()));
            }
        }
    }

    /// Opens up to `budget` pieces of mail, and returns how many it has opened.
    #[inline(never)]
    fn deliver(&self, budget: usize, begin: &impl Fn(StallKind, TypeName)) -> usize {
        let core = self.core();
        for opened in 0..budget {
            if core.mail.get().is_null() {
                // SAFETY: the executor keeps its state alive.
                let shared = unsafe { self.shared.as_ref() };
                core.mail.set(shared.inbox.take(|| shared.count_step()));
            }
            let node = core.mail.get();
            if node.is_null() {
                return opened;
            }
            // SAFETY: **Link**: as in `executor::refuse`. The node is out of the list before it is
            // delivered, as that runs foreign code.
            unsafe {
                core.mail.set((*node).next.replace(ptr::null_mut()));
                let NodeVTable { deliver, type_name, .. } = *(*node).vtable;
                begin(StallKind::Closure, type_name);
                ignore_panic(|| deliver(node));
            }
            if core.interrupted.get() {
                // A shutdown has begun: the clock decides what may begin after this.
                return opened + 1;
            }
        }
        budget
    }
}

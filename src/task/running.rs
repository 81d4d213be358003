//! How an executor runs: mail is opened and tasks are polled, as many as it is granted.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::{self, NonNull};

use super::calls::{StallKind, TypeName};
use super::coop::{OPERATIONS_PER_POLL, UNLIMITED};
use super::executor::Executor;
use super::ignore_panic::ignore_panic;
use super::inbox::NodeVTable;
use super::raw;

/// Says how many calls a run of tasks may make. A trait, so that the hot loop can have it inline.
pub(crate) trait Grant {
    /// The number of further calls, now that `made` have been made; zero ends the run.
    fn next(&mut self, made: usize) -> usize;
}

/// How far a run of tasks has come.
struct Run {
    /// Calls that may have been made when it asks again.
    granted: usize,
    /// Calls so far.
    made: usize,
    /// Those of them that were pieces of mail.
    opened: usize,
    /// The task that is being polled.
    task: Option<NonNull<raw::Header>>,
}

impl Run {
    /// Counts the pieces of mail that `deliver` opens, of which it may open as many as were granted.
    #[cold]
    fn open(&mut self, deliver: impl FnOnce(usize) -> usize) {
        let opened = deliver(self.granted - self.made);
        self.made += opened;
        self.opened += opened;
    }
}

impl Executor {
    /// Makes as many calls as `grant` says, and asks it again when they are made, until it says
    /// zero or nothing is left to call. A call is the poll of a task or the opening of a piece of
    /// mail, which is done before each poll: a wake from another thread waits for one poll, not for
    /// a turn. Returns the number of polls.
    ///
    /// The caller has entered.
    pub(crate) fn run(&self, mut grant: impl Grant) -> usize {
        let mut run = Run { granted: 0, made: 0, opened: 0, task: None };
        // Two copies of what follows: the one without a watchdog pays nothing for the other.
        match &self.calls {
            None => self.run_telling(&mut run, &mut grant, |_, _| {}),
            Some(calls) => self.run_telling(&mut run, &mut grant, |kind, of| calls.begin(kind, of)),
        }
        run.made - run.opened
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

    /// [`Executor::run`]; `begin` hears of each call before it is made.
    fn run_telling(
        &self,
        run: &mut Run,
        grant: &mut impl Grant,
        begin: impl Fn(StallKind, TypeName),
    ) {
        let _running = self.start_running();
        // One net catches the panics of the whole run: the task that threw ends, and the run goes
        // on behind it.
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.run_some(run, grant, &begin)))
        {
            // Nothing else throws but a bug of ours, which is not to be lost.
            let Some(task) = run.task.take() else { resume_unwind(panic) };
            // SAFETY: the executor is on the owner's thread; the task's poll has thrown.
            unsafe { raw::run_panicked(task, panic) };
        }
        self.owner().allowance.set(UNLIMITED);
    }

    /// The loop of [`Executor::run`].
    #[inline]
    fn run_some(
        &self,
        run: &mut Run,
        grant: &mut impl Grant,
        begin: &impl Fn(StallKind, TypeName),
    ) {
        // SAFETY: the executor keeps its home alive. Looked up once, and not before each poll.
        let home = unsafe { self.home.as_ref() };
        let owner = &home.owner;
        loop {
            if run.made >= run.granted {
                // The one before has been polled, and may be gone: a panic of this is not its.
                run.task = None;
                let more = grant.next(run.made);
                if more == 0 {
                    break;
                }
                run.granted = run.made + more;
            }
            if !owner.mail.get().is_null() || home.inbox.has_mail() {
                run.task = None;
                run.open(|most| self.deliver(most, begin));
                if owner.interrupted.take() {
                    break;
                }
            }
            // SAFETY: the executor is on the owner's thread.
            let Some(task) = (unsafe { owner.dequeue() }) else { break };
            // Mail may have used up what was granted: there is one poll even so.
            run.made += 1;
            run.task = Some(task);
            owner.allowance.set(OPERATIONS_PER_POLL);
            // SAFETY: as above; the task has just been taken out of the run queue.
            unsafe {
                begin(StallKind::Poll, raw::future_type(task));
                raw::run(task);
            }
        }
        run.task = None;
    }

    /// Opens up to `budget` pieces of mail. The caller has entered.
    pub(crate) fn open_mail(&self, budget: usize) {
        if self.has_mail() {
            let _running = self.start_running();
            match &self.calls {
                None => self.deliver(budget, &|_, _| {}),
                Some(calls) => self.deliver(budget, &|kind, of| calls.begin(kind, of)),
            };
        }
    }

    /// Makes the tasks runnable that have used their allowance up: the poller has looked at
    /// everything else.
    #[inline]
    pub(crate) fn wake_deferred(&self) {
        // SAFETY: the executor is on the owner's thread.
        unsafe {
            if self.owner().has_deferred() {
                // One of them may have been polled outside of a task, where nothing else puts the
                // allowance up: after 2³² operations there it is used up as well.
                self.owner().allowance.set(UNLIMITED);
                self.owner().take_deferred(|waker| ignore_panic(|| waker.wake()));
            }
        }
    }

    /// Returns the number of pieces.
    #[inline(never)]
    fn deliver(&self, budget: usize, begin: &impl Fn(StallKind, TypeName)) -> usize {
        let owner = self.owner();
        for opened in 0..budget {
            if owner.mail.get().is_null() {
                // SAFETY: the executor keeps the home alive.
                let home = unsafe { self.home.as_ref() };
                owner.mail.set(home.inbox.take(|| home.step()));
            }
            let node = owner.mail.get();
            if node.is_null() {
                return opened;
            }
            // SAFETY: **Link**: as in `executor::refuse`. The node is out of the list before it is
            // delivered, as that runs foreign code.
            unsafe {
                owner.mail.set((*node).next.replace(ptr::null_mut()));
                let NodeVTable { deliver, type_name, .. } = *(*node).vtable;
                begin(StallKind::Closure, type_name);
                ignore_panic(|| deliver(node));
            }
            if owner.interrupted.get() {
                // A shutdown has begun: the clock decides what may begin after this.
                return opened + 1;
            }
        }
        budget
    }

    /// Callbacks and polls never nest: this holds it.
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
}

//! The threads of a simulation.
//!
//! A simulated thread is a coroutine with a stack of its own. It runs until it blocks in a call:
//! a wait for events, for a condition variable, or for another thread; or, where that is a fault of the
//! simulation, until a call that moves bytes. Then the code that has
//! resumed it goes on, and chooses which thread runs next. So the loop of a poller, and code that
//! waits for one, run here as they are.
//!
//! The invariant **Stack**: what foreign code has put on a stack stays there until that code has ended. It
//! may be pinned, or borrowed by a thread of the process, and both rely on the destructors that a crash
//! leaves out. So the stack of a crashed thread is freed only if no frame of foreign code is on it, and
//! leaked otherwise.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::id::HostId;
use super::running::{ThreadId, running, set_running};
use super::world::World;

/// The stack of a thread, in bytes. Only the pages that it touches are resident.
const STACK_SIZE: usize = 1 << 20;

/// What a thread waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// For nothing: it goes on when it is chosen.
    Turn,
    /// For events of an epoll instance, or until a time.
    Events(std::os::fd::RawFd, Option<u64>),
    /// For the change of a condition variable, by its address, or until a time.
    Change(usize, Option<u64>),
    /// For a time: it computes until then.
    Time(u64),
    /// For the end of another thread.
    End(ThreadId),
}

/// Whose code a thread begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// The crate's own: it runs a poller, and calls foreign code inside of that alone.
    Own,
    /// The user's: a blocking call.
    #[cfg(feature = "blocking")]
    Foreign,
}

/// What a coroutine switches back with.
type Switch = Yielder<(), ()>;

/// A thread of the simulation.
struct Thread {
    /// Its name.
    name: String,
    /// The host that it belongs to.
    host: HostId,
    /// Whose code it begins with.
    code: Code,
    /// Its code. It is taken out while it runs; `None` afterwards if it has ended.
    coroutine: Option<Coroutine<(), (), ()>>,
    /// What switches back from it, once it has begun.
    switch: Option<NonNull<Switch>>,
    /// What it waits for.
    wait: Wait,
    /// Whether the condition variable that it waits for has changed.
    is_notified: bool,
    /// Whether it has ended.
    has_ended: bool,
}

impl Thread {
    /// Returns `true` if no frame of foreign code is on its stack. A poller that waits for events, and
    /// does not just look for them, runs neither a task nor a callback: a wait inside of one panics.
    fn has_own_frames_only(&self) -> bool {
        let is_waiting = matches!(self.wait, Wait::Events(..));
        self.switch.is_none() || (self.code == Code::Own && is_waiting)
    }
}

thread_local! {
    /// The threads of the simulation that this thread is in.
    static THREADS: RefCell<Threads> = const { RefCell::new(Threads::new()) };
}

/// All threads of a simulation. While it does not run, it keeps them itself.
pub(crate) struct Threads {
    /// The threads, by their numbers.
    list: Vec<Thread>,
}

impl Threads {
    /// Makes an empty list.
    pub(crate) const fn new() -> Threads {
        Threads { list: Vec::new() }
    }

    /// Makes `threads` those of the simulation that this thread is in, until the guard is dropped.
    pub(crate) fn enter(threads: Rc<RefCell<Threads>>) -> impl Drop {
        /// Puts back the threads that were there before, and which of them runs.
        struct Entered(Rc<RefCell<Threads>>, Option<ThreadId>);
        impl Drop for Entered {
            fn drop(&mut self) {
                exchange(&self.0);
                set_running(self.1);
            }
        }
        fn exchange(threads: &RefCell<Threads>) {
            THREADS.with_borrow_mut(|current| std::mem::swap(current, &mut threads.borrow_mut()));
        }
        exchange(&threads);
        // The number that is there is one of the other list.
        Entered(threads, set_running(None))
    }

    /// Starts a thread of `host`, which runs when it is chosen.
    ///
    /// # Panics
    ///
    /// Panics if there is no memory for its stack.
    pub(crate) fn spawn(
        host: HostId,
        name: String,
        code: Code,
        body: impl FnOnce() + 'static,
    ) -> ThreadId {
        let stack = DefaultStack::new(STACK_SIZE).expect("memory for a simulated thread");
        let id = THREADS.with_borrow(|threads| threads.list.len());
        let coroutine = Coroutine::with_stack(stack, move |switch: &Switch, ()| {
            THREADS.with_borrow_mut(|all| all.list[id].switch = Some(NonNull::from(switch)));
            body();
        });
        THREADS.with_borrow_mut(|threads| {
            threads.list.push(Thread {
                name,
                host,
                code,
                coroutine: Some(coroutine),
                switch: None,
                wait: Wait::Turn,
                is_notified: false,
                has_ended: false,
            });
        });
        id
    }

    /// Lets a thread run until it blocks or ends.
    pub(crate) fn resume(id: ThreadId) {
        let taken = THREADS.with_borrow_mut(|threads| threads.list[id].coroutine.take());
        let Some(mut coroutine) = taken else { return };
        let before = set_running(Some(id));
        let result = coroutine.resume(());
        set_running(before);
        THREADS.with_borrow_mut(|threads| {
            let thread = &mut threads.list[id];
            match result {
                CoroutineResult::Yield(()) => thread.coroutine = Some(coroutine),
                CoroutineResult::Return(()) => (thread.switch, thread.has_ended) = (None, true),
            }
        });
    }

    /// Returns the threads that can go on, and when the next other one can by itself.
    pub(crate) fn ready(world: &World) -> (Vec<ThreadId>, Option<u64>) {
        let now = world.now();
        THREADS.with_borrow(|threads| {
            let mut ready = Vec::new();
            let mut next: Option<u64> = None;
            for (id, thread) in threads.list.iter().enumerate() {
                if thread.has_ended || world.is_paused(thread.host) {
                    continue;
                }
                let until = match thread.wait {
                    Wait::Events(_, until) | Wait::Change(_, until) => until,
                    Wait::Time(until) => Some(until),
                    Wait::Turn | Wait::End(_) => None,
                };
                let can_go_on = match thread.wait {
                    Wait::Turn => true,
                    Wait::Events(epoll, _) => world.is_off() || world.epoll_has_events(epoll),
                    Wait::Change(..) => thread.is_notified,
                    Wait::Time(_) => world.is_off(),
                    Wait::End(other) => threads.list[other].has_ended,
                };
                if can_go_on || until.is_some_and(|until| until <= now) {
                    ready.push(id);
                } else if let Some(until) = until {
                    next = Some(next.map_or(until, |next| next.min(until)));
                }
            }
            (ready, next)
        })
    }

    /// Returns the host of a thread.
    pub(crate) fn host(id: ThreadId) -> HostId {
        THREADS.with_borrow(|threads| threads.list[id].host)
    }

    /// Returns the name of a thread.
    pub(crate) fn name(id: ThreadId) -> String {
        THREADS.with_borrow(|threads| threads.list[id].name.clone())
    }

    /// Returns `true` if a thread has ended.
    pub(crate) fn has_ended(id: ThreadId) -> bool {
        THREADS.with_borrow(|threads| threads.list[id].has_ended)
    }

    /// Takes the code of those of `threads` that have not begun. To drop it is up to the caller: it
    /// is the user's.
    pub(crate) fn take_unstarted(threads: &[ThreadId]) -> Vec<impl Sized + use<>> {
        THREADS.with_borrow_mut(|all| {
            let mut taken = Vec::new();
            for id in threads {
                let thread = &mut all.list[*id];
                if thread.switch.is_none() && !thread.has_ended {
                    thread.has_ended = true;
                    taken.extend(thread.coroutine.take());
                }
            }
            taken
        })
    }

    /// Ends all threads of `host`, or of all hosts, without running them any further, and returns
    /// them. What they have in memory is leaked, as no destructor runs when a machine loses its
    /// power.
    pub(crate) fn abandon(host: Option<HostId>) -> Vec<ThreadId> {
        THREADS.with_borrow_mut(|threads| {
            let mut ended = Vec::new();
            for (id, thread) in threads.list.iter_mut().enumerate() {
                if host.is_some_and(|host| thread.host != host) || thread.has_ended {
                    continue;
                }
                ended.push(id);
                let frees_stack = thread.has_own_frames_only();
                (thread.has_ended, thread.switch) = (true, None);
                let Some(mut coroutine) = thread.coroutine.take() else { continue };
                if frees_stack {
                    // SAFETY: **Stack**: what the crate has there is referred to from there alone.
                    unsafe { coroutine.force_reset() };
                } else {
                    std::mem::forget(coroutine);
                }
            }
            ended
        })
    }
}

/// Blocks the simulated thread that runs. Outside of one it does nothing.
pub(crate) fn block(wait: Wait) {
    let Some(id) = running() else { return };
    let switch = THREADS.with_borrow_mut(|threads| {
        let thread = &mut threads.list[id];
        thread.wait = wait;
        thread.is_notified = false;
        thread.switch
    });
    let Some(switch) = switch else { return };
    // SAFETY: the coroutine of this thread runs, as `running` says so, and its yielder lives for as
    // long as its body.
    unsafe { switch.as_ref() }.suspend(());
}

/// Lets other threads run before a call, now and then, if that is a fault of this simulation.
pub(crate) fn preempt() {
    let Some(kernel) = super::kernel::current() else { return };
    let is_due = kernel.borrow_mut().preempts();
    drop(kernel);
    // Unwinding is counted by threads of the process: a panic of another simulated one would abort.
    if is_due && !thread::panicking() {
        block(Wait::Turn);
    }
}

/// Notifies the threads that wait for a condition variable, by its address.
pub(crate) fn notify(condition: usize) {
    THREADS.with_borrow_mut(|threads| {
        for thread in &mut threads.list {
            if matches!(thread.wait, Wait::Change(waits_for, _) if waits_for == condition) {
                thread.is_notified = true;
            }
        }
    });
}

/// A simulated thread, and what it returns.
#[derive(Debug)]
pub(crate) struct JoinHandle<T> {
    /// Its number.
    id: ThreadId,
    /// What its code has returned, or its panic, once it has ended.
    result: Arc<Mutex<Option<thread::Result<T>>>>,
}

impl<T> JoinHandle<T> {
    /// Waits for the end of the thread.
    pub(crate) fn join(self) -> thread::Result<T> {
        block(Wait::End(self.id));
        let result = self.result.lock().unwrap_or_else(PoisonError::into_inner).take();
        result.unwrap_or_else(|| Err(Box::new("the simulated thread has not ended")))
    }

    /// Returns its name.
    pub(crate) fn name(&self) -> String {
        Threads::name(self.id)
    }
}

/// Starts a thread of the host whose code runs.
pub(crate) fn spawn<T: 'static>(
    name: String,
    code: Code,
    body: impl FnOnce() -> T + 'static,
) -> JoinHandle<T> {
    let result = Arc::new(Mutex::new(None));
    let returned = result.clone();
    let host = super::kernel::current().map_or(0, |kernel| kernel.borrow().host());
    let id = Threads::spawn(host, name, code, move || {
        // A panic must not leave the stack of the coroutine.
        let result = catch_unwind(AssertUnwindSafe(body));
        *returned.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    });
    JoinHandle { id, result }
}

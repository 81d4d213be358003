//! A guard for the calls that write and have no MSG_NOSIGNAL: splice(2), sendfile(2), write(2).
//!
//! A write to a connection whose reader is gone raises SIGPIPE, and the signal's default action
//! ends the process. Rust's runtime ignores the signal, but not in a library of a C program, and
//! any part of a program may restore the default. So such a call runs with the signal blocked on
//! its thread, and a signal that it has raised is taken before the mask is restored. That changes
//! neither the signal's disposition nor the mask of another thread, which child processes and new
//! threads would inherit.

use std::cell::Cell;
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::ptr;

/// Blocks SIGPIPE on this thread from the first call until it is dropped. No foreign code runs
/// meanwhile.
///
/// It costs two system calls for any number of writes, one more if a write came short, and one more
/// if the thread had blocked the signal before.
pub(crate) struct NoSigpipe {
    /// The state from before the first call; `None` until then.
    held: Cell<Option<Held>>,
    /// `true` if a call may have raised the signal.
    may_have_come: Cell<bool>,
    /// The mask belongs to the thread, so the guard must not leave it.
    _not_send: PhantomData<*const ()>,
}

/// What the thread's state was before the first call.
#[derive(Clone, Copy)]
struct Held {
    /// The signal mask.
    mask: libc::sigset_t,
    /// `true` if SIGPIPE was blocked.
    was_blocked: bool,
    /// `true` if a SIGPIPE was pending that no call of the guard has raised.
    was_pending: bool,
}

impl NoSigpipe {
    /// Creates a guard. It does nothing until the first call.
    pub(crate) const fn new() -> NoSigpipe {
        let (held, may_have_come) = (Cell::new(None), Cell::new(false));
        NoSigpipe { held, may_have_come, _not_send: PhantomData }
    }

    /// Runs `call`, which tries to write `asked` bytes.
    pub(crate) fn call(
        &self,
        asked: usize,
        call: impl FnOnce() -> io::Result<usize>,
    ) -> io::Result<usize> {
        if self.held.get().is_none() {
            self.held.set(Some(hold()));
        }
        let result = call();
        // splice and sendfile loop in the kernel. A round that finds EPIPE raises the signal and
        // ends the loop, and the call still returns what the earlier rounds have moved. So a call
        // that has moved everything has raised none.
        let may_have_come = match &result {
            Ok(count) => *count < asked,
            Err(error) => error.raw_os_error() == Some(libc::EPIPE),
        };
        if may_have_come {
            self.may_have_come.set(true);
        }
        result
    }
}

impl Drop for NoSigpipe {
    fn drop(&mut self) {
        let Some(held) = self.held.get() else { return };
        // A signal that was pending before is another part's, and stays.
        if self.may_have_come.get() && !held.was_pending {
            take_pending();
        }
        if !held.was_blocked {
            restore(&held.mask);
        }
    }
}

/// Takes the pending signal, if there is one.
fn take_pending() {
    simulated!(kernel => kernel.take_sigpipe());
    let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both pointers are to locals, and no information is asked for. SIGPIPE is directed at
    // the thread that writes (signal(7)), so this takes away no other thread's.
    unsafe { libc::sigtimedwait(&only_sigpipe(), ptr::null_mut(), &at_once) };
}

/// Gives the thread the mask that it had.
fn restore(mask: &libc::sigset_t) {
    simulated!(kernel => kernel.unblock_sigpipe());
    // SAFETY: the mask is what the kernel gave us; the old one is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, ptr::null_mut()) };
}

/// Blocks SIGPIPE and returns the state from before.
fn hold() -> Held {
    simulated!(kernel => {
        let (was_blocked, was_pending) = kernel.block_sigpipe();
        Held { mask: only_sigpipe(), was_blocked, was_pending }
    });
    // SAFETY: the kernel writes a whole set to `mask`, for which all zeros is a valid value.
    let (mask, was_blocked) = unsafe {
        let mut mask: libc::sigset_t = mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, &only_sigpipe(), &mut mask);
        (mask, libc::sigismember(&mask, libc::SIGPIPE) == 1)
    };
    // A signal can only be pending while it is blocked.
    Held { mask, was_blocked, was_pending: was_blocked && is_pending() }
}

/// Returns the set of SIGPIPE alone.
fn only_sigpipe() -> libc::sigset_t {
    // SAFETY: sigemptyset initialises the set.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGPIPE);
        set
    }
}

/// Returns `true` if a SIGPIPE is pending on this thread.
#[cold]
fn is_pending() -> bool {
    // SAFETY: sigpending initialises the set.
    unsafe {
        let mut pending: libc::sigset_t = mem::zeroed();
        libc::sigpending(&mut pending);
        libc::sigismember(&pending, libc::SIGPIPE) == 1
    }
}

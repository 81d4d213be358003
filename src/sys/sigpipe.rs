//! Calls that write and have no MSG_NOSIGNAL: splice(2), sendfile(2), write(2).
//!
//! A write to a connection whose reader is gone raises SIGPIPE, whose default action ends the
//! process. Rust's runtime ignores the signal, but not in a library of a C program, and any part of
//! a program may set the default again. So such a call is made with the signal held back on its
//! thread, and a signal that came of it is taken away before it is let through again. That touches
//! neither the process's disposition nor another thread's mask, which children and new threads
//! would inherit.

use std::cell::Cell;
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::ptr;

/// Holds SIGPIPE back on this thread from its first call until it is dropped. Nothing foreign runs
/// meanwhile. Two system calls for any number of writes; one more if one of them came short, and
/// one more if the thread holds the signal back by itself.
pub(crate) struct NoSigpipe {
    /// Made by the first call.
    held: Cell<Option<Held>>,
    /// A call may have raised the signal.
    may_have_come: Cell<bool>,
    /// It is about its thread.
    _not_send: PhantomData<*const ()>,
}

/// What was before.
#[derive(Clone, Copy)]
struct Held {
    mask: libc::sigset_t,
    was_blocked: bool,
    was_pending: bool,
}

impl NoSigpipe {
    pub(crate) const fn new() -> NoSigpipe {
        let (held, may_have_come) = (Cell::new(None), Cell::new(false));
        NoSigpipe { held, may_have_come, _not_send: PhantomData }
    }

    /// Runs `call`, which is to write `asked` bytes.
    pub(crate) fn call(
        &self,
        asked: usize,
        call: impl FnOnce() -> io::Result<usize>,
    ) -> io::Result<usize> {
        if self.held.get().is_none() {
            self.held.set(Some(hold()));
        }
        let result = call();
        // splice and sendfile loop in the kernel: a round that meets with EPIPE raises the signal,
        // and what the rounds before it moved is still what the call returns. Such a round is the
        // last one, so a call that moved all that it was asked for had none.
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
        // One that waited before is not of our making.
        if self.may_have_come.get() && !held.was_pending {
            let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            // SAFETY: both pointers are to locals, and no information is asked for. SIGPIPE is
            // directed at the thread that writes (signal(7)), so this takes away no other thread's.
            unsafe { libc::sigtimedwait(&only_sigpipe(), ptr::null_mut(), &at_once) };
        }
        if !held.was_blocked {
            // SAFETY: the mask is what the kernel gave us; the old one is not asked for.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &held.mask, ptr::null_mut()) };
        }
    }
}

fn hold() -> Held {
    // SAFETY: the kernel writes a whole set to `mask`, for which all zeros is a valid value.
    let (mask, was_blocked) = unsafe {
        let mut mask: libc::sigset_t = mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, &only_sigpipe(), &mut mask);
        (mask, libc::sigismember(&mask, libc::SIGPIPE) == 1)
    };
    // Only a signal that is held back can be waiting.
    Held { mask, was_blocked, was_pending: was_blocked && is_pending() }
}

fn only_sigpipe() -> libc::sigset_t {
    // SAFETY: sigemptyset initialises the set.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGPIPE);
        set
    }
}

#[cold]
fn is_pending() -> bool {
    // SAFETY: sigpending initialises the set.
    unsafe {
        let mut pending: libc::sigset_t = mem::zeroed();
        libc::sigpending(&mut pending);
        libc::sigismember(&pending, libc::SIGPIPE) == 1
    }
}

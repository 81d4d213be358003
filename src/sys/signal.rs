//! Signals of the process: see signal(7).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use signal_hook_registry::{FORBIDDEN, SigId, register, unregister};

pub(crate) use libc::{SIGINT, SIGTERM};

use super::eventfd::EventFd;

/// The highest signal of Linux: SIGRTMAX.
const HIGHEST: libc::c_int = 64;

/// Signals that have come since somebody last looked. Each is there once, however often it came.
///
/// The handler stays for the life of the process: from the first watch on, the signal is no longer
/// answered by what the kernel does with it by default.
#[derive(Debug)]
pub(crate) struct PendingSignals {
    shared: Arc<Shared>,
    /// What the handlers of the process call, one for each signal.
    actions: Vec<SigId>,
}

/// What the signal handler touches: an atomic and an eventfd.
#[derive(Debug)]
struct Shared {
    /// Bit n - 1 stands for signal n.
    pending: AtomicU64,
    /// Rings after the bit was set.
    bell: EventFd,
}

impl PendingSignals {
    /// Watches for `signals`, from now on.
    pub(crate) fn new(
        signals: impl IntoIterator<Item = libc::c_int>,
    ) -> io::Result<PendingSignals> {
        let shared = Arc::new(Shared { pending: AtomicU64::new(0), bell: EventFd::new()? });
        let mut pending = PendingSignals { shared, actions: Vec::new() };
        for signal in signals {
            pending.add(signal)?;
        }
        Ok(pending)
    }

    fn add(&mut self, signal: libc::c_int) -> io::Result<()> {
        if !(1..=HIGHEST).contains(&signal) || FORBIDDEN.contains(&signal) {
            let message = format!("signal {signal} cannot be waited for: signal(7)");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let shared = self.shared.clone();
        let action = move || {
            // Relaxed is not enough: who hears the bell must see the bit.
            shared.pending.fetch_or(1 << (signal - 1), Ordering::Release);
            shared.bell.ring();
        };
        // SAFETY: the action is async-signal-safe (signal-safety(7)): one atomic operation and one
        // write(2). It neither allocates nor panics: `signal - 1` is below 64, and the registry
        // keeps the action, and with it `shared`, until no handler runs it any more.
        self.actions.push(unsafe { register(signal, action) }?);
        Ok(())
    }

    /// Takes one of the signals that have come.
    pub(crate) fn take(&self) -> Option<libc::c_int> {
        let pending = self.shared.pending.load(Ordering::Acquire);
        if pending == 0 {
            return None;
        }
        let index = pending.trailing_zeros();
        self.shared.pending.fetch_and(!(1 << index), Ordering::Relaxed);
        Some(index as libc::c_int + 1)
    }
}

impl AsFd for PendingSignals {
    /// Readable, by an edge, after each signal. Nobody reads it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.bell.as_fd()
    }
}

impl Drop for PendingSignals {
    fn drop(&mut self) {
        for action in self.actions.drain(..) {
            unregister(action);
        }
    }
}

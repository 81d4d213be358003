//! Signals of the process, as a descriptor: signal(7).
//!
//! A signal handler may do almost nothing (signal-safety(7)), so it sets a bit and rings a bell.
//! What the program does about the signal happens in a task of a poller.

use std::io;
#[cfg(feature = "sim")]
use std::os::fd::AsRawFd;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use signal_hook_registry::{FORBIDDEN, SigId, register, unregister};

pub use libc::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

use super::eventfd::EventFd;

/// The highest signal number of Linux, SIGRTMAX.
const HIGHEST: libc::c_int = 64;

/// The signals of a set that have come and have not been taken yet. A signal that comes twice
/// before it is taken counts once, as always with signals.
///
/// The handlers stay installed for the life of the process. From the first set on, a signal in it
/// no longer has its default action.
#[derive(Debug)]
pub(crate) struct PendingSignals {
    /// What the signal handlers write to.
    shared: Arc<Shared>,
    /// The registrations of the actions that the signal handlers run, one for each signal.
    actions: Vec<SigId>,
}

/// What a signal handler writes to. Both operations are async-signal-safe.
#[derive(Debug)]
struct Shared {
    /// The signals that have come: bit n - 1 is signal n.
    pending: AtomicU64,
    /// Becomes readable after the bit was set.
    bell: EventFd,
}

impl Shared {
    /// Notes that a signal has come.
    fn note(&self, signal: libc::c_int) {
        // Release: the poller that the bell wakes must see the bit.
        self.pending.fetch_or(1 << (signal - 1), Ordering::Release);
    }
}

impl PendingSignals {
    /// Starts to collect `signals`, which must be signals that can be caught.
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

    /// Adds one signal to the set.
    fn add(&mut self, signal: libc::c_int) -> io::Result<()> {
        if !(1..=HIGHEST).contains(&signal) || FORBIDDEN.contains(&signal) {
            let message = format!("signal {signal} cannot be caught: signal(7)");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        #[cfg(feature = "sim")]
        if let Some(kernel) = super::sim::current() {
            let shared = Arc::downgrade(&self.shared);
            let note = move || {
                if let Some(shared) = shared.upgrade() {
                    shared.note(signal);
                }
            };
            kernel.borrow_mut().catch_signal(signal, self.as_fd().as_raw_fd(), note);
            return Ok(());
        }
        let shared = self.shared.clone();
        let action = move || {
            shared.note(signal);
            shared.bell.ring_of_linux();
        };
        // SAFETY: the action is async-signal-safe (signal-safety(7)): one atomic operation and one
        // write(2). It neither allocates nor panics: `signal - 1` is below 64, and the registry
        // keeps the action, and with it `shared`, until no handler runs it any more. The bell is not
        // a simulated one: that case has returned above.
        self.actions.push(unsafe { register(signal, action) }?);
        Ok(())
    }

    /// Takes one of the signals that have come.
    pub(crate) fn take(&self) -> Option<libc::c_int> {
        // Acquire: pairs with the handler's Release.
        let pending = self.shared.pending.load(Ordering::Acquire);
        if pending == 0 {
            return None;
        }
        let index = pending.trailing_zeros();
        // Only this bit: another signal may have come since the load. If it is the same one again,
        // the two count once.
        self.shared.pending.fetch_and(!(1 << index), Ordering::Relaxed);
        Some(index as libc::c_int + 1)
    }
}

impl AsFd for PendingSignals {
    /// Returns a descriptor that becomes readable after each signal. It is registered
    /// edge-triggered and never read.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.bell.as_fd()
    }
}

impl Drop for PendingSignals {
    fn drop(&mut self) {
        #[cfg(feature = "sim")]
        if let Some(kernel) = super::sim::current() {
            kernel.borrow_mut().release_signals(self.as_fd().as_raw_fd());
        }
        // The bits may be set a last time while this runs; the handlers hold `shared`.
        for action in self.actions.drain(..) {
            unregister(action);
        }
    }
}

#[cfg(all(test, feature = "sim", not(loom)))]
mod tests {
    use super::*;
    use crate::sys::sim::{World, enter};
    use crate::sys::stream;
    use std::cell::RefCell;
    use std::rc::Rc;

    #[test]
    fn a_signal_may_interrupt_a_call_of_the_simulated_kernel() {
        let pending = PendingSignals::new([SIGUSR2]).expect("it can be caught");
        let world = World::new(1).expect("/dev/null can be opened");
        let kernel = Rc::new(RefCell::new(world));
        let inside = enter(kernel.clone());
        let call = kernel.borrow_mut();
        // SAFETY: takes no pointers. The signal has a handler, which has returned when this does.
        assert_eq!(unsafe { libc::raise(SIGUSR2) }, 0);
        drop((call, inside));
        assert_eq!((pending.take(), pending.take()), (Some(SIGUSR2), None));
        let rung = stream::read(pending.as_fd(), &mut [0; 8]);
        assert_eq!(rung.expect("the bell was rung"), 8);
    }
}

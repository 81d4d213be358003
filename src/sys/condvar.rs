//! Condition variables: how a thread parks until another one says that something has changed.
//!
//! They are std's. Inside of a simulation the simulated kernel parks its own threads.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A condition variable for what one [`Mutex`] guards.
///
/// A panic of another thread under the lock is no concern to it: no step of the crate leaves what is
/// locked by half.
#[derive(Debug, Default)]
pub(crate) struct Condvar {
    /// What the threads of the process wait at.
    inner: std::sync::Condvar,
}

impl Condvar {
    /// Makes a condition variable.
    pub(crate) fn new() -> Condvar {
        Condvar::default()
    }

    /// Wakes all threads that wait.
    pub(crate) fn notify_all(&self) {
        #[cfg(feature = "sim")]
        if super::sim::current().is_some() {
            super::sim::notify(self.address());
        }
        self.inner.notify_all();
    }

    /// Waits for a change of what `lock` guards, for `limit` at most. It may return earlier.
    #[cfg_attr(not(feature = "sim"), allow(unused_variables))]
    pub(crate) fn wait_timeout<'a, T>(
        &self,
        lock: &'a Mutex<T>,
        guard: MutexGuard<'a, T>,
        limit: Duration,
    ) -> MutexGuard<'a, T> {
        #[cfg(feature = "sim")]
        if super::sim::current().is_some() {
            let until = super::clock::after(super::clock::now(), limit);
            return self.wait_simulated(lock, guard, Some(until));
        }
        self.inner.wait_timeout(guard, limit).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits until `goes_on` returns `false` of what `lock` guards.
    pub(crate) fn wait_while<'a, T>(
        &self,
        lock: &'a Mutex<T>,
        goes_on: impl Fn(&T) -> bool,
    ) -> MutexGuard<'a, T> {
        let mut guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        while goes_on(&guard) {
            #[cfg(feature = "sim")]
            if super::sim::current().is_some() {
                guard = self.wait_simulated(lock, guard, None);
                continue;
            }
            guard = self.inner.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        guard
    }

    /// Parks the simulated thread until a change, or until a time.
    #[cfg(feature = "sim")]
    fn wait_simulated<'a, T>(
        &self,
        lock: &'a Mutex<T>,
        guard: MutexGuard<'a, T>,
        until: Option<u64>,
    ) -> MutexGuard<'a, T> {
        // No other thread runs between the two, so that no change is missed.
        drop(guard);
        super::sim::block(super::sim::Wait::Change(self.address(), until));
        lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what stands for this condition variable in the simulated kernel.
    #[cfg(feature = "sim")]
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

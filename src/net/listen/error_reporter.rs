//! How the errors of a listener reach the user.
//!
//! The callback is the user's code, and runs in the middle of accepting. So it is called without a
//! lock, and its panics end here. Two threads may call it at the same time.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::error::panic_message;
use crate::task::{drop_ignoring_panic, ignore_panic, report_panic};

use crate::net::addr::to_socket_addrs::with_address;

/// What the user wants to be called with each error of a listener, if anything.
#[derive(Clone, Default)]
pub(crate) struct ErrorCallback {
    /// The closure of `on_error`.
    callback: Option<Arc<dyn Fn(io::Error) + Send + Sync>>,
}

impl ErrorCallback {
    /// Returns a callback that calls `callback`; the default does nothing.
    pub(crate) fn new(callback: impl Fn(io::Error) + Send + Sync + 'static) -> ErrorCallback {
        ErrorCallback { callback: Some(Arc::new(callback)) }
    }

    /// Calls it with `error`. Its panic goes no further.
    pub(crate) fn call(&self, error: io::Error) {
        if let Some(callback) = &self.callback {
            ignore_panic(|| callback(error));
        }
    }
}

impl fmt::Debug for ErrorCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorCallback").field("is_set", &self.callback.is_some()).finish()
    }
}

/// Reports the errors of one address that is listened at. All sockets and tasks of the address
/// share it, and the callback can be changed while they run.
#[derive(Debug)]
pub(crate) struct ErrorReporter {
    /// The address, as errors name it.
    address: String,
    /// What each error is passed to; it may be set while the listener runs.
    callback: Mutex<ErrorCallback>,
}

impl ErrorReporter {
    /// Returns a reporter for `address` that begins with `callback`.
    pub(crate) fn new(address: String, callback: ErrorCallback) -> ErrorReporter {
        ErrorReporter { address, callback: Mutex::new(callback) }
    }

    /// Locks the callback, which is never called under this lock.
    fn lock(&self) -> MutexGuard<'_, ErrorCallback> {
        self.callback.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets another callback.
    pub(crate) fn set(&self, callback: ErrorCallback) {
        let before = std::mem::replace(&mut *self.lock(), callback);
        // The lock is released: the drop of a closure is foreign code.
        drop_ignoring_panic(before);
    }

    /// Returns `error` with what was being done at this address.
    pub(crate) fn describe(&self, doing: &str, error: io::Error) -> io::Error {
        with_address(doing, &self.address, error)
    }

    /// Reports an error of what was being done at this address.
    pub(crate) fn report(&self, doing: &str, error: io::Error) {
        self.report_as_is(self.describe(doing, error));
    }

    /// Reports an error that says by itself what it is about. Nothing is locked while the callback
    /// runs.
    pub(crate) fn report_as_is(&self, error: io::Error) {
        // A clone of its own, which keeps the closure alive while another thread sets a new one.
        let callback = self.lock().clone();
        callback.call(error);
        drop_ignoring_panic(callback);
    }
}

/// Returns the panic of a user's code as an error.
pub(crate) fn panic_error(panic: Box<dyn Any + Send>) -> io::Error {
    report_panic(&*panic);
    let error = match panic_message(&*panic) {
        Some(message) => io::Error::other(format!("panicked: {message}")),
        None => io::Error::other("panicked"),
    };
    drop_ignoring_panic(panic);
    error
}

/// The error of a service's task.
#[derive(Debug)]
struct ServiceError {
    /// The peer that was served.
    peer: SocketAddr,
    /// What the task has returned.
    source: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "serving {}: {}", self.peer, self.source)
    }
}

impl Error for ServiceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// Returns the error of a service's task as an `io::Error`, of the same kind if it is one.
pub(crate) fn service_error(
    peer: SocketAddr,
    error: impl Into<Box<dyn Error + Send + Sync>>,
) -> io::Error {
    let source = error.into();
    // The kind is kept, so that `ConnectionReset` can be told from a fault of the service.
    let kind = source.downcast_ref::<io::Error>().map_or(io::ErrorKind::Other, io::Error::kind);
    io::Error::new(kind, ServiceError { peer, source })
}

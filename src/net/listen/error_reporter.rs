//! What hears of the errors of a listener.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::task::{drop_ignoring_panic, ignore_panic, join_error};

use crate::net::addr::to_socket_addrs::with_address;

/// What hears of the errors of a listener, if anything does.
#[derive(Clone, Default)]
pub(crate) struct ErrorCallback {
    hear: Option<Arc<dyn Fn(io::Error) + Send + Sync>>,
}

impl ErrorCallback {
    pub(crate) fn new(hear: impl Fn(io::Error) + Send + Sync + 'static) -> ErrorCallback {
        ErrorCallback { hear: Some(Arc::new(hear)) }
    }

    /// Tells of `error`. A panic of what hears it goes no further.
    pub(crate) fn call(&self, error: io::Error) {
        if let Some(hear) = &self.hear {
            ignore_panic(|| hear(error));
        }
    }
}

impl fmt::Debug for ErrorCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorCallback").field("is_set", &self.hear.is_some()).finish()
    }
}

/// The [`ErrorCallback`] of an address that is listened at, for all of its sockets and tasks: it can be
/// changed while they are there.
#[derive(Debug)]
pub(crate) struct ErrorReporter {
    address: String,
    now: Mutex<ErrorCallback>,
}

impl ErrorReporter {
    pub(crate) fn new(address: &str, first: ErrorCallback) -> ErrorReporter {
        ErrorReporter { address: address.to_owned(), now: Mutex::new(first) }
    }

    pub(crate) fn set(&self, new: ErrorCallback) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *now, new);
        drop(now);
        drop_ignoring_panic(before);
    }

    /// An error of this address: what was done there, and what came of it.
    pub(crate) fn describe(&self, doing: &str, error: io::Error) -> io::Error {
        with_address(doing, &self.address, error)
    }

    /// Tells of an error of this address.
    pub(crate) fn report(&self, doing: &str, error: io::Error) {
        self.report_as_is(self.describe(doing, error));
    }

    /// Tells of an error that says what it is about. Nothing is locked meanwhile.
    pub(crate) fn report_as_is(&self, error: io::Error) {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner).clone();
        now.call(error);
        drop_ignoring_panic(now);
    }
}

/// The panic of a user's code, as an error.
pub(crate) fn panic_error(panic: Box<dyn Any + Send>) -> io::Error {
    let error = match join_error::message(&*panic) {
        Some(message) => io::Error::other(format!("panicked: {message}")),
        None => io::Error::other("panicked"),
    };
    drop_ignoring_panic(panic);
    error
}

/// What a service gave back as its error, and for which peer.
#[derive(Debug)]
struct ServiceError {
    peer: SocketAddr,
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

/// The error of a service's task, as an `io::Error`: of the same kind, if it is one.
pub(crate) fn service_error(
    peer: SocketAddr,
    error: impl Into<Box<dyn Error + Send + Sync>>,
) -> io::Error {
    let source = error.into();
    let kind = source.downcast_ref::<io::Error>().map_or(io::ErrorKind::Other, io::Error::kind);
    io::Error::new(kind, ServiceError { peer, source })
}

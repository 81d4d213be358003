//! Errors of the simulated kernel.

use std::io;

/// Returns the error of a call that the simulated kernel does not have yet.
pub(crate) fn unsupported<T>(what: &str) -> io::Result<T> {
    let message = format!("{what} are not simulated: a simulation has sockets, pipes and timers");
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}

/// Returns the error of a descriptor that cannot come into a simulation, or leave one.
pub(crate) fn foreign<T>(what: &str) -> io::Result<T> {
    let message = format!(
        "{what}: a simulated descriptor means nothing to std and to Linux, nor one of theirs to a \
         simulation"
    );
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}

/// Returns the error with the number `code`.
pub(super) fn errno<T>(code: libc::c_int) -> io::Result<T> {
    Err(io::Error::from_raw_os_error(code))
}

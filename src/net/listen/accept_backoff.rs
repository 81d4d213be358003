//! When accepting goes on after an error of accept(2).
//!
//! accept(2) is the one call of a server whose errors say nothing about the server: they may be
//! those of the network, of a connection that is gone already, or of a process that has opened too
//! many files. A listener that is level-triggered would meet them again at once, for as long as
//! they last. So each error gets an answer here, and none is the end.

use std::io;
use std::time::Duration;

use crate::base::error::errno;

/// The first pause.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);

/// The longest pause. Each one is twice as long as the one before.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// The number of errors of single connections that are passed over without a pause. If more of them
/// come in a row, the cause is another one: a firewall may answer EPERM to every call.
const MOST_IN_A_ROW: u32 = 8;

/// When accepting goes on after an error. No error ends it, and none makes it spin.
#[derive(Debug, Default)]
pub(crate) struct AcceptBackoff {
    /// The number of errors since a connection was accepted.
    in_a_row: u32,
    /// The number of pauses since a connection was accepted.
    pauses: u32,
}

/// When accept(2) is called again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// When the socket is readable: no connection waits.
    WhenReadable,
    /// At once: the error was that of one connection.
    AtOnce,
    /// After a pause.
    After(Duration),
    /// After a pause, or when a descriptor is closed: there are no free descriptors, or there is no
    /// memory.
    AfterOrFdFreed(Duration),
}

impl AcceptBackoff {
    /// Begins anew, since a connection has been accepted.
    pub(crate) fn reset(&mut self) {
        *self = AcceptBackoff::default();
    }

    /// Returns when to accept again after `error`.
    pub(crate) fn on_error(&mut self, error: &io::Error) -> Retry {
        if error.kind() == io::ErrorKind::WouldBlock {
            return Retry::WhenReadable;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        // An error without a number is not the kernel's, and gets a pause as well.
        let code = errno(error).unwrap_or(0);
        if self.in_a_row <= MOST_IN_A_ROW && is_of_one_connection(code) {
            return Retry::AtOnce;
        }
        // The limit of the shift only keeps it from overflowing: the longest pause comes earlier.
        let pause = (SHORTEST_PAUSE * (1 << self.pauses.min(10))).min(LONGEST_PAUSE);
        self.pauses = self.pauses.saturating_add(1);
        if is_exhausted(code) { Retry::AfterOrFdFreed(pause) } else { Retry::After(pause) }
    }
}

/// Returns `true` for the errors of the connection that would have been accepted next. accept(2)
/// passes them on, and lists them.
fn is_of_one_connection(code: i32) -> bool {
    matches!(
        code,
        libc::ECONNABORTED
            | libc::EINTR
            | libc::ENETDOWN
            | libc::EPROTO
            | libc::ENOPROTOOPT
            | libc::EHOSTDOWN
            | libc::ENONET
            | libc::EHOSTUNREACH
            | libc::EOPNOTSUPP
            | libc::ENETUNREACH
            | libc::EPERM
    )
}

/// Returns `true` if the process or the system has run out of descriptors or of memory. ENOSPC is
/// the error of epoll_ctl(2) when the user watches as many descriptors as are allowed.
fn is_exhausted(code: i32) -> bool {
    matches!(code, libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::ENOSPC)
}

/// Returns `true` if the descriptor does not listen, and never will: a mistake in the program.
pub(crate) fn is_no_listener(error: &io::Error) -> bool {
    let code = errno(error);
    matches!(code, Some(libc::EBADF | libc::EINVAL | libc::ENOTSOCK | libc::EFAULT))
}

#[cfg(test)]
mod tests {
    use super::{AcceptBackoff, LONGEST_PAUSE, MOST_IN_A_ROW, Retry, SHORTEST_PAUSE};
    use std::io;
    use std::time::Duration;

    fn after(backoff: &mut AcceptBackoff, code: i32) -> Retry {
        backoff.on_error(&io::Error::from_raw_os_error(code))
    }

    #[test]
    fn pauses_grow_up_to_a_limit_until_a_connection_comes() {
        let mut backoff = AcceptBackoff::default();
        let pauses: Vec<Retry> = (0..8).map(|_| after(&mut backoff, libc::ETIMEDOUT)).collect();
        let expected = [5, 10, 20, 40, 80, 160, 200, 200];
        assert_eq!(pauses, expected.map(|ms| Retry::After(Duration::from_millis(ms))));
        for _ in 0..10_000 {
            assert_eq!(after(&mut backoff, libc::EIO), Retry::After(LONGEST_PAUSE));
        }
        backoff.reset();
        assert_eq!(after(&mut backoff, libc::EIO), Retry::After(SHORTEST_PAUSE));
    }

    /// Every error number leads to a pause, apart from the one that says that no connection waits.
    #[test]
    fn no_error_makes_it_spin() {
        for code in (1..4096).filter(|code| *code != libc::EAGAIN) {
            let mut backoff = AcceptBackoff::default();
            let at_once = |next: &Retry| matches!(next, Retry::AtOnce | Retry::WhenReadable);
            let count = (0..1000).map(|_| after(&mut backoff, code)).filter(at_once).count();
            assert!(count <= MOST_IN_A_ROW as usize, "errno {code}: {count}");
        }
        assert_eq!(after(&mut AcceptBackoff::default(), libc::EAGAIN), Retry::WhenReadable);
    }

    #[test]
    fn a_close_ends_the_pause_for_want_of_descriptors() {
        for code in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::ENOSPC] {
            let next = after(&mut AcceptBackoff::default(), code);
            assert_eq!(next, Retry::AfterOrFdFreed(SHORTEST_PAUSE));
        }
    }
}

//! How accepting goes on after an error.

use std::io;
use std::time::Duration;

use crate::base::error::errno;

/// The first pause.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
/// And the longest. Each is twice as long as the one before.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// Errors of single connections that are passed over without a pause. If there are more of them in
/// a row, something else is wrong: as when a firewall answers EPERM to all.
const MOST_IN_A_ROW: u32 = 8;

/// How accepting goes on after an error: no error ends it, and none makes it spin.
#[derive(Debug, Default)]
pub(crate) struct AcceptBackoff {
    /// Errors since the last success.
    in_a_row: u32,
    /// Pauses since the last success.
    pauses: u32,
}

/// What is done about an error of accept(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// There is no connection: the next event announces one.
    WhenReadable,
    /// The error belongs to one connection: the next one is tried without a pause.
    AtOnce,
    /// Nothing is accepted for this long.
    After(Duration),
    /// There are no free descriptors, or there is no memory. The pause ends early if a descriptor is
    /// closed.
    AfterOrFdFreed(Duration),
}

impl AcceptBackoff {
    /// A connection has been accepted.
    pub(crate) fn reset(&mut self) {
        *self = AcceptBackoff::default();
    }

    /// What is done about `error`.
    pub(crate) fn on_error(&mut self, error: &io::Error) -> Retry {
        if error.kind() == io::ErrorKind::WouldBlock {
            return Retry::WhenReadable;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        let code = errno(error).unwrap_or(0);
        if self.in_a_row <= MOST_IN_A_ROW && is_of_one(code) {
            return Retry::AtOnce;
        }
        let pause = (SHORTEST_PAUSE * (1 << self.pauses.min(10))).min(LONGEST_PAUSE);
        self.pauses = self.pauses.saturating_add(1);
        if is_exhausted(code) { Retry::AfterOrFdFreed(pause) } else { Retry::After(pause) }
    }
}

/// Whether it is the error of the connection that would have been next: accept(2) passes that on,
/// and names these.
fn is_of_one(code: i32) -> bool {
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

/// Whether the process or the system has no descriptors or no memory. ENOSPC is what epoll_ctl(2)
/// answers when the user watches as many descriptors as are allowed.
fn is_exhausted(code: i32) -> bool {
    matches!(code, libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::ENOSPC)
}

/// Whether the descriptor is not one that can be accepted from, now or later: a mistake in the
/// program.
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

    /// Whatever the number, there is an answer, and only that there is nothing is none.
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

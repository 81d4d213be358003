//! Socket options that take a number: what a user may ask for is wider than what the kernel takes. A
//! limit that cannot be had is the nearest one that can, never its opposite.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use socket2::SockRef;

/// The longest time of SO_LINGER: kernels before 6.8 count it in ticks of 32 bits, of which there are
/// up to a thousand a second, and a time that wraps there may become none. 49 days.
const LONGEST_LINGER: libc::c_int = (u32::MAX / 1000) as libc::c_int;

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const MICROSECOND: Duration = Duration::from_micros(1);

/// `time` in units of `unit`, rounded up, and no more of them than an int can hold.
pub(super) fn round_up(time: Duration, unit: Duration) -> libc::c_int {
    let units = time.as_nanos().div_ceil(unit.as_nanos());
    libc::c_int::try_from(units).unwrap_or(libc::c_int::MAX)
}

/// SO_LINGER: see socket(7). Zero, which is a reset, is only what has been asked for as zero.
pub(crate) fn set_linger(fd: BorrowedFd<'_>, time: Option<Duration>) -> io::Result<()> {
    let seconds = time.map(|time| round_up(time, SECOND).min(LONGEST_LINGER));
    SockRef::from(&fd).set_linger(seconds.map(|seconds| SECOND * seconds as u32))
}

/// TCP_USER_TIMEOUT in milliseconds: see tcp(7). Zero is the system's default there, so the shortest
/// limit is one of them.
pub(crate) fn set_user_timeout(fd: BorrowedFd<'_>, limit: Option<Duration>) -> io::Result<()> {
    let units = limit.map(|limit| round_up(limit, MILLISECOND).max(1));
    SockRef::from(&fd).set_tcp_user_timeout(units.map(|units| MILLISECOND * units as u32))
}

/// SO_BUSY_POLL in microseconds: see socket(7).
pub(crate) fn set_busy_poll(fd: BorrowedFd<'_>, time: Duration) -> io::Result<()> {
    SockRef::from(&fd).set_busy_poll(round_up(time, MICROSECOND) as u32)
}

/// IP_TTL or IPV6_UNICAST_HOPS. The kernel takes -1, and for IPv6 also 0: but not as a number of hops.
pub(crate) fn set_ttl(fd: BorrowedFd<'_>, is_v6: bool, ttl: u32) -> io::Result<()> {
    if !(1..=255).contains(&ttl) {
        let message = format!("a time to live is 1 to 255 hops, and not {ttl}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    if is_v6 {
        return SockRef::from(&fd).set_unicast_hops_v6(ttl);
    }
    SockRef::from(&fd).set_ttl_v4(ttl)
}

#[cfg(test)]
mod tests {
    use super::{MILLISECOND, SECOND, round_up};
    use std::time::Duration;

    #[test]
    fn a_time_in_units_is_never_shorter_and_never_another_one() {
        assert_eq!(round_up(Duration::ZERO, SECOND), 0);
        assert_eq!(round_up(Duration::from_nanos(1), SECOND), 1);
        assert_eq!(round_up(Duration::from_millis(1500), SECOND), 2);
        assert_eq!(round_up(Duration::from_secs(7), SECOND), 7);
        assert_eq!(round_up(Duration::from_secs(1 << 32), SECOND), i32::MAX);
        assert_eq!(round_up(Duration::MAX, MILLISECOND), i32::MAX);
    }
}

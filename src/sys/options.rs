//! Socket options that take a number.
//!
//! A user may ask for any [`Duration`], and the kernel takes an int. A value that the kernel can't
//! hold becomes the nearest one that it can. It never wraps to a small value or to zero, which
//! would mean the opposite.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use socket2::SockRef;

use super::syscall::libc_answer;
use crate::base::error::during;

/// The longest time of SO_LINGER, about 49 days. Kernels before 6.8 convert it to 32 bits of ticks,
/// of which there are up to a thousand in a second. A longer time could wrap to zero, which means a
/// reset.
const LONGEST_LINGER: libc::c_int = (u32::MAX / 1000) as libc::c_int;

/// The unit of SO_LINGER and TCP_DEFER_ACCEPT.
const SECOND: Duration = Duration::from_secs(1);
/// The unit of TCP_USER_TIMEOUT and of epoll_wait(2).
const MILLISECOND: Duration = Duration::from_millis(1);
/// The unit of SO_BUSY_POLL.
const MICROSECOND: Duration = Duration::from_micros(1);

/// Converts `time` to units of `unit`, rounded up and cut to what an int can hold.
pub(super) fn round_up(time: Duration, unit: Duration) -> libc::c_int {
    let units = time.as_nanos().div_ceil(unit.as_nanos());
    libc::c_int::try_from(units).unwrap_or(libc::c_int::MAX)
}

/// Sets SO_LINGER: socket(7). Only a time of zero asks for a reset; shorter times than a second
/// become one second.
pub(crate) fn set_linger(fd: BorrowedFd<'_>, time: Option<Duration>) -> io::Result<()> {
    simulated!(std::os::fd::AsRawFd::as_raw_fd(&fd), kernel => kernel.set_linger(std::os::fd::AsRawFd::as_raw_fd(&fd), time));
    let seconds = time.map(|time| round_up(time, SECOND).min(LONGEST_LINGER));
    SockRef::from(&fd).set_linger(seconds.map(|seconds| SECOND * seconds as u32))
}

/// Sets TCP_USER_TIMEOUT: tcp(7). Zero means the system's default there, so the shortest limit is
/// one millisecond.
pub(crate) fn set_user_timeout(fd: BorrowedFd<'_>, limit: Option<Duration>) -> io::Result<()> {
    let units = limit.map(|limit| round_up(limit, MILLISECOND).max(1));
    SockRef::from(&fd).set_tcp_user_timeout(units.map(|units| MILLISECOND * units as u32))
}

/// Sets SO_BUSY_POLL: socket(7).
pub(crate) fn set_busy_poll(fd: BorrowedFd<'_>, time: Duration) -> io::Result<()> {
    SockRef::from(&fd).set_busy_poll(round_up(time, MICROSECOND) as u32)
}

/// Sets IP_TTL or IPV6_UNICAST_HOPS. The kernel also takes -1 and, for IPv6, 0, which are no
/// numbers of hops; they are errors here.
pub(crate) fn set_ttl(fd: BorrowedFd<'_>, is_v6: bool, ttl: u32) -> io::Result<()> {
    if !(1..=255).contains(&ttl) {
        let message = format!("a time to live is 1 to 255 hops, not {ttl}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    if is_v6 {
        return SockRef::from(&fd).set_unicast_hops_v6(ttl);
    }
    SockRef::from(&fd).set_ttl_v4(ttl)
}

/// Sets SO_INCOMING_CPU of a listener: socket(7). Of several that share an address, the kernel
/// prefers the one whose processor handles the first packet of a connection, since Linux 6.2.
pub(crate) fn set_incoming_cpu(fd: BorrowedFd<'_>, processor: usize) -> io::Result<()> {
    let processor = libc::c_int::try_from(processor).unwrap_or(libc::c_int::MAX);
    let set = set_int(fd, libc::SOL_SOCKET, libc::SO_INCOMING_CPU, processor);
    set.map_err(|error| during("SO_INCOMING_CPU", error))
}

/// Returns the processor that has handled the last packet of a connection: SO_INCOMING_CPU.
pub(crate) fn incoming_cpu(fd: BorrowedFd<'_>) -> io::Result<Option<usize>> {
    let processor = get_int(fd, libc::SOL_SOCKET, libc::SO_INCOMING_CPU)?;
    // -1 before the first packet.
    Ok(usize::try_from(processor).ok())
}

/// Sets an option that takes an int: for options that socket2 does not have.
pub(super) fn set_int(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let size = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the option takes an int, which is readable for its size.
    let answer =
        unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const value).cast(), size) };
    libc_answer(answer).map(drop)
}

/// Returns an option that is an int: for options that socket2 does not have.
pub(super) fn get_int(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut size = size_of_val(&value) as libc::socklen_t;
    let place = (&raw mut value).cast();
    // SAFETY: the option is an int, which is writable for its size.
    let answer = unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, place, &mut size) };
    libc_answer(answer).map(|_| value)
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

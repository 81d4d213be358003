//! Socket options that take a number.
//!
//! A user may ask for any [`Duration`], and the kernel takes an int. A value that the kernel can't
//! hold becomes the nearest one that it can. It never wraps to a small value or to zero, which
//! would mean the opposite.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

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

/// Sets TCP_NODELAY: tcp(7).
pub(crate) fn set_nodelay(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    simulated!(fd.as_raw_fd(), kernel => {
        kernel.change_options(fd.as_raw_fd(), |options| options.nodelay = on)
    });
    SockRef::from(&fd).set_tcp_nodelay(on)
}

/// Returns whether TCP_NODELAY is on.
pub(crate) fn nodelay(fd: BorrowedFd<'_>) -> io::Result<bool> {
    simulated!(fd.as_raw_fd(), kernel => kernel.options(fd.as_raw_fd()).map(|it| it.nodelay));
    SockRef::from(&fd).tcp_nodelay()
}

/// Sets SO_KEEPALIVE, with its times, or turns it off.
pub(crate) fn set_keepalive(fd: BorrowedFd<'_>, times: Option<&TcpKeepalive>) -> io::Result<()> {
    simulated!(fd.as_raw_fd(), kernel => {
        kernel.change_options(fd.as_raw_fd(), |options| options.keepalive = times.is_some())
    });
    match times {
        Some(times) => SockRef::from(&fd).set_tcp_keepalive(times),
        None => SockRef::from(&fd).set_keepalive(false),
    }
}

/// Returns whether SO_KEEPALIVE is on.
pub(crate) fn keepalive(fd: BorrowedFd<'_>) -> io::Result<bool> {
    simulated!(fd.as_raw_fd(), kernel => kernel.options(fd.as_raw_fd()).map(|it| it.keepalive));
    SockRef::from(&fd).keepalive()
}

/// Returns the time of SO_LINGER.
pub(crate) fn linger(fd: BorrowedFd<'_>) -> io::Result<Option<Duration>> {
    simulated!(fd.as_raw_fd(), kernel => kernel.linger(fd.as_raw_fd()));
    SockRef::from(&fd).linger()
}

/// Sets SO_LINGER: socket(7). Only a time of zero asks for a reset; shorter times than a second
/// become one second.
pub(crate) fn set_linger(fd: BorrowedFd<'_>, time: Option<Duration>) -> io::Result<()> {
    simulated!(fd.as_raw_fd(), kernel => kernel.set_linger(fd.as_raw_fd(), time));
    let seconds = time.map(|time| round_up(time, SECOND).min(LONGEST_LINGER));
    SockRef::from(&fd).set_linger(seconds.map(|seconds| SECOND * seconds as u32))
}

/// Sets TCP_USER_TIMEOUT: tcp(7). Zero means the system's default there, so the shortest limit is
/// one millisecond.
pub(crate) fn set_user_timeout(fd: BorrowedFd<'_>, limit: Option<Duration>) -> io::Result<()> {
    let units = limit.map(|limit| round_up(limit, MILLISECOND).max(1));
    let limit = units.map(|units| MILLISECOND * units as u32);
    simulated!(fd.as_raw_fd(), kernel => {
        kernel.change_options(fd.as_raw_fd(), |options| options.user_timeout = limit)
    });
    SockRef::from(&fd).set_tcp_user_timeout(limit)
}

/// Returns the time of TCP_USER_TIMEOUT.
pub(crate) fn user_timeout(fd: BorrowedFd<'_>) -> io::Result<Option<Duration>> {
    simulated!(fd.as_raw_fd(), kernel => kernel.options(fd.as_raw_fd()).map(|it| it.user_timeout));
    SockRef::from(&fd).tcp_user_timeout()
}

/// Sets SO_BUSY_POLL: socket(7).
pub(crate) fn set_busy_poll(fd: BorrowedFd<'_>, time: Duration) -> io::Result<()> {
    let units = round_up(time, MICROSECOND) as u32;
    simulated!(fd.as_raw_fd(), kernel => {
        kernel.change_options(fd.as_raw_fd(), |options| options.busy_poll = MICROSECOND * units)
    });
    SockRef::from(&fd).set_busy_poll(units)
}

/// Returns the time of SO_BUSY_POLL.
pub(crate) fn busy_poll(fd: BorrowedFd<'_>) -> io::Result<Duration> {
    simulated!(fd.as_raw_fd(), kernel => kernel.options(fd.as_raw_fd()).map(|it| it.busy_poll));
    Ok(MICROSECOND * SockRef::from(&fd).busy_poll()?)
}

/// Sets IP_TTL or IPV6_UNICAST_HOPS. The kernel also takes -1 and, for IPv6, 0, which are no
/// numbers of hops; they are errors here.
pub(crate) fn set_ttl(fd: BorrowedFd<'_>, is_v6: bool, ttl: u32) -> io::Result<()> {
    if !(1..=255).contains(&ttl) {
        let message = format!("a time to live is 1 to 255 hops, not {ttl}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    simulated!(fd.as_raw_fd(), kernel => {
        kernel.change_options(fd.as_raw_fd(), |options| options.ttl = ttl)
    });
    if is_v6 {
        return SockRef::from(&fd).set_unicast_hops_v6(ttl);
    }
    SockRef::from(&fd).set_ttl_v4(ttl)
}

/// Returns IP_TTL or IPV6_UNICAST_HOPS.
pub(crate) fn ttl(fd: BorrowedFd<'_>, is_v6: bool) -> io::Result<u32> {
    simulated!(fd.as_raw_fd(), kernel => kernel.options(fd.as_raw_fd()).map(|it| it.ttl));
    if is_v6 {
        return SockRef::from(&fd).unicast_hops_v6();
    }
    SockRef::from(&fd).ttl_v4()
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

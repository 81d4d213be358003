//! The system calls that std does not offer, as small safe functions. No other module is unsafe.

#![allow(unsafe_code)]

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

/// One event as the kernel delivers it.
pub type Event = libc::epoll_event;

/// An event with nothing in it, to fill a buffer for [`Epoll::wait`].
pub const NO_EVENT: Event = Event { events: 0, u64: 0 };

/// The return value of a system call, or its errno.
#[inline]
fn check(returned: libc::c_int) -> io::Result<libc::c_int> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

/// An epoll instance.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

impl Epoll {
    /// A new one, without descriptors.
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: takes no pointers.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel has just made this descriptor, and nothing else knows it.
        Ok(Epoll(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Watches a descriptor until it is closed; its events carry `key`.
    pub fn add(&self, fd: BorrowedFd<'_>, events: libc::c_int, key: u64) -> io::Result<()> {
        let mut event = Event { events: events as u32, u64: key };
        // SAFETY: `event` lives through the call, and the kernel copies it.
        check(unsafe {
            libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &mut event)
        })?;
        Ok(())
    }

    /// How many events came; 0 after the timeout (-1: none) and after a signal.
    #[inline]
    pub fn wait(&self, events: &mut [Event], timeout_ms: i32) -> io::Result<usize> {
        let room = events.len() as libc::c_int;
        // SAFETY: the kernel writes at most `room` events to memory that is ours for the call.
        let came =
            unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), room, timeout_ms) };
        match check(came) {
            Ok(came) => Ok(came as usize),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }
}

/// recv(2); 0 is the end of the stream.
#[inline]
pub fn recv(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most `len` bytes to memory that is ours for the call.
    let n = unsafe { libc::recv(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n as usize) }
}

/// send(2), without SIGPIPE.
#[inline]
pub fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the kernel reads at most `len` bytes of a slice that lives through the call.
    let n = unsafe {
        libc::send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL)
    };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n as usize) }
}

/// accept4(2): the new descriptor is non-blocking from birth, which std's accept would need a
/// second call for.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: null pointers say that the peer's address is not wanted.
    let fd = check(unsafe {
        libc::accept4(listener.as_raw_fd(), ptr::null_mut(), ptr::null_mut(), flags)
    })?;
    // SAFETY: the kernel has just made this descriptor, and nothing else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Lets this process hold as many descriptors as its hard limit allows, and returns that number.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills the struct, which lives through the call.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the kernel reads the struct, which lives through the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    Ok(limit.rlim_max)
}

/// Raises the hard limit of descriptors to as many as the kernel allows any process, if this one may
/// do that, and the limit of this process and its children to the hard one. Returns that number.
pub fn raise_descriptor_limit_beyond_hard() -> io::Result<u64> {
    let most = std::fs::read_to_string("/proc/sys/fs/nr_open").unwrap_or_default();
    if let Ok(most) = most.trim().parse() {
        let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
        // Without CAP_SYS_RESOURCE it fails, and the hard limit stays.
        // SAFETY: the kernel reads the struct, which lives through the call.
        let _ = check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) });
    }
    raise_descriptor_limit()
}

/// Keeps this thread, and those that it starts from now on, on one CPU.
pub fn pin_to(cpu: usize) -> io::Result<()> {
    pin_to_any(&[cpu])
}

/// Keeps this thread, and what it starts from now on, on some CPUs.
pub fn pin_to_any(cpus: &[usize]) -> io::Result<()> {
    if cpus.iter().any(|&cpu| cpu >= libc::CPU_SETSIZE as usize) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: a cpu_set_t is plain bits, and all of them zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for &cpu in cpus {
        // SAFETY: `cpu` is below CPU_SETSIZE, so it names a bit inside the set.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    // SAFETY: the kernel reads as many bytes as the set has; 0 is this thread.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) })?;
    Ok(())
}

/// Lets all others go first: this thread, and those that it starts from now on.
pub fn be_nice() -> io::Result<()> {
    // SAFETY: takes no pointers; 0 is this thread.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) })?;
    Ok(())
}

/// Returns the CPU time of this process so far, up to now.
pub fn cpu_time() -> io::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills the struct, which lives through the call.
    check(unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) })?;
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// Waits for the end of a child, and returns the CPU time of its life.
///
/// # Errors
///
/// Returns an error if it has failed.
pub fn wait_for_cpu_time(pid: i32) -> io::Result<Duration> {
    // SAFETY: a rusage is plain numbers, of which zero is one.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let mut status = 0;
    // SAFETY: the kernel fills both, which live through the call.
    check(unsafe { libc::wait4(pid, &mut status, 0, &mut usage) })?;
    if status != 0 {
        return Err(io::Error::other(format!("it ended with status {status}")));
    }
    let time = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    Ok(time(usage.ru_utime) + time(usage.ru_stime))
}

/// Returns the resident memory of a process in bytes, by a walk over the page tables: VmRSS in `status`
/// is off by the pages that each CPU has not yet added, which is much for a difference of small numbers.
pub fn resident_bytes(process: &str) -> io::Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|it| it.parse().ok());
    let kib: u64 = kib.ok_or_else(|| io::Error::other("no Rss in smaps_rollup"))?;
    Ok(kib * 1024)
}

/// Asks a process to end.
pub fn terminate(pid: i32) -> io::Result<()> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::kill(pid, libc::SIGTERM) })?;
    Ok(())
}

/// True when the descriptor is readable or at its end, false after the timeout (None: wait for ever).
pub fn wait_readable(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
    let timeout_ms = timeout.map_or(-1, |t| t.as_millis().try_into().unwrap_or(i32::MAX));
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    loop {
        // SAFETY: one pollfd, which lives through the call.
        match check(unsafe { libc::poll(&mut poll, 1, timeout_ms) }) {
            Ok(ready) => return Ok(ready > 0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Lets the kernel choose the port at connect instead of at bind: so a port can serve towards
/// several peers, and a bind finds one at once.
pub fn bind_address_without_port(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    let len = size_of_val(&on) as libc::socklen_t;
    let (level, option) = (libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT);
    // SAFETY: the kernel reads `len` bytes of a local.
    check(unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const on).cast(), len)
    })?;
    Ok(())
}

/// Turns a socket into the type of another library that holds a descriptor in its own way.
pub fn convert<T: FromRawFd>(socket: impl IntoRawFd) -> T {
    // SAFETY: the descriptor was owned by the socket, which has given it up.
    unsafe { T::from_raw_fd(socket.into_raw_fd()) }
}

/// The end of the socket pair that the signal handler shuts down; -1 until there is one.
static STOPPING_END: AtomicI32 = AtomicI32::new(-1);

/// A socket that becomes readable, and remains so, when SIGINT or SIGTERM asks the process to end.
/// It is never read, so every thread that watches it sees it.
pub fn stop_signal() -> io::Result<&'static UnixStream> {
    let (watched, stopping) = UnixStream::pair()?;
    watched.set_nonblocking(true)?;
    // Neither end is closed from here on: the handler may run until the process ends.
    STOPPING_END.store(stopping.into_raw_fd(), Ordering::Release);
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: a sigaction is plain data, and all zero says: no flags, an empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = on_signal as extern "C" fn(libc::c_int) as usize;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: the struct lives through the call, and the handler does only what a handler may.
        check(unsafe { libc::sigaction(signal, &action, ptr::null_mut()) })?;
    }
    Ok(Box::leak(Box::new(watched)))
}

/// Blocks SIGINT and SIGTERM in this thread and those that it starts from now on, and returns a
/// descriptor that is readable, and remains so, once one of them has come.
///
/// For a server that waits in io_uring_enter: valgrind takes that for a call that does not block,
/// and runs no handler before it returns.
pub fn stop_signal_blocked() -> io::Result<OwnedFd> {
    // SAFETY: a sigset_t is plain bits, and sigemptyset below gives them their meaning.
    let mut signals: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set lives through the calls, and both numbers are those of signals.
    unsafe {
        libc::sigemptyset(&mut signals);
        libc::sigaddset(&mut signals, libc::SIGINT);
        libc::sigaddset(&mut signals, libc::SIGTERM);
    }
    // SAFETY: the set lives through the call; a null pointer says that the old one is not wanted.
    let failed = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &signals, ptr::null_mut()) };
    if failed != 0 {
        return Err(io::Error::from_raw_os_error(failed));
    }
    // SAFETY: the set lives through the call; -1 asks for a new descriptor.
    let fd =
        check(unsafe { libc::signalfd(-1, &signals, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC) })?;
    // SAFETY: the kernel has just made this descriptor, and nothing else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Puts the stream that is watched at its end. Doing so again changes nothing, and errno is left
/// as it is.
extern "C" fn on_signal(_signal: libc::c_int) {
    // SAFETY: shutdown(2) may be called in a signal handler, and takes no pointers.
    unsafe { libc::shutdown(STOPPING_END.load(Ordering::Acquire), libc::SHUT_WR) };
}

/// The address of a peer, in the kernel's form.
#[derive(Clone, Copy, Debug)]
pub struct KernelAddress {
    storage: libc::sockaddr_in6,
    length: libc::socklen_t,
}

impl KernelAddress {
    /// Room for an address of IPv4 or IPv6.
    pub fn empty() -> KernelAddress {
        // SAFETY: plain data, for which all zeros is valid.
        let storage: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
        KernelAddress { storage, length: size_of_val(&storage) as libc::socklen_t }
    }
}

/// recvfrom(2) of one datagram, whose sender is left in `from`.
#[inline]
pub fn recv_from(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    from: &mut KernelAddress,
) -> io::Result<usize> {
    from.length = size_of_val(&from.storage) as libc::socklen_t;
    let (bytes, room) = (buffer.as_mut_ptr().cast(), buffer.len());
    let (address, length) = ((&raw mut from.storage).cast(), &raw mut from.length);
    // SAFETY: the kernel writes at most `room` bytes and `length` of the address, all of it ours.
    let n = unsafe { libc::recvfrom(fd.as_raw_fd(), bytes, room, 0, address, length) };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n as usize) }
}

/// sendto(2) of one datagram.
#[inline]
pub fn send_to(fd: BorrowedFd<'_>, bytes: &[u8], to: &KernelAddress) -> io::Result<usize> {
    let (pointer, length) = (bytes.as_ptr().cast(), bytes.len());
    let address = (&raw const to.storage).cast();
    // SAFETY: the kernel reads the bytes and the address, which live through the call.
    let n = unsafe { libc::sendto(fd.as_raw_fd(), pointer, length, 0, address, to.length) };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n as usize) }
}

/// sendmmsg(2) of `bytes` to the connected peer, `count` times. Returns how often they were sent.
pub fn send_copies(fd: BorrowedFd<'_>, bytes: &[u8], count: usize) -> io::Result<usize> {
    let mut slice =
        libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: plain data, for which all zeros is valid.
    let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
    message.msg_hdr.msg_iov = &mut slice;
    message.msg_hdr.msg_iovlen = 1;
    let mut messages = vec![message; count];
    // SAFETY: all messages name one slice, which lives through the call.
    let sent =
        unsafe { libc::sendmmsg(fd.as_raw_fd(), messages.as_mut_ptr(), count as libc::c_uint, 0) };
    Ok(check(sent)? as usize)
}

/// recvmmsg(2), waiting for the first: drops what comes, and returns how many datagrams of `size`
/// bytes came at once, at most `most`.
pub fn recv_and_drop(fd: BorrowedFd<'_>, size: usize, most: usize) -> io::Result<usize> {
    let mut bytes = vec![0_u8; size + 1];
    let (base, room) = (bytes.as_mut_ptr().cast(), bytes.len());
    let mut slice = libc::iovec { iov_base: base, iov_len: room };
    // SAFETY: plain data, for which all zeros is valid.
    let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
    message.msg_hdr.msg_iov = &mut slice;
    message.msg_hdr.msg_iovlen = 1;
    let mut messages = vec![message; most];
    let (first, flags) = (messages.as_mut_ptr(), libc::MSG_WAITFORONE);
    // SAFETY: all messages name one slice, which is ours for the call: the last one to come stays.
    let came = check(unsafe {
        libc::recvmmsg(fd.as_raw_fd(), first, most as libc::c_uint, flags, ptr::null_mut())
    })? as usize;
    if messages[..came].iter().any(|message| message.msg_len as usize != size) {
        return Err(io::Error::other("a datagram of another size"));
    }
    Ok(came)
}

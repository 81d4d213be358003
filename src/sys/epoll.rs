//! One epoll instance.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::options::round_up;
use super::syscall::{checked, syscall};
use crate::base::interest::Interest;
use crate::base::token::Token;

/// Set once the kernel has answered that it has no epoll_pwait2 (it came with Linux 5.11).
static NO_PWAIT2: AtomicBool = AtomicBool::new(false);

/// The longest wait that ends when its time is over: without epoll_pwait2 the kernel counts milliseconds
/// in an int, 25 days of them.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(24 * 24 * 3600);

/// An epoll instance: see epoll(7).
#[derive(Debug)]
pub(crate) struct Epoll {
    fd: Arc<OwnedFd>,
    /// The number of `fd`, kept at hand for every wait.
    raw_fd: RawFd,
}

/// An epoll instance, as other threads than its poller's see it. It doesn't keep it open.
#[derive(Debug)]
pub(crate) struct RemoteEpoll {
    fd: Weak<OwnedFd>,
}

impl RemoteEpoll {
    /// Adds `fd` to the instance under a token that stands for nothing: the poller gives it one by
    /// [`Epoll::modify`]. None: the instance is closed.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>) -> Option<io::Result<()>> {
        let epoll = self.fd.upgrade()?;
        let nothing = Token::from_bits(u64::MAX);
        Some(control(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), nothing, Mask::QUIET))
    }
}

/// The mask of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mask(u32);

impl Mask {
    /// Nothing but the conditions that the kernel always reports: ERR and HUP, each once.
    pub(crate) const QUIET: Mask = Mask(libc::EPOLLET as u32);
    /// What a readiness registration asks for, once and for ever. PRI tells of urgent data, past
    /// which a read stops short although there is more.
    pub(crate) const ALL_EDGES: Mask = Mask(
        (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLPRI | libc::EPOLLET) as u32,
    );
    /// What the mailbox's eventfd asks for.
    pub(crate) const BELL: Mask = Mask((libc::EPOLLIN | libc::EPOLLET) as u32);

    /// The mask of a handler's interest; `flush` when queued output waits for room.
    pub(crate) fn of(interest: Interest, flush: bool) -> Mask {
        let mut bits = 0;
        if interest.is_readable() {
            bits |= libc::EPOLLIN | libc::EPOLLRDHUP;
        }
        if interest.is_writable() || flush {
            bits |= libc::EPOLLOUT;
        }
        if interest.is_priority() {
            bits |= libc::EPOLLPRI;
        }
        if interest.is_edge() {
            bits |= libc::EPOLLET;
        }
        Mask(bits as u32)
    }

    /// Whether it is edge-triggered.
    pub(crate) const fn is_edge(self) -> bool {
        self.0 & libc::EPOLLET as u32 != 0
    }

    /// The same mask, edge-triggered.
    pub(crate) const fn edge(self) -> Mask {
        Mask(self.0 | libc::EPOLLET as u32)
    }
}

/// What happened to one registration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event(u32);

impl Event {
    /// There are bytes to read.
    pub(crate) const IN: u32 = libc::EPOLLIN as u32;
    /// There is room to write.
    pub(crate) const OUT: u32 = libc::EPOLLOUT as u32;

    #[inline]
    fn has(self, any: libc::c_int) -> bool {
        self.0 & any as u32 != 0
    }

    /// There are bytes to read, and nothing else has happened: what nearly every event says.
    #[inline]
    pub(crate) fn is_plain_read(self) -> bool {
        self.0 == libc::EPOLLIN as u32
    }

    /// There are bytes to read, or there is room to write, and nothing else has happened: `IN` and
    /// `OUT`.
    #[inline]
    pub(crate) fn plain_readiness(self) -> Option<u32> {
        (!self.has(!(libc::EPOLLIN | libc::EPOLLOUT))).then_some(self.0)
    }

    /// There are bytes or an end to read. HUP and ERR count: what came before them is read first.
    #[inline]
    pub(crate) fn is_readable(self) -> bool {
        self.has(libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR)
    }

    /// There is room to write, or an error to collect by writing.
    #[inline]
    pub(crate) fn is_writable(self) -> bool {
        self.has(libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR)
    }

    /// Both directions have ended, or the connection has failed.
    #[inline]
    pub(crate) fn is_hung_up(self) -> bool {
        self.has(libc::EPOLLHUP | libc::EPOLLERR)
    }

    /// An error, or a message in the error queue, and both directions may go on.
    pub(crate) fn is_error_alone(self) -> bool {
        self.has(libc::EPOLLERR) && !self.has(libc::EPOLLHUP)
    }

    /// There is room to write, or the write direction has ended.
    pub(crate) fn has_room(self) -> bool {
        self.has(libc::EPOLLOUT | libc::EPOLLHUP)
    }

    /// Something is out of band.
    pub(crate) fn is_urgent(self) -> bool {
        self.has(libc::EPOLLPRI)
    }

    /// Something is out of band, or in the error queue.
    pub(crate) fn is_priority(self) -> bool {
        self.is_urgent() || self.is_error_alone()
    }

    /// The same without the error; `None` if nothing is left.
    pub(crate) fn without_error(self) -> Option<Event> {
        let rest = self.0 & !(libc::EPOLLERR as u32);
        (rest != 0).then_some(Event(rest))
    }

    /// A read that comes back short may have stopped before the end of what there is to read.
    #[inline]
    pub(crate) fn may_hide_more(self) -> bool {
        self.has(libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR | libc::EPOLLPRI)
    }
}

/// The kernel's side of a wait: room for events. The default has none.
#[derive(Default)]
pub(crate) struct Events {
    raw: Vec<RawEvent>,
}

impl Events {
    /// Room for `capacity` events, at least one.
    pub(crate) fn with_capacity(capacity: usize) -> Events {
        Events { raw: vec![RawEvent(libc::epoll_event { events: 0, u64: 0 }); capacity.max(1)] }
    }

    /// The first `count` events of the last wait.
    #[inline]
    pub(crate) fn first(&self, count: usize) -> &[RawEvent] {
        &self.raw[..count]
    }
}

/// An event as the kernel writes it.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct RawEvent(libc::epoll_event);

impl RawEvent {
    /// Which registration.
    #[inline]
    pub(crate) fn token(&self) -> Token {
        Token::from_bits(self.0.u64)
    }

    /// What happened to it.
    #[inline]
    pub(crate) fn event(&self) -> Event {
        Event(self.0.events)
    }
}

impl Epoll {
    /// epoll_create1(2).
    pub(crate) fn new() -> io::Result<Epoll> {
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just gave us this descriptor, and nobody else knows of it.
        Ok(Epoll { fd: Arc::new(unsafe { OwnedFd::from_raw_fd(fd) }), raw_fd: fd })
    }

    /// The way in for other threads.
    pub(crate) fn remote(&self) -> RemoteEpoll {
        RemoteEpoll { fd: Arc::downgrade(&self.fd) }
    }

    /// Whether every instance would refuse `fd`, and with which error: EPERM for a regular file.
    pub(crate) fn check_pollable(fd: BorrowedFd<'_>) -> io::Result<()> {
        // Without a descriptor for the question, whoever registers it gets the answer.
        let Ok(epoll) = Epoll::new() else { return Ok(()) };
        epoll.add(fd, Token::from_bits(0), Mask::QUIET)
    }

    /// The instance's own descriptor: readable when it has events.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&*self.fd)
    }

    /// Whether a wait would return at once. Takes no event.
    pub(crate) fn has_events(&self) -> io::Result<bool> {
        let mut asked = libc::pollfd { fd: self.raw_fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: `asked` is one valid pollfd.
        let answer = unsafe { libc::poll(&mut asked, 1, 0) };
        match answer {
            0.. => Ok(answer > 0),
            // A signal came first: the next look finds the event.
            _ if io::Error::last_os_error().raw_os_error() == Some(libc::EINTR) => Ok(true),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Registers `fd` under `token`.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, token: Token, mask: Mask) -> io::Result<()> {
        control(self.raw_fd, libc::EPOLL_CTL_ADD, fd.as_raw_fd(), token, mask)
    }

    /// Changes the mask of a registration; conditions that hold already are reported anew.
    pub(crate) fn modify(&self, fd: BorrowedFd<'_>, token: Token, mask: Mask) -> io::Result<()> {
        control(self.raw_fd, libc::EPOLL_CTL_MOD, fd.as_raw_fd(), token, mask)
    }

    /// Ends a registration.
    pub(crate) fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.remove_raw(fd.as_raw_fd())
    }

    /// Ends the registration of the descriptor with the number `fd`.
    pub(crate) fn remove_raw(&self, fd: RawFd) -> io::Result<()> {
        control(self.raw_fd, libc::EPOLL_CTL_DEL, fd, Token::from_bits(0), Mask(0))
    }

    /// Waits for events, for ever without a `timeout`. Never returns before the timeout has
    /// passed but for an event or a signal: that is the error `Interrupted`. One that is longer than
    /// [`LONGEST_WAIT`] may be cut to that.
    #[inline]
    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<usize> {
        match timeout {
            None => self.wait_ms(events, -1),
            Some(Duration::ZERO) => self.wait_ms(events, 0),
            Some(timeout) if NO_PWAIT2.load(Ordering::Relaxed) => {
                self.wait_ms(events, round_up_ms(timeout))
            }
            Some(timeout) => self.wait_ns(events, timeout),
        }
    }

    /// epoll_pwait(2) without a signal mask.
    #[inline]
    fn wait_ms(&self, events: &mut Events, timeout_ms: libc::c_int) -> io::Result<usize> {
        let [pointer, length] = [events.raw.as_mut_ptr() as usize, events.raw.len()];
        let fd = self.raw_fd as usize;
        let arguments = [fd, pointer, length, timeout_ms as isize as usize, 0, 0];
        // SAFETY: `raw` is writable for `length` events; there is no signal mask.
        checked(unsafe { syscall(libc::SYS_epoll_pwait, arguments) })
    }

    /// epoll_pwait2(2) without a signal mask, or what comes nearest where the kernel has none.
    fn wait_ns(&self, events: &mut Events, timeout: Duration) -> io::Result<usize> {
        // The kernel's own form, 64 bits a field on every architecture: struct __kernel_timespec.
        let seconds = timeout.as_secs().min(i64::MAX as u64) as i64;
        let timespec: [i64; 2] = [seconds, i64::from(timeout.subsec_nanos())];
        let [pointer, length] = [events.raw.as_mut_ptr() as usize, events.raw.len()];
        let fd = self.raw_fd as usize;
        let arguments = [fd, pointer, length, timespec.as_ptr() as usize, 0, 0];
        // SAFETY: `raw` is writable for `length` events, the timespec is readable, and there is
        // no signal mask.
        let answer = unsafe { syscall(libc::SYS_epoll_pwait2, arguments) };
        if is_missing(answer) {
            NO_PWAIT2.store(true, Ordering::Relaxed);
            return self.wait_ms(events, round_up_ms(timeout));
        }
        checked(answer)
    }
}

/// Whether the answer of epoll_pwait2 is none of its own: ENOSYS of a kernel that is too old, or what
/// a container's profile answers to a call that it doesn't know, as EPERM.
fn is_missing(answer: isize) -> bool {
    let own = [libc::EINTR, libc::EBADF, libc::EFAULT, libc::EINVAL];
    answer < 0 && !own.iter().any(|errno| answer == -*errno as isize)
}

/// epoll_ctl(2).
fn control(
    epoll: RawFd,
    operation: libc::c_int,
    fd: RawFd,
    token: Token,
    mask: Mask,
) -> io::Result<()> {
    let mut event = libc::epoll_event { events: mask.0, u64: token.to_bits() };
    // SAFETY: `event` is a valid epoll_event. The descriptors are numbers to the kernel, which
    // answers EBADF or ENOENT to one that means nothing here.
    let answer = unsafe { libc::epoll_ctl(epoll, operation, fd, &mut event) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// What holds of `mask` now: poll(2), whose bits are epoll's.
pub(crate) fn poll_now(fd: BorrowedFd<'_>, mask: Mask) -> Event {
    let mut asked = libc::pollfd { fd: fd.as_raw_fd(), events: mask.0 as i16, revents: 0 };
    // SAFETY: `asked` is one valid pollfd. If the call fails, nothing is known to hold.
    let _ = unsafe { libc::poll(&mut asked, 1, 0) };
    Event(u32::from(asked.revents as u16))
}

/// The whole milliseconds that cover `timeout`: a wait must not end early.
fn round_up_ms(timeout: Duration) -> libc::c_int {
    round_up(timeout, Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_WAIT, round_up_ms};
    use std::time::Duration;

    #[test]
    fn a_timeout_in_milliseconds_is_never_shorter() {
        assert_eq!(round_up_ms(Duration::from_nanos(1)), 1);
        assert_eq!(round_up_ms(Duration::from_millis(7)), 7);
        assert_eq!(round_up_ms(Duration::from_nanos(7_000_001)), 8);
        assert_eq!(round_up_ms(Duration::MAX), i32::MAX);
        assert_eq!(round_up_ms(LONGEST_WAIT) as u128, LONGEST_WAIT.as_millis(), "it is not cut");
    }
}

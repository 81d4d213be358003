//! One epoll instance.
//!
//! It knows the kernel's bits and no rule of the poller: `Mask` is what is asked, `Event` what is
//! answered.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

pub(crate) use super::conditions::{Event, Mask};
use super::fd::OwnedFd;
use super::options::round_up;
use super::syscall::{checked, libc_answer, syscall};
use crate::base::token::Token;

/// `true` once the kernel has answered that it has no epoll_pwait2, which came with Linux 5.11.
static NO_PWAIT2: AtomicBool = AtomicBool::new(false);

/// The longest timeout that is kept. Without epoll_pwait2 the kernel takes milliseconds in an int,
/// which hold 24 days and some hours.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(24 * 24 * 3600);

/// An epoll instance: epoll(7).
#[derive(Debug)]
pub(crate) struct Epoll {
    /// The instance. Only a poller owns it; see [`RemoteEpoll`].
    fd: Arc<OwnedFd>,
    /// The number of `fd`, so that a wait need not follow the pointer.
    raw_fd: RawFd,
}

/// An epoll instance as other threads see it. It does not keep the instance open.
#[derive(Debug)]
pub(crate) struct RemoteEpoll {
    /// The instance, as long as its poller has it.
    fd: Weak<OwnedFd>,
}

impl RemoteEpoll {
    /// Adds `fd` to the instance under a token that stands for nothing. The poller replaces the
    /// token by [`Epoll::modify`]. Returns `None` if the instance is closed.
    ///
    /// So the errors of epoll_ctl(2) are known on the thread that registers, before the poller
    /// takes part.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>) -> Option<io::Result<()>> {
        let epoll = self.fd.upgrade()?;
        // No slot of a table has this index, which is the end of the slab's free list.
        let nothing = Token::from_bits(u64::MAX);
        Some(control(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), nothing, Mask::QUIET))
    }

    /// Removes `fd` from the instance, unless that is closed. A close of `fd` would not remove it
    /// while other code has a duplicate: epoll(7).
    pub(crate) fn remove(&self, fd: BorrowedFd<'_>) {
        let Some(epoll) = self.fd.upgrade() else { return };
        let (epoll, fd, nothing) = (epoll.as_raw_fd(), fd.as_raw_fd(), Token::from_bits(0));
        let _ = control(epoll, libc::EPOLL_CTL_DEL, fd, nothing, Mask(0));
    }
}

/// The buffer that a wait fills with events. The default has no room.
#[derive(Default)]
pub(crate) struct Events {
    /// One element for each event of a wait.
    raw: Vec<RawEvent>,
}

impl Events {
    /// Creates a buffer for `capacity` events, at least one.
    pub(crate) fn with_capacity(capacity: usize) -> Events {
        Events { raw: vec![RawEvent(libc::epoll_event { events: 0, u64: 0 }); capacity.max(1)] }
    }

    /// Returns the first `count` events of the last wait.
    #[inline]
    pub(crate) fn first(&self, count: usize) -> &[RawEvent] {
        &self.raw[..count]
    }
}

/// An event as the kernel writes it: packed on x86-64, so it is read by value.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct RawEvent(libc::epoll_event);

impl RawEvent {
    /// Returns the token of the registration.
    #[inline]
    pub(crate) fn token(&self) -> Token {
        Token::from_bits(self.0.u64)
    }

    /// Returns what happened.
    #[inline]
    pub(crate) fn event(&self) -> Event {
        Event(self.0.events)
    }
}

impl Epoll {
    /// Creates an instance: epoll_create1(2).
    pub(crate) fn new() -> io::Result<Epoll> {
        simulated!(kernel => {
            let fd = OwnedFd::from(kernel.epoll_create()?);
            let raw_fd = fd.as_raw_fd();
            Ok(Epoll { fd: Arc::new(fd), raw_fd })
        });
        // SAFETY: takes no pointers.
        let fd = libc_answer(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel just gave us this descriptor, and no other code has it.
        Ok(Epoll { fd: Arc::new(unsafe { OwnedFd::from_raw(fd) }), raw_fd: fd })
    }

    /// Returns a reference for other threads.
    pub(crate) fn remote(&self) -> RemoteEpoll {
        RemoteEpoll { fd: Arc::downgrade(&self.fd) }
    }

    /// Checks that epoll takes `fd` at all. The error is EPERM for a regular file, for instance.
    pub(crate) fn check_pollable(fd: BorrowedFd<'_>) -> io::Result<()> {
        // If there is no descriptor for this check, the registration itself gives the answer.
        // In an instance of its own, which is closed at once: the poller's would have to remove it
        // again.
        let Ok(epoll) = Epoll::new() else { return Ok(()) };
        epoll.add(fd, Token::from_bits(0), Mask::QUIET)
    }

    /// Returns the instance's own descriptor, which is readable while there are events.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&*self.fd)
    }

    /// Returns `true` if a wait would return at once. It takes no event.
    pub(crate) fn has_events(&self) -> io::Result<bool> {
        simulated!(self.raw_fd, kernel => Ok(kernel.epoll_has_events(self.raw_fd)));
        let mut asked = libc::pollfd { fd: self.raw_fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: `asked` is one valid pollfd.
        let answer = unsafe { libc::poll(&mut asked, 1, 0) };
        // A negative answer is -1, with the reason in errno.
        match answer {
            0.. => Ok(answer > 0),
            // A signal came first. `true` costs at most one look that finds nothing.
            _ if io::Error::last_os_error().raw_os_error() == Some(libc::EINTR) => Ok(true),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Adds `fd` to the instance under `token`.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, token: Token, mask: Mask) -> io::Result<()> {
        control(self.raw_fd, libc::EPOLL_CTL_ADD, fd.as_raw_fd(), token, mask)
    }

    /// Changes the mask of a registration. The kernel reports conditions that hold already once
    /// more.
    pub(crate) fn modify(&self, fd: BorrowedFd<'_>, token: Token, mask: Mask) -> io::Result<()> {
        // So a condition that began between the last event and this call is not lost, also with
        // EPOLLET.
        control(self.raw_fd, libc::EPOLL_CTL_MOD, fd.as_raw_fd(), token, mask)
    }

    /// Removes `fd` from the instance.
    pub(crate) fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.remove_raw(fd.as_raw_fd())
    }

    /// Removes the descriptor with the number `fd`, which may belong to other code.
    pub(crate) fn remove_raw(&self, fd: RawFd) -> io::Result<()> {
        control(self.raw_fd, libc::EPOLL_CTL_DEL, fd, Token::from_bits(0), Mask(0))
    }

    /// Waits for events and returns how many there are. Without a `timeout` it waits until there is
    /// one.
    ///
    /// It does not return before the timeout has passed, except for events and with the error
    /// `Interrupted` after a signal. A timeout longer than [`LONGEST_WAIT`] may be cut to that.
    #[inline]
    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<usize> {
        #[cfg(feature = "sim")]
        if let Some(kernel) = super::sim::current() {
            return wait_simulated(&kernel, self.raw_fd, events, timeout);
        }
        match timeout {
            // For these two the older call will do: it takes no timespec, which the kernel would
            // have to copy.
            None => self.wait_ms(events, -1),
            Some(Duration::ZERO) => self.wait_ms(events, 0),
            Some(timeout) if NO_PWAIT2.load(Ordering::Relaxed) => {
                self.wait_ms(events, round_up_ms(timeout))
            }
            Some(timeout) => self.wait_ns(events, timeout),
        }
    }

    /// Waits by epoll_pwait(2), without a signal mask.
    #[inline]
    fn wait_ms(&self, events: &mut Events, timeout_ms: libc::c_int) -> io::Result<usize> {
        // Not epoll_wait(2), which newer architectures such as aarch64 don't have.
        let [pointer, length] = [events.raw.as_mut_ptr() as usize, events.raw.len()];
        let fd = self.raw_fd as usize;
        let arguments = [fd, pointer, length, timeout_ms as isize as usize, 0, 0];
        // SAFETY: `raw` is writable for `length` events; there is no signal mask.
        checked(unsafe { syscall(libc::SYS_epoll_pwait, arguments) })
    }

    /// Waits by epoll_pwait2(2), without a signal mask. Where the kernel has no such call, it
    /// rounds the timeout up to milliseconds.
    #[inline(never)]
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

/// Returns `true` if the kernel has not executed epoll_pwait2. An old kernel answers ENOSYS. The
/// seccomp profile of a container may answer anything, such as EPERM; only the errors of the man
/// page count as answers of the call.
fn is_missing(answer: isize) -> bool {
    let own = [libc::EINTR, libc::EBADF, libc::EFAULT, libc::EINVAL];
    answer < 0 && !own.iter().any(|errno| answer == -*errno as isize)
}

/// Waits for events of the simulated kernel. Other simulated threads run meanwhile, also if nothing
/// is waited for.
#[cfg(feature = "sim")]
fn wait_simulated(
    kernel: &super::sim::Kernel,
    epoll: RawFd,
    events: &mut Events,
    timeout: Option<Duration>,
) -> io::Result<usize> {
    use super::sim::{Wait, block};
    let begun = kernel.borrow().now();
    let until = timeout.map(|timeout| super::clock::after(begun, timeout));
    if timeout == Some(Duration::ZERO) {
        block(Wait::Turn);
    }
    loop {
        if kernel.borrow().is_off() {
            // The program ends by it.
            return Err(io::Error::from_raw_os_error(libc::ESHUTDOWN));
        }
        let found = kernel.borrow_mut().epoll_events(epoll, events.raw.len())?;
        let is_over = until.is_some_and(|until| kernel.borrow().now() >= until);
        if !found.is_empty() || is_over {
            for (place, (bits, data)) in events.raw.iter_mut().zip(&found) {
                *place = RawEvent(libc::epoll_event { events: *bits, u64: *data });
            }
            return Ok(found.len());
        }
        block(Wait::Events(epoll, until));
    }
}

/// Changes an instance: epoll_ctl(2).
fn control(
    epoll: RawFd,
    operation: libc::c_int,
    fd: RawFd,
    token: Token,
    mask: Mask,
) -> io::Result<()> {
    simulated!(epoll, kernel => {
        if operation == libc::EPOLL_CTL_ADD && !kernel.knows(fd) {
            return super::sim::foreign("a descriptor is registered");
        }
        kernel.epoll_control(epoll, operation, fd, mask.0, token.to_bits())
    });
    let mut event = libc::epoll_event { events: mask.0, u64: token.to_bits() };
    // SAFETY: `event` is a valid epoll_event. The descriptors are numbers to the kernel, which
    // answers EBADF or ENOENT to one that means nothing here.
    libc_answer(unsafe { libc::epoll_ctl(epoll, operation, fd, &mut event) }).map(drop)
}

/// Returns which conditions of `mask` hold now: poll(2), whose bits have the values of epoll's.
pub(crate) fn poll_now(fd: BorrowedFd<'_>, mask: Mask) -> Event {
    simulated!(fd.as_raw_fd(), kernel => {
        kernel.run_due();
        Event(kernel.poll(fd.as_raw_fd(), mask.0 & 0xffff))
    });
    // The cast drops EPOLLET, which poll has no bit for.
    let mut asked = libc::pollfd { fd: fd.as_raw_fd(), events: mask.0 as i16, revents: 0 };
    // SAFETY: `asked` is one valid pollfd. If the call fails, nothing is known to hold.
    let _ = unsafe { libc::poll(&mut asked, 1, 0) };
    Event(u32::from(asked.revents as u16))
}

/// Rounds `timeout` up to whole milliseconds: a wait must not end early.
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

//! The calls of eventfd and timerfd.

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::time::Duration;

use super::counters::{Alarm, Counter};
use super::due::Happening;
use super::errors::errno;
use super::object::Kind;
use super::world::World;

impl World {
    /// Makes an eventfd.
    pub(crate) fn eventfd_create(&mut self) -> io::Result<OwnedFd> {
        self.create(Kind::Counter(Counter::default()))
    }

    /// Adds one to an eventfd: write(2).
    pub(crate) fn eventfd_ring(&mut self, fd: RawFd) {
        self.pass_a_call();
        let Some(id) = self.find(fd) else { return };
        if let Ok(object) = self.object(id)
            && let Kind::Counter(counter) = &mut object.kind
        {
            counter.0 = counter.0.saturating_add(1).min(u64::MAX - 1);
            // Each write is an event of its own, whatever the counter was.
            self.wake(id, libc::EPOLLIN as u32);
        }
    }

    /// Makes a timerfd.
    pub(crate) fn timerfd_create(&mut self) -> io::Result<OwnedFd> {
        self.create(Kind::Alarm(Alarm::default()))
    }

    /// Arms or disarms a timerfd: timerfd_settime(2).
    pub(crate) fn timerfd_set(&mut self, fd: RawFd, delay: Option<Duration>) -> io::Result<()> {
        self.pass_a_call();
        let at = delay.map(|delay| self.now().saturating_add(delay.as_nanos() as u64).max(1));
        let Some(id) = self.find(fd) else { return errno(libc::EBADF) };
        let Kind::Alarm(alarm) = &mut self.object(id)?.kind else { return errno(libc::EINVAL) };
        *alarm = Alarm { at, has_expired: false };
        if let Some(at) = at {
            self.schedule(at, Happening::Alarm(id));
        }
        Ok(())
    }
}

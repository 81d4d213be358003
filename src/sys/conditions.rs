//! The conditions of a descriptor: what a registration with epoll asks for, and what it reports.
//!
//! Everything above asks an [`Event`] by methods, so that EPOLLHUP, EPOLLERR and EPOLLRDHUP have
//! their meaning in one file.

use crate::base::interest::Interest;

/// What a registration asks for: the events of epoll_ctl(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mask(pub(super) u32);

impl Mask {
    /// Only the conditions that the kernel always reports, ERR and HUP, once each.
    pub(crate) const QUIET: Mask = Mask(libc::EPOLLET as u32);
    /// What the registration of a stream of tasks asks for during its whole life. PRI is part of it
    /// because a read stops at urgent data although more bytes follow.
    pub(crate) const ALL_EDGES: Mask = Mask(
        (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLPRI | libc::EPOLLET) as u32,
    );
    /// What the eventfd of a mailbox asks for.
    pub(crate) const BELL: Mask = Mask((libc::EPOLLIN | libc::EPOLLET) as u32);

    /// Returns the mask of a handler's interest. With `flush` it also asks for room in the send
    /// buffer, as queued output waits for it.
    pub(crate) fn of(interest: Interest, flush: bool) -> Mask {
        let mut bits = 0;
        if interest.is_readable() {
            // EPOLLIN is reported for bytes and for an end. RDHUP tells the two apart, and costs
            // nothing.
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

    /// Returns the mask with these bits.
    #[cfg(all(test, feature = "sim", not(loom)))]
    pub(crate) const fn from_bits(bits: u32) -> Mask {
        Mask(bits)
    }

    /// Returns `true` if the mask is edge-triggered.
    pub(crate) const fn is_edge(self) -> bool {
        self.0 & libc::EPOLLET as u32 != 0
    }

    /// Returns this mask with edge triggering.
    pub(crate) const fn edge(self) -> Mask {
        Mask(self.0 | libc::EPOLLET as u32)
    }
}

/// The conditions that the kernel reports for one registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event(pub(super) u32);

impl Event {
    /// The bit that says that there are bytes to read.
    pub(crate) const IN: u32 = libc::EPOLLIN as u32;
    /// The bit that says that there is room to write.
    pub(crate) const OUT: u32 = libc::EPOLLOUT as u32;

    /// There are bytes to read, and nothing else is reported: nearly every event.
    pub(crate) const PLAIN_READ: Event = Event(Event::IN);
    /// What epoll never reports: it has bits that are no conditions.
    pub(crate) const NEVER: Event = Event(u32::MAX);

    /// Returns `true` if one of the bits in `any` is set.
    #[inline]
    fn has(self, any: libc::c_int) -> bool {
        self.0 & any as u32 != 0
    }

    /// Returns `true` if there are bytes to read and nothing else is reported, as in nearly every
    /// event.
    #[inline]
    pub(crate) fn is_plain_read(self) -> bool {
        self == Event::PLAIN_READ
    }

    /// Returns `true` if there are bytes or an end to read, the peer has ended its direction, and
    /// nothing else is reported.
    #[inline]
    pub(crate) fn is_plain_end(self) -> bool {
        self.0 == (libc::EPOLLIN | libc::EPOLLRDHUP) as u32
    }

    /// Returns the bits of the event if they are `IN`, `OUT` or both, and nothing else is reported.
    #[inline]
    pub(crate) fn plain_readiness(self) -> Option<u32> {
        (!self.has(!(libc::EPOLLIN | libc::EPOLLOUT))).then_some(self.0)
    }

    /// Returns `true` if a read may succeed. HUP and ERR count, since bytes that came before them
    /// are read first.
    #[inline]
    pub(crate) fn is_readable(self) -> bool {
        self.has(libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR)
    }

    /// Returns `true` if a write may succeed, or would return the connection's error.
    #[inline]
    pub(crate) fn is_writable(self) -> bool {
        self.has(libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR)
    }

    /// Returns `true` if both directions have ended or the connection has failed.
    #[inline]
    pub(crate) fn is_hung_up(self) -> bool {
        self.has(libc::EPOLLHUP | libc::EPOLLERR)
    }

    /// Returns `true` if there is an error, or a message in the error queue, on a connection that
    /// is not hung up.
    pub(crate) fn is_error_alone(self) -> bool {
        self.has(libc::EPOLLERR) && !self.has(libc::EPOLLHUP)
    }

    /// Returns `true` if there is room to write or the write direction has ended.
    pub(crate) fn has_room(self) -> bool {
        self.has(libc::EPOLLOUT | libc::EPOLLHUP)
    }

    /// Returns `true` if there is urgent data.
    pub(crate) fn is_urgent(self) -> bool {
        self.has(libc::EPOLLPRI)
    }

    /// Returns `true` if there is urgent data or a message in the error queue.
    pub(crate) fn is_priority(self) -> bool {
        self.is_urgent() || self.is_error_alone()
    }

    /// Returns the event without its error bit, or `None` if no other bit is set.
    pub(crate) fn without_error(self) -> Option<Event> {
        let rest = self.0 & !(libc::EPOLLERR as u32);
        (rest != 0).then_some(Event(rest))
    }

    /// Returns `true` if a read may come back short although there is more to read.
    ///
    /// A short read usually means that the socket is empty, which saves the read that would say
    /// `WouldBlock`. It does not mean that at urgent data, and after it no other edge announces an
    /// end of the stream.
    #[inline]
    pub(crate) fn may_hide_more(self) -> bool {
        self.has(libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR | libc::EPOLLPRI)
    }
}

//! Urgent data of TCP: the mark in the input of a connection, and what the calls make of it.
//!
//! The urgent byte stays in the stream. A read that gets to it skips it, unless SO_OOBINLINE is
//! set, and a read that begins before it ends there. The order of checks is that of Linux
//! (net/ipv4/tcp.c, tcp_input.c).

use super::connection::{Phase, Tcp};
use super::errors::errno;
use super::id::Id;
use super::mark::{Reading, UrgentByte, UrgentMark};
use super::world::World;
use std::io;

impl Tcp {
    /// Notes that the byte at the place `at` of a packet is urgent, before the packet's bytes are
    /// added to the input: tcp_urg.
    pub(super) fn announce_urgent(&mut self, at: usize, bytes: &[u8]) {
        let mut ahead = self.input.len() + at;
        if let Some(before) = &self.urgent {
            if ahead <= before.ahead {
                return;
            }
            // The earlier byte would come back into the stream after it was the urgent one.
            if before.ahead == 0 && !self.urgent_inline && self.input.pop_front().is_some() {
                ahead -= 1;
            }
        }
        let byte = bytes.get(at).map_or(UrgentByte::Announced, |byte| UrgentByte::Here(*byte));
        self.urgent = Some(UrgentMark { ahead, byte });
    }

    /// Notes the urgent byte that was announced, if it is among `bytes`, which are added next.
    pub(super) fn find_urgent(&mut self, bytes: &[u8]) {
        let unread = self.input.len();
        if let Some(mark) = &mut self.urgent
            && mark.byte == UrgentByte::Announced
            && let Some(byte) = mark.ahead.checked_sub(unread).and_then(|at| bytes.get(at))
        {
            mark.byte = UrgentByte::Here(*byte);
        }
    }

    /// Returns the bytes that a read shows: where they begin and end in the input.
    pub(super) fn readable(&self, reading: Reading) -> (usize, usize) {
        match &self.urgent {
            Some(mark) if mark.ahead > 0 => (0, mark.ahead.min(self.input.len())),
            Some(_) if reading == Reading::Splice => (0, 0),
            Some(_) if !self.urgent_inline && !self.input.is_empty() => (1, self.input.len()),
            _ => (0, self.input.len()),
        }
    }

    /// Removes the first `count` bytes of the input.
    pub(super) fn consume(&mut self, count: usize) {
        self.input.drain(..count);
        if count > 0 {
            self.urgent = self.urgent.take().and_then(|mark| {
                Some(UrgentMark { ahead: mark.ahead.checked_sub(count)?, ..mark })
            });
        }
        // What an urgent byte leaves behind is nothing to read, until more comes or the end.
        self.unread_since = self.unread_since.filter(|_| self.is_readable());
    }

    /// Returns how many unread bytes make the socket readable: at the mark, one more than the
    /// urgent one.
    pub(super) fn least_readable(&self) -> usize {
        if self.is_at_mark() && !self.urgent_inline { 2 } else { 1 }
    }

    /// Returns `true` if there is something to read, or the end.
    pub(super) fn is_readable(&self) -> bool {
        self.no_more_input || self.input.len() >= self.least_readable()
    }

    /// Notes, after something was added, that there is something to read from `now` on, unless there
    /// has been before, or an urgent byte is alone.
    pub(super) fn becomes_readable(&mut self, now: u64) {
        self.unread_since = self.is_readable().then(|| self.unread_since.unwrap_or(now));
    }

    /// Returns `true` if the next byte is the urgent one: SIOCATMARK.
    pub(super) fn is_at_mark(&self) -> bool {
        self.urgent.as_ref().is_some_and(|mark| mark.ahead == 0)
    }

    /// Returns `true` if an urgent byte has come that was not taken: EPOLLPRI.
    pub(super) fn has_urgent(&self) -> bool {
        matches!(&self.urgent, Some(UrgentMark { byte: UrgentByte::Here(_), .. }))
    }

    /// Returns how many bytes there are up to the mark, or at all: FIONREAD.
    pub(super) fn unread(&self) -> usize {
        let all = self.input.len();
        match &self.urgent {
            _ if matches!(self.phase, Phase::Connecting | Phase::Received) => 0,
            Some(mark) if !self.urgent_inline && mark.ahead < all => mark.ahead,
            _ => all,
        }
    }

    /// Takes the urgent byte, or looks at it: recv(2) with MSG_OOB.
    pub(super) fn recv_urgent(&mut self, peeks: bool) -> io::Result<Option<u8>> {
        let (is_over, no_more_input) = (self.phase == Phase::Ended, self.no_more_input);
        let inline = self.urgent_inline;
        let Some(mark) = self.urgent.as_mut().filter(|_| !inline) else {
            return errno(libc::EINVAL);
        };
        match mark.byte {
            UrgentByte::Taken => errno(libc::EINVAL),
            _ if is_over && !self.peer_is_done => errno(libc::ENOTCONN),
            UrgentByte::Here(byte) => {
                if !peeks {
                    mark.byte = UrgentByte::Taken;
                }
                Ok(Some(byte))
            }
            UrgentByte::Announced if is_over || no_more_input => Ok(None),
            UrgentByte::Announced => errno(libc::EAGAIN),
        }
    }
}

impl World {
    /// Adds an urgent byte behind what an end writes, if that is a fault of this simulation. Only
    /// one is under way at a time: an urgent byte that another one follows becomes a byte of the
    /// stream.
    pub(super) fn add_urgent(&mut self, id: Id) {
        if !self.chance(self.settings.urgent) {
            return;
        }
        let remote = self.tcp(id).and_then(|tcp| tcp.remote);
        let is_marked =
            remote.and_then(|remote| self.tcp(remote)).is_none_or(|peer| peer.urgent.is_some());
        if let Some(tcp) = self.tcp(id)
            && !is_marked
            && tcp.wire.bytes == 0
            && tcp.output_mark.is_none()
        {
            tcp.output_mark = Some(tcp.output.len());
            tcp.output.push_back(b'!');
            let host = self.host();
            self.log(host, format_args!("{id} adds an urgent byte"));
        }
    }
}

#[cfg(all(test, not(loom)))]
impl World {
    /// Returns `true` if the next byte of a socket is the urgent one: SIOCATMARK of ioctl(2).
    pub(super) fn at_mark(&mut self, fd: std::os::fd::RawFd) -> io::Result<bool> {
        Ok(self.tcp_of(fd)?.1.is_at_mark())
    }

    /// Lets urgent bytes stay in the stream: SO_OOBINLINE.
    pub(super) fn set_urgent_inline(&mut self, fd: std::os::fd::RawFd) -> io::Result<()> {
        self.tcp_of(fd)?.1.urgent_inline = true;
        Ok(())
    }
}

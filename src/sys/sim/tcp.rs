//! The calls of TCP sockets that do not listen.
//!
//! The order of the checks in each call is that of Linux (net/ipv4/tcp.c), as what a call answers on
//! a connection that has both bytes and an error depends on it.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{OwnedFd, RawFd};
use std::time::Duration;

use super::connection::{Phase, Tcp, TcpOptions};
use super::errors::errno;
use super::id::Id;
use super::instance::ANY;
use super::mark::Reading;
use super::object::Kind;
use super::ports::Protocol;
use super::segment::Segment;
use super::world::{World, with_port};

impl World {
    /// Returns the TCP socket of a descriptor.
    pub(super) fn tcp_of(&mut self, fd: RawFd) -> io::Result<(Id, &mut Tcp)> {
        let Some(id) = self.find(fd) else { return errno(libc::EBADF) };
        match self.tcp(id) {
            Some(tcp) => Ok((id, tcp)),
            None => errno(libc::ENOTCONN),
        }
    }

    /// Makes a socket, and begins to connect it: connect(2).
    pub(crate) fn tcp_connect(
        &mut self,
        to: SocketAddr,
        from: Option<SocketAddr>,
        buffers: (Option<usize>, Option<usize>),
    ) -> io::Result<OwnedFd> {
        self.pass_a_call();
        self.refuse_descriptor()?;
        let host = self.host();
        let source = from.unwrap_or_else(|| SocketAddr::new(self.source_address(host, to.ip()), 0));
        let port =
            if source.port() == 0 { self.free_port(host, Protocol::Tcp) } else { source.port() };
        let mut tcp = Tcp::new(Some(with_port(source, port)), to, Phase::Connecting);
        tcp.set_buffers(buffers.0, buffers.1);
        let id = self.add(host, Kind::Tcp(Box::new(tcp)));
        self.log(host, format_args!("{id} connects to {to}"));
        self.transmit(id, Segment::Hello);
        let fd = self.open(id);
        self.run_due();
        fd
    }

    /// Gives up to `most` bytes that have come to `fill`.
    pub(super) fn tcp_recv(
        &mut self,
        fd: RawFd,
        fill: &mut dyn FnMut(&[u8]),
        most: usize,
        reading: Reading,
    ) -> io::Result<usize> {
        let now = self.now();
        let (id, tcp) = self.tcp_of(fd)?;
        let (start, end) = tcp.readable(reading);
        let count = (end - start).min(most);
        // What is left is news for the program again. An empty answer is the end, and no news.
        let has_more = tcp.input.len() > start + count || tcp.no_more_input;
        let is_left = count > 0 && (reading == Reading::Peek || has_more);
        tcp.unread_since = tcp.unread_since.map(|_| now).filter(|_| is_left || most == 0);
        if count == 0 && most > 0 {
            if reading == Reading::Take {
                // An urgent byte that is alone is skipped all the same.
                tcp.consume(start);
            }
            return nothing_to_read(tcp);
        }
        fill(&tcp.input.make_contiguous()[start..start + count]);
        if reading != Reading::Peek && most > 0 {
            tcp.consume(start + count);
            let remote = tcp.remote;
            let host = self.host();
            self.log(host, format_args!("{id} reads {count}"));
            // There is room for what the peer has left to send.
            if let Some(remote) = remote
                && self.tcp(remote).is_some_and(|peer| !peer.output.is_empty())
            {
                self.transmit(id, Segment::Room);
                self.run_due();
            }
        }
        Ok(count)
    }

    /// Writes what there is room for: send(2).
    pub(super) fn tcp_send(&mut self, fd: RawFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.tcp_send_flags(fd, slices, 0)
    }

    /// Writes what there is room for, the last byte as urgent with MSG_OOB: send(2).
    pub(super) fn tcp_send_flags(
        &mut self,
        fd: RawFd,
        slices: &[IoSlice<'_>],
        flags: libc::c_int,
    ) -> io::Result<usize> {
        let wanted: usize = slices.iter().map(|slice| slice.len()).sum();
        let most = self.shortened(wanted);
        let (id, tcp) = self.tcp_of(fd)?;
        if matches!(tcp.phase, Phase::Connecting | Phase::Received) {
            return errno(libc::EAGAIN);
        }
        if tcp.error.is_some() || tcp.no_more_output {
            return errno(tcp.take_error_or(libc::EPIPE));
        }
        let room = tcp.output_limit.saturating_sub(tcp.held());
        if room == 0 && wanted > 0 {
            tcp.wants_room.set(true);
            return errno(libc::EAGAIN);
        }
        let count = most.min(room);
        if count < wanted {
            tcp.wants_room.set(true);
        }
        let mut left = count;
        for slice in slices {
            let part = left.min(slice.len());
            tcp.output.extend(&slice[..part]);
            left -= part;
        }
        if flags & libc::MSG_OOB != 0 {
            tcp.output_mark = tcp.output.len().checked_sub(1);
        } else if count > 0 {
            self.add_urgent(id);
        }
        let host = self.host();
        self.log(host, format_args!("{id} writes {count} of {wanted}"));
        self.send_output(id);
        self.run_due();
        Ok(count)
    }

    /// Ends one or both directions: shutdown(2). On a connection that has ended already it does
    /// nothing, though Linux says ENOTCONN then.
    pub(super) fn tcp_shutdown(&mut self, fd: RawFd, how: Shutdown) -> io::Result<()> {
        let (id, tcp) = self.tcp_of(fd)?;
        if tcp.phase == Phase::Ended {
            // inet_shutdown wakes those that watch all the same.
            self.wake(id, ANY);
            return Ok(());
        }
        if how != Shutdown::Write {
            tcp.no_more_input = true;
        }
        if how != Shutdown::Read && !tcp.no_more_output {
            tcp.no_more_output = true;
            tcp.owes_end = tcp.phase != Phase::Connecting;
        }
        let host = self.host();
        self.log(host, format_args!("{id} shuts down {how:?}"));
        self.send_output(id);
        // On the loopback interface the peer hears of it first.
        self.run_due();
        self.wake(id, ANY);
        Ok(())
    }

    /// Closes a socket whose last descriptor is closed.
    pub(super) fn tcp_close(&mut self, id: Id) {
        let host = self.objects[&id].host;
        let Some(tcp) = self.tcp(id) else { return };
        let resets = !tcp.input.is_empty() || tcp.linger == Some(Duration::ZERO);
        match tcp.phase {
            // Nothing is left to be sent.
            Phase::Ended => {
                self.objects.remove(&id);
            }
            // What has come and was not read is lost, which the peer is told: RFC 1122, 4.2.2.13.
            _ if resets => {
                self.log(host, format_args!("{id} is closed with a reset"));
                self.reset_peer(id);
                self.objects.remove(&id);
                self.run_due();
            }
            Phase::Connecting => {
                self.objects.remove(&id);
            }
            Phase::Received | Phase::Open => {
                self.log(host, format_args!("{id} is closed"));
                tcp_orphan(self, id);
                self.run_due();
            }
        }
    }

    /// Returns the options of a socket: getsockopt(2).
    pub(crate) fn options(&mut self, fd: RawFd) -> io::Result<TcpOptions> {
        Ok(self.tcp_of(fd)?.1.options)
    }

    /// Changes the options of a socket: setsockopt(2).
    pub(crate) fn change_options(
        &mut self,
        fd: RawFd,
        change: impl FnOnce(&mut TcpOptions),
    ) -> io::Result<()> {
        let (id, tcp) = self.tcp_of(fd)?;
        change(&mut tcp.options);
        self.note_wait(id);
        Ok(())
    }

    /// Returns how long a close waits: SO_LINGER.
    pub(crate) fn linger(&mut self, fd: RawFd) -> io::Result<Option<Duration>> {
        Ok(self.tcp_of(fd)?.1.linger)
    }

    /// Sets how long a close waits: SO_LINGER. Zero asks for a reset.
    pub(crate) fn set_linger(&mut self, fd: RawFd, time: Option<Duration>) -> io::Result<()> {
        if let Ok((_, tcp)) = self.tcp_of(fd) {
            tcp.linger = time;
            return Ok(());
        }
        // To other sockets it is a number without a meaning.
        if self.socket_kind(fd).is_some() { Ok(()) } else { errno(libc::ENOTSOCK) }
    }

    /// Turns off an SO_LINGER that would make close(2) wait.
    pub(crate) fn never_linger(&mut self, fd: RawFd) {
        if let Ok((_, tcp)) = self.tcp_of(fd)
            && tcp.linger != Some(Duration::ZERO)
        {
            tcp.linger = None;
        }
    }

    /// Returns `true` if the descriptor is a TCP socket that does not listen.
    pub(crate) fn is_tcp_connection(&mut self, fd: RawFd) -> bool {
        self.tcp_of(fd).is_ok()
    }
}

/// Returns why a read brings nothing, in the order of tcp_recvmsg: the peer's end comes before an
/// error.
fn nothing_to_read(tcp: &mut Tcp) -> io::Result<usize> {
    if tcp.peer_is_done {
        return Ok(0);
    }
    if let Some(error) = tcp.error.take() {
        return errno(error);
    }
    if tcp.no_more_input { Ok(0) } else { errno(libc::EAGAIN) }
}

/// Lets a closed connection send what is left, and its end.
fn tcp_orphan(world: &mut World, id: Id) {
    let Some(tcp) = world.tcp(id) else { return };
    tcp.no_more_input = true;
    if !tcp.no_more_output {
        tcp.no_more_output = true;
        tcp.owes_end = true;
    }
    world.send_output(id);
    world.remove_if_over(id);
}

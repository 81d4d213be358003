//! The calls of UDP sockets: net/ipv4/udp.c.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{OwnedFd, RawFd};

use super::errors::errno;
use super::id::Id;
use super::instance::ANY;
use super::object::Kind;
use super::ports::Protocol;
use super::socket::Received;
use super::udp_socket::{Datagram, Udp, covers};
use super::world::{World, with_port};

/// The longest datagram: a packet of IP has 65,535 bytes with both headers.
const LONGEST: usize = 65_507;

/// The most datagrams that one message is split into. Linux takes more since 6.9.
const MOST_SEGMENTS: usize = 64;

/// The most bytes of a datagram that goes into one packet between hosts: an Ethernet frame's.
pub(super) const MOST_BYTES: usize = 1472;

impl World {
    /// Returns the UDP socket with a number.
    pub(super) fn udp(&mut self, id: Id) -> Option<&mut Udp> {
        match &mut self.objects.get_mut(&id)?.kind {
            Kind::Udp(udp) => Some(udp),
            _ => None,
        }
    }

    /// Returns the UDP socket of a descriptor.
    fn udp_of(&mut self, fd: RawFd) -> io::Result<(Id, &mut Udp)> {
        let Some(id) = self.find(fd) else { return errno(libc::EBADF) };
        match self.udp(id) {
            Some(udp) => Ok((id, udp)),
            None => errno(libc::EOPNOTSUPP),
        }
    }

    /// Makes a socket, and binds it: bind(2).
    pub(crate) fn udp_bind(&mut self, local: SocketAddr) -> io::Result<OwnedFd> {
        self.pass_a_call();
        let host = self.host();
        if self.host_at(local.ip().to_canonical()) != Some(host) {
            return errno(libc::EADDRNOTAVAIL);
        }
        let (ip, port) = (local.ip().to_canonical(), local.port());
        let is_taken = self.objects.values().any(|object| match &object.kind {
            Kind::Udp(other) if object.host == host => {
                let other_ip = other.local.ip().to_canonical();
                let overlaps = covers(other_ip, ip) || covers(ip, other_ip);
                other.local.port() == port && overlaps
            }
            _ => false,
        });
        if is_taken && port != 0 {
            return errno(libc::EADDRINUSE);
        }
        let port = if port == 0 { self.free_port(host, Protocol::Udp) } else { port };
        let local = with_port(local, port);
        let fd = self.create(Kind::Udp(Box::new(Udp::new(local))))?;
        self.log(host, format_args!("binds UDP at {local}"));
        Ok(fd)
    }

    /// Sets the peer of a socket: connect(2). No packet is sent.
    pub(super) fn udp_connect(&mut self, fd: RawFd, to: SocketAddr) -> io::Result<()> {
        self.pass_a_call();
        let (id, _) = self.udp_of(fd)?;
        let (from, to) = self.udp_route(id, to)?;
        let Some(udp) = self.udp(id) else { return errno(libc::EBADF) };
        // The address that it sends from is the only one that it receives at from now on.
        udp.local = udp.shown(from);
        udp.peer = Some(udp.shown(to));
        let host = self.host();
        self.log(host, format_args!("{id} is connected to {to}"));
        Ok(())
    }

    /// Returns the addresses in the packets that a socket sends to `to`.
    fn udp_route(&self, id: Id, to: SocketAddr) -> io::Result<(SocketAddr, SocketAddr)> {
        let Kind::Udp(udp) = &self.objects[&id].kind else { return errno(libc::ENOTSOCK) };
        if to.is_ipv6() && udp.local.is_ipv4() {
            return errno(libc::EAFNOSUPPORT);
        }
        let (host, own) = (self.objects[&id].host, udp.local.ip().to_canonical());
        let ip = match to.ip().to_canonical() {
            // An address without a host is the host itself.
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
            // The network between the hosts is one of IPv4.
            IpAddr::V6(v6) if !v6.is_loopback() => return errno(libc::ENETUNREACH),
            other => other,
        };
        if ip == IpAddr::V4(Ipv4Addr::BROADCAST) && !udp.broadcasts {
            return errno(libc::EACCES);
        }
        let from = match own {
            own if own.is_unspecified() => self.source_address(host, ip),
            own if own.is_ipv4() != ip.is_ipv4() => return errno(libc::ENETUNREACH),
            own if own.is_loopback() && self.host_at(ip) != Some(host) => {
                return errno(libc::EINVAL);
            }
            own => own,
        };
        Ok((SocketAddr::new(from, udp.local.port()), SocketAddr::new(ip, to.port())))
    }

    /// Sends a datagram to `to`, or else to the connected peer; or several of `segment_size` bytes,
    /// if that is not 0: sendmsg(2) with UDP_SEGMENT.
    pub(super) fn udp_send(
        &mut self,
        id: Id,
        slices: &[IoSlice<'_>],
        to: Option<SocketAddr>,
        segment_size: usize,
    ) -> io::Result<usize> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let length = bytes.len();
        let Some(udp) = self.udp(id) else { return errno(libc::EBADF) };
        // In the order of udp_sendmsg, __ip_append_data and udp_send_skb.
        if length > usize::from(u16::MAX) {
            return errno(libc::EMSGSIZE);
        }
        let Some(to) = to.or(udp.peer) else { return errno(libc::EDESTADDRREQ) };
        if to.port() == 0 {
            return errno(libc::EINVAL);
        }
        let (from, to) = self.udp_route(id, to)?;
        let stays_here = self.host_at(to.ip()) == Some(self.host());
        let Some(udp) = self.udp(id) else { return errno(libc::EBADF) };
        if length > LONGEST {
            return errno(libc::EMSGSIZE);
        }
        if let Some(error) = udp.error.take() {
            return errno(error);
        }
        if udp.no_more_output {
            return errno(libc::EPIPE);
        }
        if segment_size > 0 {
            check_segments(length, segment_size, stays_here)?;
        }
        let host = self.host();
        self.log(host, format_args!("{id} sends {length} to {to}"));
        let segment_size = if segment_size < length { segment_size } else { 0 };
        self.send_datagram(host, Datagram { from, bytes, segment_size }, to);
        // The card has taken the packet: sock_wfree.
        self.wake(id, libc::EPOLLOUT as u32);
        self.run_due();
        Ok(length)
    }

    /// Gives up to `most` bytes of the first datagram to `fill`, and removes it unless it `peeks`.
    pub(super) fn udp_receive(
        &mut self,
        id: Id,
        fill: &mut dyn FnMut(&[u8]),
        most: usize,
        peeks: bool,
    ) -> io::Result<Received> {
        let Some(udp) = self.udp(id) else { return errno(libc::EBADF) };
        // The error of an earlier datagram comes before those that have come: __skb_recv_udp.
        if let Some(error) = udp.error.take() {
            return errno(error);
        }
        let Some(first) = udp.input.front() else { return errno(libc::EAGAIN) };
        let length = first.bytes.len().min(most);
        fill(&first.bytes[..length]);
        let received = Received {
            length,
            from: udp.shown(first.from).into(),
            segment_size: if udp.joins { first.segment_size } else { 0 },
            is_truncated: length < first.bytes.len(),
        };
        if !peeks {
            udp.take_out();
            let host = self.host();
            self.log(host, format_args!("{id} receives {length}"));
        }
        Ok(received)
    }

    /// Ends directions of a socket: shutdown(2).
    pub(super) fn udp_shutdown(&mut self, id: Id, input: bool, output: bool) -> io::Result<()> {
        let Some(udp) = self.udp(id) else { return errno(libc::EBADF) };
        udp.no_more_input |= input;
        udp.no_more_output |= output;
        let is_connected = udp.peer.is_some();
        // inet_shutdown wakes those that watch whether it succeeds or not.
        self.wake(id, ANY);
        if is_connected { Ok(()) } else { errno(libc::ENOTCONN) }
    }

    /// Sets UDP_GRO.
    pub(crate) fn set_gro(&mut self, fd: RawFd, on: bool) -> io::Result<()> {
        self.udp_of(fd)?.1.joins = on;
        Ok(())
    }

    /// Sets SO_BROADCAST.
    pub(crate) fn set_broadcast(&mut self, fd: RawFd, on: bool) -> io::Result<()> {
        self.udp_of(fd)?.1.broadcasts = on;
        Ok(())
    }

    /// Returns SO_BROADCAST.
    pub(crate) fn broadcast(&mut self, fd: RawFd) -> io::Result<bool> {
        Ok(self.udp_of(fd)?.1.broadcasts)
    }
}

/// Checks that a message can be split: udp_send_skb.
fn check_segments(length: usize, segment_size: usize, stays_here: bool) -> io::Result<()> {
    if segment_size.min(length) > MOST_BYTES && !stays_here {
        return errno(libc::EMSGSIZE);
    }
    if length > segment_size * MOST_SEGMENTS {
        return errno(libc::EINVAL);
    }
    Ok(())
}

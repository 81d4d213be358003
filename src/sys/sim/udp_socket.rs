//! A UDP socket, as the simulated kernel keeps it.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The room for datagrams that came and were not received: net.core.rmem_default.
const BUFFER: usize = 212_992;

/// What the kernel needs for a datagram beside its bytes, their headers and the padding: struct
/// sk_buff.
const OVERHEAD: usize = 256;

/// A datagram, or several of one size that are under way together.
#[derive(Debug, Clone)]
pub(super) struct Datagram {
    /// The socket that has sent it.
    pub(super) from: SocketAddr,
    /// Its bytes.
    pub(super) bytes: Vec<u8>,
    /// The size of each but the last, if these are several; otherwise 0.
    pub(super) segment_size: usize,
}

impl Datagram {
    /// Returns what it takes of the buffer: skb->truesize, which is a power of two and the overhead.
    fn cost(&self) -> usize {
        // The headers of the packet, and struct skb_shared_info behind the bytes.
        OVERHEAD + (self.bytes.len() + 364).next_power_of_two()
    }

    /// Returns the single datagrams that it is made of.
    pub(super) fn split(self) -> Vec<Datagram> {
        if self.segment_size == 0 {
            return vec![self];
        }
        let from = self.from;
        let one = |bytes: &[u8]| Datagram { from, bytes: bytes.to_vec(), segment_size: 0 };
        self.bytes.chunks(self.segment_size).map(one).collect()
    }
}

/// A UDP socket.
#[derive(Debug)]
pub(super) struct Udp {
    /// Where it is bound.
    pub(super) local: SocketAddr,
    /// The peer that it is connected to.
    pub(super) peer: Option<SocketAddr>,
    /// The error that the next call takes: SO_ERROR.
    pub(super) error: Option<libc::c_int>,
    /// Whether it was shut down for reading: RCV_SHUTDOWN. What comes is received all the same.
    pub(super) no_more_input: bool,
    /// Whether it was shut down for writing: SEND_SHUTDOWN.
    pub(super) no_more_output: bool,
    /// Datagrams that came and were not received.
    pub(super) input: VecDeque<Datagram>,
    /// What they take of the buffer.
    held: usize,
    /// Whether it receives several datagrams as one message: UDP_GRO.
    pub(super) joins: bool,
    /// Whether it may send to all hosts: SO_BROADCAST.
    pub(super) broadcasts: bool,
}

impl Udp {
    /// Makes a socket that is bound to `local`.
    pub(super) fn new(local: SocketAddr) -> Udp {
        Udp {
            local,
            peer: None,
            error: None,
            no_more_input: false,
            no_more_output: false,
            input: VecDeque::new(),
            held: 0,
            joins: false,
            broadcasts: false,
        }
    }

    /// Puts a datagram into the buffer. Returns `false` if there is no room: it is lost.
    pub(super) fn take_in(&mut self, datagram: Datagram) -> bool {
        let cost = datagram.cost();
        // One fits always.
        if self.held > 0 && self.held + cost > BUFFER {
            return false;
        }
        self.held += cost;
        self.input.push_back(datagram);
        true
    }

    /// Takes the first datagram out of the buffer.
    pub(super) fn take_out(&mut self) -> Option<Datagram> {
        let datagram = self.input.pop_front()?;
        self.held -= datagram.cost();
        Some(datagram)
    }

    /// Returns `true` if what `from` sends to `to` is for this socket.
    pub(super) fn accepts(&self, from: SocketAddr, to: SocketAddr) -> bool {
        let is_peer = self.peer.is_none_or(|peer| canonical(peer) == from);
        self.local.port() == to.port() && covers(self.local.ip(), to.ip()) && is_peer
    }

    /// Returns `address` as this socket shows it: a socket of IPv6 maps what comes by IPv4.
    pub(super) fn shown(&self, address: SocketAddr) -> SocketAddr {
        match address {
            SocketAddr::V4(v4) if self.local.is_ipv6() => {
                SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port())
            }
            other => other,
        }
    }

    /// Returns the conditions that hold: datagram_poll. There is always room, as the network card
    /// takes packets at once.
    pub(super) fn conditions(&self) -> u32 {
        let mut holds = libc::EPOLLOUT;
        if self.error.is_some() {
            holds |= libc::EPOLLERR;
        }
        if self.no_more_input {
            holds |= libc::EPOLLIN | libc::EPOLLRDHUP;
        }
        if self.no_more_input && self.no_more_output {
            holds |= libc::EPOLLHUP;
        }
        if !self.input.is_empty() {
            holds |= libc::EPOLLIN;
        }
        holds as u32
    }
}

/// Returns `true` if a socket that is bound to `bound` receives what is sent to `address`. The
/// unspecified address of IPv6 is that of IPv4 as well: IPV6_V6ONLY is off.
pub(super) fn covers(bound: IpAddr, address: IpAddr) -> bool {
    let bound = bound.to_canonical();
    let any = match bound {
        IpAddr::V4(v4) => v4 == Ipv4Addr::UNSPECIFIED && address.is_ipv4(),
        IpAddr::V6(v6) => v6 == Ipv6Addr::UNSPECIFIED,
    };
    any || bound == address
}

/// Returns the address of IPv4 that one of IPv6 may stand for, and any other as it is.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

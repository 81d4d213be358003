//! A TCP socket that does not listen, as the simulated kernel keeps it.

use std::cell::Cell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::id::Id;
use super::mark::UrgentMark;
use super::segment::Wire;

/// The buffer of each direction, unless the socket has set another.
const BUFFER: usize = 128 * 1024;

/// The smallest buffer: Linux takes any less for this much.
const LEAST_BUFFER: usize = 2304;

/// Where a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The peer has not answered yet.
    Connecting,
    /// The peer's first packet has come, and its answer to ours has not.
    Received,
    /// Bytes can go both ways, unless one end has said that it sends no more.
    Open,
    /// It has failed, or was reset.
    Ended,
}

/// Options of a TCP socket. They are kept. Only the user timeout changes anything here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TcpOptions {
    /// TCP_NODELAY.
    pub(crate) nodelay: bool,
    /// SO_KEEPALIVE.
    pub(crate) keepalive: bool,
    /// TCP_USER_TIMEOUT: how long what was written may stay unconfirmed.
    pub(crate) user_timeout: Option<Duration>,
    /// IP_TTL.
    pub(crate) ttl: u32,
    /// SO_BUSY_POLL.
    pub(crate) busy_poll: Duration,
}

impl Default for TcpOptions {
    fn default() -> TcpOptions {
        let (user_timeout, busy_poll) = (None, Duration::ZERO);
        TcpOptions { nodelay: false, keepalive: false, user_timeout, ttl: 64, busy_poll }
    }
}

/// A TCP socket that does not listen.
#[derive(Debug)]
pub(super) struct Tcp {
    /// Its own address, once it has one.
    pub(super) local: Option<SocketAddr>,
    /// The peer's address.
    pub(super) peer: SocketAddr,
    /// The other end, once that is known.
    pub(super) remote: Option<Id>,
    /// Where the connection is.
    pub(super) phase: Phase,
    /// Whether it reads no more: RCV_SHUTDOWN.
    pub(super) no_more_input: bool,
    /// Whether it writes no more: SEND_SHUTDOWN.
    pub(super) no_more_output: bool,
    /// Whether the peer has said that it sends no more.
    pub(super) peer_is_done: bool,
    /// The error that the next call takes: SO_ERROR.
    pub(super) error: Option<libc::c_int>,
    /// Bytes that came and were not read.
    pub(super) input: VecDeque<u8>,
    /// How many of them there may be.
    pub(super) input_limit: usize,
    /// Since when there has been something to read, bytes or the end, that no call has asked for.
    pub(super) unread_since: Option<u64>,
    /// The mark of an urgent byte among them, or ahead of them.
    pub(super) urgent: Option<UrgentMark>,
    /// SO_OOBINLINE: the urgent byte is one of the stream's.
    pub(super) urgent_inline: bool,
    /// Bytes that were written and are not under way.
    pub(super) output: VecDeque<u8>,
    /// The place of the urgent byte among them.
    pub(super) output_mark: Option<usize>,
    /// Bytes that are under way, or came and whose receipt the peer has not confirmed yet.
    pub(super) unconfirmed: usize,
    /// How many bytes may be written and not confirmed.
    pub(super) output_limit: usize,
    /// Whether a call or a look found no room: SOCK_NOSPACE. Only then room is announced.
    pub(super) wants_room: Cell<bool>,
    /// Whether the end of the output is still to be sent, behind the bytes.
    pub(super) owes_end: bool,
    /// Whether the peer has confirmed that end.
    pub(super) end_is_confirmed: bool,
    /// Since when the peer has confirmed nothing, while something waits for that.
    pub(super) waits_since: Option<u64>,
    /// When it is next looked whether that has been too long.
    pub(super) next_look: Option<u64>,
    /// SO_LINGER.
    pub(super) linger: Option<Duration>,
    /// Other options.
    pub(super) options: TcpOptions,
    /// The socket that listened for it, if it was accepted.
    pub(super) listener: Option<Id>,
    /// What it has sent and what has not arrived.
    pub(super) wire: Wire,
}

impl Tcp {
    /// Makes a socket with empty buffers.
    pub(super) fn new(local: Option<SocketAddr>, peer: SocketAddr, phase: Phase) -> Tcp {
        Tcp {
            local,
            peer,
            remote: None,
            phase,
            no_more_input: false,
            no_more_output: false,
            peer_is_done: false,
            error: None,
            input: VecDeque::new(),
            input_limit: BUFFER,
            unread_since: None,
            urgent: None,
            urgent_inline: false,
            output: VecDeque::new(),
            output_mark: None,
            unconfirmed: 0,
            output_limit: BUFFER,
            wants_room: Cell::new(false),
            owes_end: false,
            end_is_confirmed: false,
            waits_since: None,
            next_look: None,
            linger: None,
            options: TcpOptions::default(),
            listener: None,
            wire: Wire::default(),
        }
    }

    /// Returns how many bytes of output the kernel holds.
    pub(super) fn held(&self) -> usize {
        self.output.len() + self.unconfirmed
    }

    /// Returns `true` if there is so much room that it is worth an event: sk_stream_is_writeable.
    pub(super) fn has_room(&self) -> bool {
        self.output_limit.saturating_sub(self.held()) >= self.held() / 2
    }

    /// Returns the conditions that hold: tcp_poll.
    pub(super) fn conditions(&self) -> u32 {
        let mut holds = 0;
        if self.phase == Phase::Ended || (self.no_more_input && self.no_more_output) {
            holds |= libc::EPOLLHUP;
        }
        if self.no_more_input {
            holds |= libc::EPOLLIN | libc::EPOLLRDHUP;
        }
        if self.phase != Phase::Connecting {
            if self.input.len() >= self.least_readable() {
                holds |= libc::EPOLLIN;
            }
            if self.has_urgent() {
                holds |= libc::EPOLLPRI;
            }
            if self.no_more_output || self.has_room() {
                holds |= libc::EPOLLOUT;
            } else {
                self.wants_room.set(true);
            }
        }
        if self.error.is_some() {
            holds |= libc::EPOLLERR;
        }
        holds as u32
    }

    /// Takes the pending error, or else returns `otherwise`.
    pub(super) fn take_error_or(&mut self, otherwise: libc::c_int) -> libc::c_int {
        self.error.take().unwrap_or(otherwise)
    }

    /// Sets the sizes of the buffers, which Linux doubles for its own accounts.
    pub(super) fn set_buffers(&mut self, input: Option<usize>, output: Option<usize>) {
        let doubled = |bytes: usize| bytes.saturating_mul(2).max(LEAST_BUFFER);
        self.input_limit = input.map_or(self.input_limit, doubled);
        self.output_limit = output.map_or(self.output_limit, doubled);
    }
}

/// Returns `true` if all that an end had to send has arrived.
pub(super) fn is_sent(tcp: &Tcp) -> bool {
    let is_empty = tcp.output.is_empty() && tcp.wire.packets.is_empty();
    is_empty && !tcp.owes_end && tcp.unconfirmed == 0
}

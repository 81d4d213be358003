//! Unix sockets for bytes, as the simulated kernel keeps them.

use std::collections::VecDeque;

use super::id::Id;
use super::unix_name::Name;

/// The room for what was written and not read: net.core.wmem_default.
pub(super) const BUFFER: usize = 212_992;

/// The smallest room that can be set: SOCK_MIN_SNDBUF.
const LEAST_BUFFER: usize = 4608;

/// The most bytes of a piece beside its pages: SKB_MAX_HEAD.
const MOST_IN_HEAD: usize = 3776;

/// The most bytes of a piece in pages: UNIX_SKB_FRAGS_SZ.
const MOST_IN_PAGES: usize = 32_768;

/// What was written by one call, or a part of that: struct sk_buff.
#[derive(Debug)]
pub(super) struct Piece {
    /// The bytes.
    pub(super) bytes: Vec<u8>,
    /// How many of them were read.
    pub(super) read: usize,
}

impl Piece {
    /// Returns what it takes of the room.
    pub(super) fn cost(&self) -> usize {
        cost(self.bytes.len())
    }
}

/// Returns what so many bytes take of the room of the socket that sends them: skb->truesize.
pub(super) fn cost(length: usize) -> usize {
    // Two structs for the kernel, the head in a block of a power of two, and pages.
    let in_pages = length.saturating_sub(MOST_IN_HEAD).next_multiple_of(4096);
    256 + (length.saturating_sub(in_pages) + 320).next_power_of_two() + in_pages
}

/// Returns `true` if a socket whose output takes `held` of `limit` bytes counts as writable:
/// unix_writable.
pub(super) fn is_writable(held: usize, limit: usize) -> bool {
    // The socket itself counts as one byte.
    (held + 1) * 4 <= limit
}

/// Returns the conditions that follow from which directions have ended, and from whether anything
/// waits: what unix_poll and unix_dgram_poll share.
pub(super) fn directions(no_more_input: bool, no_more_output: bool, is_waiting: bool) -> i32 {
    let mut holds = 0;
    if no_more_input && no_more_output {
        holds |= libc::EPOLLHUP;
    }
    if no_more_input {
        holds |= libc::EPOLLRDHUP | libc::EPOLLIN;
    }
    if is_waiting {
        holds |= libc::EPOLLIN;
    }
    holds
}

/// Returns the room that SO_SNDBUF asks for.
pub(super) fn room(asked: Option<usize>) -> usize {
    asked.map_or(BUFFER, |bytes| bytes.saturating_mul(2).max(LEAST_BUFFER))
}

/// A connected Unix socket for bytes.
#[derive(Debug)]
pub(super) struct UnixStream {
    /// Its name.
    pub(super) local: Name,
    /// The other end, which may be closed.
    pub(super) peer: Id,
    /// The name of the other end.
    pub(super) peer_name: Name,
    /// Whether it reads no more: RCV_SHUTDOWN.
    pub(super) no_more_input: bool,
    /// Whether it writes no more: SEND_SHUTDOWN.
    pub(super) no_more_output: bool,
    /// The error that the next call takes: SO_ERROR.
    pub(super) error: Option<libc::c_int>,
    /// What the other end has written and this one has not read.
    pub(super) input: VecDeque<Piece>,
    /// What takes room that this end has written and the other has not read.
    pub(super) held: usize,
    /// How much that may be: SO_SNDBUF.
    pub(super) limit: usize,
}

impl UnixStream {
    /// Makes an end of a connection.
    pub(super) fn new(local: Name, peer: Id, peer_name: Name, limit: usize) -> UnixStream {
        UnixStream {
            local,
            peer,
            peer_name,
            no_more_input: false,
            no_more_output: false,
            error: None,
            input: VecDeque::new(),
            held: 0,
            limit,
        }
    }

    /// Returns how many of `left` bytes are written as one piece.
    pub(super) fn next_piece(&self, left: usize) -> usize {
        left.min(self.limit / 2 - 64).min(MOST_IN_HEAD + MOST_IN_PAGES)
    }

    /// Returns how many bytes there are to read.
    pub(super) fn unread(&self) -> usize {
        self.input.iter().map(|piece| piece.bytes.len() - piece.read).sum()
    }

    /// Returns the conditions that hold: unix_poll.
    pub(super) fn conditions(&self) -> u32 {
        let mut holds = directions(self.no_more_input, self.no_more_output, !self.input.is_empty());
        if self.error.is_some() {
            holds |= libc::EPOLLERR;
        }
        if is_writable(self.held, self.limit) {
            holds |= libc::EPOLLOUT;
        }
        holds as u32
    }
}

/// A Unix socket that listens.
#[derive(Debug)]
pub(super) struct UnixListener {
    /// Its name.
    pub(super) local: Name,
    /// How many connections may wait; one more does.
    pub(super) backlog: usize,
    /// The connections that wait to be accepted.
    pub(super) queue: VecDeque<Id>,
    /// Whether it was shut down for reading: it refuses connections.
    pub(super) no_more_input: bool,
    /// Whether it was shut down for writing.
    pub(super) no_more_output: bool,
}

impl UnixListener {
    /// Returns the conditions that hold: unix_poll.
    pub(super) fn conditions(&self) -> u32 {
        directions(self.no_more_input, self.no_more_output, !self.queue.is_empty()) as u32
    }
}

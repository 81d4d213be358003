//! A Unix socket for datagrams, as the simulated kernel keeps it.

use std::cell::RefCell;
use std::collections::VecDeque;

use super::id::Id;
use super::unix_name::Name;
use super::unix_stream::{BUFFER, cost, directions, is_writable};

/// How many datagrams may wait; one more does: net.unix.max_dgram_qlen.
const MOST_WAITING: usize = 10;

/// A datagram that came.
#[derive(Debug)]
pub(super) struct Letter {
    /// The socket that has sent it, which may be closed.
    pub(super) from: Id,
    /// The name of that.
    pub(super) from_name: Name,
    /// The bytes.
    pub(super) bytes: Vec<u8>,
}

impl Letter {
    /// Returns what it takes of the room of its sender.
    pub(super) fn cost(&self) -> usize {
        cost(self.bytes.len())
    }
}

/// A Unix socket for datagrams.
#[derive(Debug)]
pub(super) struct UnixDatagram {
    /// Its name.
    pub(super) local: Name,
    /// The socket that it is connected to, which may be closed, and the name of that.
    pub(super) peer: Option<(Id, Name)>,
    /// Whether it was shut down for reading: RCV_SHUTDOWN.
    pub(super) no_more_input: bool,
    /// Whether it was shut down for writing: SEND_SHUTDOWN.
    pub(super) no_more_output: bool,
    /// The error that the next call takes: SO_ERROR.
    pub(super) error: Option<libc::c_int>,
    /// The datagrams that came and were not received.
    pub(super) input: VecDeque<Letter>,
    /// What takes room that it has sent and that was not received.
    pub(super) held: usize,
    /// The sockets that wait for room in `input`, by a call or by a look: peer_wait.
    pub(super) waiters: RefCell<Vec<Id>>,
}

impl UnixDatagram {
    /// Makes a socket without a peer.
    pub(super) fn new(local: Name) -> UnixDatagram {
        UnixDatagram {
            local,
            peer: None,
            no_more_input: false,
            no_more_output: false,
            error: None,
            input: VecDeque::new(),
            held: 0,
            waiters: RefCell::default(),
        }
    }

    /// Returns `true` if it is connected to the socket `id`.
    pub(super) fn is_connected_to(&self, id: Id) -> bool {
        self.peer.as_ref().is_some_and(|(peer, _)| *peer == id)
    }

    /// Returns `true` if no more datagrams may wait: unix_recvq_full.
    pub(super) fn is_full(&self) -> bool {
        self.input.len() > MOST_WAITING
    }

    /// Returns `true` if its own output leaves room for more.
    pub(super) fn is_writable(&self) -> bool {
        is_writable(self.held, BUFFER)
    }

    /// Lets a socket wait for room here.
    pub(super) fn add_waiter(&self, id: Id) {
        let mut waiters = self.waiters.borrow_mut();
        if !waiters.contains(&id) {
            waiters.push(id);
        }
    }

    /// Returns the conditions that hold, but for room: unix_dgram_poll.
    pub(super) fn conditions(&self) -> u32 {
        let mut holds = directions(self.no_more_input, self.no_more_output, !self.input.is_empty());
        if self.error.is_some() {
            holds |= libc::EPOLLERR;
        }
        holds as u32
    }
}

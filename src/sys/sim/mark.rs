//! The mark of urgent data in the input of a TCP connection: tcp(7).

/// What is known of an urgent byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UrgentByte {
    /// It has been announced, and is on its way: TCP_URG_NOTYET.
    Announced,
    /// It has come: TCP_URG_VALID.
    Here(u8),
    /// It was taken by MSG_OOB, and its place in the stream stays: TCP_URG_READ.
    Taken,
}

/// The mark in the input of a connection. It is gone when a read has passed it.
#[derive(Debug)]
pub(super) struct UrgentMark {
    /// How many unread bytes come before the urgent one.
    pub(super) ahead: usize,
    /// The byte.
    pub(super) byte: UrgentByte,
}

/// What a read does with the bytes that it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// It removes them.
    Take,
    /// It leaves them: MSG_PEEK.
    Peek,
    /// It removes them and never passes a mark: tcp_read_sock, for splice(2).
    Splice,
}

//! How many connections of each kind a poller has.
//!
//! The load of a poller, the wait of a shutdown and the pressure on descriptors are all read from
//! these counts. Each method is one event in the life of a connection, so no caller adds or subtracts.

use std::cell::Cell;

/// The connections of one poller, counted by what has become of them.
///
/// Connections of the crate itself, such as listeners, are not counted.
#[derive(Debug, Default)]
pub(crate) struct Census {
    /// The connections of handlers that are open, and the attempts of handlers to connect.
    open: Cell<usize>,
    /// The connections of handlers that have ended, and the attempts that have failed.
    ended: Cell<u64>,
    /// The streams of tasks.
    streams: Cell<usize>,
    /// The dropped streams whose output is still being sent.
    detached: Cell<usize>,
    /// The closed connections that still read what their peers send.
    lingering: Cell<usize>,
}

/// Adds one to a count.
#[inline]
fn add(count: &Cell<usize>) {
    count.set(count.get() + 1);
}

/// Takes one from a count.
#[inline]
fn subtract(count: &Cell<usize>) {
    // An underflow would keep a shutdown waiting for ever, or end it too early.
    debug_assert!(count.get() > 0, "what ends has been counted when it began");
    count.set(count.get() - 1);
}

impl Census {
    /// Counts a connection that a handler has got, or an attempt of a handler to connect.
    #[inline]
    pub(crate) fn opened(&self) {
        add(&self.open);
    }

    /// Counts the end of a handler's connection, or the failure of an attempt.
    #[inline]
    pub(crate) fn ended(&self) {
        subtract(&self.open);
        self.ended.set(self.ended.get() + 1);
    }

    /// Counts a stream of a task that has become a handler's connection.
    #[inline]
    pub(crate) fn adopted(&self) {
        add(&self.open);
    }

    /// Counts a handler's connection that has become a stream, or an attempt that has become a
    /// connection with a count of its own. Neither has ended.
    #[inline]
    pub(crate) fn given_away(&self) {
        subtract(&self.open);
    }

    /// Counts a new stream of a task.
    #[inline]
    pub(crate) fn stream_opened(&self) {
        add(&self.streams);
    }

    /// Counts the end of a task's stream.
    #[inline]
    pub(crate) fn stream_ended(&self) {
        subtract(&self.streams);
    }

    /// Counts a dropped stream whose output is still to be sent.
    pub(crate) fn detached(&self) {
        add(&self.detached);
    }

    /// Counts the end of what [`Census::detached`] has counted.
    pub(crate) fn detached_ended(&self) {
        subtract(&self.detached);
    }

    /// Counts a connection that has closed and begins to linger.
    pub(crate) fn linger_began(&self) {
        add(&self.lingering);
    }

    /// Counts the end of what [`Census::linger_began`] has counted.
    pub(crate) fn linger_ended(&self) {
        subtract(&self.lingering);
    }

    /// Returns the number of handlers' connections, with the attempts to connect.
    #[inline]
    pub(crate) fn handlers(&self) -> usize {
        self.open.get()
    }

    /// Returns the number of connections, those of handlers and those of tasks.
    #[inline]
    pub(crate) fn connections(&self) -> usize {
        self.open.get() + self.streams.get()
    }

    /// Returns how many handlers' connections and attempts have ended so far.
    pub(crate) fn ended_so_far(&self) -> u64 {
        self.ended.get()
    }

    /// Returns `true` if output of dropped streams is still being sent.
    pub(crate) fn has_detached(&self) -> bool {
        self.detached.get() > 0
    }

    /// Returns `true` if closed connections linger.
    pub(crate) fn has_lingering(&self) -> bool {
        self.lingering.get() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::Census;

    #[test]
    fn only_what_ends_counts_as_ended() {
        let census = Census::default();
        census.opened();
        census.opened();
        census.given_away();
        census.stream_opened();
        assert_eq!((census.handlers(), census.connections(), census.ended_so_far()), (1, 2, 0));
        census.stream_ended();
        census.adopted();
        assert_eq!((census.handlers(), census.connections(), census.ended_so_far()), (2, 2, 0));
        census.ended();
        census.ended();
        assert_eq!((census.handlers(), census.connections(), census.ended_so_far()), (0, 0, 2));
    }

    #[test]
    fn what_is_left_of_closed_connections_is_not_open() {
        let census = Census::default();
        census.detached();
        census.linger_began();
        census.linger_began();
        census.linger_ended();
        assert!(census.has_detached() && census.has_lingering());
        assert_eq!(census.connections(), 0);
        census.detached_ended();
        census.linger_ended();
        assert!(!census.has_detached() && !census.has_lingering());
    }
}

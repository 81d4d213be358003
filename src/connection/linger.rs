//! The last look at a connection on which we have said our last word.
//!
//! A socket that is closed while its peer is still sending answers with a reset, at the latest when
//! the next bytes come. The peer's next write fails for it, and on some systems the reset destroys
//! what the peer has not read yet of our answer: RFC 9112, section 9.6. So the direction that is
//! done is shut down, which the peer sees as the end, and what still comes is read and thrown away
//! until the peer ends too, or `Budget::close_linger` has passed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::base::interest::Interest;
use crate::sys::{clock, socket, stream};

use crate::local::connection::{Connection, NoHandler, State, bits};
use crate::local::handler::CloseReason;
use crate::local::state::{Local, TimerTarget};
use crate::local::table::Entry;

/// How many times the poller, when it ends, reads and forgets one event's budget of a peer that
/// sends faster than that.
const MOST_AT_THE_END: usize = 32;

/// What came of reading and forgetting.
pub(crate) enum Thrown {
    /// There may be more already.
    Some,
    /// There is no more now.
    All,
    /// The peer has ended.
    End,
    /// The connection has failed.
    Failed(std::io::Error),
}

impl Local {
    /// Whether the peer of a connection that ends in peace is still sending, or may be when our
    /// last words reach it. Not for a descriptor that others may have: for them it is open still.
    pub(crate) fn deserves_lingering(&self, connection: &Connection, fd: BorrowedFd<'_>) -> bool {
        connection.throws_input_away()
            && (connection.has(bits::WROTE_BEFORE_CLOSE) || stream::has_input(fd).unwrap_or(false))
            && !self.budget.close_linger.is_zero()
            && !self.is_gone()
    }

    /// Shuts our direction down and listens on. Gives the descriptor back if that can't be done:
    /// the peer has gone.
    pub(crate) fn linger(&self, connection: &Connection, fd: OwnedFd) -> Result<(), OwnedFd> {
        if socket::shutdown(fd.as_fd(), std::net::Shutdown::Write).is_err() {
            return Err(fd);
        }
        connection.put_fd(fd);
        connection.turn_on(bits::INTERNAL);
        self.begin_lingering(connection);
        self.refresh(connection);
        Ok(())
    }

    /// As [`Local::linger`], for a socket that no handler had; then its descriptor is closed.
    pub(crate) fn linger_without_handler(&self, fd: OwnedFd) {
        let _ = self.epoll.remove(fd.as_fd());
        let has_gone = socket::shutdown(fd.as_fd(), std::net::Shutdown::Write).is_err();
        if has_gone || self.budget.close_linger.is_zero() {
            drop(fd);
            return self.fd_freed();
        }
        let facts = bits::SOCKET | bits::INTERNAL;
        let added = self.add_connection(fd, Interest::READABLE, Box::new(NoHandler), facts);
        // If that fails, the descriptor is closed: no worse than without the attempt.
        if let Some(connection) = added.ok().and_then(|token| self.connection(token)) {
            self.begin_lingering(&connection);
        }
    }

    fn begin_lingering(&self, connection: &Connection) {
        connection.advance(State::Lingering);
        let deadline = clock::after(clock::now(), self.budget.close_linger);
        let patience = self.arm(deadline, TimerTarget::Linger(connection.token));
        connection.with_extra(|extra| extra.ending = Some((CloseReason::Requested, patience)));
        self.census.linger_began();
    }

    /// Something has come for a lingering connection.
    pub(crate) fn linger_on(&self, connection: &Connection) {
        if !matches!(self.throw_away(connection), Thrown::Some | Thrown::All) {
            self.let_go(connection);
        }
    }

    /// Reads and forgets, for one event's budget.
    pub(crate) fn throw_away(&self, connection: &Connection) -> Thrown {
        let mut left = self.budget.read_per_event;
        let thrown = connection.with_fd(|fd| {
            while left > 0 {
                match self.buffers.lend(|space| stream::recv(fd, space)) {
                    Ok(chunk) if chunk.is_empty() => return Thrown::End,
                    Ok(chunk) => left = left.saturating_sub(chunk.len()),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                        return Thrown::All;
                    }
                    Err(error) => return Thrown::Failed(error),
                }
            }
            Thrown::Some
        });
        thrown.unwrap_or(Thrown::End)
    }

    /// Reads and forgets all that there is now: a close that leaves some of it unread is a reset,
    /// and takes along what is still on its way to the peer.
    pub(crate) fn throw_all_away(&self, connection: &Connection) {
        for _ in 0..MOST_AT_THE_END {
            if !matches!(self.throw_away(connection), Thrown::Some) {
                return;
            }
        }
    }

    /// Closes a lingering connection.
    pub(crate) fn let_go(&self, connection: &Connection) {
        let ending = connection.with_extra(|extra| extra.ending.take());
        if let Some((_, patience)) = ending {
            drop(self.disarm(patience));
        }
        drop(self.remove(connection.token));
        if let Some(fd) = connection.take_fd() {
            self.census.linger_ended();
            drop(fd);
            self.fd_freed();
        }
    }

    /// Descriptors have run out: they are worth more than the last words of connections that are
    /// over.
    #[cold]
    pub(crate) fn let_all_go(&self) {
        for token in self.tokens() {
            if let Some(Entry::Handler(connection)) = self.entry(token)
                && connection.state() == State::Lingering
            {
                self.let_go(&connection);
            }
        }
    }
}

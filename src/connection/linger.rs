//! The last look at a connection on which we have said our last word.
//!
//! A socket that is closed while its peer is still sending answers with a reset, at the latest when
//! the next bytes come. The peer's next write fails for it, and on some systems the reset destroys
//! what the peer has not read yet of our answer: RFC 9112, section 9.6. So the direction that is
//! done is shut down, which the peer sees as the end, and what still comes is read and thrown away
//! until the peer ends too, or `Budget::close_linger` has passed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::base::interest::Interest;
use crate::connection::registration;
use crate::local::action::CloseReason;
use crate::local::connection::{Connection, NoHandler, State};
use crate::local::deferred::TimerTarget;
use crate::local::flags::Flags;
use crate::local::registry;
use crate::local::state::Local;
use crate::local::table::Entry;
use crate::sys::{clock, socket, stream};

/// How many times the poller, when it ends, reads and forgets one event's budget of a peer that
/// sends faster than that.
const MOST_AT_THE_END: usize = 32;

/// What came of reading and forgetting.
pub(crate) enum Discarded {
    /// There may be more already.
    MayHaveMore,
    /// There is no more now.
    AllForNow,
    /// The peer has ended.
    Eof,
    /// The connection has failed.
    Failed(std::io::Error),
}

/// Whether the peer of a connection that ends in peace is still sending, or may be when our
/// last words reach it. Not for a descriptor that others may have: for them it is open still.
pub(crate) fn is_needed(local: &Local, connection: &Connection, fd: BorrowedFd<'_>) -> bool {
    connection.discards_input()
        && (connection.has(Flags::WROTE_BEFORE_CLOSE) || stream::has_input(fd).unwrap_or(false))
        && !local.budget.close_linger.is_zero()
        && !local.is_gone()
}

/// Shuts our direction down and listens on. Gives the descriptor back if that can't be done:
/// the peer has gone.
pub(crate) fn begin(local: &Local, connection: &Connection, fd: OwnedFd) -> Result<(), OwnedFd> {
    if socket::shutdown(fd.as_fd(), std::net::Shutdown::Write).is_err() {
        return Err(fd);
    }
    connection.put_fd(fd);
    connection.turn_on(Flags::INTERNAL);
    arm(local, connection);
    registration::refresh(local, connection);
    Ok(())
}

/// As [`begin`], for a socket that no handler had; then its descriptor is closed.
pub(crate) fn begin_without_handler(local: &Local, fd: OwnedFd) {
    let _ = local.epoll.remove(fd.as_fd());
    let has_gone = socket::shutdown(fd.as_fd(), std::net::Shutdown::Write).is_err();
    if has_gone || local.budget.close_linger.is_zero() {
        drop(fd);
        return local.fd_freed();
    }
    let flags = Flags::SOCKET | Flags::INTERNAL;
    let added = registry::add_connection(local, fd, Interest::READABLE, Box::new(NoHandler), flags);
    // If that fails, the descriptor is closed: no worse than without the attempt.
    if let Some(connection) = added.ok().and_then(|token| registry::connection(local, token)) {
        arm(local, &connection);
    }
}

fn arm(local: &Local, connection: &Connection) {
    connection.advance(State::Lingering);
    let deadline = clock::after(clock::now(), local.budget.close_linger);
    let patience = local.arm(deadline, TimerTarget::Linger(connection.token));
    connection.with_extra(|extra| extra.ending = Some((CloseReason::Requested, patience)));
    local.census.linger_began();
}

/// Something has come for a lingering connection.
pub(crate) fn on_event(local: &Local, connection: &Connection) {
    if !matches!(discard_input(local, connection), Discarded::MayHaveMore | Discarded::AllForNow) {
        end(local, connection);
    }
}

/// Reads and forgets, for one event's budget.
pub(crate) fn discard_input(local: &Local, connection: &Connection) -> Discarded {
    let mut left = local.budget.read_per_event;
    let thrown = connection.with_fd(|fd| {
        while left > 0 {
            match local.buffers.lend(|space| stream::recv(fd, space)) {
                Ok(chunk) if chunk.is_empty() => return Discarded::Eof,
                Ok(chunk) => left = left.saturating_sub(chunk.len()),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    return Discarded::AllForNow;
                }
                Err(error) => return Discarded::Failed(error),
            }
        }
        Discarded::MayHaveMore
    });
    thrown.unwrap_or(Discarded::Eof)
}

/// Reads and forgets all that there is now: a close that leaves some of it unread is a reset,
/// and takes along what is still on its way to the peer.
pub(crate) fn discard_all_input(local: &Local, connection: &Connection) {
    for _ in 0..MOST_AT_THE_END {
        if !matches!(discard_input(local, connection), Discarded::MayHaveMore) {
            return;
        }
    }
}

/// Closes a lingering connection.
pub(crate) fn end(local: &Local, connection: &Connection) {
    let ending = connection.with_extra(|extra| extra.ending.take());
    if let Some((_, patience)) = ending {
        drop(local.disarm(patience));
    }
    drop(registry::remove(local, connection.token));
    if let Some(fd) = connection.take_fd() {
        local.census.linger_ended();
        drop(fd);
        local.fd_freed();
    }
}

/// Descriptors have run out: they are worth more than the last words of connections that are
/// over.
#[cold]
pub(crate) fn end_all(local: &Local) {
    for token in registry::tokens(local) {
        if let Some(Entry::Handler(connection)) = registry::entry(local, token)
            && connection.state() == State::Lingering
        {
            end(local, &connection);
        }
    }
}

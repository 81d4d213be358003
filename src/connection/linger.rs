//! Keeps a closed connection's socket until its peer has received the last bytes.
//!
//! A socket that is closed while its peer is still sending answers with a reset, at the latest when
//! the next bytes come. The peer's next write then fails, and on some systems the reset destroys
//! what the peer has not yet read of the answer: RFC 9112, section 9.6. So the write direction is
//! shut down, which the peer sees as the end, and what still comes is read and discarded until the
//! peer ends too, or `Budget::close_linger` has passed.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};

use crate::base::interest::Interest;
use crate::connection::registration;
use crate::local::action::CloseReason;
use crate::local::connection::{Connection, NoHandler};
use crate::local::deferred::TimerTarget;
use crate::local::flags::{Flags, State};
use crate::local::registry;
use crate::local::state::Local;
use crate::local::table::Entry;
use crate::sys::fd::OwnedFd;
use crate::sys::{clock, socket, stream};

/// How many times a poller that ends reads one event's budget of a peer that sends faster than it
/// reads.
const MAX_FINAL_READS: usize = 32;

/// What came of reading and discarding.
pub(crate) enum Discarded {
    /// The budget is spent: there may be more.
    MayHaveMore,
    /// There is nothing more to read now.
    AllForNow,
    /// The peer has ended its direction.
    Eof,
    /// The connection has failed.
    Failed(io::Error),
}

/// Returns `true` if the peer of a connection that ends gracefully is still sending, or may be when
/// the last bytes reach it. For a descriptor that other code may hold it returns `false`: its close
/// doesn't end the connection.
pub(crate) fn is_needed(local: &Local, connection: &Connection, fd: BorrowedFd<'_>) -> bool {
    connection.discards_input()
        && (connection.has(Flags::WROTE_BEFORE_CLOSE) || takes_input(fd))
        && !local.budget.close_linger.is_zero()
        && !local.has_ended()
}

/// Takes a byte of the input, which is discarded anyway, and returns `true` if there was one. A look
/// would leave an urgent byte that is alone in the queue, and make the close a reset.
fn takes_input(fd: BorrowedFd<'_>) -> bool {
    matches!(stream::recv(fd, &mut [0]), Ok(1..))
}

/// Shuts the write direction down, and waits for the peer's end.
///
/// # Errors
///
/// Returns the descriptor if shutdown(2) fails: the peer has gone already.
pub(crate) fn begin(local: &Local, connection: &Connection, fd: OwnedFd) -> Result<(), OwnedFd> {
    if socket::shutdown(fd.as_fd(), Shutdown::Write).is_err() {
        return Err(fd);
    }
    connection.put_fd(fd);
    // It has no handler any more, and the shutdown doesn't wait for it.
    connection.set(Flags::INTERNAL);
    arm(local, connection);
    registration::refresh(local, connection);
    Ok(())
}

/// Shuts the write direction of a task's socket down, waits for the peer's end, and closes it.
pub(crate) fn begin_without_handler(local: &Local, fd: OwnedFd) {
    // The registration has the token of the stream, which is gone.
    let _ = local.epoll.remove(fd.as_fd());
    let has_gone = socket::shutdown(fd.as_fd(), Shutdown::Write).is_err();
    if has_gone || local.budget.close_linger.is_zero() {
        drop(fd);
        return local.fd_freed();
    }
    let flags = Flags::SOCKET | Flags::INTERNAL;
    let added = registry::add_connection(local, fd, Interest::READABLE, Box::new(NoHandler), flags);
    // If it can't be registered, the descriptor has been closed: no worse than a plain close.
    if let Some(connection) = added.ok().and_then(|token| registry::connection(local, token)) {
        arm(local, connection);
    }
}

/// Moves the connection to state `Lingering`, and arms the timer that ends it.
fn arm(local: &Local, connection: &Connection) {
    connection.advance(State::Lingering);
    let deadline = clock::after(clock::now(), local.budget.close_linger);
    let timer = local.arm(deadline, TimerTarget::Linger(connection.token()));
    connection.with_extra(|extra| extra.ending = Some((CloseReason::Requested, timer)));
    local.census.linger_began();
}

/// Handles an event of a lingering connection: discards what has come, and closes the connection
/// when the peer has ended.
pub(crate) fn on_event(local: &Local, connection: &Connection) {
    match discard_input(local, connection) {
        Discarded::MayHaveMore | Discarded::AllForNow => {}
        Discarded::Eof | Discarded::Failed(_) => end(local, connection),
    }
}

/// Reads and discards input, up to one event's budget.
pub(crate) fn discard_input(local: &Local, connection: &Connection) -> Discarded {
    let mut left = local.budget.read_per_event;
    let discarded = connection.with_fd(|fd| {
        while left > 0 {
            // MSG_TRUNC would discard without a copy, but only on TCP sockets: tcp(7).
            match local.buffers.lend(|space| stream::recv(fd, space)) {
                Ok(chunk) if chunk.is_empty() => return Discarded::Eof,
                Ok(chunk) => left = left.saturating_sub(chunk.len()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Discarded::AllForNow;
                }
                Err(error) => return Discarded::Failed(error),
            }
        }
        Discarded::MayHaveMore
    });
    // Without a descriptor there is nothing to wait for.
    discarded.unwrap_or(Discarded::Eof)
}

/// Reads and discards the input that is there now. A close that left some of it unread would reset
/// the connection, and destroy what is still on its way to the peer.
pub(crate) fn discard_all_input(local: &Local, connection: &Connection) {
    for _ in 0..MAX_FINAL_READS {
        if !matches!(discard_input(local, connection), Discarded::MayHaveMore) {
            return;
        }
    }
}

/// Closes a lingering connection.
pub(crate) fn end(local: &Local, connection: &Connection) {
    let ending = connection.with_extra(|extra| extra.ending.take());
    if let Some((_, timer)) = ending {
        drop(local.disarm(timer));
    }
    drop(registry::remove(local, connection.token()));
    if let Some(fd) = connection.take_fd() {
        local.census.linger_ended();
        drop(fd);
        local.fd_freed();
    }
}

/// Closes all lingering connections of the poller. A listener has run out of descriptors, and a new
/// connection is worth more than the last bytes of an old one.
#[cold]
pub(crate) fn end_all(local: &Local) {
    // The tokens are collected first, as `end` changes the table.
    for token in registry::tokens(local) {
        if let Some(Entry::Handler(connection)) = registry::entry(local, token)
            && connection.state() == State::Lingering
        {
            end(local, connection);
        }
    }
}

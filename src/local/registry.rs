//! Registrations: adds entries to the table of a poller, and removes them.
//!
//! Each registration tells epoll first, under the token that the entry is going to have, and makes
//! the entry only if the kernel has agreed. So a failure leaves nothing behind, and gives back what
//! was to be registered.
//!
//! | function | the descriptor | is it in epoll already? |
//! |---|---|---|
//! | [`reregister`] | goes into the entry | yes, under a token that is given up |
//! | [`register_borrowed`], [`reregister_borrowed`] | stays its owner's | no, yes |
//! | [`add_connection`] | goes into a handler's connection | no |
//! | [`add_preregistered`] | goes into a handler's connection | yes, by another thread |
//! | [`register_foreign`] | comes from outside: it is made non-blocking, and counts as exposed | no
//! |

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::base::interest::Interest;
use crate::base::token::Token;
use crate::local::connection::Connection;
use crate::local::deferred::Deferred;
use crate::local::errors::{RegisterError, poller_ended};
use crate::local::flags::Flags;
use crate::local::handler::EvHandler;
use crate::local::state::Local;
use crate::local::table::{Entry, NewEntry};
use crate::sys::epoll::Mask;
use crate::sys::fd::OwnedFd;
use crate::sys::socket;

/// Returns what `token` stands for, unless it has been removed.
#[inline]
pub(crate) fn entry(local: &Local, token: Token) -> Option<Entry<'_>> {
    local.table.get(token)
}

/// Returns the handler's connection that `token` stands for, unless it has been removed.
pub(crate) fn connection(local: &Local, token: Token) -> Option<&Connection> {
    match local.table.get(token) {
        Some(Entry::Handler(connection)) => Some(connection),
        _ => None,
    }
}

/// Registers a descriptor under a new token that is already in epoll. One system call changes the
/// token and the mask, and has the kernel report anew what the descriptor is ready for. The caller
/// removes the old entry.
pub(crate) fn reregister(
    local: &Local,
    fd: OwnedFd,
    mask: Mask,
    make: impl FnOnce(Token, OwnedFd) -> NewEntry,
) -> Result<Token, RegisterError<OwnedFd>> {
    if local.has_ended() {
        return Err(RegisterError { error: poller_ended(), rejected: fd });
    }
    // epoll hands the token back with each event, so it has to know it before there is an entry.
    let token = local.table.next_token();
    if let Err(error) = local.epoll.modify(fd.as_fd(), token, mask) {
        return Err(RegisterError { error, rejected: fd });
    }
    local.table.insert(make(token, fd));
    Ok(token)
}

/// Registers `fd`, which its owner keeps open, under a new token, with the entry that `make` makes.
pub(crate) fn register_borrowed(
    local: &Local,
    fd: BorrowedFd<'_>,
    mask: Mask,
    make: impl FnOnce(Token) -> NewEntry,
) -> io::Result<Token> {
    insert_borrowed(local, |token| local.epoll.add(fd, token, mask), make)
}

/// Notes that the poller ends: nothing new is registered from now on, and a task that waits for a
/// descriptor gets an error.
pub(crate) fn end(local: &Local) {
    local.set_ended();
    for token in local.table.tokens() {
        if let Some(Entry::Readiness(source)) = local.table.get(token) {
            source.readiness.set_ended();
        }
    }
}

/// Registers a descriptor anew, as [`reregister`] does, that its owner keeps open.
pub(crate) fn reregister_borrowed(
    local: &Local,
    fd: BorrowedFd<'_>,
    mask: Mask,
    make: impl FnOnce(Token) -> NewEntry,
) -> io::Result<Token> {
    insert_borrowed(local, |token| local.epoll.modify(fd, token, mask), make)
}

/// Adds an entry without a descriptor of its own, if `tell` can tell epoll of it.
fn insert_borrowed(
    local: &Local,
    tell: impl FnOnce(Token) -> io::Result<()>,
    make: impl FnOnce(Token) -> NewEntry,
) -> io::Result<Token> {
    if local.has_ended() {
        return Err(poller_ended());
    }
    let token = local.table.next_token();
    tell(token)?;
    local.table.insert(make(token));
    Ok(token)
}

/// Registers `fd` with a handler, whose `on_open` is called at the end of the turn.
pub(crate) fn add_connection(
    local: &Local,
    fd: OwnedFd,
    interest: Interest,
    handler: Box<dyn EvHandler>,
    flags: Flags,
) -> Result<Token, RegisterError<Box<dyn EvHandler>>> {
    add(local, fd, interest, handler, flags, false)
}

/// Registers `fd` with a handler, as [`add_connection`] does, after another thread has added it to
/// epoll by [`PollerHandle::preregister`](crate::local::handle::PollerHandle::preregister).
pub(crate) fn add_preregistered(
    local: &Local,
    fd: OwnedFd,
    interest: Interest,
    handler: Box<dyn EvHandler>,
    flags: Flags,
) -> Result<Token, RegisterError<Box<dyn EvHandler>>> {
    add(local, fd, interest, handler, flags, true)
}

/// Registers `fd` with a handler. `is_preregistered` says whether it is in epoll already.
fn add(
    local: &Local,
    fd: OwnedFd,
    interest: Interest,
    handler: Box<dyn EvHandler>,
    flags: Flags,
    is_preregistered: bool,
) -> Result<Token, RegisterError<Box<dyn EvHandler>>> {
    if local.has_ended() {
        return Err(RegisterError { error: poller_ended(), rejected: handler });
    }
    // epoll hands the token back with each event, so it has to know it before there is an entry.
    let token = local.table.next_token();
    let mask = Mask::of(interest, false);
    let told = if is_preregistered {
        local.epoll.modify(fd.as_fd(), token, mask)
    } else {
        local.epoll.add(fd.as_fd(), token, mask)
    };
    if let Err(error) = told {
        return Err(RegisterError { error, rejected: handler });
    }
    let connection = Connection::new(token, handler, fd, interest, flags);
    local.table.insert(NewEntry::Handler(connection));
    // Connections of the crate itself, such as listeners, don't hold up a shutdown.
    if !flags.has(Flags::INTERNAL) {
        local.census.opened();
    }
    local.defer(Deferred::Open(token));
    Ok(token)
}

/// Registers a descriptor that comes from outside of the crate, whatever it is.
pub(crate) fn register_foreign(
    local: &Local,
    fd: OwnedFd,
    interest: Interest,
    handler: Box<dyn EvHandler>,
) -> Result<Token, RegisterError<Box<dyn EvHandler>>> {
    if let Err(error) = socket::set_nonblocking(fd.as_fd()) {
        return Err(RegisterError { error, rejected: handler });
    }
    // Other code may hold a duplicate. What kind of socket it is decides by which system calls it
    // is read and written.
    let flags = Flags::FD_EXPOSED
        | match socket::kind(fd.as_fd()) {
            Some(socket::SocketKind::Stream) => Flags::SOCKET,
            Some(socket::SocketKind::Records) => Flags::SOCKET | Flags::MESSAGES,
            Some(socket::SocketKind::Datagrams) => {
                Flags::SOCKET | Flags::MESSAGES | Flags::DATAGRAMS
            }
            None => Flags::NONE,
        };
    add_connection(local, fd, interest, handler, flags)
}

/// Adds an entry to the table that is not in epoll yet. Returns the other value that `make` makes.
pub(crate) fn insert<R>(local: &Local, make: impl FnOnce(Token) -> (NewEntry, R)) -> R {
    let (entry, rest) = make(local.table.next_token());
    local.table.insert(entry);
    rest
}

/// Replaces an entry that is no connection, and returns the old one, which the caller drops.
#[must_use = "dropping an entry runs foreign code: not inside another borrow"]
pub(crate) fn replace(local: &Local, token: Token, entry: NewEntry) -> Option<Entry<'_>> {
    local.table.replace(token, entry)
}

/// Removes an entry from the table, and returns it, which the caller drops.
#[must_use = "dropping an entry runs foreign code: not inside another borrow"]
pub(crate) fn remove(local: &Local, token: Token) -> Option<Entry<'_>> {
    local.table.remove(token)
}

/// Returns the tokens of all entries.
pub(crate) fn tokens(local: &Local) -> Vec<Token> {
    local.table.tokens()
}

//! Registrations: how entries come into the table and go out of it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use crate::base::interest::Interest;
use crate::base::token::Token;
use crate::local::connection::Connection;
use crate::local::deferred::Deferred;
use crate::local::errors::{RegisterError, poller_ended};
use crate::local::flags::Flags;
use crate::local::handler::EvHandler;
use crate::local::state::Local;
use crate::local::table::Entry;
use crate::sys::epoll::Mask;
use crate::sys::socket;

/// What `token` stands for, unless it has been removed.
#[inline]
pub(crate) fn entry(local: &Local, token: Token) -> Option<Entry> {
    local.table.get(token)
}

/// The handler's connection that `token` stands for.
pub(crate) fn connection(local: &Local, token: Token) -> Option<Rc<Connection>> {
    match local.table.get(token) {
        Some(Entry::Handler(connection)) => Some(connection),
        _ => None,
    }
}

/// Registers `fd` under a new token, with the entry that `make` builds of both.
pub(crate) fn register(
    local: &Local,
    fd: OwnedFd,
    mask: Mask,
    make: impl FnOnce(Token, OwnedFd) -> Entry,
) -> Result<Token, RegisterError<OwnedFd>> {
    insert_owned(local, fd, |fd, token| local.epoll.add(fd, token, mask), make)
}

/// As [`register`], for a descriptor that is registered already: one system call gives
/// it the new token and mask, and reports anew what it is ready for. The old entry is the
/// caller's to remove.
pub(crate) fn reregister(
    local: &Local,
    fd: OwnedFd,
    mask: Mask,
    make: impl FnOnce(Token, OwnedFd) -> Entry,
) -> Result<Token, RegisterError<OwnedFd>> {
    insert_owned(local, fd, |fd, token| local.epoll.modify(fd, token, mask), make)
}

/// A new entry in the table, if `tell` can tell epoll of it.
fn insert_owned(
    local: &Local,
    fd: OwnedFd,
    tell: impl FnOnce(BorrowedFd<'_>, Token) -> io::Result<()>,
    make: impl FnOnce(Token, OwnedFd) -> Entry,
) -> Result<Token, RegisterError<OwnedFd>> {
    if local.has_ended() {
        return Err(RegisterError { error: poller_ended(), rejected: fd });
    }
    let token = local.table.next_token();
    if let Err(error) = tell(fd.as_fd(), token) {
        return Err(RegisterError { error, rejected: fd });
    }
    local.table.insert(make(token, fd));
    Ok(token)
}

/// Registers `fd`, which stays its owner's, under a new token, with the entry that `make` builds.
pub(crate) fn register_borrowed(
    local: &Local,
    fd: BorrowedFd<'_>,
    mask: Mask,
    make: impl FnOnce(Token) -> Entry,
) -> io::Result<Token> {
    insert_borrowed(local, |token| local.epoll.add(fd, token, mask), make)
}

/// As [`reregister`], for a descriptor that stays its owner's.
pub(crate) fn reregister_borrowed(
    local: &Local,
    fd: BorrowedFd<'_>,
    mask: Mask,
    make: impl FnOnce(Token) -> Entry,
) -> io::Result<Token> {
    insert_borrowed(local, |token| local.epoll.modify(fd, token, mask), make)
}

fn insert_borrowed(
    local: &Local,
    tell: impl FnOnce(Token) -> io::Result<()>,
    make: impl FnOnce(Token) -> Entry,
) -> io::Result<Token> {
    if local.has_ended() {
        return Err(poller_ended());
    }
    let token = local.table.next_token();
    tell(token)?;
    local.table.insert(make(token));
    Ok(token)
}

/// Registers `fd` with a handler; `on_open` is called at the end of the turn.
pub(crate) fn add_connection(
    local: &Local,
    fd: OwnedFd,
    interest: Interest,
    handler: Box<dyn EvHandler>,
    flags: Flags,
) -> Result<Token, RegisterError<Box<dyn EvHandler>>> {
    add(local, fd, interest, handler, flags, false)
}

/// As [`add_connection`], for a descriptor that
/// [`PollerHandle::preregister`](crate::local::handle::PollerHandle::preregister) has brought into epoll.
pub(crate) fn add_preregistered(
    local: &Local,
    fd: OwnedFd,
    interest: Interest,
    handler: Box<dyn EvHandler>,
    flags: Flags,
) -> Result<Token, RegisterError<Box<dyn EvHandler>>> {
    add(local, fd, interest, handler, flags, true)
}

fn add(
    local: &Local,
    fd: OwnedFd,
    interest: Interest,
    handler: Box<dyn EvHandler>,
    flags: Flags,
    is_preregistered: bool,
) -> Result<Token, RegisterError<Box<dyn EvHandler>>> {
    let mut handler = Some(handler);
    let make = |token, fd| {
        let handler = handler.take().expect("an entry is made once");
        Entry::Handler(Rc::new(Connection::new(token, handler, fd, interest, flags)))
    };
    let mask = Mask::of(interest, false);
    let registered = if is_preregistered {
        reregister(local, fd, mask, make)
    } else {
        register(local, fd, mask, make)
    };
    match (registered, handler) {
        (Ok(token), _) => {
            if !flags.has(Flags::INTERNAL) {
                local.census.opened();
            }
            local.defer(Deferred::Open(token));
            Ok(token)
        }
        (Err(failed), Some(handler)) => {
            Err(RegisterError { error: failed.error, rejected: handler })
        }
        (Err(_), None) => unreachable!("a failed registration makes no entry"),
    }
}

/// Registers a descriptor that comes from outside.
pub(crate) fn register_foreign(
    local: &Local,
    fd: OwnedFd,
    interest: Interest,
    handler: Box<dyn EvHandler>,
) -> Result<Token, RegisterError<Box<dyn EvHandler>>> {
    if let Err(error) = socket::set_nonblocking(fd.as_fd()) {
        return Err(RegisterError { error, rejected: handler });
    }
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

/// Puts an entry into the table that has no descriptor yet; what else `make` makes is the
/// caller's.
pub(crate) fn insert<R>(local: &Local, make: impl FnOnce(Token) -> (Entry, R)) -> R {
    let (entry, rest) = make(local.table.next_token());
    local.table.insert(entry);
    rest
}

/// Puts another entry in the place of one; that is the caller's to drop.
#[must_use = "dropping an entry runs foreign code: not inside another borrow"]
pub(crate) fn replace(local: &Local, token: Token, entry: Entry) -> Option<Entry> {
    local.table.replace(token, entry)
}

/// Takes an entry out of the table. It is the caller's to drop, after this.
#[must_use = "dropping an entry runs foreign code: not inside another borrow"]
pub(crate) fn remove(local: &Local, token: Token) -> Option<Entry> {
    local.table.remove(token)
}

/// The tokens of all entries.
pub(crate) fn tokens(local: &Local) -> Vec<Token> {
    local.table.tokens()
}

//! Attempt for handlers and for code of ours: to one address, or to several (RFC 8305).
//!
//! Until the connection is made the attempt has an entry of its own kind in the table, so nothing that
//! is done with connections has to know of it. What becomes of it is decided in one place, [`decide`],
//! and once: the first call takes the recipient.
//!
//! Each socket that tries has an entry of its own besides, and epoll knows it by that one's token.
//! So the connection can have the token that was given out at the beginning whichever of the
//! sockets wins, and no event of another one, in the same batch, is taken for the connection's.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use socket2::SockAddr;

#[cfg(feature = "blocking")]
use crate::base::error::during;
use crate::base::interest::Interest;
use crate::base::token::Token;
use crate::connection::call;
use crate::local::attempt::{Attempt, Place, Recipient, Target, Try, failure, outcome};
use crate::local::connection::Connection;
use crate::local::deferred::{Deferred, TimerTarget};
use crate::local::errors::gone;
use crate::local::flags::Flags;
use crate::local::handler::EvHandler;
use crate::local::state::Local;
use crate::local::table::Entry;
use crate::local::{calls, registry};
use crate::parts::address_order::{ATTEMPT_DELAY, attempt_order};
use crate::sys::epoll::Mask;
use crate::sys::{clock, socket};
use crate::task::ignore_panic;

/// How long the first wait for room in the backlog of a Unix socket is: it does not tell when
/// there is some.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
/// And the last one.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Begins to connect. Whatever comes of it, also at once, is told later: never inside this
/// call. The token is the connection's, should it be made.
pub(crate) fn begin(local: &Local, target: Target, recipient: Recipient) -> Token {
    let deadline = target.limit.map_or(clock::NEVER, |limit| clock::after(clock::now(), limit));
    if matches!(recipient, Recipient::Handler(_)) {
        // The shutdown waits for an attempt as it does for a connection.
        local.census.opened();
    }
    let queue = match &target.place {
        Place::Ip(addresses) => queue(addresses.clone(), &target),
        Place::Unix(address) => [address.clone()].into(),
        #[cfg(feature = "blocking")]
        Place::Host(..) => VecDeque::new(),
    };
    let attempt = registry::insert(local, |token| {
        let attempt = Rc::new(Attempt {
            token,
            target,
            deadline,
            queue: RefCell::new(queue),
            tries: RefCell::default(),
            failures: RefCell::default(),
            next: Cell::new(clock::NEVER),
            recipient: Cell::new(Some(recipient)),
            timer: Cell::new(None),
            pause: Cell::new(SHORTEST_PAUSE),
            failing: Cell::new(false),
        });
        (Entry::Connecting(attempt.clone()), attempt)
    });
    if local.is_gone() {
        attempt.fail_later(local, gone());
    } else {
        match attempt.target.place {
            // Until the addresses are known, only the deadline can come.
            #[cfg(feature = "blocking")]
            Place::Host(..) => arm(local, &attempt),
            _ => begin_next(local, &attempt),
        }
    }
    attempt.token
}

/// The addresses of a host name have been looked up, for the attempt of `token`, which may be
/// over by now.
#[cfg(feature = "blocking")]
pub(crate) fn addresses_found(local: &Local, token: Token, found: io::Result<Vec<SocketAddr>>) {
    let Some(Entry::Connecting(attempt)) = registry::entry(local, token) else { return };
    if attempt.failing.get() {
        return;
    }
    match found {
        Ok(addresses) => {
            attempt.queue.replace(queue(addresses, &attempt.target));
            begin_next(local, &attempt);
        }
        Err(error) => {
            attempt.fail_later(local, during("looking the name up", error));
        }
    }
}

/// A failure is due.
pub(crate) fn fail(local: &Local, token: Token, error: io::Error) {
    if let Some(Entry::Connecting(attempt)) = registry::entry(local, token) {
        decide(local, &attempt, Err(error));
    }
}

/// The one place where it is decided what becomes of an attempt. Not to be called inside a
/// callback.
fn decide(local: &Local, attempt: &Attempt, result: io::Result<OwnedFd>) {
    let Some(recipient) = attempt.recipient.take() else { return };
    if let Some(timer) = attempt.timer.take() {
        drop(local.disarm(timer));
    }
    attempt.queue.take();
    let others = attempt.tries.take();
    let some_are_closed = !others.is_empty();
    for other in others {
        close_try(local, other);
    }
    if some_are_closed {
        local.fd_freed();
    }
    match (result, recipient) {
        (Ok(fd), Recipient::Handler(handler)) => open_connected(local, attempt, fd, handler),
        (Ok(fd), Recipient::Descriptor(receive)) => {
            let _ = local.epoll.remove(fd.as_fd());
            drop(registry::remove(local, attempt.token));
            ignore_panic(|| receive(Ok(fd)));
        }
        (Err(error), recipient) => give_up(local, attempt, recipient, error),
    }
}

/// The attempt becomes a connection, under the same token.
fn open_connected(local: &Local, attempt: &Attempt, fd: OwnedFd, handler: Box<dyn EvHandler>) {
    let interest = Interest::READABLE;
    let told = local.epoll.modify(fd.as_fd(), attempt.token, Mask::of(interest, false));
    if let Err(error) = told {
        drop(fd);
        return give_up(local, attempt, Recipient::Handler(handler), error);
    }
    let flags = Flags::SOCKET | Flags::COUNTED;
    let connection = Rc::new(Connection::new(attempt.token, handler, fd, interest, flags));
    drop(registry::replace(local, attempt.token, Entry::Handler(connection.clone())));
    call::on_open(local, &connection);
}

fn give_up(local: &Local, attempt: &Attempt, recipient: Recipient, error: io::Error) {
    drop(registry::remove(local, attempt.token));
    let error = failure(&attempt.target, error);
    match recipient {
        Recipient::Handler(handler) => {
            local.census.ended();
            local.handle.leave();
            call::on_connect_fail(local, handler, error);
        }
        Recipient::Descriptor(receive) => ignore_panic(|| receive(Err(error))),
    }
}

/// Tells a handler that it gets no connection: at the end of the turn. After the last turn,
/// now.
pub(crate) fn refuse(local: &Local, handler: Box<dyn EvHandler>, error: io::Error) {
    if local.is_gone() && !calls::is_in_callback(local) {
        return call::on_connect_fail(local, handler, error);
    }
    local.defer(Deferred::Refuse(handler, error));
}

/// Returns the addresses of a target in the order in which they are tried.
fn queue(addresses: Vec<SocketAddr>, target: &Target) -> VecDeque<SockAddr> {
    attempt_order(addresses, target.settings.from).into_iter().map(SockAddr::from).collect()
}

/// What an attempt to begin comes to.
enum Begun {
    /// The socket is under way.
    Try(Try),
    /// The backlog of a Unix socket is full, and nothing is under way: unix(7).
    NoRoom,
}

/// Tries the next address, and those behind it if it fails at once. If that was the last one
/// and nothing is under way, the attempt fails at the end of the turn.
fn begin_next(local: &Local, attempt: &Rc<Attempt>) {
    attempt.next.set(clock::NEVER);
    while let Some(address) = { attempt.queue.borrow_mut().pop_front() } {
        match begin_try(local, attempt, &address) {
            Ok(Begun::Try(begun)) => {
                attempt.tries.borrow_mut().push(begun);
                if !attempt.queue.borrow().is_empty() {
                    attempt.next.set(clock::after(clock::now(), ATTEMPT_DELAY));
                }
                break;
            }
            Ok(Begun::NoRoom) => {
                attempt.queue.borrow_mut().push_front(address);
                let pause = attempt.pause.get();
                attempt.pause.set((pause * 2).min(LONGEST_PAUSE));
                attempt.next.set(clock::after(clock::now(), pause));
                break;
            }
            Err(error) => attempt.note(&address, error),
        }
    }
    if attempt.tries.borrow().is_empty() && attempt.queue.borrow().is_empty() {
        attempt.fail_later(local, attempt.failure());
    } else {
        arm(local, attempt);
    }
}

/// Makes the socket, and its entry.
fn begin_try(local: &Local, attempt: &Rc<Attempt>, address: &SockAddr) -> io::Result<Begun> {
    let fd = match socket::connect(address, &attempt.target.settings) {
        Ok(fd) => fd,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock && address.is_unix() => {
            return Ok(Begun::NoRoom);
        }
        Err(error) => return Err(error),
    };
    let mask = Mask::of(Interest::WRITABLE, false);
    let entry = |_| Entry::Connecting(attempt.clone());
    let token = registry::register_borrowed(local, fd.as_fd(), mask, entry)?;
    Ok(Begun::Try(Try { token, fd, address: address.clone() }))
}

/// Arms the timer of the attempt, for the next try or the deadline.
fn arm(local: &Local, attempt: &Attempt) {
    let at = attempt.next.get().min(attempt.deadline);
    match attempt.timer.get() {
        Some(timer) => {
            local.reset(timer, at);
        }
        None if at == clock::NEVER => {}
        None => attempt.timer.set(Some(local.arm(at, TimerTarget::Connect(attempt.token)))),
    }
}

/// Closes the socket of a try. Whether listeners wait for a descriptor is the caller's to see.
fn close_try(local: &Local, ended: Try) {
    drop(registry::remove(local, ended.token));
    drop(ended.fd);
}

/// An event of the try with this token.
#[cold]
pub(crate) fn on_event(local: &Local, attempt: &Rc<Attempt>, token: Token) {
    if attempt.failing.get() {
        return;
    }
    let of_token = |one: &Try| one.token == token;
    let Some(place) = attempt.tries.borrow().iter().position(of_token) else { return };
    let result = outcome(attempt.tries.borrow()[place].fd.as_fd());
    // An event without an outcome: it would come again and again.
    try_ended(local, attempt, place, result.unwrap_or_else(|| Err(not_connected())));
}

/// The try at `place` is over.
fn try_ended(local: &Local, attempt: &Rc<Attempt>, place: usize, result: io::Result<()>) {
    let ended = attempt.tries.borrow_mut().remove(place);
    match result {
        Ok(()) => {
            drop(registry::remove(local, ended.token));
            decide(local, attempt, Ok(ended.fd));
        }
        Err(error) => {
            attempt.note(&ended.address, error);
            close_try(local, ended);
            local.fd_freed();
            let was_last = place == attempt.tries.borrow().len();
            if was_last && !attempt.queue.borrow().is_empty() {
                // The one before has failed: the next one has nothing to wait for.
                begin_next(local, attempt);
            } else if attempt.tries.borrow().is_empty() {
                decide(local, attempt, Err(attempt.failure()));
            }
        }
    }
}

/// The deadline, or the time of the next try.
pub(crate) fn on_timer(local: &Local, token: Token) {
    let Some(Entry::Connecting(attempt)) = registry::entry(local, token) else { return };
    attempt.timer.set(None);
    if attempt.failing.get() {
        return;
    }
    // Decided in time, though its event has not been looked at yet.
    while let Some((place, result)) = attempt.first_outcome() {
        try_ended(local, &attempt, place, result);
        if registry::entry(local, token).is_none_or(|entry| !matches!(entry, Entry::Connecting(_)))
        {
            return;
        }
    }
    let now = clock::now();
    if now >= attempt.deadline {
        decide(local, &attempt, Err(attempt.timed_out()));
    } else if now >= attempt.next.get() {
        begin_next(local, &attempt);
    } else {
        arm(local, &attempt);
    }
}

fn not_connected() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

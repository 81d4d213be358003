//! The sockets of an attempt to connect: when each begins, and what its end means. RFC 8305.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use socket2::SockAddr;

use super::Connecting;
use crate::base::error::during;
use crate::base::interest::Interest;
use crate::base::token::Token;
use crate::connection::connect;
use crate::local::registry;
use crate::local::state::{Local, TimerTarget};
use crate::local::table::Entry;
use crate::parts::address_order::ATTEMPT_DELAY;
use crate::sys::epoll::Mask;
use crate::sys::{clock, socket};

/// How long the first wait for room in the backlog of a Unix socket is: it does not tell when
/// there is some.
pub(crate) const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
/// And the last one.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// A socket that tries one address.
pub(crate) struct Try {
    /// What epoll knows it by.
    token: Token,
    /// Registered for WRITABLE.
    fd: OwnedFd,
    address: SockAddr,
}

/// What an attempt to begin comes to.
enum Begun {
    /// The socket is under way.
    Try(Try),
    /// The backlog of a Unix socket is full, and nothing is under way: unix(7).
    NoRoom,
}

/// How the connect went, if that is known yet. SO_ERROR is asked in any case.
fn outcome(fd: BorrowedFd<'_>) -> Option<io::Result<()>> {
    match socket::take_error(fd) {
        Ok(None) => {}
        Ok(Some(error)) | Err(error) => return Some(Err(error)),
    }
    if socket::is_self_connected(fd) {
        return Some(Err(socket::self_connect_error()));
    }
    socket::is_connected(fd).then_some(Ok(()))
}

impl Connecting {
    /// Keeps the failure of one address. It is named where the attempt's own name isn't the same.
    fn note(&self, address: &SockAddr, error: io::Error) {
        let address = address.as_socket().map(|address| address.to_string());
        let error = match address {
            Some(address) if *address != *self.target.name => during(address, error),
            _ => error,
        };
        self.failures.borrow_mut().push(error);
    }
}

impl Connecting {
    /// Returns the first of the tries that is over, and how it went.
    fn first_outcome(&self) -> Option<(usize, io::Result<()>)> {
        let tries = self.tries.borrow();
        let mut outcomes = tries.iter().map(|one| outcome(one.fd.as_fd())).enumerate();
        outcomes.find_map(|(place, result)| Some((place, result?)))
    }
}

/// Tries the next address, and those behind it if it fails at once. If that was the last one
/// and nothing is under way, the attempt fails at the end of the turn.
pub(crate) fn begin_next(local: &Local, attempt: &Rc<Connecting>) {
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
        connect::fail_later(local, attempt, attempt.failure());
    } else {
        arm(local, attempt);
    }
}

/// Makes the socket, and its entry.
fn begin_try(local: &Local, attempt: &Rc<Connecting>, address: &SockAddr) -> io::Result<Begun> {
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
pub(crate) fn arm(local: &Local, attempt: &Connecting) {
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
pub(crate) fn end(local: &Local, ended: Try) {
    drop(registry::remove(local, ended.token));
    drop(ended.fd);
}

/// An event of the try with this token.
#[cold]
pub(crate) fn on_event(local: &Local, attempt: &Rc<Connecting>, token: Token) {
    if attempt.failing.get() {
        return;
    }
    let of_token = |one: &Try| one.token == token;
    let Some(place) = attempt.tries.borrow().iter().position(of_token) else { return };
    let result = outcome(attempt.tries.borrow()[place].fd.as_fd());
    // An event without an outcome: it would come again and again.
    ended(local, attempt, place, result.unwrap_or_else(|| Err(not_connected())));
}

/// The try at `place` is over.
fn ended(local: &Local, attempt: &Rc<Connecting>, place: usize, result: io::Result<()>) {
    let ended = attempt.tries.borrow_mut().remove(place);
    match result {
        Ok(()) => {
            drop(registry::remove(local, ended.token));
            connect::decide(local, attempt, Ok(ended.fd));
        }
        Err(error) => {
            attempt.note(&ended.address, error);
            end(local, ended);
            local.fd_freed();
            let was_last = place == attempt.tries.borrow().len();
            if was_last && !attempt.queue.borrow().is_empty() {
                // The one before has failed: the next one has nothing to wait for.
                begin_next(local, attempt);
            } else if attempt.tries.borrow().is_empty() {
                connect::decide(local, attempt, Err(attempt.failure()));
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
        ended(local, &attempt, place, result);
        if registry::entry(local, token).is_none_or(|entry| !matches!(entry, Entry::Connecting(_)))
        {
            return;
        }
    }
    let now = clock::now();
    if now >= attempt.deadline {
        connect::decide(local, &attempt, Err(attempt.timed_out()));
    } else if now >= attempt.next.get() {
        begin_next(local, &attempt);
    } else {
        arm(local, &attempt);
    }
}

fn not_connected() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

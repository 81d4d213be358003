//! Connects handlers and pools, to one address or to several (RFC 8305, Happy Eyeballs).
//!
//! Until the connection is made, the attempt has an entry of its own kind in the table, so nothing
//! that is done with connections has to know of it. [`complete`] is the one place that decides its
//! outcome, and it does so once: the first call takes the recipient out.
//!
//! Each socket that tries an address has an entry of its own as well, and epoll knows it by the
//! token of that entry. So the connection has the token that was given out at the beginning,
//! whichever socket wins, and no event of another socket in the same batch is taken for the
//! connection's.
//!
//! An attempt at two addresses goes like this. [`begin`] makes the entry and starts the first try;
//! its timer is due after 250 ms. If the socket becomes writable before, [`on_event`] asks for the
//! outcome and [`complete`]s. If the timer comes first, [`on_timer`] starts the second try beside
//! the first. From then on the first outcome that is a connection wins. If both fail, the error
//! names both.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
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
use crate::local::errors::poller_ended;
use crate::local::flags::Flags;
use crate::local::handler::EvHandler;
use crate::local::state::Local;
use crate::local::table::{Entry, NewEntry};
use crate::local::{calls, registry};
use crate::parts::address_order::{ATTEMPT_DELAY, attempt_order};
use crate::sys::epoll::Mask;
use crate::sys::fd::OwnedFd;
use crate::sys::{clock, socket};
use crate::task::ignore_panic;

/// The first pause before a Unix socket with a full backlog is tried again. No event reports
/// room.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

/// The longest of these pauses: each is twice as long as the one before.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Begins to connect, and returns the token that the connection will have. The recipient is never
/// called inside this call, even if the outcome is known at once.
pub(crate) fn begin(local: &Local, target: Target, recipient: Recipient) -> Token {
    let deadline = target.limit.map_or(clock::NEVER, |limit| clock::after(clock::now(), limit));
    if matches!(recipient, Recipient::Handler(_)) {
        // The shutdown waits for a handler's attempt as it does for a connection.
        local.census.opened();
    }
    let untried = match &target.place {
        Place::Ip(addresses) => in_order(addresses.clone(), &target),
        Place::Unix(address) => [address.clone()].into(),
        #[cfg(feature = "blocking")]
        Place::Host(..) => VecDeque::new(),
    };
    let attempt = registry::insert(local, |token| {
        let attempt = Rc::new(Attempt {
            token,
            target,
            deadline,
            untried: RefCell::new(untried),
            tries: RefCell::default(),
            failures: RefCell::default(),
            next_try_at: Cell::new(clock::NEVER),
            recipient: Cell::new(Some(recipient)),
            timer: Cell::new(None),
            backlog_pause: Cell::new(SHORTEST_PAUSE),
            is_failing: Cell::new(false),
        });
        (NewEntry::Connecting(attempt.clone()), attempt)
    });
    if local.has_ended() {
        attempt.fail_later(local, poller_ended());
    } else {
        match attempt.target.place {
            // Until the name has been looked up there is nothing to try: only the deadline is
            // armed.
            #[cfg(feature = "blocking")]
            Place::Host(..) => arm(local, &attempt),
            _ => try_next(local, &attempt),
        }
    }
    attempt.token
}

/// Returns the addresses of a target in the order in which they are tried.
fn in_order(addresses: Vec<SocketAddr>, target: &Target) -> VecDeque<SockAddr> {
    attempt_order(addresses, target.settings.from).into_iter().map(SockAddr::from).collect()
}

/// Takes the result of looking a host name up, for the attempt of `token`. The attempt may be over
/// by now: its deadline has passed, or it was closed.
#[cfg(feature = "blocking")]
pub(crate) fn addresses_found(local: &Local, token: Token, found: io::Result<Vec<SocketAddr>>) {
    let Some(Entry::Connecting(attempt)) = registry::entry(local, token) else { return };
    if attempt.is_failing.get() {
        return;
    }
    match found {
        Ok(addresses) => {
            attempt.untried.replace(in_order(addresses, &attempt.target));
            try_next(local, &attempt);
        }
        Err(error) => {
            attempt.fail_later(local, during("looking the name up", error));
        }
    }
}

/// What came of starting to connect a socket.
enum Started {
    /// The socket is connecting.
    Connecting(Try),
    /// The backlog of the Unix socket is full. The kernel answers EAGAIN and connects nothing:
    /// connect(2).
    BacklogFull,
}

/// Tries the next address, and the ones after it if it fails at once. If no address is left and no
/// socket is connecting, the attempt fails at the end of the turn.
fn try_next(local: &Local, attempt: &Rc<Attempt>) {
    attempt.next_try_at.set(clock::NEVER);
    while let Some(address) = { attempt.untried.borrow_mut().pop_front() } {
        match start_try(local, attempt, &address) {
            Ok(Started::Connecting(socket)) => {
                attempt.tries.borrow_mut().push(socket);
                if !attempt.untried.borrow().is_empty() {
                    // RFC 8305, section 5: the next address doesn't wait for the outcome.
                    attempt.next_try_at.set(clock::after(clock::now(), ATTEMPT_DELAY));
                }
                break;
            }
            Ok(Started::BacklogFull) => {
                attempt.untried.borrow_mut().push_front(address);
                let pause = attempt.backlog_pause.get();
                attempt.backlog_pause.set((pause * 2).min(LONGEST_PAUSE));
                attempt.next_try_at.set(clock::after(clock::now(), pause));
                break;
            }
            // Failed at once, as with ENETUNREACH of a family that this host has no route for: the
            // next address need not wait.
            Err(error) => attempt.add_failure(&address, error),
        }
    }
    if attempt.tries.borrow().is_empty() && attempt.untried.borrow().is_empty() {
        attempt.fail_later(local, attempt.failure());
    } else {
        arm(local, attempt);
    }
}

/// Makes a socket, starts to connect it, and registers it with an entry of its own.
fn start_try(local: &Local, attempt: &Rc<Attempt>, address: &SockAddr) -> io::Result<Started> {
    let fd = match socket::connect(address, &attempt.target.settings) {
        Ok(fd) => fd,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock && address.is_unix() => {
            return Ok(Started::BacklogFull);
        }
        Err(error) => return Err(error),
    };
    // A socket that is connecting becomes writable when the outcome is known: connect(2).
    let mask = Mask::of(Interest::WRITABLE, false);
    let entry = |_| NewEntry::Connecting(attempt.clone());
    // Borrowed: the descriptor stays with the try, for it becomes the connection's if this one
    // wins.
    let token = registry::register_borrowed(local, fd.as_fd(), mask, entry)?;
    Ok(Started::Connecting(Try { token, fd, address: address.clone() }))
}

/// Arms the timer of an attempt, for the next address or the deadline, whichever comes first.
fn arm(local: &Local, attempt: &Attempt) {
    let at = attempt.next_try_at.get().min(attempt.deadline);
    match attempt.timer.get() {
        Some(timer) => {
            local.reset_timer(timer, at);
        }
        None if at == clock::NEVER => {}
        None => attempt.timer.set(Some(local.arm(at, TimerTarget::Connect(attempt.token)))),
    }
}

/// Handles an event of the try with this token.
#[cold]
pub(crate) fn on_event(local: &Local, attempt: &Rc<Attempt>, token: Token) {
    if attempt.is_failing.get() {
        return;
    }
    let of_token = |one: &Try| one.token == token;
    let Some(place) = attempt.tries.borrow().iter().position(of_token) else { return };
    let result = outcome(attempt.tries.borrow()[place].fd.as_fd());
    // An event without an outcome would come again in every wait: it counts as a failure.
    finish_try(local, attempt, place, result.unwrap_or_else(|| Err(not_connected())));
}

/// Handles the timer of an attempt: the deadline has come, or the time of the next address.
pub(crate) fn on_timer(local: &Local, token: Token) {
    let Some(Entry::Connecting(attempt)) = registry::entry(local, token) else { return };
    attempt.timer.set(None);
    if attempt.is_failing.get() {
        return;
    }
    // A socket may have connected in time though its event has not been looked at yet.
    while let Some((place, result)) = attempt.first_outcome() {
        finish_try(local, &attempt, place, result);
        if registry::entry(local, token).is_none_or(|entry| !matches!(entry, Entry::Connecting(_)))
        {
            return;
        }
    }
    let now = clock::now();
    if now >= attempt.deadline {
        complete(local, &attempt, Err(attempt.timed_out()));
    } else if now >= attempt.next_try_at.get() {
        try_next(local, &attempt);
    } else {
        arm(local, &attempt);
    }
}

/// Takes the outcome of the try at `place`: completes the attempt, or goes on to the next address.
fn finish_try(local: &Local, attempt: &Rc<Attempt>, place: usize, result: io::Result<()>) {
    let ended = attempt.tries.borrow_mut().remove(place);
    match result {
        Ok(()) => {
            // The token of the try is spent: from here on the socket belongs to the attempt's
            // token.
            drop(registry::remove(local, ended.token));
            complete(local, attempt, Ok(ended.fd));
        }
        Err(error) => {
            attempt.add_failure(&ended.address, error);
            close_try(local, ended);
            local.fd_freed();
            let was_last = place == attempt.tries.borrow().len();
            if was_last && !attempt.untried.borrow().is_empty() {
                // The newest try has failed, so the next address need not wait for it. An older one
                // that fails says nothing of the try that is under way.
                try_next(local, attempt);
            } else if attempt.tries.borrow().is_empty() {
                complete(local, attempt, Err(attempt.failure()));
            }
        }
    }
}

/// Closes the socket of a try. The caller notifies those that wait for a descriptor.
fn close_try(local: &Local, ended: Try) {
    drop(registry::remove(local, ended.token));
    drop(ended.fd);
}

/// Completes an attempt with a failure, at the end of the turn in which it failed.
pub(crate) fn fail(local: &Local, token: Token, error: io::Error) {
    if let Some(Entry::Connecting(attempt)) = registry::entry(local, token) {
        complete(local, &attempt, Err(error));
    }
}

/// Completes an attempt: closes the other sockets, and gives the recipient the connection or the
/// error. It calls handlers, so it must not be called inside a callback.
fn complete(local: &Local, attempt: &Attempt, result: io::Result<OwnedFd>) {
    // The first outcome takes the recipient out. A second one finds none, and changes nothing.
    let Some(recipient) = attempt.recipient.take() else { return };
    if let Some(timer) = attempt.timer.take() {
        drop(local.disarm(timer));
    }
    // The losers are closed first: their descriptors are free for what the recipient does.
    attempt.untried.take();
    let losers = attempt.tries.take();
    let frees_fds = !losers.is_empty();
    for loser in losers {
        close_try(local, loser);
    }
    if frees_fds {
        local.fd_freed();
    }
    match (result, recipient) {
        (Ok(fd), Recipient::Handler(handler)) => open_connected(local, attempt, fd, handler),
        (Ok(fd), Recipient::Descriptor(receive)) => {
            // The receiver registers the socket anew, with a token of its own.
            let _ = local.epoll.remove(fd.as_fd());
            drop(registry::remove(local, attempt.token));
            ignore_panic(|| receive(Ok(fd)));
        }
        (Err(error), recipient) => report_failure(local, attempt, recipient, error),
    }
}

/// Turns an attempt into a handler's connection, under the same token, and calls `on_open`.
fn open_connected(local: &Local, attempt: &Attempt, fd: OwnedFd, handler: Box<dyn EvHandler>) {
    let interest = Interest::READABLE;
    // epoll knows the socket by the token of its try. From now on it reports the connection's.
    let modified = local.epoll.modify(fd.as_fd(), attempt.token, Mask::of(interest, false));
    if let Err(error) = modified {
        drop(fd);
        return report_failure(local, attempt, Recipient::Handler(handler), error);
    }
    let flags = Flags::SOCKET | Flags::COUNTED;
    let is_early = attempt.target.settings.fast_open && !socket::is_connected(fd.as_fd());
    let connection = Connection::new(attempt.token, handler, fd, interest, flags);
    if is_early {
        connection.with_extra(|extra| extra.fast_open = true);
    }
    drop(registry::replace(local, attempt.token, NewEntry::Handler(connection)));
    if let Some(connection) = registry::connection(local, attempt.token) {
        call::on_open(local, connection);
    }
}

/// Removes an attempt that has failed, and gives its recipient the error.
fn report_failure(local: &Local, attempt: &Attempt, recipient: Recipient, error: io::Error) {
    drop(registry::remove(local, attempt.token));
    let error = failure(&attempt.target, error);
    match recipient {
        Recipient::Handler(handler) => {
            local.census.ended();
            local.handle.decrement_load();
            call::on_connect_fail(local, handler, error);
        }
        Recipient::Descriptor(receive) => ignore_panic(|| receive(Err(error))),
    }
}

/// Calls `on_connect_fail` of a handler for which no attempt is made: at the end of the turn, or
/// now if the poller has made its last turn.
pub(crate) fn refuse(local: &Local, handler: Box<dyn EvHandler>, error: io::Error) {
    if local.has_ended() && !calls::is_in_callback(local) {
        return call::on_connect_fail(local, handler, error);
    }
    local.defer(Deferred::Refuse(handler, error));
}

/// Returns the error of a try that has reported an event and no outcome.
fn not_connected() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

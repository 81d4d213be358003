//! An attempt to connect, to one address or to several, and the sockets that try.
//!
//! The type is the state; what is done with it is in `connection/connect.rs`. It is a noun of this
//! floor since the table holds it, as it holds connections.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use socket2::SockAddr;

use crate::base::error::{all_of, during};
use crate::base::token::Token;
use crate::local::deferred::Deferred;
use crate::local::handler::EvHandler;
use crate::local::state::Local;
use crate::sys::fd::OwnedFd;
use crate::sys::socket;

/// What to connect to, and how.
#[derive(Debug)]
pub(crate) struct Target {
    /// The address as the caller wrote it: errors name it.
    pub(crate) name: Box<str>,
    /// Where to connect to.
    pub(crate) place: Place,
    /// The options with which the sockets are made.
    pub(crate) settings: socket::Connect,
    /// How long the whole attempt may take. Without a limit it lasts as long as the kernel tries.
    pub(crate) limit: Option<Duration>,
}

/// Where a target is.
#[derive(Debug)]
pub(crate) enum Place {
    /// These addresses, in the order of preference: the first one that answers.
    Ip(Vec<SocketAddr>),
    /// A Unix socket.
    Unix(SockAddr),
    /// A host name and a port. The caller looks the name up, and calls `connect::addresses_found`.
    #[cfg(feature = "blocking")]
    Host(String, u16),
}

/// What gets the connection or the error, exactly once.
pub(crate) enum Recipient {
    /// A handler: `on_open` or `on_connect_fail` is called. The caller has counted it for the load
    /// of the poller.
    Handler(Box<dyn EvHandler>),
    /// Code of the crate that takes the socket, which is not registered any more. Such an attempt
    /// doesn't hold up a shutdown.
    Descriptor(Box<dyn FnOnce(io::Result<OwnedFd>)>),
}

/// An attempt to connect, to one address or to several.
pub(crate) struct Attempt {
    /// Its key in the table, and later that of the connection.
    pub(crate) token: Token,
    /// What to connect to.
    pub(crate) target: Target,
    /// When it fails at the latest, in nanoseconds of the clock.
    pub(crate) deadline: u64,
    /// The addresses that have not been tried yet, in order.
    pub(crate) untried: RefCell<VecDeque<SockAddr>>,
    /// The sockets that are connecting, in the order in which they began.
    pub(crate) tries: RefCell<Vec<Try>>,
    /// The errors of the addresses that have failed.
    pub(crate) failures: RefCell<Vec<io::Error>>,
    /// When the next address is tried, whatever becomes of those before it.
    pub(crate) next_try_at: Cell<u64>,
    /// What gets the outcome; `None` once it has got it.
    pub(crate) recipient: Cell<Option<Recipient>>,
    /// The timer of the deadline or of the next try.
    pub(crate) timer: Cell<Option<Token>>,
    /// The next pause before a Unix socket with a full backlog is tried again.
    pub(crate) backlog_pause: Cell<Duration>,
    /// It has failed, and its recipient hears of that at the end of the turn: a callback may be
    /// running now.
    pub(crate) is_failing: Cell<bool>,
}

/// A socket that tries one address.
pub(crate) struct Try {
    /// The token by which epoll knows it.
    pub(crate) token: Token,
    /// The socket, registered for writing: it becomes writable when the outcome is known.
    pub(crate) fd: OwnedFd,
    /// The address that it tries.
    pub(crate) address: SockAddr,
}

impl Attempt {
    /// Returns the error of an attempt whose addresses have all failed.
    pub(crate) fn failure(&self) -> io::Error {
        all_of(self.failures.take()).unwrap_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Returns the error of an attempt whose deadline has passed.
    pub(crate) fn timed_out(&self) -> io::Error {
        let limit = self.target.limit.unwrap_or_default();
        let mut message = format!("there was no answer within {limit:?}");
        for failure in self.failures.take() {
            message.push_str(&format!("; {failure}"));
        }
        io::Error::new(io::ErrorKind::TimedOut, message)
    }

    /// Adds the error of one address. It names the address, unless the target has the same name.
    pub(crate) fn add_failure(&self, address: &SockAddr, error: io::Error) {
        let address = address.as_socket().map(|address| address.to_string());
        let error = match address {
            Some(address) if *address != *self.target.name => during(address, error),
            _ => error,
        };
        self.failures.borrow_mut().push(error);
    }

    /// Returns the place and the outcome of the first try that has one.
    pub(crate) fn first_outcome(&self) -> Option<(usize, io::Result<()>)> {
        let tries = self.tries.borrow();
        let mut outcomes = tries.iter().map(|one| outcome(one.fd.as_fd())).enumerate();
        outcomes.find_map(|(place, result)| Some((place, result?)))
    }

    /// Ends the attempt, as its caller has closed it. Returns `false` if it has failed already.
    pub(crate) fn abort(&self, local: &Local) -> bool {
        let message = "it was closed before it was made";
        self.fail_later(local, io::Error::new(io::ErrorKind::ConnectionAborted, message))
    }

    /// Fails the attempt at the end of this turn. Returns `false` if it has failed already.
    pub(crate) fn fail_later(&self, local: &Local, error: io::Error) -> bool {
        if self.is_failing.replace(true) {
            return false;
        }
        local.defer(Deferred::ConnectFail(self.token, error));
        true
    }
}

/// Returns the outcome of connecting a socket, if it is known yet. SO_ERROR is read in any case, as
/// it is cleared by that: socket(7).
pub(crate) fn outcome(fd: BorrowedFd<'_>) -> Option<io::Result<()>> {
    match socket::take_error(fd) {
        Ok(None) => {}
        Ok(Some(error)) | Err(error) => return Some(Err(error)),
    }
    if socket::is_self_connected(fd) {
        return Some(Err(socket::self_connect_error()));
    }
    (socket::is_connected(fd) || socket::is_connect_deferred(fd)).then_some(Ok(()))
}

/// Returns `error` with the operation and the address.
pub(crate) fn failure(target: &Target, error: io::Error) -> io::Error {
    let name = &target.name;
    match target.settings.from {
        Some(from) => during(format_args!("connecting to {name} from {from}"), error),
        None => during(format_args!("connecting to {name}"), error),
    }
}

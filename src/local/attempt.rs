//! An attempt to connect, and the sockets that try.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use socket2::SockAddr;

use crate::base::error::{all_of, during};
use crate::base::token::Token;
use crate::local::deferred::Deferred;
use crate::local::handler::EvHandler;
use crate::local::state::Local;
use crate::sys::socket;

/// What to connect to, and how.
#[derive(Debug)]
pub(crate) struct Target {
    /// The address as the caller wrote it: errors name it.
    pub(crate) name: Box<str>,
    /// Where that is.
    pub(crate) place: Place,
    /// What the sockets are made with.
    pub(crate) settings: socket::Connect,
    /// How long all of it may take; without, as long as the kernel tries.
    pub(crate) limit: Option<Duration>,
}

/// Where a target is.
#[derive(Debug)]
pub(crate) enum Place {
    /// At the first of these that answers: in the order of preference.
    Ip(Vec<SocketAddr>),
    /// At a Unix socket.
    Unix(SockAddr),
    /// Where a host name leads: the caller looks it up, and tells [`addresses_found`].
    #[cfg(feature = "blocking")]
    Host(String, u16),
}

/// Who gets the connection, or the error: exactly once.
pub(crate) enum Recipient {
    /// A handler: `on_open` or `on_connect_fail`. The caller has counted it for the load of the
    /// poller.
    Handler(Box<dyn EvHandler>),
    /// Code of ours that wants the socket, which is not registered any more. Such an attempt
    /// doesn't hold up a shutdown.
    Descriptor(Box<dyn FnOnce(io::Result<OwnedFd>)>),
}

/// An attempt to connect, to one address or to several.
pub(crate) struct Attempt {
    /// Its name, and then the connection's.
    pub(crate) token: Token,
    pub(crate) target: Target,
    /// When it fails at the latest.
    pub(crate) deadline: u64,
    /// The addresses that have not been tried yet, in order.
    pub(crate) queue: RefCell<VecDeque<SockAddr>>,
    /// The sockets that try, in the order in which they began.
    pub(crate) tries: RefCell<Vec<Try>>,
    /// What has become of the others.
    pub(crate) failures: RefCell<Vec<io::Error>>,
    /// When the next address is tried, whatever becomes of those before it.
    pub(crate) next: Cell<u64>,
    /// None once it is decided.
    pub(crate) recipient: Cell<Option<Recipient>>,
    /// The timer of the deadline or of the next try.
    pub(crate) timer: Cell<Option<Token>>,
    /// The next wait for room in the backlog of a Unix socket.
    pub(crate) pause: Cell<Duration>,
    /// It has failed, and that is told at the end of the turn: calls wait for their phase.
    pub(crate) failing: Cell<bool>,
}

/// A socket that tries one address.
pub(crate) struct Try {
    /// What epoll knows it by.
    pub(crate) token: Token,
    /// Registered for WRITABLE.
    pub(crate) fd: OwnedFd,
    pub(crate) address: SockAddr,
}

impl Attempt {
    /// Returns the failure of everything that was tried.
    pub(crate) fn failure(&self) -> io::Error {
        all_of(self.failures.take()).unwrap_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Returns what is said when the time is over.
    pub(crate) fn timed_out(&self) -> io::Error {
        let limit = self.target.limit.unwrap_or_default();
        let mut message = format!("there was no answer within {limit:?}");
        for failure in self.failures.take() {
            message.push_str(&format!("; {failure}"));
        }
        io::Error::new(io::ErrorKind::TimedOut, message)
    }

    /// Keeps the failure of one address. It is named where the attempt's own name isn't the same.
    pub(crate) fn note(&self, address: &SockAddr, error: io::Error) {
        let address = address.as_socket().map(|address| address.to_string());
        let error = match address {
            Some(address) if *address != *self.target.name => during(address, error),
            _ => error,
        };
        self.failures.borrow_mut().push(error);
    }

    /// Returns the first of the tries that is over, and how it went.
    pub(crate) fn first_outcome(&self) -> Option<(usize, io::Result<()>)> {
        let tries = self.tries.borrow();
        let mut outcomes = tries.iter().map(|one| outcome(one.fd.as_fd())).enumerate();
        outcomes.find_map(|(place, result)| Some((place, result?)))
    }

    /// Ends the attempt: its failure is told at the end of the turn. Returns `false` if it has failed
    /// already.
    pub(crate) fn abort(&self, local: &Local) -> bool {
        let message = "it was closed before it was made";
        self.fail_later(local, io::Error::new(io::ErrorKind::ConnectionAborted, message))
    }

    /// Decides that the attempt has failed. False: that is decided already.
    pub(crate) fn fail_later(&self, local: &Local, error: io::Error) -> bool {
        if self.failing.replace(true) {
            return false;
        }
        local.defer(Deferred::ConnectFail(self.token, error));
        true
    }
}

/// How the connect went, if that is known yet. SO_ERROR is asked in any case.
pub(crate) fn outcome(fd: BorrowedFd<'_>) -> Option<io::Result<()>> {
    match socket::take_error(fd) {
        Ok(None) => {}
        Ok(Some(error)) | Err(error) => return Some(Err(error)),
    }
    if socket::is_self_connected(fd) {
        return Some(Err(socket::self_connect_error()));
    }
    socket::is_connected(fd).then_some(Ok(()))
}

/// `error`, with the operation and the address.
pub(crate) fn failure(target: &Target, error: io::Error) -> io::Error {
    let name = &target.name;
    match target.settings.from {
        Some(from) => during(format_args!("connecting to {name} from {from}"), error),
        None => during(format_args!("connecting to {name}"), error),
    }
}

//! Hand-over: a connection moves from its handler to a task's stream, or from a stream to a
//! handler.
//!
//! Both ways keep the descriptor and its registration in epoll, give it a new token, and move what
//! belongs to the connection along: queued output, a pending shutdown, and whether other code may
//! hold the descriptor.
//!
//! What does not go along: the handler's timers, deadlines and watermarks on the way to a task, and
//! the stream's deadlines on the way to a handler. They belong to the code that has set them. A
//! `Writer` is closed, since it promises an order with the writes of the handler.

use std::io;
use std::os::fd::AsFd;

use crate::base::interest::Interest;
use crate::base::token::Token;
use crate::connection::{request_close, timers};
use crate::local::action::CloseReason;
use crate::local::connection::Connection;
use crate::local::context::EvContext;
use crate::local::deferred::Deferred;
use crate::local::errors::RegisterError;
use crate::local::flags::{Flags, State};
use crate::local::handler::EvHandler;
use crate::local::registered::Registered;
use crate::local::registry;
use crate::local::state::Local;
use crate::local::table::NewEntry;
use crate::sys::epoll::Mask;
use crate::sys::fd::OwnedFd;
use crate::sys::socket;

impl EvContext<'_> {
    /// Takes the connection away from its handler, with everything that belongs to it. The handler
    /// is dropped after this callback, and no other callback of it is called.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection is ending, if it is not a TCP connection, or if the
    /// poller is ending. Nothing has changed then.
    pub(crate) fn take_registered(&mut self) -> io::Result<Registered> {
        if self.connection.state() != State::Open {
            return Err(self.not_open_error());
        }
        let local = Local::expect_current("take_stream")?;
        let Some(fd) = self.connection.take_fd() else { return Err(self.not_open_error()) };
        // A handler may have any descriptor, and a `TcpStream` promises the addresses of one.
        if !socket::is_tcp_connection(fd.as_fd()) {
            // Put back: the handler goes on with its connection.
            self.connection.put_fd(fd);
            let message = "take_stream: the descriptor is not a TCP connection";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        // Queued output is sent through a duplicate, which outlives the stream. Output of writers
        // joins the queue when they are closed below, so a writer needs the duplicate as well.
        let has_output = self.connection.has(Flags::HAS_OUTPUT | Flags::HAS_WRITER);
        let taken = match has_output.then(|| fd.try_clone()).transpose() {
            Ok(duplicate) => Registered::reregister(fd, local).map(|stream| (stream, duplicate)),
            Err(error) => Err(RegisterError { error, rejected: fd }),
        };
        match taken {
            Ok((stream, duplicate)) => {
                move_to_stream(self.local, self.connection, &stream, duplicate);
                // A read looks for the descriptor then, and finds that it is gone.
                self.refuse_to_read();
                Ok(stream)
            }
            Err(RegisterError { error, rejected: fd }) => {
                self.connection.put_fd(fd);
                Err(error)
            }
        }
    }
}

/// Moves to `stream` what belongs to `connection`, whose descriptor it has taken, and removes the
/// connection. `duplicate` is the descriptor that its output is sent through.
fn move_to_stream(
    local: &Local,
    connection: &Connection,
    stream: &Registered,
    duplicate: Option<OwnedFd>,
) {
    if connection.has(Flags::HAS_WRITER) {
        request_close::close_writers(connection);
    }
    connection.advance(State::Closed);
    // The handler's timers and deadlines end with it. Only the output goes along.
    timers::remove_all(local, connection);
    let outbox = connection.take_extra().map(|extra| extra.outbox).unwrap_or_default();
    // Makes the end of the callback look at the connection. As it has no descriptor any more, its
    // handler is dropped.
    connection.set(Flags::DIRTY);
    if !connection.has(Flags::INTERNAL) {
        // It lives on in a task, so it does not count as ended.
        local.census.given_away();
    }
    // It stays in its place until the end of the turn: the handler's destructor doesn't run here.
    drop(registry::remove(local, connection.token()));
    if connection.has(Flags::FD_EXPOSED) {
        stream.expose();
    }
    if connection.has(Flags::COUNTED) {
        stream.mark_counted();
    }
    if let (Some(duplicate), false) = (duplicate, outbox.is_empty()) {
        stream.carry_over(outbox, duplicate);
    }
}

/// Opens the connection that a stream has become. `failure` is the error that its carryover has met
/// with.
fn open_adopted(local: &Local, token: Token, failure: Option<io::Error>) {
    local.census.adopted();
    match (failure, registry::connection(local, token)) {
        // A requested close of a connection in state `Opening` calls both `on_open` and `on_close`.
        (Some(error), Some(connection)) => {
            request_close::connection(local, connection, CloseReason::Error(error));
        }
        _ => local.defer(Deferred::Open(token)),
    }
}

impl Registered {
    /// Moves the connection to `handler`, with everything that belongs to it. `on_open` is called
    /// at the end of the turn.
    ///
    /// # Errors
    ///
    /// Returns an error if the poller has ended, and the errors of epoll_ctl(2). The connection is
    /// closed then, and the handler is returned, as its destructor is foreign code.
    pub(crate) fn into_connection(
        self,
        handler: Box<dyn EvHandler>,
    ) -> Result<Token, RegisterError<Box<dyn EvHandler>>> {
        let (local, parts) = (self.local().clone(), self.into_parts());
        let mask = Mask::of(Interest::READABLE, parts.outbox.pending() > 0);
        // `make` is called only if the kernel has agreed; if not, the handler is still here.
        let mut handler = Some(handler);
        let make = |token, fd| {
            let handler = handler.take().expect("an entry is made once");
            let flags = Flags::SOCKET
                | Flags::FD_EXPOSED.only_if(parts.is_exposed)
                | Flags::COUNTED.only_if(parts.is_counted);
            // Every connection begins with this interest; the handler may change it in `on_open`.
            let connection = Connection::new(token, handler, fd, Interest::READABLE, flags);
            connection.mask.set(mask);
            if parts.outbox.pending() > 0 {
                connection.with_extra(|extra| extra.outbox = parts.outbox);
                connection.set(Flags::HAS_OUTPUT);
            }
            if parts.shuts_down {
                connection.set(Flags::SHUTDOWN_AFTER_FLUSH);
            }
            NewEntry::Handler(connection)
        };
        match (registry::reregister(&local, parts.fd, mask, make), handler) {
            (Ok(token), _) => {
                open_adopted(&local, token, parts.failure);
                Ok(token)
            }
            (Err(RegisterError { error, rejected: fd }), Some(handler)) => {
                if parts.is_counted {
                    local.handle.decrement_load();
                }
                // Removed before it is closed: other code may hold a duplicate.
                let _ = local.epoll.remove(fd.as_fd());
                drop(fd);
                local.fd_freed();
                Err(RegisterError { error, rejected: handler })
            }
            (Err(_), None) => unreachable!("a failed registration makes no entry"),
        }
    }
}

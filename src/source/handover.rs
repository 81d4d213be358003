//! A connection goes from a handler to a task, or the other way.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use crate::base::interest::Interest;
use crate::base::token::Token;
use crate::connection::{request_close, timers};
use crate::local::action::CloseReason;
use crate::local::connection::{Connection, State};
use crate::local::context::EvContext;
use crate::local::deferred::Deferred;
use crate::local::errors::closing_error;
use crate::local::flags::Flags;
use crate::local::handler::EvHandler;
use crate::local::registered::Registered;
use crate::local::registry;
use crate::local::state::Local;
use crate::local::table::Entry;
use crate::sys::epoll::Mask;
use crate::sys::socket;

impl EvContext<'_> {
    /// Takes the descriptor away from the handler, with everything that belongs to it. The handler
    /// is not called any more, and is dropped after this callback.
    ///
    /// # Errors
    /// The connection is ending or is no TCP connection, or the poller is ending. Then nothing has
    /// changed.
    pub(crate) fn take_registered(&mut self) -> io::Result<Registered> {
        if self.connection.state() != State::Open {
            return Err(closing_error());
        }
        let local = Local::expect_current("take_stream")?;
        let Some(fd) = self.fd.take() else { return Err(closing_error()) };
        if !socket::is_tcp_connection(fd.as_fd()) {
            *self.fd = Some(fd);
            let message = "take_stream: the descriptor is not a TCP connection";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        // Queued output is sent through a descriptor of its own, which outlives the stream.
        // What writers bring until then is queued as well.
        let has_output = self.connection.has(Flags::HAS_OUTPUT | Flags::HAS_WRITER);
        let taken = match has_output.then(|| fd.try_clone()).transpose() {
            Ok(copy) => Registered::again(fd, local).map(|registered| (registered, copy)),
            Err(error) => Err((error, fd)),
        };
        match taken {
            Ok((registered, copy)) => {
                detach(self.local, self.connection, &registered, copy);
                Ok(registered)
            }
            Err((error, fd)) => {
                *self.fd = Some(fd);
                Err(error)
            }
        }
    }
}

/// A stream has taken the descriptor of `connection`: what belongs to it goes along.
fn detach(local: &Local, connection: &Connection, heir: &Registered, copy: Option<OwnedFd>) {
    if connection.has(Flags::HAS_WRITER) {
        request_close::close_writers(connection);
    }
    connection.advance(State::Closed);
    timers::remove_all(local, connection);
    let outbox = connection.take_extra().map(|extra| extra.outbox).unwrap_or_default();
    // The end of the callback finds the handler without a descriptor.
    connection.turn_on(Flags::DIRTY);
    if !connection.has(Flags::INTERNAL) {
        // It goes on as part of a task: it is not one that has ended.
        local.census.given_away();
    }
    // Whoever called the callback has a clone of it: no foreign code.
    drop(registry::remove(local, connection.token));
    if connection.has(Flags::FD_EXPOSED) {
        heir.lend();
    }
    if connection.has(Flags::COUNTED) {
        heir.count();
    }
    if let (Some(copy), false) = (copy, outbox.is_empty()) {
        heir.owe(outbox, copy);
    }
}

/// A stream has become a handler's connection; `failure` is what its output met before.
fn attach(local: &Local, token: Token, failure: Option<io::Error>) {
    local.census.adopted();
    match (failure, registry::connection(local, token)) {
        // That brings both calls, on_open and on_close.
        (Some(error), Some(connection)) => {
            request_close::connection(local, &connection, CloseReason::Error(error));
        }
        _ => local.defer(Deferred::Open(token)),
    }
}

impl Registered {
    /// Gives the descriptor to `handler`, with everything that belongs to it. `on_open` is called
    /// at the end of the turn.
    ///
    /// # Errors
    /// The poller has ended, or epoll_ctl(2)'s. The connection is closed then, and the handler is
    /// given back to be dropped.
    pub(crate) fn into_connection(
        self,
        handler: Box<dyn EvHandler>,
    ) -> Result<Token, (io::Error, Box<dyn EvHandler>)> {
        let (local, estate) = (self.local().clone(), self.take_apart());
        let mask = Mask::of(Interest::READABLE, estate.outbox.pending() > 0);
        let mut handler = Some(handler);
        let make = |token, fd| {
            let handler = handler.take().expect("an entry is made once");
            let flags = Flags::SOCKET
                | Flags::FD_EXPOSED.only_if(estate.is_lent)
                | Flags::COUNTED.only_if(estate.is_counted);
            let connection = Connection::new(token, handler, fd, Interest::READABLE, flags);
            connection.mask.set(mask);
            if estate.outbox.pending() > 0 {
                connection.with_extra(|extra| extra.outbox = estate.outbox);
                connection.turn_on(Flags::HAS_OUTPUT);
            }
            if estate.ends {
                connection.turn_on(Flags::SHUTDOWN_AFTER_FLUSH);
            }
            Entry::Handler(Rc::new(connection))
        };
        match (registry::reregister(&local, estate.fd, mask, make), handler) {
            (Ok(token), _) => {
                attach(&local, token, estate.failure);
                Ok(token)
            }
            (Err((error, fd)), Some(handler)) => {
                if estate.is_counted {
                    local.handle.leave();
                }
                let _ = local.epoll.remove(fd.as_fd());
                drop(fd);
                local.fd_freed();
                Err((error, handler))
            }
            (Err(_), None) => unreachable!("a failed registration makes no entry"),
        }
    }
}

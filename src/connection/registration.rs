//! The registration of a connection with epoll, and what a callback may ask of registrations: to
//! change its own, to add one, and to end one.
//!
//! A callback only notes what it wants. epoll_ctl(2) is called once, when the callback has returned
//! and if the mask has changed: a handler that turns writing on and off again costs nothing.

use std::io;
use std::os::fd::OwnedFd;

use crate::base::interest::Interest;
use crate::base::token::Token;
use crate::connection::request_close;
use crate::local::action::CloseReason;
use crate::local::calls;
use crate::local::connection::Connection;
use crate::local::context::EvContext;
use crate::local::flags::{Flags, State};
use crate::local::handler::EvHandler;
use crate::local::registry;
use crate::local::state::Local;

impl EvContext<'_> {
    /// Changes the events for which the handler is called, once the callback has returned. Queued
    /// output is flushed whatever the interest is.
    ///
    /// Setting an edge-triggered interest, even the same one again, reports anew what holds
    /// already: a handler that has left bytes unread is called for them.
    ///
    /// # Errors
    ///
    /// Returns [`BrokenPipe`](io::ErrorKind::BrokenPipe) if the connection is ending or relays. If
    /// epoll_ctl(2) fails later, the connection ends with that error.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     cx.write(b"wait")?;
    ///     // Nothing more of this peer for now.
    ///     cx.set_interest(Interest::NONE)?;
    ///     cx.set_timer(Duration::from_millis(1));
    ///     Ok(Action::Keep)
    /// }
    ///
    /// fn on_timeout(&mut self, cx: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
    ///     cx.set_interest(Interest::READABLE)?;
    ///     # let _ = cx.read();
    ///     # return Ok(Action::Close);
    ///     Ok(Action::Keep)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "wait");
    /// ```
    #[inline]
    pub fn set_interest(&mut self, interest: Interest) -> io::Result<()> {
        self.again().change_interest(interest)
    }

    /// Does the work of [`EvContext::set_interest`].
    fn change_interest(self, interest: Interest) -> io::Result<()> {
        if self.connection.state() != State::Open {
            return Err(self.not_open_error());
        }
        // It sets DIRTY, so that `refresh` follows the callback.
        self.connection.set_interest(interest);
        Ok(())
    }

    /// Registers another descriptor with this poller: a pipe, an eventfd, a timerfd, or any socket.
    ///
    /// The descriptor is made non-blocking, and its `on_open` is called later in this turn. Other
    /// code may hold duplicates of it, so its close is a plain one: see [`EvContext::fd`].
    ///
    /// # Errors
    ///
    /// Returns the errors of epoll_ctl(2): `EPERM` for a regular file, for example. The handler is
    /// dropped then, and the descriptor closed. Returns
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the poller is ending.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     struct Bell;
    ///     impl EvHandler for Bell {
    ///         fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///             Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
    ///         }
    ///     }
    ///
    ///     let (reader, _writer) = io::pipe()?;
    ///     cx.register(reader.into(), Interest::READABLE, Bell)?;
    ///     cx.write(b"registered")?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "registered");
    /// ```
    pub fn register<H: EvHandler>(
        &mut self,
        fd: OwnedFd,
        interest: Interest,
        handler: H,
    ) -> io::Result<Token> {
        // Foreign: the caller may have duplicates, so that the close deregisters it first.
        registry::register_foreign(self.local, fd.into(), interest, Box::new(handler))
            .map_err(|failed| failed.error)
    }

    /// Ends a connection of this poller, or an attempt to connect, as [`Action::Close`] would. It
    /// may be this very connection. Returns `false` if it is gone or ending already.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     let me = cx.token();
    ///     assert!(cx.close(me));
    ///     // It is ending already.
    ///     assert!(!cx.close(me));
    ///     Ok(Action::Keep)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "");
    /// ```
    ///
    /// [`Action::Close`]: crate::Action::Close
    pub fn close(&mut self, other: Token) -> bool {
        if other == self.token() && calls::has_written(self.local, self.connection) {
            self.connection.set(Flags::WROTE_BEFORE_CLOSE);
        }
        request_close::token(self.local, other)
    }
}

/// Passes the interest of the connection on to epoll, if it has changed. If epoll_ctl(2) fails,
/// the connection ends with its error.
pub(crate) fn refresh(local: &Local, connection: &Connection) {
    connection.clear(Flags::DIRTY);
    // The registration of a closed connection ends with its descriptor, and one that closes at the
    // end of this turn waits for nothing before. If it has output left then, or lingers, it comes
    // here again.
    if matches!(connection.state(), State::Closing | State::Closed) {
        return;
    }
    let wanted = connection.wanted_mask();
    if connection.mask.get() == wanted {
        return;
    }
    let modified = connection.with_fd(|fd| local.epoll.modify(fd, connection.token(), wanted));
    match modified {
        Some(Err(error)) => {
            request_close::connection(local, connection, CloseReason::Error(error));
        }
        _ => connection.mask.set(wanted),
    }
}

//! What callbacks answer, why a connection ended, and the identity of a timer.
//!
//! These are small values of the callback API. They know no poller, so that `handler` and `context`
//! can both use them.

use std::{fmt, io};

use crate::base::token::Token;

/// The answer of a callback: what happens to its connection.
///
/// A callback returns it in an `io::Result`. An error ends the connection as well, with
/// [`CloseReason::Error`]; see [`EvHandler`](crate::EvHandler).
///
/// # Examples
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
/// # use example::*;
/// # struct Session;
/// # impl EvHandler for Session {
/// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
///     let data = cx.read()?;
///     cx.write(&data)?;
///     Ok(if data.is_empty() { Action::Keep } else { Action::Close })
/// }
/// # }
/// # assert_eq!(ask(Session, "hello"), "hello");
/// ```
#[must_use]
// As large as an error, so that a result of the two is returned in two registers: four instructions
// less for each callback than by memory.
#[repr(usize)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// The connection goes on.
    Keep,
    /// The connection ends. Nothing more is read, queued output is sent for at most
    /// [`Budget::close_linger`](crate::Budget::close_linger), and then
    /// [`EvHandler::on_close`](crate::EvHandler::on_close) is called with
    /// [`CloseReason::Requested`].
    Close,
}

/// The reason why a connection has ended, as [`EvHandler::on_close`](crate::EvHandler::on_close) is
/// told it.
///
/// # Examples
///
/// ```
/// use corepoll::{Action, CloseReason, EvContext, EvHandler};
/// use std::io;
///
/// struct Session;
///
/// impl EvHandler for Session {
///     fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
///         Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
///     }
///
///     fn on_close(&mut self, cx: &mut EvContext<'_>, reason: CloseReason) {
///         match reason {
///             CloseReason::Requested | CloseReason::PeerClosed | CloseReason::Shutdown => {}
///             other => eprintln!("{:?} has failed: {other}", cx.token()),
///         }
///     }
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum CloseReason {
    /// This side has asked for it, by [`Action::Close`],
    /// [`EvContext::close`](crate::EvContext::close),
    /// [`EvContext::release`](crate::EvContext::release) or
    /// [`Writer::close`](crate::Writer::close).
    Requested,
    /// The peer has hung up in both directions, while the handler kept the connection.
    PeerClosed,
    /// The connection has failed with this error, or a callback has returned it.
    Error(io::Error),
    /// A callback of the connection has panicked.
    Panic,
    /// More bytes of output were to be queued than
    /// [`Budget::output_per_connection`](crate::Budget::output_per_connection) allows, or more
    /// files than [`Budget::files_per_connection`](crate::Budget::files_per_connection).
    Overflow,
    /// The poller has ended. When the reactor shuts down, connections that are left at the end of
    /// the grace end so.
    Shutdown,
}

/// Writes the reason in a few words, as for a line in a log.
impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CloseReason::Requested => "closed by this side",
            CloseReason::PeerClosed => "closed by the peer",
            CloseReason::Error(error) => return error.fmt(f),
            CloseReason::Panic => "a callback has panicked",
            CloseReason::Overflow => "too much output is queued",
            CloseReason::Shutdown => "the poller has ended",
        })
    }
}

/// The identity of one timer of one connection.
///
/// [`EvContext::set_timer`](crate::EvContext::set_timer) and
/// [`EvContext::set_interval`](crate::EvContext::set_interval) return it, and
/// [`EvHandler::on_timeout`](crate::EvHandler::on_timeout) is told which timer is due. No two
/// timers of a poller have the same one, not even one after the other.
///
/// # Examples
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
/// # use example::*;
/// # #[derive(Default)]
/// struct Session {
///     answer: Option<TimerId>,
///     idle: Option<TimerId>,
/// }
///
/// # impl EvHandler for Session {
/// # fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
/// #     self.answer = Some(cx.set_timer(Duration::from_millis(1)));
/// #     self.idle = Some(cx.set_timer(Duration::from_secs(60)));
/// #     Ok(Action::Keep)
/// # }
/// # fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
/// #     cx.read().map(|_| Action::Keep)
/// # }
/// fn on_timeout(&mut self, cx: &mut EvContext<'_>, timer: TimerId) -> io::Result<Action> {
///     if self.answer == Some(timer) {
///         cx.write(b"answer")?;
///     }
///     Ok(Action::Close)
/// }
/// # }
/// # assert_eq!(ask(Session::default(), ""), "answer");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerId(pub(crate) Token);

impl TimerId {
    /// No timer: a value for the field of a handler that has not set its timer yet. A connection
    /// that has ended gets it instead of a new timer, as in
    /// [`on_close`](crate::EvHandler::on_close). It can be neither reset nor cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{Action, CloseReason, EvContext, EvHandler, TimerId};
    /// use std::{io, time::Duration};
    ///
    /// struct Session;
    ///
    /// impl EvHandler for Session {
    ///     fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
    ///         Ok(Action::Close)
    ///     }
    ///
    ///     fn on_close(&mut self, cx: &mut EvContext<'_>, _: CloseReason) {
    ///         // Too late.
    ///         assert_eq!(cx.set_timer(Duration::from_secs(1)), TimerId::NONE);
    ///     }
    /// }
    /// ```
    pub const NONE: TimerId = TimerId(Token::new(u32::MAX, u32::MAX));
}

impl fmt::Debug for TimerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == TimerId::NONE {
            return f.write_str("TimerId(none)");
        }
        f.debug_tuple("TimerId").field(&self.0).finish()
    }
}

//! What callbacks are given and give back.

use std::{fmt, io};

use crate::base::token::Token;

/// What becomes of a connection after a callback.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// It goes on.
    Keep,
    /// It ends: nothing more is read, queued output is flushed for at most `Budget::close_linger`,
    /// and then comes [`EvHandler::on_close`](crate::EvHandler::on_close).
    Close,
}

/// Why a connection has ended.
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
///             other => eprintln!("{:?} has failed: {other:?}", cx.token()),
///         }
///     }
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum CloseReason {
    /// We wanted it: [`Action::Close`], [`EvContext::close`](crate::EvContext::close) or
    /// `Writer::close`.
    Requested,
    /// The peer hung up in both directions, and the handler kept the connection.
    PeerClosed,
    /// The connection failed, or a callback returned this error.
    Error(io::Error),
    /// A callback panicked.
    Panic,
    /// More output was queued than `Budget::output_per_connection`, or more files than
    /// `Budget::files_per_connection`.
    Overflow,
    /// The poller has ended.
    Shutdown,
}

/// Names one timer of one connection.
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
    /// No timer: what a connection that has ended is given, as in
    /// [`on_close`](crate::EvHandler::on_close), where its timers are gone and no new one is armed.
    /// It can be neither reset nor cancelled.
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

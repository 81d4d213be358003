//! Time, as a callback asks for it.

use std::io;
use std::time::{Duration, Instant};

#[cfg(doc)]
use corepoll::EvContext;
use corepoll::{Deadlines, TimerId};

use crate::context::TlsContext;

impl TlsContext<'_, '_> {
    /// Gives this connection deadlines. See [`EvContext::set_deadlines`].
    ///
    /// # Errors
    ///
    /// Returns the errors of [`EvContext::set_deadlines`].
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl TlsHandler for Session {
    /// fn on_open(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     let idle = Some(Duration::from_secs(60));
    ///     cx.set_deadlines(Deadlines { idle, ..Deadlines::default() })?;
    ///     Ok(Action::Keep)
    /// }
    /// # fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    /// #     let data = cx.read()?;
    /// #     cx.write(&data)?;
    /// #     Ok(Action::Close)
    /// # }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "hello");
    /// ```
    pub fn set_deadlines(&mut self, deadlines: Deadlines) -> io::Result<()> {
        self.cx.set_deadlines(deadlines)
    }

    /// Has [`on_timeout`](crate::TlsHandler::on_timeout) called when `delay` has passed.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl TlsHandler for Session {
    /// fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     let _ = cx.read()?;
    ///     cx.set_timer(Duration::from_millis(1));
    ///     Ok(Action::Keep)
    /// }
    /// fn on_timeout(&mut self, cx: &mut TlsContext<'_, '_>, _: TimerId) -> io::Result<Action> {
    ///     cx.write(b"late")?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "late");
    /// ```
    pub fn set_timer(&mut self, delay: Duration) -> TimerId {
        self.cx.set_timer(delay)
    }

    /// Has [`on_timeout`](crate::TlsHandler::on_timeout) called again and again.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example/ask.rs")); }
    /// # use example::*;
    /// # struct Session(u32);
    /// # impl TlsHandler for Session {
    /// fn on_open(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     cx.set_interval(Duration::from_millis(1));
    ///     Ok(Action::Keep)
    /// }
    /// fn on_timeout(&mut self, cx: &mut TlsContext<'_, '_>, _: TimerId) -> io::Result<Action> {
    ///     cx.write(b"tick ")?;
    ///     self.0 += 1;
    ///     Ok(if self.0 < 3 { Action::Keep } else { Action::Close })
    /// }
    /// # fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    /// #     let _ = cx.read()?;
    /// #     Ok(Action::Keep)
    /// # }
    /// # }
    /// # assert_eq!(ask(Session(0), "hello"), "tick tick tick ");
    /// ```
    pub fn set_interval(&mut self, every: Duration) -> TimerId {
        self.cx.set_interval(every)
    }

    /// Makes `timer` due when `delay` from now has passed. See [`EvContext::reset_timer`].
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example/ask.rs")); }
    /// # use example::*;
    /// # struct Session(TimerId);
    /// # impl TlsHandler for Session {
    /// fn on_open(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     self.0 = cx.set_timer(Duration::from_secs(60));
    ///     Ok(Action::Keep)
    /// }
    /// fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     let _ = cx.read()?;
    ///     assert!(cx.reset_timer(self.0, Duration::from_millis(1)));
    ///     Ok(Action::Keep)
    /// }
    /// fn on_timeout(&mut self, cx: &mut TlsContext<'_, '_>, _: TimerId) -> io::Result<Action> {
    ///     cx.write(b"silence")?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session(TimerId::NONE), "hello"), "silence");
    /// ```
    pub fn reset_timer(&mut self, timer: TimerId, delay: Duration) -> bool {
        self.cx.reset_timer(timer, delay)
    }

    /// Cancels `timer`. See [`EvContext::cancel_timer`].
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example/ask.rs")); }
    /// # use example::*;
    /// # struct Session(TimerId);
    /// # impl TlsHandler for Session {
    /// fn on_open(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     self.0 = cx.set_timer(Duration::from_secs(60));
    ///     Ok(Action::Keep)
    /// }
    /// fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     let data = cx.read()?;
    ///     assert!(cx.cancel_timer(self.0));
    ///     assert!(!cx.cancel_timer(self.0));
    ///     cx.write(&data)?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session(TimerId::NONE), "hello"), "hello");
    /// ```
    pub fn cancel_timer(&mut self, timer: TimerId) -> bool {
        self.cx.cancel_timer(timer)
    }

    /// Returns the time of this turn of the poller.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example/ask.rs")); }
    /// # use example::*;
    /// # struct Session(Option<std::time::Instant>);
    /// # impl TlsHandler for Session {
    /// fn on_open(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     self.0 = Some(cx.now());
    ///     Ok(Action::Keep)
    /// }
    /// fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     let data = cx.read()?;
    ///     let waited = self.0.map(|opened| cx.now() - opened);
    ///     assert!(waited < Some(Duration::from_secs(60)));
    ///     cx.write(&data)?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session(None), "hello"), "hello");
    /// ```
    pub fn now(&self) -> Instant {
        self.cx.now()
    }
}

//! `Notifier`: a call of `on_notify` from any thread.
//!
//! It is what a [`Writer`](crate::Writer) has without the queue: the notification alone. A handler
//! that shares a value of its own with other threads learns from it when to look.

use std::{fmt, io};

use crate::base::token::Token;
use crate::connection::call;
use crate::local::context::EvContext;
use crate::local::errors::poller_ended;
use crate::local::registry;
use crate::local::state::Local;
use crate::task::{Notification, OnNotify};

/// A handle that has the poller call [`EvHandler::on_notify`](crate::EvHandler::on_notify) of one
/// connection, from any thread. Clones notify the same connection.
///
/// It is for a handler that takes work from other threads: they put it where both reach it, behind
/// a lock or in a channel, and notify. If the work is bytes to send, [`Writer`](crate::Writer) is
/// the shorter way. [`EvContext::notifier`] makes one.
///
/// # Examples
///
/// ```
/// use corepoll::{Acceptor, Action, EvContext, EvHandler, Reactor};
/// use std::io::{self, Read};
/// use std::sync::mpsc;
/// use std::thread;
///
/// #[derive(Default)]
/// struct Session {
///     results: Option<mpsc::Receiver<u64>>,
/// }
///
/// impl EvHandler for Session {
///     fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
///         let (sender, receiver) = mpsc::channel();
///         self.results = Some(receiver);
///         let notifier = cx.notifier();
///         thread::spawn(move || {
///             if sender.send((1..=10).product()).is_ok() {
///                 // An error says that the poller is gone.
///                 let _ = notifier.notify();
///             }
///         });
///         Ok(Action::Keep)
///     }
///     fn on_notify(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
///         for result in self.results.iter().flat_map(|results| results.try_iter()) {
///             cx.write(result.to_string().as_bytes())?;
///         }
///         Ok(Action::Close)
///     }
///     fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
///         Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
///     }
/// }
///
/// # fn main() -> io::Result<()> {
/// let reactor = Reactor::builder().pollers(1).build()?;
/// let listening = Acceptor::new("127.0.0.1:0").listen(&reactor.handle(), Session::default)?;
/// let running = reactor.start()?;
///
/// let mut client = std::net::TcpStream::connect(listening.local_addr()?)?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer)?;
/// assert_eq!(answer, "3628800");
/// # running.handle().shutdown(std::time::Duration::ZERO);
/// # running.join()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Notifier {
    /// The notification, which goes to the poller's mailbox.
    notification: Notification<Target>,
}

/// The connection whose handler is called.
struct Target {
    /// Its token, by which the poller looks it up. One that has ended is not found.
    token: Token,
}

impl EvContext<'_> {
    /// Returns a [`Notifier`], which has [`on_notify`](crate::EvHandler::on_notify) of this
    /// connection called, from any thread.
    ///
    /// Each call makes a new one, which is an allocation: a handler that notifies often keeps it,
    /// or clones it.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     let _question = cx.read()?;
    ///     let notifier = cx.notifier();
    ///     std::thread::spawn(move || notifier.notify());
    ///     Ok(Action::Keep)
    /// }
    ///
    /// fn on_notify(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     cx.write(b"notified")?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "notified");
    /// ```
    pub fn notifier(&self) -> Notifier {
        let target = Target { token: self.connection.token() };
        let home = self.local.handle.executor();
        Notifier { notification: Notification::new(home.clone(), target) }
    }
}

impl Notifier {
    /// Has the poller call [`on_notify`](crate::EvHandler::on_notify) on its thread, outside of
    /// every callback. It never blocks and never allocates.
    ///
    /// One call of `on_notify` answers all calls of this method that came before it, and sees what
    /// was done before each of them. A connection that is ending, or that a stream has taken, is
    /// not called any more.
    ///
    /// # Errors
    ///
    /// Returns [`NotConnected`](io::ErrorKind::NotConnected) if the poller has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     let _question = cx.read()?;
    ///     // In a callback: the call comes when this one has returned.
    ///     let notifier = cx.notifier();
    ///     notifier.notify()?;
    ///     notifier.notify()?;
    ///     Ok(Action::Keep)
    /// }
    ///
    /// fn on_notify(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     cx.write(b"once")?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "once");
    /// ```
    pub fn notify(&self) -> io::Result<()> {
        if self.notification.post() { Ok(()) } else { Err(poller_ended()) }
    }
}

impl OnNotify for Target {
    fn on_notify(&self) {
        // The notification comes by the mail of the connection's own poller. A token that has
        // become stale finds nothing: the connection has ended.
        let Some(local) = Local::current() else { return };
        if let Some(connection) = registry::connection(&local, self.token) {
            call::if_open_or_relaying(&local, connection, |handler, cx| handler.on_notify(cx));
        }
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier").field("token", &self.notification.token).finish()
    }
}

const _: () = {
    const fn send_and_sync<T: Send + Sync + Clone>() {}
    send_and_sync::<Notifier>();
};

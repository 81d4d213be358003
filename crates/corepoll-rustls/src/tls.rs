//! `Tls`: the handler of the plain connection, with the user's handler inside.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use corepoll::{Action, CloseReason, EvContext, EvHandler, TimerId};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};

use crate::callbacks::{finish, keep_if_blocked, pump, read_record, shake_hands};
use crate::context::TlsContext;
use crate::failure::Failure;
use crate::handler::TlsHandler;
use crate::input::Input;
use crate::server_name;
use crate::session::{Session, Side, Stage};
use crate::writer::WriterEnd;

/// How long a handshake may take, unless [`TlsOptions::handshake_timeout`] says otherwise.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The settings of TLS connections that rustls' configurations don't have.
///
/// # Examples
///
/// ```
/// use corepoll_rustls::TlsOptions;
/// use std::time::Duration;
///
/// let options = TlsOptions::new().handshake_timeout(Duration::from_secs(3));
/// # let _ = options;
/// ```
#[derive(Debug, Clone)]
#[must_use = "options do nothing until a server or a client is made of them"]
pub struct TlsOptions {
    /// How long a handshake may take.
    handshake_timeout: Duration,
}

impl Default for TlsOptions {
    fn default() -> TlsOptions {
        TlsOptions { handshake_timeout: HANDSHAKE_TIMEOUT }
    }
}

impl TlsOptions {
    /// Returns the default settings.
    pub fn new() -> TlsOptions {
        TlsOptions::default()
    }

    /// Sets how long a handshake may take, from the TCP connection to its end. The default is ten
    /// seconds.
    pub fn handshake_timeout(mut self, limit: Duration) -> TlsOptions {
        self.handshake_timeout = limit;
        self
    }

    /// Returns a factory as [`Tls::server`] does, with these settings.
    pub fn server<H: TlsHandler>(
        self,
        config: Arc<ServerConfig>,
        factory: impl Fn() -> H + Send + Sync + 'static,
    ) -> impl Fn() -> Tls<H> + Send + Sync + 'static {
        let mut config = Arc::unwrap_or_clone(config);
        // Early data can be replayed by anyone who has seen it: a handler would have to know.
        config.max_early_data_size = 0;
        server_name::noting(&mut config);
        let config = Arc::new(config);
        move || Tls::new(Side::Server(config.clone()), self.handshake_timeout, factory())
    }

    /// Returns a handler as [`Tls::client`] does, with these settings.
    pub fn client<H: TlsHandler>(
        self,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        handler: H,
    ) -> Tls<H> {
        Tls::new(Side::Client(config, name), self.handshake_timeout, handler)
    }
}

/// A plain connection's handler that shakes hands, and calls a [`TlsHandler`] with plaintext.
///
/// It is given to [`Acceptor::listen`](corepoll::Acceptor::listen), to
/// [`EvContext::connect`] and to [`Connector::connect`](corepoll::Connector::connect) as every
/// handler is.
pub struct Tls<H> {
    /// What the connection is to be made of; `None` once it is made.
    side: Option<Side>,
    /// How long the handshake may take.
    handshake_timeout: Duration,
    /// The connection; `None` before it is opened.
    session: Option<Box<Session>>,
    /// The user's handler.
    handler: H,
}

impl<H: TlsHandler> Tls<H> {
    /// Returns a factory for [`Acceptor::listen`](corepoll::Acceptor::listen), whose handlers serve
    /// TLS by `config`. Early data is switched off.
    ///
    /// # Examples
    ///
    /// See [`TlsHandler`].
    pub fn server(
        config: Arc<ServerConfig>,
        factory: impl Fn() -> H + Send + Sync + 'static,
    ) -> impl Fn() -> Tls<H> + Send + Sync + 'static {
        TlsOptions::new().server(config, factory)
    }

    /// Returns a handler for a connection to a server that proves to be `name`.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{Action, Connector, Reactor};
    /// use corepoll_rustls::{Tls, TlsContext, TlsHandler};
    /// use rustls::pki_types::ServerName;
    /// use std::io;
    /// use std::sync::Arc;
    ///
    /// struct Get;
    ///
    /// impl TlsHandler for Get {
    ///     fn on_open(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///         cx.write(b"GET / HTTP/1.0\r\nHost: example.org\r\n\r\n")?;
    ///         Ok(Action::Keep)
    ///     }
    ///     fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///         let data = cx.read()?;
    ///         print!("{}", String::from_utf8_lossy(&data));
    ///         Ok(if data.is_empty() { Action::Close } else { Action::Keep })
    ///     }
    /// }
    ///
    /// # fn main() -> io::Result<()> {
    /// # let provider = rustls::crypto::ring::default_provider();
    /// # let config = rustls::ClientConfig::builder_with_provider(provider.into())
    /// #     .with_safe_default_protocol_versions()
    /// #     .unwrap()
    /// #     .with_root_certificates(rustls::RootCertStore::empty())
    /// #     .with_no_client_auth();
    /// # let reactor = Reactor::builder().pollers(1).build()?;
    /// let config = Arc::new(config);
    /// let name = ServerName::try_from("example.org").unwrap();
    /// Connector::new(&reactor.handle())
    ///     .connect("127.0.0.1:443", move || Tls::client(config, name, Get))?;
    /// # reactor.handle().shutdown(std::time::Duration::ZERO);
    /// reactor.run()
    /// # }
    /// ```
    pub fn client(config: Arc<ClientConfig>, name: ServerName<'static>, handler: H) -> Tls<H> {
        TlsOptions::new().client(config, name, handler)
    }

    /// Makes the handler of a connection that is not open yet.
    fn new(side: Side, handshake_timeout: Duration, handler: H) -> Tls<H> {
        Tls { side: Some(side), handshake_timeout, session: None, handler }
    }

    /// Calls `work` with the context of TLS, and sends at the end what it has left to be sent.
    fn call<'b>(
        &mut self,
        cx: &mut EvContext<'b>,
        work: impl FnOnce(&mut H, &mut TlsContext<'_, 'b>) -> io::Result<Action>,
    ) -> io::Result<Action> {
        let Some(session) = &mut self.session else { return Ok(Action::Keep) };
        let mut input = Input::default();
        let mut output = session.scratch.take_output();
        let mut cx =
            TlsContext { cx, session: &mut *session, input: &mut input, output: &mut output };
        let result = work(&mut self.handler, &mut cx);
        let result = finish(&mut cx, result);
        session.scratch.keep_output(output);
        result
    }

    /// As `call`, for callbacks that come between the handshake and the end.
    fn call_open<'b>(
        &mut self,
        cx: &mut EvContext<'b>,
        work: impl FnOnce(&mut H, &mut TlsContext<'_, 'b>) -> io::Result<Action>,
    ) -> io::Result<Action> {
        match &self.session {
            Some(session) if session.stage == Stage::Open => self.call(cx, work),
            _ => Ok(Action::Keep),
        }
    }
}

impl<H: TlsHandler> EvHandler for Tls<H> {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let Some(side) = self.side.take() else { return Ok(Action::Keep) };
        let mut session = Box::new(Session::new(side)?);
        session.handshake_timer = cx.set_timer(self.handshake_timeout);
        self.session = Some(session);
        self.call(cx, |_, cx| {
            cx.session.begin(cx.output)?;
            Ok(Action::Keep)
        })
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let Some(session) = &mut self.session else { return Ok(Action::Keep) };
        if !session.awaits_record() {
            return self.call(cx, |handler, cx| match cx.session.stage {
                Stage::Handshaking => shake_hands(handler, cx),
                _ => pump(handler, cx, true),
            });
        }
        let mut input = Input::default();
        let mut output = session.scratch.take_output();
        let mut cx =
            TlsContext { cx, session: &mut *session, input: &mut input, output: &mut output };
        let result = read_record(&mut self.handler, &mut cx);
        session.scratch.keep_output(output);
        result
    }

    fn on_write(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.call_open(cx, |handler, cx| handler.on_write(cx))
    }

    fn on_write_high(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.call_open(cx, |handler, cx| handler.on_write_high(cx))
    }

    fn on_write_low(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.call_open(cx, |handler, cx| handler.on_write_low(cx))
    }

    fn on_timeout(&mut self, cx: &mut EvContext<'_>, timer: TimerId) -> io::Result<Action> {
        let limit = self.handshake_timeout;
        self.call(cx, |handler, cx| match cx.session.stage {
            Stage::Handshaking if timer == cx.session.handshake_timer => {
                Err(cx.session.fail(Failure::HandshakeTimeout(limit)))
            }
            Stage::Open => handler.on_timeout(cx, timer),
            _ => Ok(Action::Keep),
        })
    }

    fn on_notify(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.call_open(cx, |handler, cx| {
            if cx.session.writer.as_ref().is_some_and(WriterEnd::has_something) {
                cx.drain_writers(false)?;
            }
            match keep_if_blocked(handler.on_notify(cx))? {
                Action::Keep => pump(handler, cx, false),
                Action::Close => Ok(Action::Close),
            }
        })
    }

    fn on_shutdown(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        match &self.session {
            Some(session) if session.stage == Stage::Open => {
                self.call(cx, |handler, cx| handler.on_shutdown(cx))
            }
            _ => Ok(Action::Close),
        }
    }

    fn on_connect_fail(&mut self, error: io::Error) {
        self.handler.on_connect_fail(error);
    }

    fn on_close(&mut self, cx: &mut EvContext<'_>, reason: CloseReason) {
        let Some(session) = &mut self.session else {
            return self.handler.on_handshake_fail(cx, reason);
        };
        let was_open = session.is_opened;
        session.stage = Stage::Closing;
        session.writer = None;
        let reason = session.failure.take().map_or(reason, Failure::into_reason);
        if !was_open {
            return self.handler.on_handshake_fail(cx, reason);
        }
        let mut input = Input::default();
        let mut output = session.scratch.take_output();
        let mut cx =
            TlsContext { cx, session: &mut *session, input: &mut input, output: &mut output };
        self.handler.on_close(&mut cx, reason);
        session.scratch.keep_output(output);
    }
}

impl<H> fmt::Debug for Tls<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = self.session.as_ref().map(|session| session.stage);
        f.debug_struct("Tls").field("stage", &stage).finish_non_exhaustive()
    }
}

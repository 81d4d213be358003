//! `TlsHandler`: the trait that users implement.

use std::io;

use corepoll::{Action, CloseReason, EvContext, TimerId};

use crate::context::TlsContext;

/// The callbacks of one TLS connection: [`EvHandler`](corepoll::EvHandler) over plaintext.
///
/// The callbacks, their order and their defaults are those of `EvHandler`, with two differences.
/// [`on_open`](TlsHandler::on_open) comes when the handshake is done. A connection that ends before
/// that is told by [`on_handshake_fail`](TlsHandler::on_handshake_fail) alone. So each `on_open`
/// has exactly one [`on_close`](TlsHandler::on_close), and without the one the other never comes.
///
/// # Errors and panics
///
/// An error that a callback returns ends the connection, and so does a panic; other connections go
/// on. [`WouldBlock`](io::ErrorKind::WouldBlock) means [`Action::Keep`]. After an error or a panic
/// no close_notify is sent: the peer learns that data is missing.
///
/// # Examples
///
/// ```
/// use corepoll::{Acceptor, Action, Reactor};
/// use corepoll_rustls::{Tls, TlsContext, TlsHandler};
/// use std::io;
/// use std::sync::Arc;
///
/// struct Echo;
///
/// impl TlsHandler for Echo {
///     fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
///         let data = cx.read()?;
///         if data.is_empty() {
///             return Ok(Action::Close); // the peer's close_notify
///         }
///         cx.write(&data)?;
///         Ok(Action::Keep)
///     }
/// }
///
/// # fn config() -> rustls::ServerConfig {
/// #     let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
/// #     let private = rustls::pki_types::PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
/// #     let provider = rustls::crypto::ring::default_provider();
/// #     rustls::ServerConfig::builder_with_provider(provider.into())
/// #         .with_safe_default_protocol_versions()
/// #         .unwrap()
/// #         .with_no_client_auth()
/// #         .with_single_cert(vec![key.cert.der().clone()], private.into())
/// #         .unwrap()
/// # }
/// # fn main() -> io::Result<()> {
/// let reactor = Reactor::builder().pollers(1).build()?;
/// let factory = Tls::server(Arc::new(config()), || Echo);
/// Acceptor::new("127.0.0.1:0").listen(&reactor.handle(), factory)?;
/// # reactor.handle().shutdown(std::time::Duration::ZERO);
/// reactor.run()
/// # }
/// ```
pub trait TlsHandler: 'static {
    /// Called first, when the handshake is done.
    ///
    /// By default it keeps the connection.
    fn on_open(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        let _ = cx;
        Ok(Action::Keep)
    }

    /// Called when there is plaintext to read, or the end of it.
    ///
    /// It is called again, in the next turn at the latest, for as long as there is something to
    /// read and the handler is interested. After the end has been read it is not called again, and
    /// the handler may still write.
    fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action>;

    /// Called when all queued output is in the kernel. With
    /// [`Interest::WRITABLE`](corepoll::Interest::WRITABLE) it is called whenever there is room.
    ///
    /// By default it keeps the connection.
    fn on_write(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        let _ = cx;
        Ok(Action::Keep)
    }

    /// Called when queued output has passed the high watermark. See
    /// [`TlsContext::set_watermarks`].
    ///
    /// By default it keeps the connection.
    fn on_write_high(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        let _ = cx;
        Ok(Action::Keep)
    }

    /// Called when queued output has gone down to the low watermark, after it had passed the high
    /// one.
    ///
    /// By default it keeps the connection.
    fn on_write_low(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        let _ = cx;
        Ok(Action::Keep)
    }

    /// Called when a timer of this connection is due.
    ///
    /// By default it keeps the connection.
    fn on_timeout(&mut self, cx: &mut TlsContext<'_, '_>, timer: TimerId) -> io::Result<Action> {
        let _ = (cx, timer);
        Ok(Action::Keep)
    }

    /// Called after a [`Notifier`](corepoll::Notifier) of [`TlsContext::notifier`] was used. It may
    /// also be called without that.
    ///
    /// By default it keeps the connection.
    fn on_notify(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        let _ = cx;
        Ok(Action::Keep)
    }

    /// Called when the shutdown of the reactor has been requested. A connection whose handshake is
    /// under way ends then, without this call.
    ///
    /// By default it closes the connection, with a close_notify.
    fn on_shutdown(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        let _ = cx;
        Ok(Action::Close)
    }

    /// Called when the TCP connection could not be made. No other callback of this handler is
    /// called. `error` names the address.
    fn on_connect_fail(&mut self, error: io::Error) {
        let _ = error;
    }

    /// Called when the connection has ended before its handshake was done. No other callback of
    /// this handler is called.
    ///
    /// The reason is [`CloseReason::Error`] with an error of rustls for a peer that is refused or
    /// that refuses this side, with [`TimedOut`](io::ErrorKind::TimedOut) for one that has stalled,
    /// and with [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) for one that has gone. `cx` is that
    /// of the plain connection, which is closed: it has the addresses.
    fn on_handshake_fail(&mut self, cx: &mut EvContext<'_>, reason: CloseReason) {
        let _ = (cx, reason);
    }

    /// Called last, when the connection ends, exactly once for each `on_open`.
    ///
    /// The reasons are those of [`EvHandler::on_close`](corepoll::EvHandler::on_close). A TCP
    /// connection that the peer has closed without a close_notify ends with
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof), and a record that can't be decrypted with
    /// an error of rustls. Nothing can be written any more.
    fn on_close(&mut self, cx: &mut TlsContext<'_, '_>, reason: CloseReason) {
        let _ = (cx, reason);
    }
}

//! What the two sides of a connection have agreed on.

use rustls::pki_types::CertificateDer;
use rustls::{HandshakeKind, ProtocolVersion, SupportedCipherSuite};

use crate::context::TlsContext;

impl TlsContext<'_, '_> {
    /// Returns the protocol that was agreed on by ALPN.
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
    ///     let protocol = cx.alpn_protocol().unwrap_or(b"none").to_vec();
    ///     cx.write(&protocol)?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "greeting/1");
    /// ```
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.session.engine.state().alpn_protocol()
    }

    /// Returns the name that the client has asked for (SNI). On a client it is `None`.
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
    ///     let text = format!("this is {}", cx.server_name().unwrap_or("the default"));
    ///     cx.write(text.as_bytes())?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "this is localhost");
    /// ```
    pub fn server_name(&self) -> Option<&str> {
        self.session.server_name.as_deref()
    }

    /// Returns the certificates of the peer, its own first.
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
    ///     let count = cx.peer_certificates().map_or(0, <[_]>::len);
    ///     cx.write(format!("{count} certificates").as_bytes())?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "0 certificates");
    /// ```
    pub fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.session.engine.state().peer_certificates()
    }

    /// Returns the version of TLS.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl TlsHandler for Session {
    /// fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     let data = cx.read()?;
    ///     assert_eq!(cx.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    ///     cx.write(&data)?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "hello");
    /// ```
    pub fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.session.engine.state().protocol_version()
    }

    /// Returns the cipher suite.
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
    ///     let suite = cx.negotiated_cipher_suite().map(|suite| suite.suite());
    ///     assert!(suite.is_some_and(|suite| format!("{suite:?}").starts_with("TLS13_")));
    ///     cx.write(b"modern")?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "modern");
    /// ```
    pub fn negotiated_cipher_suite(&self) -> Option<SupportedCipherSuite> {
        self.session.engine.state().negotiated_cipher_suite()
    }

    /// Returns which kind of handshake it was: a full one, or the resumption of a session.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl TlsHandler for Session {
    /// fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     let data = cx.read()?;
    ///     // There was no session to be resumed.
    ///     assert_eq!(cx.handshake_kind(), Some(rustls::HandshakeKind::Full));
    ///     cx.write(&data)?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "hello");
    /// ```
    pub fn handshake_kind(&self) -> Option<HandshakeKind> {
        self.session.engine.state().handshake_kind()
    }
}

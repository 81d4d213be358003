//! The name that a client asks for (SNI).
//!
//! rustls' unbuffered connections don't tell it. The resolver of certificates is told, in the call
//! that processes the ClientHello. So a resolver around the program's own notes the name for the
//! thread, and the connection takes it right after that call.

use std::cell::Cell;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

thread_local! {
    /// The name in the ClientHello that was processed last.
    static LAST: Cell<Option<Box<str>>> = const { Cell::new(None) };
}

/// Resolves certificates as `inner` does, and notes the name.
#[derive(Debug)]
struct NoteName {
    /// The program's resolver.
    inner: Arc<dyn ResolvesServerCert>,
}

impl ResolvesServerCert for NoteName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        LAST.set(hello.server_name().map(Box::from));
        self.inner.resolve(hello)
    }

    fn only_raw_public_keys(&self) -> bool {
        self.inner.only_raw_public_keys()
    }
}

/// Puts a resolver into `config` that notes the name.
pub(crate) fn noting(config: &mut ServerConfig) {
    config.cert_resolver = Arc::new(NoteName { inner: config.cert_resolver.clone() });
}

/// Takes the name of the ClientHello that was processed last.
pub(crate) fn take() -> Option<Box<str>> {
    LAST.take()
}

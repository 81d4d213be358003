//! The two ends of TLS: one certificate for a key that anyone can read here.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::args::Error;

/// The name in the certificate.
pub(super) const NAME: &str = "localhost";

/// How PKCS #8 begins for an Ed25519 key (RFC 8410). The 32 bytes of the key follow.
const PKCS8: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// The key: it keeps no secret, and server and load make it without exchanging a file.
fn key() -> Result<(KeyPair, PrivatePkcs8KeyDer<'static>), Error> {
    let der = PrivatePkcs8KeyDer::from([PKCS8, &[7; 32]].concat());
    Ok((KeyPair::try_from(&der)?, der))
}

/// A configuration that presents the certificate.
pub(super) fn server() -> Result<Arc<ServerConfig>, Error> {
    let (pair, der) = key()?;
    let certificate = CertificateParams::new(vec![NAME.to_owned()])?.self_signed(&pair)?;
    let config = ServerConfig::builder().with_no_client_auth();
    let der = PrivateKeyDer::Pkcs8(der);
    Ok(Arc::new(config.with_single_cert(vec![certificate.der().clone()], der)?))
}

/// A configuration that trusts the certificate, and nothing else.
pub(super) fn client() -> Result<Arc<ClientConfig>, Error> {
    let (pair, _) = key()?;
    let certificate = CertificateParams::new(vec![NAME.to_owned()])?.self_signed(&pair)?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone())?;
    Ok(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}

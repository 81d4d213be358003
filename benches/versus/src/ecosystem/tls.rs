//! A certificate for a key that anyone can read here.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::args::Error;

/// The name in the certificate.
pub const NAME: &str = "localhost";

/// How PKCS #8 begins for an Ed25519 key (RFC 8410). The 32 bytes of the key follow.
const PKCS8: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// The key: it keeps no secret.
fn key() -> Result<(KeyPair, PrivatePkcs8KeyDer<'static>), Error> {
    let der = PrivatePkcs8KeyDer::from([PKCS8, &[7; 32]].concat());
    Ok((KeyPair::try_from(&der)?, der))
}

/// Returns the certificate, which is signed by itself.
pub fn certificate() -> Result<CertificateDer<'static>, Error> {
    let (pair, _) = key()?;
    Ok(CertificateParams::new(vec![NAME.to_owned()])?.self_signed(&pair)?.der().clone())
}

/// A configuration that presents the certificate.
pub(super) fn server() -> Result<Arc<ServerConfig>, Error> {
    let (_, der) = key()?;
    let config = ServerConfig::builder().with_no_client_auth();
    Ok(Arc::new(config.with_single_cert(vec![certificate()?], PrivateKeyDer::Pkcs8(der))?))
}

//! Certificates of a test's own, for rustls and for programs.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::Folder;

/// An authority that no other trusts, and a certificate for `localhost` and 127.0.0.1 that it has signed.
/// The same are in files, in the form of PEM.
#[derive(Debug)]
pub struct Certificates {
    /// The authority's certificate.
    authority: CertificateDer<'static>,
    /// The server's certificate.
    certificate: CertificateDer<'static>,
    /// The server's key.
    key: Vec<u8>,
    /// What the files are in.
    folder: Folder,
}

impl Certificates {
    /// Makes an authority and a certificate.
    pub fn new() -> Certificates {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // A name of its own: what signs for one authority is not mistaken for another.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("authority {} of a test", COUNT.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let authority_key = KeyPair::generate().expect("a key");
        let authority = params.self_signed(&authority_key).expect("a certificate");
        let issuer = Issuer::new(params, authority_key);

        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("two names");
        params.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");

        let folder = Folder::new();
        folder.write("authority.pem", authority.pem());
        folder.write("certificate.pem", certificate.pem());
        folder.write("key.pem", key.serialize_pem());
        Certificates {
            authority: authority.der().clone(),
            certificate: certificate.der().clone(),
            key: key.serialize_der(),
            folder,
        }
    }

    /// Returns the file with the authority's certificate.
    pub fn authority_file(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// Returns the file with the server's certificate.
    pub fn certificate_file(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    /// Returns the file with the server's key.
    pub fn key_file(&self) -> PathBuf {
        self.folder.join("key.pem")
    }

    /// Returns a server's configuration that offers `protocols` by ALPN.
    pub fn server(&self, protocols: &[&str]) -> Arc<ServerConfig> {
        let mut config = self.server_with(WebPkiClientVerifier::no_client_auth());
        config.alpn_protocols = alpn(protocols);
        Arc::new(config)
    }

    /// Returns a server's configuration that asks for a certificate which this authority has signed.
    pub fn server_that_asks(&self) -> Arc<ServerConfig> {
        let roots = Arc::new(self.roots());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
        Arc::new(self.server_with(verifier.expect("an authority")))
    }

    fn server_with(&self, verifier: Arc<dyn ClientCertVerifier>) -> ServerConfig {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.clone()));
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the versions of ring")
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![self.certificate.clone()], key);
        config.expect("a key that fits its certificate")
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).expect("a certificate");
        roots
    }

    /// Returns a client's configuration that trusts this authority alone and offers `protocols` by ALPN.
    pub fn client(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the versions of ring")
            .with_root_certificates(self.roots())
            .with_no_client_auth();
        config.alpn_protocols = alpn(protocols);
        Arc::new(config)
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Certificates::new()
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn alpn(protocols: &[&str]) -> Vec<Vec<u8>> {
    protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect()
}

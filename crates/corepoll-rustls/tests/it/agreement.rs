use std::io::Read;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::server::ResolvesServerCertUsingSni;
use rustls::sign::CertifiedKey;

use crate::common::{Identity, Server, VERSIONS, connect, exchange, finish, next};

#[test]
fn both_versions_echo() {
    let identity = Identity::new("localhost");
    let (server, heard) = Server::echo(identity.server());
    for (version, told) in VERSIONS.into_iter().zip(["TLSv1_2", "TLSv1_3"]) {
        let mut client = connect(server.addr, Arc::new(identity.client(&[version])), "localhost");
        assert_eq!(exchange(&mut client, b"hello"), b"hello");
        assert_eq!(exchange(&mut client, &[7; 100_000]), [7; 100_000]);
        finish(&mut client);
        assert_eq!(client.read(&mut [0; 9]).expect("a close_notify comes"), 0);
        assert_eq!(next(&heard), format!("open localhost - 0 {told} Full"));
        assert_eq!(next(&heard), "closed Requested");
    }
}

#[test]
fn a_protocol_is_agreed_on_or_refused() {
    let identity = Identity::new("localhost");
    let mut config = identity.server();
    config.alpn_protocols = vec![b"h2".to_vec(), b"echo/1".to_vec()];
    let (server, heard) = Server::echo(config);
    for version in VERSIONS {
        let mut config = identity.client(&[version]);
        config.alpn_protocols = vec![b"echo/1".to_vec()];
        let mut client = connect(server.addr, Arc::new(config.clone()), "localhost");
        exchange(&mut client, b"hello");
        assert_eq!(client.conn.alpn_protocol(), Some(&b"echo/1"[..]));
        assert!(next(&heard).starts_with("open localhost echo/1 "));
        finish(&mut client);
        assert_eq!(next(&heard), "closed Requested");

        config.alpn_protocols = vec![b"gopher".to_vec()];
        let mut client = connect(server.addr, Arc::new(config), "localhost");
        let error = client.read(&mut [0; 9]).expect_err("there is no common protocol");
        assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
        assert!(next(&heard).starts_with("failed InvalidData"));
    }
}

#[test]
fn the_name_asked_for_chooses_the_certificate() {
    let identities = [Identity::new("one.example"), Identity::new("two.example")];
    let mut resolver = ResolvesServerCertUsingSni::new();
    for (identity, name) in identities.iter().zip(["one.example", "two.example"]) {
        let key = rustls::crypto::ring::sign::any_supported_type(&identity.key()).expect("a key");
        let certificate: CertificateDer<'static> = identity.certificate.clone();
        resolver.add(name, CertifiedKey::new(vec![certificate], key)).expect("it is for the name");
    }
    let mut config = identities[0].server();
    config.cert_resolver = Arc::new(resolver);
    let (server, heard) = Server::echo(config);
    for (identity, name) in identities.iter().zip(["one.example", "two.example"]) {
        let config = Arc::new(identity.client(&VERSIONS));
        let mut client = connect(server.addr, config, name);
        exchange(&mut client, b"hello");
        let certificates = client.conn.peer_certificates().expect("the server has one");
        assert_eq!(certificates[0], identity.certificate);
        assert!(next(&heard).starts_with(&format!("open {name} ")));
        finish(&mut client);
        assert_eq!(next(&heard), "closed Requested");
    }
    let config = Arc::new(identities[0].client(&VERSIONS));
    let mut client = connect(server.addr, config, "three.example");
    assert!(client.read(&mut [0; 9]).is_err());
    assert!(next(&heard).starts_with("failed InvalidData"));
}

#[test]
fn client_certificates_are_asked_for_and_judged() {
    let [identity, known, stranger] = ["localhost", "known", "stranger"].map(Identity::new);
    let (server, heard) = Server::echo(identity.server_that_asks(&known));
    for version in VERSIONS {
        let config = Arc::new(identity.client_with(&known, version));
        let mut client = connect(server.addr, config, "localhost");
        exchange(&mut client, b"hello");
        assert!(next(&heard).starts_with("open localhost - 1 "));
        finish(&mut client);
        assert_eq!(next(&heard), "closed Requested");

        for config in [identity.client_with(&stranger, version), identity.client(&[version])] {
            let mut client = connect(server.addr, Arc::new(config), "localhost");
            let error = client.read(&mut [0; 9]).expect_err("it is refused");
            assert!(error.to_string().contains("received fatal alert"), "{error}");
            assert!(next(&heard).starts_with("failed InvalidData"));
        }
    }
}

#[test]
fn a_second_session_is_resumed() {
    let identity = Identity::new("localhost");
    let (server, heard) = Server::echo(identity.server());
    for version in VERSIONS {
        let config = Arc::new(identity.client(&[version]));
        for kind in ["Full", "Resumed"] {
            let mut client = connect(server.addr, config.clone(), "localhost");
            // The tickets of TLS 1.3 come with the answer.
            exchange(&mut client, b"hello");
            finish(&mut client);
            let told = next(&heard);
            assert!(told.starts_with("open localhost") && told.ends_with(kind), "{told}");
            assert_eq!(next(&heard), "closed Requested");
        }
    }
}

//! The example `https`, by a blocking client of rustls. tests/interop asks it by curl and h2load.

use std::fs;
use std::io::{Read, Write};

use futures_rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::support::{Server, ask, body, command, status};
use crate::tls::{client, client_that_trusts};

/// The beginning of what a client of HTTP/2 sends, with its SETTINGS.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[test]
fn http1_is_spoken_where_nothing_else_is_offered() {
    let server = Server::start("https", &[]);
    for alpn in ["http/1.1", ""] {
        let answer = match alpn {
            "" => ask(client(server.connect(), "http/1.1"), "GET /a?b HTTP/1.1"),
            alpn => ask(client(server.connect(), alpn), "GET /a?b HTTP/1.1"),
        };
        assert_eq!(status(&answer), 200);
        assert!(body(&answer).ends_with("You ask for /a by HTTP/1.1.\n"), "{answer}");
    }
}

#[test]
fn http2_is_spoken_where_it_is_offered() {
    let server = Server::start("https", &[]);
    let mut stream = client(server.connect(), "h2");
    stream.write_all(PREFACE).expect("writes");
    // The server's own SETTINGS: a frame of type 4 on stream 0.
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).expect("answers");
    assert_eq!((frame[3], &frame[5..]), (4, &[0, 0, 0, 0][..]));
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
}

#[test]
fn a_certificate_that_is_written_can_be_trusted_and_given_again() {
    let folder = std::env::temp_dir().join(format!("corepoll-https-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let [own, cert, key] = ["own.pem", "cert.pem", "key.pem"].map(|name| folder.join(name));
    let path = |path: &std::path::Path| path.to_str().expect("text").to_owned();

    let server = Server::start("https", &["--write-cert", &path(&own)]);
    let root = CertificateDer::from_pem_file(&own).expect("a certificate");
    let answer = ask(client_that_trusts(server.connect(), root.clone()), "GET / HTTP/1.1");
    assert_eq!(status(&answer), 200);

    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a pair");
    fs::write(&cert, made.cert.pem()).expect("writes");
    fs::write(&key, made.signing_key.serialize_pem()).expect("writes");
    let given = Server::start("https", &["--cert", &path(&cert), "--key", &path(&key)]);
    let answer = ask(client_that_trusts(given.connect(), made.cert.into()), "GET / HTTP/1.1");
    assert_eq!(status(&answer), 200);
    // A client that trusts the other one refuses this one, and the server goes on.
    let refused = client_that_trusts(given.connect(), root).write_all(b"GET / HTTP/1.1\r\n\r\n");
    assert!(refused.is_err());
    assert_eq!(status(&ask(client(given.connect(), "http/1.1"), "GET / HTTP/1.1")), 200);

    let output = command("https").args(["--cert", &path(&cert), "--key", &path(&cert)]).output();
    let output = output.expect("runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cert.pem"), "{output:?}");
    fs::remove_dir_all(&folder).expect("removes");
}

#[test]
fn a_client_that_stalls_in_the_handshake_is_closed() {
    let server = Server::start("https", &["--patience", "200"]);
    let mut stalls = server.connect();
    stalls.write_all(b"\x16\x03\x01").expect("writes");
    let mut rest = Vec::new();
    let _ = stalls.read_to_end(&mut rest);
    // And one that speaks no TLS at all.
    let mut plain = server.connect();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("writes");
    let _ = plain.read_to_end(&mut rest);
    assert!(!String::from_utf8_lossy(&rest).contains("HTTP/1.1"));
    assert_eq!(status(&ask(client(server.connect(), "http/1.1"), "GET / HTTP/1.1")), 200);
}

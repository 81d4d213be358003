use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use corepoll_rustls::TlsOptions;

use crate::common::{
    Identity, Server, Session, VERSIONS, connect, echo, exchange, finish, next, plain,
};

#[test]
fn what_is_no_tls_is_refused_with_an_alert() {
    let identity = Identity::new("localhost");
    let (server, heard) = Server::echo(identity.server());
    let garbage: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        &[0; 64],
        // A record that is longer than records are.
        &[22, 3, 1, 0xff, 0xff, 1],
        // A handshake message that is none.
        &[22, 3, 1, 0, 4, 99, 0, 0, 0],
    ];
    for bytes in garbage {
        let mut client = plain(server.addr);
        client.write_all(bytes).expect("it is sent");
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).expect("it ends");
        assert_eq!(answer[..1], [21], "an alert to {bytes:?}");
        assert!(next(&heard).starts_with("failed InvalidData: "));
    }
    let config = Arc::new(identity.client(&VERSIONS));
    assert_eq!(exchange(&mut connect(server.addr, config, "localhost"), b"hello"), b"hello");
}

#[test]
fn a_bad_record_ends_its_connection_alone() {
    let identity = Identity::new("localhost");
    let (server, heard) = Server::echo(identity.server());
    for version in VERSIONS {
        let config = Arc::new(identity.client(&[version]));
        let mut client = connect(server.addr, config.clone(), "localhost");
        let mut other = connect(server.addr, config, "localhost");
        exchange(&mut client, b"hello");
        exchange(&mut other, b"hello");
        let mut records = Vec::new();
        client.conn.writer().write_all(b"bad").expect("it is encrypted");
        client.conn.write_tls(&mut records).expect("a vector takes it");
        *records.last_mut().expect("there are records") ^= 1;
        client.sock.write_all(&records).expect("it is sent");
        let error = client.read(&mut [0; 9]).expect_err("an alert comes");
        assert!(error.to_string().contains("BadRecordMac"), "{error}");
        assert_eq!(exchange(&mut other, b"still here"), b"still here");
        finish(&mut other);
        let mut told: Vec<_> = (0..4).map(|_| next(&heard)).collect();
        told.sort();
        assert!(told[0].starts_with("closed InvalidData: "), "{told:?}");
        assert_eq!(told[1], "closed Requested");
    }
}

#[test]
fn a_client_that_stalls_in_its_handshake_is_ended() {
    let identity = Identity::new("localhost");
    let (tell, heard) = channel();
    let options = TlsOptions::new().handshake_timeout(Duration::from_millis(50));
    let server = Server::of(options, identity.server(), move || Session {
        tell: tell.clone(),
        on_data: echo,
    });
    for sent in [&[][..], &[22, 3, 1, 0, 200, 1]] {
        let mut client = plain(server.addr);
        client.write_all(sent).expect("it is sent");
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).expect("it ends");
        assert_eq!(next(&heard), "failed TimedOut: the TLS handshake has taken longer than 50ms");
    }
    // One that is done in time goes on after the limit.
    let config = Arc::new(identity.client(&VERSIONS));
    let mut client = connect(server.addr, config, "localhost");
    exchange(&mut client, b"hello");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(exchange(&mut client, b"hello"), b"hello");
}

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

use corepoll::{Action, Connector, Reactor};
use corepoll_rustls::{Tls, TlsContext};
use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::pki_types::ServerName;
use rustls::{
    ConnectionTrafficSecrets, ContentType, ExtractedSecrets, ProtocolVersion, ServerConnection,
    StreamOwned, SupportedCipherSuite,
};

use crate::common::{
    Client, Heard, Identity, PATIENCE, Server, Session, VERSIONS, connect, exchange, next,
};

/// How many records a flood has. Every limit is far below.
const FLOOD: usize = 10_000;

/// A peer that has done its handshake by rustls, and encrypts whatever it likes from then on.
struct Forger {
    stream: TcpStream,
    encrypter: Box<dyn MessageEncrypter>,
    sequence: u64,
}

impl Forger {
    fn new(suite: SupportedCipherSuite, secrets: ExtractedSecrets, stream: TcpStream) -> Forger {
        let (sequence, secrets) = secrets.tx;
        let (key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv }
            | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
            | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key, iv),
            _ => unreachable!("ring has no other ciphers"),
        };
        let encrypter = match suite {
            SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(key, iv),
            // Four bytes are the key block's, and eight the first explicit nonce.
            SupportedCipherSuite::Tls12(suite) => {
                suite.aead_alg.encrypter(key, &iv.as_ref()[..4], &iv.as_ref()[4..])
            }
        };
        Forger { stream, encrypter, sequence }
    }

    /// Takes a client over, after its handshake.
    fn client(client: Client) -> Forger {
        let StreamOwned { conn, sock } = client;
        let suite = conn.negotiated_cipher_suite().expect("the handshake is done");
        let secrets = conn.dangerous_extract_secrets().expect("the configuration allows it");
        Forger::new(suite, secrets, sock)
    }

    /// Returns one record of this type.
    fn record(&mut self, typ: ContentType, payload: &[u8]) -> Vec<u8> {
        let payload = OutboundChunks::Single(payload);
        let message = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_2, payload };
        let record = self.encrypter.encrypt(message, self.sequence).expect("it is encrypted");
        self.sequence += 1;
        record.encode()
    }

    /// Sends a record again and again, until the peer has had enough or there are `FLOOD` of them.
    fn flood(&mut self, typ: ContentType, payload: &[u8]) -> io::Result<()> {
        let records: Vec<u8> = (0..FLOOD).flat_map(|_| self.record(typ, payload)).collect();
        self.stream.write_all(&records)
    }
}

/// Floods an echo server from a client of each version, and returns what its handlers have told at
/// their ends.
fn flooded(typ: ContentType, payload: &[u8]) -> Vec<String> {
    let identity = Identity::new("localhost");
    let (server, heard) = Server::echo(identity.server());
    let mut ends = Vec::new();
    for version in VERSIONS {
        let mut config = identity.client(&[version]);
        let mut bystander = connect(server.addr, Arc::new(config.clone()), "localhost");
        exchange(&mut bystander, b"hello");
        assert!(next(&heard).starts_with("open "));
        config.enable_secret_extraction = true;
        let mut client = connect(server.addr, Arc::new(config), "localhost");
        exchange(&mut client, b"hello");
        assert!(next(&heard).starts_with("open "));
        let mut forger = Forger::client(client);
        // Nothing answers a flood but its end, so the records are sent while the peer goes on.
        let _ = forger.flood(typ, payload);
        ends.push(next(&heard));
        // The peer has ended it: by its end, or by a reset, as it has not read everything.
        let mut rest = Vec::new();
        let _ = forger.stream.read_to_end(&mut rest);
        assert_eq!(exchange(&mut bystander, b"still here"), b"still here");
        drop(bystander);
        assert!(next(&heard).starts_with("closed UnexpectedEof"));
    }
    ends
}

#[test]
fn a_flood_of_empty_records_ends_its_connection() {
    for told in flooded(ContentType::ApplicationData, &[]) {
        assert!(told.starts_with("closed InvalidData: "), "{told}");
        assert!(told.contains("TooManyEmptyFragments"), "{told}");
    }
}

#[test]
fn a_flood_of_warnings_ends_its_connection() {
    // A warning that the user has canceled something: the one that TLS 1.3 allows.
    for told in flooded(ContentType::Alert, &[1, 90]) {
        assert!(told.starts_with("closed InvalidData: "), "{told}");
        assert!(told.contains("TooManyWarningAlertsReceived"), "{told}");
    }
}

/// A client may ask for another handshake in TLS 1.2. It is refused by a warning, and ended if it insists;
/// TLS 1.3 has no such thing.
#[test]
fn a_client_that_insists_on_a_renegotiation_is_ended() {
    // A ClientHello: a random number, no session, one cipher, no compression.
    let mut hello = vec![1, 0, 0, 41, 3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0x13, 1, 1, 0]);
    let [one, other] = flooded(ContentType::Handshake, &hello).try_into().expect("two versions");
    let mut told = [one, other];
    told.sort_by_key(|told| !told.contains("TooManyRenegotiationRequests"));
    assert!(told[0].contains("TooManyRenegotiationRequests"), "{told:?}");
    assert!(told[1].starts_with("closed InvalidData: "), "{told:?}");
}

#[test]
fn a_flood_of_key_updates_ends_its_connection() {
    let identity = Identity::new("localhost");
    let (server, heard) = Server::echo(identity.server());
    let config = Arc::new(identity.client(&[&rustls::version::TLS13]));
    let mut client = connect(server.addr, config, "localhost");
    exchange(&mut client, b"hello");
    for _ in 0..1000 {
        if client.conn.refresh_traffic_keys().is_err() || client.flush().is_err() {
            break;
        }
    }
    let mut rest = Vec::new();
    let error = client.read_to_end(&mut rest).expect_err("it is refused");
    assert!(next(&heard).starts_with("open "));
    let told = next(&heard);
    assert!(told.contains("TooManyKeyUpdateRequests"), "{told} {error}");
}

/// A ticket of TLS 1.3 (RFC 8446, section 4.6.1) for which a client has no use.
fn ticket() -> Vec<u8> {
    let mut body = vec![0, 0, 1, 0, 1, 2, 3, 4];
    body.extend([1, 9]);
    body.extend([0, 200]);
    body.extend([7; 200]);
    body.extend([0, 0]);
    let mut message = vec![4, 0];
    message.extend(u16::try_from(body.len()).expect("it is short").to_be_bytes());
    message.extend(body);
    message
}

/// Shakes hands with the client that connects, and floods it with tickets, before it says hello.
fn flood_with_tickets(listener: &TcpListener, identity: &Identity) {
    let mut config = identity.server();
    config.enable_secret_extraction = true;
    let mut connection = ServerConnection::new(Arc::new(config)).expect("it is whole");
    let (mut stream, _) = listener.accept().expect("the client connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("it is a socket");
    while connection.is_handshaking() || connection.wants_write() {
        connection.complete_io(&mut stream).expect("it shakes hands");
    }
    let suite = connection.negotiated_cipher_suite().expect("it is done");
    let secrets = connection.dangerous_extract_secrets().expect("it is allowed");
    let mut forger = Forger::new(suite, secrets, stream);
    let _ = forger.flood(ContentType::Handshake, &ticket());
    let hello = forger.record(ContentType::ApplicationData, b"hello");
    let _ = forger.stream.write_all(&hello);
    let _ = forger.stream.read_to_end(&mut Vec::new());
}

/// Tickets are no offence, however many: the configuration's store keeps a few of them for each
/// server, and the rest is dropped. What comes after them is read.
#[test]
fn a_flood_of_session_tickets_is_outlived() {
    let identity = Arc::new(Identity::new("localhost"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("it binds");
    let addr = listener.local_addr().expect("it is bound");
    let server = identity.clone();
    let server = thread::spawn(move || flood_with_tickets(&listener, &server));
    let (tell, heard): (_, Heard) = channel();
    let running = Reactor::builder().pollers(1).build().and_then(Reactor::start);
    let running = running.expect("it starts");
    let config = Arc::new(identity.client(&[&rustls::version::TLS13]));
    let name = ServerName::try_from("localhost").expect("it is a name");
    let said = tell.clone();
    let on_data = move |_: &mut TlsContext<'_, '_>, data: &[u8]| {
        let _ = said.send(String::from_utf8_lossy(data).into_owned());
        Ok(Action::Close)
    };
    Connector::new(&running.handle())
        .connect(addr, move || Tls::client(config, name, Session { tell, on_data }))
        .expect("the reactor runs");
    assert!(next(&heard).starts_with("open "));
    assert_eq!(next(&heard), "hello");
    assert_eq!(next(&heard), "closed Requested");
    server.join().expect("the server has not panicked");
    running.handle().shutdown(std::time::Duration::ZERO);
    running.join().expect("it ends");
}

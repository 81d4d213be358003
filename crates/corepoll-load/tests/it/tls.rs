//! Servers that speak TLS: rustls' blocking API, and OpenSSL's.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::loads::{errors, load, number, program};
use crate::server::{Server, next_request};

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// A certificate for `localhost`, signed by itself, with its key, and both as files.
struct Identity {
    config: Arc<ServerConfig>,
    folder: PathBuf,
}

impl Identity {
    fn new(test: &str) -> Identity {
        let made =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("it is made");
        let folder = std::env::temp_dir().join(format!("load-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("cert.pem"), made.cert.pem()).expect("a file");
        std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).expect("a file");
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = rustls::crypto::ring::default_provider();
        let mut config = ServerConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .expect("key and certificate fit");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Identity { config: Arc::new(config), folder }
    }

    fn certificate(&self) -> String {
        self.folder.join("cert.pem").to_str().expect("text").to_owned()
    }

    /// A server whose connections are secured before they are served.
    fn server<F>(&self, serve: F) -> Server
    where
        F: Fn(StreamOwned<ServerConnection, TcpStream>, &crate::server::Counts),
        F: Send + Sync + 'static,
    {
        let config = self.config.clone();
        Server::start(move |mut stream, counts| {
            let mut session = ServerConnection::new(config.clone()).expect("a session");
            // A client that refuses the certificate ends the handshake.
            while session.is_handshaking() {
                if session.complete_io(&mut stream).is_err() {
                    let _ = stream.shutdown(Shutdown::Write);
                    return;
                }
            }
            serve(StreamOwned::new(session, stream), counts);
        })
    }

    /// A server that answers each request with a greeting.
    fn http(&self) -> Server {
        self.server(|stream, counts| {
            assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
            let mut reader = BufReader::new(stream);
            while next_request(&mut reader) {
                counts.requests.fetch_add(1, SeqCst);
                if reader.get_mut().write_all(HELLO.as_bytes()).is_err() {
                    return;
                }
            }
        })
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn https(server: &Server) -> String {
    format!("https://localhost:{}/", server.address.port())
}

#[test]
fn each_answer_over_tls_is_counted_once() {
    let identity = Identity::new("counted");
    let server = identity.http();
    let ca = identity.certificate();
    let results = load(&https(&server), &["-c", "5", "-d", "300ms", "--ca", &ca]);
    let answered = number(&results, "requests");
    assert!(answered > 0);
    assert_eq!(answered, server.counts.requests.load(SeqCst));
    assert_eq!(server.counts.connections.load(SeqCst), 5);
    assert_eq!(number(&results, "connected"), 5);
    assert_eq!(errors(&results), [""; 0]);
    // Plaintext is counted, not records.
    assert_eq!(number(&results, "received_bytes") / answered, HELLO.len() as u64);

    // By the address, with another name to prove; each connection of churn shakes hands.
    let target = format!("http://{}/", server.address);
    let options = ["--tls", "--ca", &ca, "--server-name", "localhost", "--mode", "churn"];
    let results = load(&target, &[&options[..], &["-c", "2", "-d", "300ms"]].concat());
    assert!(number(&results, "requests") > 2, "{results:#}");
    assert_eq!(errors(&results), [""; 0]);
}

#[test]
fn an_echo_server_over_tls_is_loaded_with_large_messages() {
    let identity = Identity::new("echo");
    let server = identity.server(|mut stream, counts| {
        let mut bytes = [0; 16 * 1024];
        while let Ok(length @ 1..) = stream.read(&mut bytes) {
            counts.requests.fetch_add(1, SeqCst);
            if stream.write_all(&bytes[..length]).is_err() {
                return;
            }
        }
    });
    let target = format!("tcp://{}", server.address);
    let options = ["--tls", "--insecure", "-c", "3", "-d", "300ms", "--size", "50000"];
    let results = load(&target, &options);
    assert!(number(&results, "requests") > 0);
    assert_eq!(errors(&results), [""; 0]);
    assert_eq!(number(&results, "received_bytes"), 50_000 * number(&results, "requests"));
}

#[test]
fn a_certificate_that_is_not_trusted_is_an_error() {
    let (identity, other) = (Identity::new("untrusted"), Identity::new("other"));
    let server = identity.http();
    let stderr = |arguments: &[&str]| {
        let target = https(&server);
        let output = program(&[&[target.as_str()], arguments].concat());
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let text = stderr(&["-c", "2", "--ca", &other.certificate()]);
    assert!(text.contains("invalid peer certificate"), "{text}");
    let ca = identity.certificate();
    let text = stderr(&["-c", "2", "--ca", &ca, "--server-name", "example.org"]);
    assert!(text.contains("not valid for name"), "{text}");
    assert!(stderr(&["--ca", "/nowhere.pem"]).contains("/nowhere.pem"));
    let key = identity.folder.join("key.pem");
    assert!(stderr(&["--ca", key.to_str().expect("text")]).contains("no certificate in it"));
    // The same server, with what it has accepted.
    let results = load(&https(&server), &["-c", "2", "-d", "200ms", "--insecure"]);
    assert!(number(&results, "requests") > 0);
}

#[test]
fn a_server_that_speaks_no_tls_or_nothing_is_an_error() {
    let plain = Server::http(|_| Some(HELLO));
    let output = program(&[&https(&plain), "--insecure", "-c", "1"]);
    assert!(!output.status.success());
    let silent = Server::start(|_stream, _counts| {
        loop {
            thread::park()
        }
    });
    let output = program(&[&https(&silent), "--insecure", "-c", "1", "--timeout", "50ms"]);
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("the TLS handshake has taken longer than 50ms"), "{text}");
    let output = program(&[&format!("http://{}", plain.address), "--insecure"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("ask for --tls"), "{text}");
}

/// A server that ends its connections before the load begins, and answers the ones that follow.
#[test]
fn connections_that_end_before_the_load_are_told_and_replaced() {
    let identity = Identity::new("early");
    let server = identity.server(|mut stream, counts| {
        if counts.connections.load(SeqCst) == 1 {
            stream.conn.send_close_notify();
            let _ = stream.flush();
            let _ = stream.sock.shutdown(Shutdown::Write);
            // A request that is on its way would make the end a reset.
            let _ = stream.sock.read_to_end(&mut Vec::new());
            return;
        }
        let mut reader = BufReader::new(stream);
        while next_request(&mut reader) {
            counts.requests.fetch_add(1, SeqCst);
            if reader.get_mut().write_all(HELLO.as_bytes()).is_err() {
                return;
            }
        }
    });
    let results = load(&https(&server), &["-c", "1", "-d", "500ms", "--insecure"]);
    assert_eq!(number(&results, "requests"), server.counts.requests.load(SeqCst));
    assert!(number(&results, "connected") >= 2, "{results:#}");
    // The end may come right before the load, or with its first request.
    let told = errors(&results);
    let known = ["closed before the load", "closed before the answer"];
    assert!(told.len() == 1 && known.contains(&told[0]), "{told:?}");
}

/// OpenSSL's own server, as a process.
struct OpenSsl {
    child: Child,
    address: SocketAddr,
}

impl OpenSsl {
    fn start(folder: &Path) -> OpenSsl {
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-www"])
            .arg("-cert")
            .arg(folder.join("cert.pem"))
            .arg("-key")
            .arg(folder.join("key.pem"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is installed");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let address = loop {
            let line = lines.next().expect("it tells its port").expect("text");
            if let Some(rest) = line.strip_prefix("ACCEPT ") {
                break rest.trim().parse().expect("an address");
            }
        };
        // It must be able to go on writing.
        thread::spawn(move || lines.for_each(drop));
        OpenSsl { child, address }
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `s_server -www` answers each connection with a page about it, and closes: its answers end with the
/// connection.
#[test]
fn openssl_is_loaded() {
    let identity = Identity::new("openssl");
    let server = OpenSsl::start(&identity.folder);
    let target = format!("https://{}/", server.address);
    let options = ["--ca", &identity.certificate(), "--server-name", "localhost"];
    let more = ["--mode", "churn", "-c", "2", "-d", "500ms"];
    let results: Value = load(&target, &[&options[..], &more].concat());
    assert!(number(&results, "requests") > 0, "{results:#}");
    assert_eq!(errors(&results), [""; 0], "{results:#}");
}

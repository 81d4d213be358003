//! A client, with `openssl s_server`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use corepoll::net::TcpStream;
use futures::AsyncWriteExt;
use futures_rustls::TlsConnector;
use interop::certificates::Certificates;
use interop::{Folder, Peer, Port, pattern, program, wait_for};
use rustls::ClientConfig;

use super::{LARGE, read_all};

/// s_server with a folder whose files it serves, at a port of its own.
struct SServer {
    _peer: Peer,
    port: Port,
    folder: Folder,
}

impl SServer {
    fn start(certificates: &Certificates, arguments: &[&str]) -> SServer {
        let (port, folder) = (Port::free(), Folder::new());
        let mut command = program("openssl");
        command.args(["s_server", "-WWW", "-accept", &port.addr().to_string(), "-cert"]);
        command.arg(certificates.certificate_file()).arg("-key").arg(certificates.key_file());
        command.args(arguments).current_dir(folder.path());
        let peer = Peer::start(&mut command).until_prints("ACCEPT");
        SServer { _peer: peer, port, folder }
    }
}

/// Asks for a file, and returns all that comes.
async fn get(
    addr: SocketAddr,
    config: Arc<ClientConfig>,
    server_name: &'static str,
    file: &str,
) -> io::Result<Vec<u8>> {
    let stream = TcpStream::connect(addr).await?;
    let name = server_name.try_into().expect("a name");
    let mut stream = TlsConnector::from(config).connect(name, stream).await?;
    stream.write_all(format!("GET /{file} HTTP/1.0\r\n\r\n").as_bytes()).await?;
    read_all(&mut stream).await
}

#[test]
fn s_server_sends_a_large_file_by_tls_1_2_and_1_3() {
    let certificates = Certificates::new();
    let body = pattern(LARGE);
    for version in ["-tls1_2", "-tls1_3"] {
        let server = SServer::start(&certificates, &[version]);
        server.folder.write("large", &body);
        let answer = get(server.port.addr(), certificates.client(&[]), "localhost", "large");
        let answer = wait_for(answer).expect("no error");
        let end_of_head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head");
        assert!(answer[end_of_head + 4..] == body, "{version}: {} bytes", answer.len());
    }
}

#[test]
fn a_wrong_certificate_is_refused() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let server = SServer::start(&certificates, &[]);
    server.folder.write("small", "body");
    let addr = server.port.addr();
    let refused = [
        (others.client(&[]), "localhost", "UnknownIssuer"),
        (certificates.client(&[]), "example.org", "not valid for name"),
    ];
    for (config, name, reason) in refused {
        let error = wait_for(get(addr, config, name, "small")).expect_err("it is refused");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains(reason), "{error}");
    }
    let answer = wait_for(get(addr, certificates.client(&[]), "localhost", "small"));
    assert!(answer.expect("the right one is taken").ends_with(b"body"));
}

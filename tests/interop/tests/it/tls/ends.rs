//! Connections that end in the middle, or in one direction. The peer is rustls on a std socket.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use corepoll::net::TcpStream;
use corepoll::time;
use futures::AsyncWriteExt;
use futures_rustls::TlsAcceptor;
use interop::certificates::Certificates;
use interop::common::{connect, is_ended, reset};
use interop::{PATIENCE, Server, pattern};
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::read_all;

type Client = StreamOwned<ClientConnection, std::net::TcpStream>;

/// A client that has shaken hands.
fn client(addr: SocketAddr, config: Arc<ClientConfig>) -> Client {
    let name = "localhost".try_into().expect("a name");
    let connection = ClientConnection::new(config, name).expect("a configuration");
    let mut client = StreamOwned::new(connection, connect(addr));
    client.conn.complete_io(&mut client.sock).expect("a handshake");
    client
}

/// Says that nothing more comes from the client, and keeps the socket open in both directions.
fn send_close_notify(client: &mut Client) {
    client.conn.send_close_notify();
    client.conn.write_tls(&mut client.sock).expect("it is sent");
}

/// Reads until the client ends its direction, answers, and ends its own.
async fn answer_after_the_end(acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<usize> {
    let mut stream = acceptor.accept(stream).await?;
    let request = read_all(&mut stream).await?;
    stream.write_all(&pattern(3 << 20)).await?;
    stream.close().await?;
    Ok(request.len())
}

/// A server by [`answer_after_the_end`], and the results of its connections.
fn serve(certificates: &Certificates) -> (Server, SocketAddr, mpsc::Receiver<io::Result<usize>>) {
    let (tell, results) = mpsc::channel();
    let config = certificates.server(&[]);
    let (server, addr) = Server::of_tasks(move |stream, _| {
        let (acceptor, tell) = (TlsAcceptor::from(config.clone()), tell.clone());
        async move {
            let _ = tell.send(answer_after_the_end(acceptor, stream).await);
        }
    });
    (server, addr, results)
}

#[test]
fn a_client_that_has_ended_its_direction_gets_the_whole_answer() {
    let certificates = Certificates::new();
    let (_server, addr, results) = serve(&certificates);
    let mut client = client(addr, certificates.client(&[]));
    client.write_all(&pattern(100_000)).expect("it is read");
    send_close_notify(&mut client);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).expect("it ends with a close_notify");
    assert!(answer == pattern(3 << 20), "{}", answer.len());
    assert_eq!(results.recv_timeout(PATIENCE).expect("a result").expect("no error"), 100_000);
}

#[test]
fn a_server_that_has_ended_its_direction_reads_the_rest() {
    let certificates = Certificates::new();
    let config = certificates.server(&[]);
    let (tell, received) = mpsc::channel();
    let (_server, addr) = Server::of_tasks(move |stream, _| {
        let (acceptor, tell) = (TlsAcceptor::from(config.clone()), tell.clone());
        async move {
            let mut stream = acceptor.accept(stream).await?;
            stream.write_all(b"that is all").await?;
            stream.close().await?;
            let _ = tell.send(read_all(&mut stream).await?);
            Ok::<(), io::Error>(())
        }
    });
    let mut client = client(addr, certificates.client(&[]));
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("it ends with a close_notify");
    assert_eq!(answer, "that is all");
    client.write_all(&pattern(3 << 20)).expect("it is read");
    send_close_notify(&mut client);
    let received = received.recv_timeout(PATIENCE).expect("the server has read it");
    assert!(received == pattern(3 << 20), "{}", received.len());
}

#[test]
fn an_end_without_close_notify_is_an_error() {
    let certificates = Certificates::new();
    let (_server, addr, results) = serve(&certificates);
    let mut client = client(addr, certificates.client(&[]));
    client.write_all(b"half of a request").expect("it is read");
    client.sock.shutdown(Shutdown::Write).expect("it is open");
    let error = results.recv_timeout(PATIENCE).expect("a result").expect_err("it is cut off");
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    // Nothing of an answer was sent.
    assert!(client.read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::UnexpectedEof));
}

#[test]
fn a_handshake_that_breaks_off_is_the_error_of_its_connection_alone() {
    let certificates = Certificates::new();
    let (_server, addr, results) = serve(&certificates);
    let standing = client(addr, certificates.client(&[]));

    // The first bytes of a record that is announced as longer.
    let begun = connect(addr);
    (&begun).write_all(&[22, 3, 1, 2, 0, 1]).expect("it is read");
    begun.shutdown(Shutdown::Write).expect("it is open");
    let error = results.recv_timeout(PATIENCE).expect("a result").expect_err("no handshake");
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);

    let begun = connect(addr);
    (&begun).write_all(&[22, 3, 1, 2, 0, 1]).expect("it is read");
    reset(begun);
    let error = results.recv_timeout(PATIENCE).expect("a result").expect_err("no handshake");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);

    let plain = connect(addr);
    (&plain).write_all(b"GET / HTTP/1.1\r\n\r\n").expect("it is read");
    let error = results.recv_timeout(PATIENCE).expect("a result").expect_err("no handshake");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(is_ended(&plain));

    let mut standing = standing;
    standing.write_all(b"request").expect("it is read");
    send_close_notify(&mut standing);
    let mut answer = Vec::new();
    standing.read_to_end(&mut answer).expect("the answer comes");
    assert_eq!(answer.len(), 3 << 20);
}

#[test]
fn a_handshake_that_stalls_is_ended_by_its_timeout() {
    let certificates = Certificates::new();
    let config = certificates.server(&[]);
    let (tell, results) = mpsc::channel();
    let (_server, addr) = Server::of_tasks(move |stream, _| {
        let (acceptor, tell) = (TlsAcceptor::from(config.clone()), tell.clone());
        async move {
            let accepting = acceptor.accept(stream);
            let accepted = time::timeout(Duration::from_millis(200), accepting).await;
            let _ = tell.send(accepted.is_err());
        }
    });
    let stalled = connect(addr);
    (&stalled).write_all(&[22, 3, 1, 2, 0, 1]).expect("it is read");
    assert!(is_ended(&stalled));
    assert!(results.recv_timeout(PATIENCE).expect("a result"), "the timeout has ended it");
}

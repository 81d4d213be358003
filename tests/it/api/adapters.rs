//! The ecosystem's adapters take our streams: futures-util, TLS and WebSocket, each asked by a client
//! that is not ours. hyper is in the tests of corepoll-hyper.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use crate::common::{self, PATIENCE, Server, connect, read_to_end};
use corepoll::{block_on, net};
use futures::StreamExt;
use futures::io::{AllowStdIo, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

// ---- futures-util ----

#[test]
fn copy_ends_with_its_reader() {
    let (_server, addr) = Server::of_tasks(|stream: net::TcpStream, _| async move {
        let (reader, mut writer) = stream.split();
        futures::io::copy(reader, &mut writer).await.unwrap();
        writer.close().await.unwrap();
    });
    let mut client = connect(addr);
    let bytes: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
    let sent = bytes.clone();
    let mut sender = client.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        sender.write_all(&sent).unwrap();
        sender.shutdown(Shutdown::Write).unwrap();
    });
    let mut echoed = Vec::new();
    client.read_to_end(&mut echoed).unwrap();
    sending.join().unwrap();
    assert!(echoed == bytes);
}

#[test]
fn lines_come_whole_however_they_are_cut() {
    let (_server, addr) = Server::of_tasks(|stream: net::TcpStream, _| async move {
        let mut lines = futures::io::BufReader::new(&stream).lines();
        let mut writer = futures::io::BufWriter::new(&stream);
        while let Some(line) = lines.next().await {
            let answer = format!("<{}>\n", line.unwrap());
            writer.write_all(answer.as_bytes()).await.unwrap();
        }
        writer.flush().await.unwrap();
    });
    let mut client = connect(addr);
    for byte in b"one\ntwo\r\n\nfour and more\nno end of line" {
        client.write_all(&[*byte]).unwrap();
    }
    client.shutdown(Shutdown::Write).unwrap();
    let answer = read_to_end(&client);
    let text = String::from_utf8(answer).unwrap();
    assert_eq!(text, "<one>\n<two>\n<>\n<four and more>\n<no end of line>\n");
}

#[test]
fn a_stream_is_split_between_two_futures() {
    let (_server, addr) = Server::of_tasks(|stream: net::TcpStream, _| async move {
        let (mut reader, mut writer) = futures::AsyncReadExt::split(stream);
        let reading = async move {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).await.unwrap();
            (reader, bytes)
        };
        let writing = async move {
            writer.write_all(&[7; 3_000_000]).await.unwrap();
            writer
        };
        // Both at once: neither side reads before the other has written.
        let ((reader, bytes), writer) = futures::future::join(reading, writing).await;
        let mut stream = reader.reunite(writer).expect("two halves of one");
        stream.write_all(&bytes.len().to_be_bytes()).await.unwrap();
    });
    let mut client = connect(addr);
    client.write_all(&[9; 3_000_000]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let answer = read_to_end(&client);
    assert!(answer[..3_000_000].iter().all(|byte| *byte == 7));
    assert_eq!(answer[3_000_000..], 3_000_000usize.to_be_bytes());
}

#[test]
fn an_incoming_stream_takes_the_combinators() {
    let (give, take) = std::sync::mpsc::channel();
    let server = std::thread::spawn(move || {
        block_on(async move {
            let listener = net::TcpListener::bind(common::ANY).await.unwrap();
            give.send(listener.local_addr().unwrap()).unwrap();
            let three = listener.incoming().take(3);
            three
                .for_each_concurrent(None, |stream| async {
                    let mut sink = AllowStdIo::new(Vec::new());
                    let stream = stream.unwrap();
                    futures::io::copy(&stream, &mut sink).await.unwrap();
                    (&stream).write_all(&sink.into_inner()).await.unwrap();
                })
                .await;
        });
    });
    let addr = take.recv_timeout(PATIENCE).unwrap();
    let clients: Vec<TcpStream> = (0..3).map(|_| connect(addr)).collect();
    for (number, mut client) in clients.iter().enumerate().rev() {
        client.write_all(&[number as u8]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(client), [number as u8]);
    }
    server.join().unwrap();
}

// ---- TLS ----

mod tls {
    use super::*;
    use futures_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
    use futures_rustls::rustls::{
        ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned,
    };
    use futures_rustls::{TlsAcceptor, TlsConnector};

    /// What the two sides are made with.
    fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let server = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        (Arc::new(server), Arc::new(client))
    }

    fn echo_server(config: Arc<ServerConfig>) -> (Server, SocketAddr) {
        let acceptor = TlsAcceptor::from(config);
        Server::of_tasks(move |stream: net::TcpStream, _| {
            let acceptor = acceptor.clone();
            async move {
                let stream = acceptor.accept(stream).await.unwrap();
                let (reader, mut writer) = futures::AsyncReadExt::split(stream);
                futures::io::copy(reader, &mut writer).await.unwrap();
                writer.close().await.unwrap();
            }
        })
    }

    fn name() -> ServerName<'static> {
        ServerName::try_from("localhost").unwrap()
    }

    #[test]
    fn rustlss_blocking_client_gets_its_echo() {
        let (server_config, client_config) = configs();
        let (_server, addr) = echo_server(server_config);
        let session = ClientConnection::new(client_config, name()).unwrap();
        let mut client = StreamOwned::new(session, connect(addr));
        for size in [1, 100, 16_384, 100_000] {
            let bytes: Vec<u8> = (0..size).map(|n| n as u8).collect();
            client.write_all(&bytes).unwrap();
            let mut echoed = vec![0; size];
            client.read_exact(&mut echoed).unwrap();
            assert!(echoed == bytes);
        }
        client.conn.send_close_notify();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty(), "close_notify is answered");
    }

    #[test]
    fn futures_rustlss_client_on_our_stream_gets_its_echo() {
        let (server_config, client_config) = configs();
        let (_server, addr) = echo_server(server_config);
        block_on(async move {
            let stream = net::TcpStream::connect(addr).await.unwrap();
            let connector = TlsConnector::from(client_config);
            let mut client = connector.connect(name(), stream).await.unwrap();
            for _ in 0..20 {
                client.write_all(b"hello").await.unwrap();
                client.flush().await.unwrap();
                let mut echoed = [0; 5];
                client.read_exact(&mut echoed).await.unwrap();
                assert_eq!(&echoed, b"hello");
            }
            client.close().await.unwrap();
            assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
        });
    }
}

// ---- WebSocket ----

#[test]
fn tungstenites_blocking_client_gets_its_echo() {
    use async_tungstenite::tungstenite::{self, Message};

    let (_server, addr) = Server::of_tasks(|stream: net::TcpStream, _| async move {
        let mut socket = async_tungstenite::accept_async(stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() || message.is_binary() {
                socket.send(message).await.unwrap();
            }
        }
    });
    let url = format!("ws://{addr}/chat");
    let (mut client, answer) = tungstenite::client(url, connect(addr)).unwrap();
    assert_eq!(answer.status().as_u16(), 101);
    let large = vec![3u8; 1 << 20];
    for message in [Message::text("hello"), Message::binary(large), Message::text("")] {
        client.send(message.clone()).unwrap();
        assert!(client.read().unwrap() == message);
    }
    client.send(Message::Ping("are you there?".into())).unwrap();
    assert_eq!(client.read().unwrap(), Message::Pong("are you there?".into()));
    client.close(None).unwrap();
    assert!(client.read().unwrap().is_close());
    assert!(matches!(client.read(), Err(tungstenite::Error::ConnectionClosed)));
}

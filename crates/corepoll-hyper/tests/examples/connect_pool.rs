//! The `connect_pool` example: many requests over few connections.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use crate::support::Server;

fn start(own: &[&str]) -> Server {
    let arguments = [&["--pollers", "1"], own].concat();
    Server::start("connect_pool", &arguments)
}

/// The status and the content of one answer.
fn ask(stream: &mut BufReader<TcpStream>, path: &str) -> (String, String) {
    write!(stream.get_mut(), "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").expect("writes");
    let mut line = || {
        let mut line = String::new();
        stream.read_line(&mut line).expect("answers");
        line
    };
    let status = line()[9..12].to_owned();
    let mut length = None;
    loop {
        let field = line().to_ascii_lowercase();
        if field == "\r\n" {
            break;
        }
        if let Some(value) = field.strip_prefix("content-length: ") {
            length = Some(value.trim_end().parse().expect("a number"));
        }
    }
    let mut content = vec![0; length.expect("a length")];
    stream.read_exact(&mut content).expect("answers");
    (status, String::from_utf8(content).expect("text"))
}

/// An upstream that sends each line back, and tells of each line from where it came.
fn upstream() -> (SocketAddr, mpsc::Receiver<SocketAddr>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("an address");
    let (sender, asked) = mpsc::channel();
    thread::spawn(move || {
        while let Ok((stream, peer)) = listener.accept() {
            let sender = sender.clone();
            thread::spawn(move || {
                let mut lines = BufReader::new(stream);
                let mut line = String::new();
                while lines.read_line(&mut line).is_ok_and(|length| length > 0) {
                    // The test may have seen enough.
                    let _ = sender.send(peer);
                    if line == "/end\n" {
                        return;
                    }
                    lines.get_mut().write_all(line.as_bytes()).expect("writes");
                    line.clear();
                }
            });
        }
    });
    (address, asked)
}

#[test]
fn the_upstream_of_its_own_answers() {
    let server = start(&[]);
    let mut stream = BufReader::new(server.connect());
    for path in ["/hello", "/again"] {
        assert_eq!(ask(&mut stream, path), ("200".into(), format!("{path}\n")));
    }
    let (_status, stats) = ask(&mut stream, "/stats");
    assert!(stats.starts_with("idle ") && stats.ends_with(" waiting 0\n"), "{stats}");
    server.signal("TERM");
    assert_eq!(stream.read(&mut [0]).expect("ends"), 0);
    assert!(server.wait().0.success());
}

#[test]
fn many_clients_share_a_few_connections_and_none_gets_the_answer_of_another() {
    let (address, asked) = upstream();
    let server = start(&["--upstream", &address.to_string()]);
    let clients: Vec<_> = (0..32)
        .map(|client| {
            let mut stream = BufReader::new(server.connect());
            thread::spawn(move || {
                for request in 0..20 {
                    let path = format!("/{client}/{request}");
                    assert_eq!(ask(&mut stream, &path), ("200".into(), format!("{path}\n")));
                }
            })
        })
        .collect();
    for client in clients {
        client.join().expect("is answered");
    }
    let connections: Vec<SocketAddr> = asked.try_iter().collect();
    assert_eq!(connections.len(), 32 * 20);
    let connections: BTreeSet<SocketAddr> = connections.into_iter().collect();
    assert!(connections.len() <= 8, "{connections:?}");
}

#[test]
fn a_connection_that_broke_in_the_middle_is_not_used_again() {
    let (address, _asked) = upstream();
    let server = start(&["--upstream", &address.to_string()]);
    let mut stream = BufReader::new(server.connect());
    for path in ["/before", "/after"] {
        assert_eq!(ask(&mut stream, path), ("200".into(), format!("{path}\n")));
        assert_eq!(ask(&mut stream, "/end").0, "502");
    }
}

#[test]
fn an_upstream_that_is_down_is_told_to_the_client() {
    // Bound, so that no other test gets the port, and not listening.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("binds");
    let address = socket.local_addr().expect("an address").as_socket().expect("an IP address");
    let server = start(&["--upstream", &address.to_string()]);
    let mut stream = BufReader::new(server.connect());
    assert_eq!(ask(&mut stream, "/").0, "502");
}

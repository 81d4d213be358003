use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};

use async_socks5::Auth;
use corepoll::PollerBound;
use corepoll::net::TcpStream;
use corepoll_tokio::TokioIo;
use interop::{ANY, Peer, Port, common, pattern, program, wait_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufStream};

use super::Error;

/// How many bytes go each way.
const LENGTH: usize = 3_000_000;

/// What a client of SOCKS talks through: it reads single bytes, and asks for `Send`.
type Stream = BufStream<TokioIo<PollerBound<TcpStream>>>;

fn start() -> (Peer, Port) {
    let port = Port::free();
    let mut server = program("microsocks");
    server.args(["-i", "127.0.0.1", "-p", &port.to_string(), "-u", "name", "-P", "secret"]);
    (Peer::start(&mut server).until_listens(port.addr()), port)
}

/// Sends back as many bytes as the test sends, without a line of corepoll.
fn echo() -> (SocketAddr, JoinHandle<io::Result<u64>>) {
    let listener = TcpListener::bind(ANY).expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let serve = move || {
        let stream = common::patient(listener.accept()?.0);
        // microsocks knows no half of a connection: an end of one side is that of both.
        io::copy(&mut (&stream).take(LENGTH as u64), &mut &stream)
    };
    (addr, thread::spawn(serve))
}

async fn connect(proxy: &Port, target: SocketAddr, password: &str) -> Result<Stream, Error> {
    let stream = PollerBound::new(TcpStream::connect(proxy.addr()).await?);
    let mut stream = BufStream::new(TokioIo::new(stream));
    async_socks5::connect(&mut stream, target, Some(Auth::new("name", password))).await?;
    Ok(stream)
}

#[test]
fn bytes_go_through_the_proxy_and_come_back() {
    let (_proxy, port) = start();
    let (target, served) = echo();
    let bytes = pattern(LENGTH);
    let received = wait_for(async {
        let (mut reader, mut writer) = tokio::io::split(connect(&port, target, "secret").await?);
        let mut received = vec![0; LENGTH];
        let write = async {
            writer.write_all(&bytes).await?;
            writer.flush().await
        };
        let (written, read) = futures::join!(write, reader.read_exact(&mut received));
        written.and(read)?;
        Ok::<_, Error>(received)
    });
    assert!(received.expect("the proxy relays") == bytes, "the bytes come back as they were");
    assert_eq!(served.join().expect("no panic").expect("the target works"), LENGTH as u64);
}

#[test]
fn a_wrong_password_is_refused() {
    let (_proxy, port) = start();
    let refused = wait_for(connect(&port, port.addr(), "wrong"));
    assert!(refused.is_err(), "the proxy lets everyone in");
}

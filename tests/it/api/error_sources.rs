//! An error says what was being done and to what, and its source is the system's error, with errno.
#![allow(unsafe_code)] // For setrlimit(2).

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;

use crate::common::{self, ANY, PATIENCE, Server, closed_port, in_own_process};
use corepoll::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use corepoll::{Acceptor, Action, ConnectPool, Connector, EvContext, EvHandler, block_on};

/// The errno of the error itself, or of the nearest `io::Error` among its sources.
fn errno(error: &io::Error) -> Option<i32> {
    if let Some(code) = error.raw_os_error() {
        return Some(code);
    }
    let source = error.source()?.downcast_ref::<io::Error>()?;
    source.raw_os_error()
}

/// Checks the errno, that the kind is that of the errno, and that the text names `what`.
#[track_caller]
fn tells<T>(what: &str, code: i32, result: io::Result<T>) {
    let Err(error) = result else { panic!("{what}: no error") };
    assert_eq!(errno(&error), Some(code), "{what}: {error:?}");
    assert_eq!(error.kind(), io::Error::from_raw_os_error(code).kind(), "{what}: {error:?}");
    assert!(error.to_string().contains(what), "{what}: {error}");
}

/// Sends its failure away.
struct Fails(mpsc::Sender<io::Error>);

impl EvHandler for Fails {
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Close)
    }
    fn on_connect_fail(&mut self, error: io::Error) {
        let _ = self.0.send(error);
    }
}

/// How an attempt of a handler's fails.
fn fails(server: &Server, addr: &str) -> io::Result<()> {
    let (give, take) = mpsc::channel();
    Connector::new(server.handle()).connect(addr, move || Fails(give))?;
    Err(take.recv_timeout(PATIENCE).expect("it is told"))
}

fn limit_descriptors(to: usize) {
    let limit = libc::rlimit { rlim_cur: to as libc::rlim_t, rlim_max: 4096 };
    // SAFETY: the limit is readable.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
}

#[test]
fn running_out_of_descriptors_can_be_told_from_everything_else() {
    in_own_process(|| {
        let server = Server::start(1);
        let listener = std::net::TcpListener::bind(ANY).expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let text = addr.to_string();
        block_on(async {
            let udp = UdpSocket::bind(ANY).await.expect("a free port");
            let pool = ConnectPool::new(&text);
            limit_descriptors(0);
            let two: [SocketAddr; 2] = [addr, ([127, 0, 0, 2], addr.port()).into()];
            tells(&format!("connecting to {addr}"), libc::EMFILE, TcpStream::connect(addr).await);
            tells("connecting to 127.0.0.2", libc::EMFILE, TcpStream::connect(&two[..]).await);
            let limited = TcpStream::connect_timeout(addr, PATIENCE).await;
            tells(&format!("connecting to {addr}"), libc::EMFILE, limited);
            tells("listening on 127.0.0.1:0", libc::EMFILE, TcpListener::bind(ANY).await);
            tells("binding 127.0.0.1:0", libc::EMFILE, UdpSocket::bind(ANY).await);
            tells("connecting to /nowhere", libc::EMFILE, UnixStream::connect("/nowhere").await);
            tells("listening on @corepoll", libc::EMFILE, UnixListener::bind("\0corepoll"));
            tells("binding /nowhere", libc::EMFILE, UnixDatagram::bind("/nowhere"));
            tells("", libc::EMFILE, UnixStream::pair());
            tells(&format!("connecting to {addr}"), libc::EMFILE, pool.get().await);
            tells(&format!("connecting to {addr}"), libc::EMFILE, fails(&server, &text));
            for addr in [ANY, "unix:@corepoll-sources"] {
                let listened = Acceptor::new(addr).listen(server.handle(), || common::Echo);
                tells(&format!("listening on {addr}"), libc::EMFILE, listened);
            }
            limit_descriptors(1024);
            drop(udp);
        });
    });
}

#[test]
fn refusals_of_the_network_keep_their_errno() {
    let server = Server::start(1);
    let (closed, _guard) = closed_port();
    let refused: SocketAddr = closed.parse().expect("an address");
    let taken = std::net::TcpListener::bind(ANY).expect("a free port");
    let taken = (taken.local_addr().expect("it is bound"), taken);
    block_on(async {
        let told = format!("connecting to {closed}");
        tells(&told, libc::ECONNREFUSED, TcpStream::connect(refused).await);
        tells(&told, libc::ECONNREFUSED, TcpStream::connect(&[refused, refused][..]).await);
        tells(&told, libc::ECONNREFUSED, ConnectPool::new(&closed).get().await);
        tells(&told, libc::ECONNREFUSED, fails(&server, &closed));
        tells("connecting to 224.0.0.1:9", libc::ENETUNREACH, fails(&server, "224.0.0.1:9"));
        let nowhere = "unix:/nowhere/at/all";
        tells(&format!("connecting to {nowhere}"), libc::ENOENT, fails(&server, nowhere));
        tells("/nowhere/at/all", libc::ENOENT, UnixListener::bind("/nowhere/at/all"));
        tells("/nowhere/at/all", libc::ENOENT, UnixStream::connect("/nowhere/at/all").await);
        let datagram = UnixDatagram::unbound().expect("a socket");
        tells("/nowhere/at/all", libc::ENOENT, datagram.connect("/nowhere/at/all"));
        tells("listening on", libc::EADDRINUSE, TcpListener::bind(taken.0).await);
        let (address, server) = (taken.0.to_string(), server.handle());
        tells(
            "listening on",
            libc::EADDRINUSE,
            Acceptor::new(&address).listen(server, || common::Echo),
        );
        // An address that no interface has.
        tells("binding 192.0.2.1:0", libc::EADDRNOTAVAIL, UdpSocket::bind("192.0.2.1:0").await);
    });
}

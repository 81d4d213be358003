//! TCP Fast Open: the first bytes go with the SYN, where both sides and the machine allow it.
//!
//! Each test has a network of its own where this process may make one, and allows both directions
//! there. Otherwise `net.ipv4.tcp_fastopen` stays as it is, and what is asserted follows from it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::mpsc;

use crate::common::network::{
    connect_with_data, fast_open_queue, in_own_network, is_fast_open, set_fast_open_queue,
    tcp_counter, write_sysctl,
};
use crate::common::refuse::decide;
use crate::common::{self, ANY, Echo, PATIENCE, Server, echo, eventually};
use corepoll::net::{ConnectOptions, ListenOptions, TcpListener, TcpStream};
use corepoll::{Acceptor, Action, CloseReason, Connector, EvContext, EvHandler, block_on};
use futures::AsyncWriteExt;
use socket2::{Domain, Socket, Type};

/// What the machine allows.
#[derive(Clone, Copy)]
struct Allowed {
    client: bool,
    server: bool,
}

/// Runs `test` where fast open is allowed as far as this process may say so.
fn with_fast_open(test: impl FnOnce(Allowed)) {
    // Where it can't be written, what is read below holds.
    let _ = write_sysctl("net/ipv4/tcp_fastopen", "3");
    let bits = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_fastopen").expect("procfs");
    let bits: u32 = bits.trim().parse().expect("a number");
    test(Allowed { client: bits & 1 != 0, server: bits & 2 != 0 });
}

/// Asserts that `counter` grows by `by`, if `holds`, and not at all otherwise.
#[track_caller]
fn counts<R>(counter: &str, by: u64, holds: bool, during: impl FnOnce() -> R) -> R {
    let before = tcp_counter(counter);
    let result = during();
    let grown = tcp_counter(counter) - before;
    assert_eq!(grown, if holds { by } else { 0 }, "{counter}");
    result
}

/// A listener of std that agrees to fast open.
fn std_listener(backlog: i32) -> (StdListener, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&ANY.parse::<SocketAddr>().expect("an address").into()).expect("a free port");
    set_fast_open_queue(&socket, 16);
    socket.listen(backlog).expect("it is bound");
    let listener = StdListener::from(socket);
    let addr = listener.local_addr().expect("it is bound");
    (listener, addr)
}

/// Connects once in the usual way, for the cookie.
fn get_cookie(listener: &StdListener) {
    let addr = listener.local_addr().expect("it is bound");
    let client = connect_with_data(addr, b"first").expect("it listens");
    let (server, _) = listener.accept().expect("it has connected");
    assert_eq!(common::read_exactly(&common::patient(server), 5), b"first");
    drop(client);
}

// ---- listeners ----

/// Asserts that the listener at `addr`, which echoes, takes bytes with the SYN.
fn takes_bytes_with_the_syn(addr: SocketAddr, allowed: Allowed) {
    let ask_with_the_syn = || {
        let client = connect_with_data(addr, b"hello").expect("it listens");
        assert_eq!(common::read_exactly(&common::patient(client), 5), b"hello");
    };
    if !allowed.client {
        let refused = connect_with_data(addr, b"hello").unwrap_err();
        return assert_eq!(refused.raw_os_error(), Some(libc::EOPNOTSUPP));
    }
    // The first one is given the cookie of this address.
    ask_with_the_syn();
    counts("TCPFastOpenPassive", 1, allowed.server, ask_with_the_syn);
}

#[test]
fn an_acceptor_takes_bytes_with_the_syn() {
    in_own_network(|| {
        with_fast_open(|allowed| {
            let server = Server::start(1);
            let acceptor = Acceptor::new(ANY).fast_open(16);
            let listening = acceptor.listen(server.handle(), || Echo).unwrap();
            takes_bytes_with_the_syn(listening.local_addr().unwrap(), allowed);
            // The same for a socket that listens already.
            let std = StdListener::bind(ANY).unwrap();
            let acceptor = Acceptor::from_std(std).unwrap().fast_open(16);
            let listening = acceptor.serve(server.handle(), echo).unwrap();
            takes_bytes_with_the_syn(listening.local_addr().unwrap(), allowed);
        });
    });
}

#[test]
fn a_listener_of_tasks_takes_bytes_with_the_syn() {
    in_own_network(|| {
        with_fast_open(|allowed| {
            let (give, address) = mpsc::channel();
            let server = Server::start(1);
            let served = server.poller().spawn_on(move || async move {
                let options = ListenOptions::new().fast_open(16);
                let listener = TcpListener::bind_with(ANY, options).await.unwrap();
                let _ = give.send(listener.local_addr().unwrap());
                loop {
                    let (stream, peer) = listener.accept().await.unwrap();
                    drop(corepoll::spawn_local(echo(stream, peer)));
                }
            });
            takes_bytes_with_the_syn(address.recv_timeout(PATIENCE).unwrap(), allowed);
            served.abort();
        });
    });
}

/// As many as were asked for may wait, and by default none.
#[test]
fn the_length_of_the_queue_reaches_the_kernel() {
    let queue_of = |options| {
        block_on(async {
            let listener = TcpListener::bind_with(ANY, options).await.unwrap();
            fast_open_queue(&listener)
        })
    };
    assert_eq!(queue_of(ListenOptions::new()), 0);
    assert_eq!(queue_of(ListenOptions::new().fast_open(3)), 3);
}

// ---- connecting ----

/// A stream of a task, and what the kernel has counted of it.
#[test]
fn a_stream_sends_its_first_bytes_with_the_syn() {
    in_own_network(|| {
        with_fast_open(|allowed| {
            let (listener, addr) = std_listener(16);
            let options = || ConnectOptions::new().fast_open(true);
            if !allowed.client {
                let error = block_on(TcpStream::connect_with(addr, options())).unwrap_err();
                return assert!(error.to_string().contains("TCP_FASTOPEN_CONNECT"), "{error}");
            }
            get_cookie(&listener);
            listener.set_nonblocking(true).unwrap();
            let sent_early = allowed.client && allowed.server;
            block_on(async {
                let mut stream = TcpStream::connect_with(addr, options()).await.unwrap();
                // Nothing has been sent yet.
                assert_eq!(listener.accept().is_err(), sent_early);
                assert_eq!(stream.peer_addr().is_err(), sent_early);
                let before = tcp_counter("TCPFastOpenActive");
                stream.write_all(b"hello").await.unwrap();
                let mut server = None;
                if sent_early {
                    eventually("it has connected", || {
                        server = listener.accept().ok();
                        server.is_some()
                    });
                    let (server, _) = server.unwrap();
                    server.set_nonblocking(false).unwrap();
                    let mut server = common::patient(server);
                    assert_eq!(common::read_exactly(&server, 5), b"hello");
                    server.write_all(b"answer").unwrap();
                    assert_eq!(&*stream.read_chunk().await.unwrap(), b"answer");
                    assert_eq!(stream.peer_addr().unwrap(), addr);
                }
                assert_eq!(tcp_counter("TCPFastOpenActive") - before, sent_early.into());
            });
        });
    });
}

/// What a handler is told.
#[derive(Debug)]
enum Told {
    Read(Vec<u8>),
    Closed(CloseReason),
    Failed,
}

/// Writes a request when it is connected, and tells what comes of it.
struct Asks {
    tell: mpsc::Sender<Told>,
    /// Whether it closes at once, or when the answer has come.
    closes_at_once: bool,
}

impl EvHandler for Asks {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.write(b"request")?;
        Ok(if self.closes_at_once { Action::Close } else { Action::Keep })
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        // The test may be over.
        let _ = self.tell.send(Told::Read(cx.read()?.to_vec()));
        Ok(Action::Close)
    }
    fn on_close(&mut self, _: &mut EvContext<'_>, reason: CloseReason) {
        let _ = self.tell.send(Told::Closed(reason));
    }
    fn on_connect_fail(&mut self, _: io::Error) {
        let _ = self.tell.send(Told::Failed);
    }
}

/// Connects a handler to `addr`, and returns what it is told.
fn connect_handler(
    server: &Server,
    addr: SocketAddr,
    closes_at_once: bool,
) -> mpsc::Receiver<Told> {
    let (tell, told) = mpsc::channel();
    Connector::new(server.handle())
        .options(ConnectOptions::new().fast_open(true))
        .connect(addr, move || Asks { tell, closes_at_once })
        .expect("the address is one");
    told
}

#[test]
fn a_handler_sends_its_first_bytes_with_the_syn() {
    in_own_network(|| {
        with_fast_open(|allowed| {
            let (listener, addr) = std_listener(16);
            let server = Server::start(1);
            if !allowed.client {
                let told = connect_handler(&server, addr, false);
                return assert!(matches!(told.recv_timeout(PATIENCE), Ok(Told::Failed)));
            }
            get_cookie(&listener);
            counts("TCPFastOpenActive", 1, allowed.server, || {
                let told = connect_handler(&server, addr, false);
                let mut peer = common::patient(listener.accept().unwrap().0);
                assert_eq!(common::read_exactly(&peer, 7), b"request");
                peer.write_all(b"answer").unwrap();
                let read = told.recv_timeout(PATIENCE).unwrap();
                assert!(matches!(&read, Told::Read(bytes) if bytes == b"answer"), "{read:?}");
            });
        });
    });
}

/// With a cookie a server counts as connected, and that it is gone shows when it is written to.
#[test]
fn a_server_that_is_gone_is_an_error_after_the_first_write() {
    in_own_network(|| {
        with_fast_open(|allowed| {
            let (listener, addr) = std_listener(16);
            if allowed.client {
                get_cookie(&listener);
            }
            drop(listener);
            let server = Server::start(1);
            let told = connect_handler(&server, addr, false).recv_timeout(PATIENCE).unwrap();
            if !(allowed.client && allowed.server) {
                return assert!(matches!(told, Told::Failed), "{told:?}");
            }
            let Told::Closed(CloseReason::Error(error)) = told else { panic!("{told:?}") };
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            block_on(async {
                let options = ConnectOptions::new().fast_open(true);
                let mut stream = TcpStream::connect_with(addr, options).await.unwrap();
                // The refusal may come before the write returns.
                let _ = stream.write_all(b"request").await;
                let error = stream.read_chunk().await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            });
        });
    });
}

/// shutdown(2) and close(2) undo a connection whose handshake is under way.
#[test]
fn a_handler_that_closes_during_the_handshake_loses_nothing() {
    in_own_network(|| {
        with_fast_open(|allowed| {
            let (listener, addr) = std_listener(0);
            let server = Server::start(1);
            if !allowed.client {
                let told = connect_handler(&server, addr, true);
                return assert!(matches!(told.recv_timeout(PATIENCE), Ok(Told::Failed)));
            }
            get_cookie(&listener);
            // It fills the backlog: the SYN is dropped, and sent again after a second.
            let filler = common::connect(addr);
            let told = connect_handler(&server, addr, true);
            if allowed.server {
                eventually("the SYN is sent", || tcp_counter("ListenOverflows") > 0);
            }
            let accept = || common::patient(listener.accept().unwrap().0);
            drop((accept(), filler));
            let mut peer = accept();
            let mut request = Vec::new();
            peer.read_to_end(&mut request).expect("an end, and no reset");
            assert_eq!(request, b"request");
            drop(peer);
            let told = told.recv_timeout(PATIENCE).unwrap();
            assert!(matches!(told, Told::Closed(CloseReason::Requested)), "{told:?}");
        });
    });
}

/// Greets its peer.
struct Greets;

/// What it says. No other send of the test is as long.
const GREETING: &[u8] = b"good morning";

impl EvHandler for Greets {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.write(GREETING)?;
        Ok(Action::Close)
    }
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Close)
    }
}

/// A send says so if the bytes don't go with the SYN that it causes: they haven't been taken.
#[test]
fn a_send_that_is_in_progress_is_one_that_waits_for_room() {
    common::in_own_process(|| {
        let mut is_first = true;
        decide(libc::SYS_sendto, move |arguments| {
            let is_greeting = arguments[2] == GREETING.len() as u64;
            (is_greeting && std::mem::take(&mut is_first)).then_some(libc::EINPROGRESS)
        });
        let (_server, addr) = Server::of_handlers(|| Greets);
        assert_eq!(common::read_to_end(&common::connect(addr)), GREETING);
    });
}

#[test]
fn the_option_is_set_if_it_was_asked_for() {
    block_on(async {
        let listener = TcpListener::bind(ANY).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let stream = TcpStream::connect(addr).await.unwrap();
        assert!(!is_fast_open(&stream));
        let options = ConnectOptions::new().fast_open(true);
        match TcpStream::connect_with(addr, options).await {
            Ok(stream) => assert!(is_fast_open(&stream)),
            // The machine forbids it: then it is not done without.
            Err(error) => assert!(error.to_string().contains("TCP_FASTOPEN_CONNECT"), "{error}"),
        }
    });
}

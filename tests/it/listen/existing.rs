//! Sockets that listen already, as a service manager passes them on, are taken over.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::{Hello, hello, is_greeted};
use crate::common::{
    ANY, Echo, PATIENCE, Server, alone, connect, is_child_of, load_of, read_exactly,
};
use crate::common::{test_of, within_patience};
use corepoll::{Acceptor, Action, CloseReason, EvContext, EvHandler, Reactor, block_on, net};
use socket2::{Domain, Socket, Type};

const POLLERS: usize = 4;

/// Says on which poller it is: the name of its thread ends with the number.
struct Tells;

impl EvHandler for Tells {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let thread = thread::current();
        let (_, number) = thread.name().and_then(|name| name.rsplit_once('-')).expect("a poller");
        cx.write(number.as_bytes())?;
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
    }
}

/// A blocking one, as std makes it.
fn listener() -> TcpListener {
    TcpListener::bind(ANY).unwrap()
}

#[test]
fn the_connections_of_one_socket_are_spread_over_all_pollers() {
    let server = Server::start(POLLERS);
    let listener = listener();
    let addr = listener.local_addr().unwrap();
    let acceptor = Acceptor::from_std(listener).unwrap();
    let listening = acceptor.listen(server.handle(), || Tells).unwrap();
    assert_eq!(listening.local_addr().unwrap(), addr);
    let mut clients = Vec::new();
    let mut at: Vec<_> = (0..POLLERS)
        .map(|_| {
            clients.push(connect(addr));
            read_exactly(clients.last().unwrap(), 1)[0]
        })
        .collect();
    at.sort_unstable();
    assert_eq!(at, (b'0'..b'0' + POLLERS as u8).collect::<Vec<_>>());
}

#[test]
fn a_service_takes_a_socket_over_with_the_connections_that_wait_in_it() {
    let server = Server::start(2);
    let listener = listener();
    let addr = listener.local_addr().unwrap();
    let early = connect(addr);
    let acceptor = Acceptor::from_std(OwnedFd::from(listener)).unwrap().nodelay(true);
    acceptor.serve(server.handle(), hello).unwrap();
    assert_eq!(read_exactly(&early, 5), b"hello");
    is_greeted(addr);
}

/// The duplicate goes on listening, and wakes the poller no more.
#[test]
fn after_the_close_a_duplicate_is_no_concern_of_the_poller() {
    let server = Server::start(1);
    let kept = listener();
    let addr = kept.local_addr().unwrap();
    for _ in 0..3 {
        let acceptor = Acceptor::from_std(kept.try_clone().unwrap()).unwrap();
        let listening = acceptor.listen(server.handle(), || Hello).unwrap();
        is_greeted(addr);
        listening.close_and_wait();
        let waits = TcpStream::connect(addr).unwrap();
        let load = load_of(server.poller(), Duration::from_millis(100));
        assert!(load < 0.5, "it spins: {load}");
        let accepted = kept.accept().expect("a duplicate listens").0;
        drop((waits, accepted));
    }
}

#[test]
fn a_socket_that_is_closed_before_the_reactor_runs_may_be_taken_over_again() {
    let reactor = Reactor::builder().pollers(1).build().unwrap();
    let kept = listener();
    let acceptor = Acceptor::from_std(kept.try_clone().unwrap()).unwrap();
    for _ in 0..3 {
        let listening = acceptor.clone().listen(&reactor.handle(), || Hello).unwrap();
        listening.close();
        assert!(listening.is_closed());
    }
    acceptor.listen(&reactor.handle(), || Hello).unwrap();
    let running = reactor.start().unwrap();
    is_greeted(kept.local_addr().unwrap());
    running.handle().shutdown(Duration::ZERO);
    running.join().unwrap();
}

#[test]
fn the_file_of_a_unix_socket_is_left_to_those_that_have_bound_it() {
    let name = format!("corepoll-existing-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let server = Server::start(2);
    let acceptor = Acceptor::from_std(listener).unwrap();
    let error = acceptor.clone().serve(server.handle(), hello).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    let listening = acceptor.listen(server.handle(), || Echo).unwrap();
    assert_eq!(listening.unix_addr().unwrap().as_pathname(), Some(&*path));
    let mut client = UnixStream::connect(&path).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    listening.close_and_wait();
    assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn what_does_not_listen_is_an_error_that_says_so() {
    let unbound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let listening = listener();
    let connected = connect(listening.local_addr().unwrap());
    let refused: [OwnedFd; 4] = [
        unbound.into(),
        connected.into(),
        UdpSocket::bind(ANY).unwrap().into(),
        std::fs::File::open("/dev/null").unwrap().into(),
    ];
    for fd in refused {
        let error = Acceptor::from_std(fd).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains("listens"), "{error}");
    }
    let unbound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let options = net::ListenOptions::new();
    let error = block_on(async { net::TcpListener::from_std_with(unbound.into(), options) });
    let error = error.unwrap_err();
    assert!(error.to_string().contains("listens"), "{error}");
    // One socket is not several.
    let acceptor = Acceptor::from_std(listener()).unwrap();
    let reactor = Reactor::builder().pollers(2).build().unwrap();
    for several in [acceptor.clone().reuse_port(true), acceptor.steer_by_cpu(true)] {
        let error = several.listen(&reactor.handle(), || Hello).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
}

#[test]
fn a_listener_of_a_task_gets_options() {
    within_patience(|| {
        block_on(async {
            let listener = listener();
            let options = net::ListenOptions::new().nodelay(true).recv_buffer_size(1 << 16);
            let listener = net::TcpListener::from_std_with(listener, options).unwrap();
            let client = net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (stream, peer) = listener.accept().await.unwrap();
            assert_eq!(peer, client.local_addr().unwrap());
            assert!(stream.nodelay().unwrap());
        });
    });
}

#[test]
#[allow(unsafe_code)]
fn a_child_inherits_its_listener_as_descriptor_3() {
    // As the docs of `Acceptor::from_std` take a socket from systemd.
    let child = || {
        assert_eq!(std::env::var("LISTEN_PID").unwrap(), std::process::id().to_string());
        assert_eq!(std::env::var("LISTEN_FDS").unwrap(), "1");
        // SAFETY: the shell that has become this process has put the socket there, and nothing else
        // in here knows the number.
        let inherited = unsafe { OwnedFd::from_raw_fd(3) };
        let (send, closed) = mpsc::channel();
        let server = Server::start(1);
        let acceptor = Acceptor::from_std(inherited).unwrap();
        let told = move || TellsOfItsEnd { send: send.clone() };
        let _listening = acceptor.listen(server.handle(), told).unwrap();
        assert_eq!(closed.recv_timeout(PATIENCE).unwrap(), "closed by this side");
    };
    let name = test_of(&child);
    if is_child_of(name) {
        return child();
    }
    let listener = listener();
    let addr = listener.local_addr().unwrap();
    // It waits in the socket for as long as there is no server.
    let client = connect(addr);
    let test = alone(name);
    let envs = test.get_envs().filter_map(|(name, value)| Some((name, value?)));
    // std passes descriptors as 0, 1 and 2 only; the shell keeps its process id.
    let script = "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\" 3<&0 </dev/null";
    let mut activated = Command::new("sh");
    activated.args(["-c", script, "sh"]).arg(test.get_program()).args(test.get_args()).envs(envs);
    activated.stdin(OwnedFd::from(listener)).stdout(Stdio::null());
    let mut activated = activated.spawn().unwrap();
    assert_eq!(read_exactly(&client, 5), b"hello");
    drop(client);
    assert!(activated.wait().unwrap().success());
}

/// Greets, and tells the test why its connection has ended.
struct TellsOfItsEnd {
    send: mpsc::Sender<String>,
}

impl EvHandler for TellsOfItsEnd {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.write(b"hello")?;
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
    }
    fn on_close(&mut self, _: &mut EvContext<'_>, reason: CloseReason) {
        let _ = self.send.send(reason.to_string());
    }
}

//! Every attempt to connect ends in one call: `on_open`, or `on_connect_fail`.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixListener;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, ThreadId};
use std::time::Duration;

use crate::common::{
    self, PATIENCE, Server, closed_port, eventually, full_listener, in_own_process,
    open_descriptors, patient,
};
use corepoll::{Action, CloseReason, Connector, EvContext, EvHandler, Reactor, Token};

/// What a handler was told.
#[derive(Debug)]
enum Told {
    Open(Token),
    Fail(io::Error),
    Close(CloseReason),
    Dropped,
}

/// Says what it is told, and on which thread.
struct Says(Sender<(Told, ThreadId)>);

impl Says {
    fn say(&self, told: Told) {
        let _ = self.0.send((told, thread::current().id()));
    }
}

impl EvHandler for Says {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.say(Told::Open(cx.token()));
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        common::send_back(cx)
    }

    fn on_connect_fail(&mut self, error: io::Error) {
        self.say(Told::Fail(error));
    }

    fn on_close(&mut self, _: &mut EvContext<'_>, reason: CloseReason) {
        self.say(Told::Close(reason));
    }
}

impl Drop for Says {
    fn drop(&mut self) {
        self.say(Told::Dropped);
    }
}

/// Everything that one handler is told until it is dropped.
fn life(told: &Receiver<(Told, ThreadId)>) -> Vec<Told> {
    let mut life = Vec::new();
    loop {
        match told.recv_timeout(PATIENCE).expect("the handler's life goes on").0 {
            Told::Dropped => return life,
            told => life.push(told),
        }
    }
}

/// The one failure that a handler is told.
#[track_caller]
fn failure(told: &Receiver<(Told, ThreadId)>) -> io::Error {
    let mut life = life(told);
    assert_eq!(life.len(), 1, "{life:?}");
    match life.pop() {
        Some(Told::Fail(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// An echo of `Says` through a connection that the other end has accepted.
fn echoes(mut peer: impl Read + Write) {
    peer.write_all(b"ping").expect("it is connected");
    let mut answer = [0; 4];
    peer.read_exact(&mut answer).expect("the handler answers");
    assert_eq!(&answer, b"ping");
}

/// Connects to `addr`; `accept` gives the other end.
#[track_caller]
fn connects<P: Read + Write>(addr: &str, accept: impl FnOnce() -> P) {
    let server = Server::start(1);
    let (says, told) = channel();
    Connector::new(server.handle()).connect(addr, move || Says(says)).expect("a good address");
    echoes(accept());
    let life = life(&told);
    assert!(
        matches!(&life[..], [Told::Open(_), Told::Close(CloseReason::Requested)]),
        "{addr}: {life:?}"
    );
    eventually("the load is given back", || format!("{:?}", server.poller()).contains("load: 0"));
}

fn listener(addr: &str) -> (TcpListener, String) {
    let listener = TcpListener::bind(addr).expect("a free port");
    let addr = listener.local_addr().expect("it is bound").to_string();
    (listener, addr)
}

#[test]
fn connects_over_ipv4_and_ipv6() {
    for any in ["127.0.0.1:0", "[::1]:0"] {
        let (listener, addr) = listener(any);
        connects(&addr, || patient(listener.accept().expect("it connects").0));
    }
}

#[test]
fn connects_to_unix_sockets_in_the_file_system_and_abstract_ones() {
    let path = std::env::temp_dir().join(format!("corepoll-connector-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("a free path");
    connects(&format!("unix:{}", path.display()), || listener.accept().expect("it connects").0);
    std::fs::remove_file(&path).expect("it was there");

    let name = format!("corepoll-connector-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a name");
    let listener = UnixListener::bind_addr(&address).expect("a free name");
    connects(&format!("unix:@{name}"), || listener.accept().expect("it connects").0);
}

#[test]
fn a_refusal_names_the_operation_and_the_address() {
    let server = Server::start(1);
    let gone = std::env::temp_dir().join("corepoll-nothing-is-here");
    let (closed, _guard) = closed_port();
    for (addr, kind) in [
        (closed, io::ErrorKind::ConnectionRefused),
        (format!("unix:{}", gone.display()), io::ErrorKind::NotFound),
        ("unix:@corepoll-no-listener".to_owned(), io::ErrorKind::ConnectionRefused),
        // No TCP goes to a group: the kernel says so without a packet.
        ("224.0.0.1:9".to_owned(), io::ErrorKind::NetworkUnreachable),
        // A network that no loopback interface has, from an address that only it has.
        ("[2001:db8::1]:9".to_owned(), io::ErrorKind::Other),
    ] {
        let (says, told) = channel();
        let connector = Connector::new(server.handle()).timeout(PATIENCE);
        let connector = match kind {
            io::ErrorKind::Other => connector.bind_local("[::1]:0".parse().expect("an address")),
            _ => connector,
        };
        connector.connect(&addr, move || Says(says)).expect("a good address");
        let error = failure(&told);
        if kind != io::ErrorKind::Other {
            assert_eq!(error.kind(), kind, "{error}");
        }
        assert!(error.to_string().contains(&format!("connecting to {addr}")), "{error}");
    }
}

#[test]
fn an_address_that_is_none_is_an_error_at_once() {
    let server = Server::start(1);
    for addr in ["", "localhost", "127.0.0.1", "127.0.0.1:", "unix:", "unix:@", "[::1", ":", "a.b"]
    {
        let connector = Connector::new(server.handle());
        let connected = connector.connect(addr, || -> Says { panic!("it must not be made") });
        assert!(connected.is_err(), "{addr:?}");
    }
    assert!(format!("{:?}", server.poller()).contains("load: 0"));
}

#[test]
fn a_listener_that_does_not_answer_is_timed_out() {
    let (_listener, _filler, addr) = full_listener();
    let server = Server::start(1);
    let (says, told) = channel();
    let connector = Connector::new(server.handle()).timeout(Duration::from_millis(50));
    connector.connect(addr, move || Says(says)).expect("a good address");
    let error = failure(&told);
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
}

/// Unix sockets don't tell when there is room in a backlog: unix(7).
#[test]
fn a_full_unix_backlog_is_waited_for_or_timed_out() {
    let name = format!("corepoll-full-backlog-{}", std::process::id());
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
    let socket = socket.expect("a socket");
    let address = socket2::SockAddr::unix(format!("\0{name}")).expect("a name");
    socket.bind(&address).expect("a free name");
    socket.listen(0).expect("it is bound");
    let listener: UnixListener = socket.into();
    let addr = format!("unix:@{name}");
    let server = Server::start(1);
    let connector = Connector::new(server.handle());

    let (says, first) = channel();
    connector.connect(&addr, move || Says(says)).expect("a good address");
    assert!(matches!(first.recv_timeout(PATIENCE), Ok((Told::Open(_), _))));
    let (says, second) = channel();
    let hasty = connector.clone().timeout(Duration::from_millis(30));
    hasty.connect(&addr, move || Says(says)).expect("a good address");
    assert_eq!(failure(&second).kind(), io::ErrorKind::TimedOut);

    let (says, third) = channel();
    connector.connect(&addr, move || Says(says)).expect("a good address");
    drop(listener.accept().expect("the first one"));
    echoes(listener.accept().expect("the third one").0);
    assert!(matches!(&life(&third)[..], [Told::Open(_), Told::Close(CloseReason::Requested)]));
}

#[test]
fn a_socket_that_meets_itself_is_refused() {
    let (addr, _guard) = closed_port();
    let server = Server::start(1);
    let (says, told) = channel();
    let from: SocketAddr = addr.parse().expect("an address");
    let connector = Connector::new(server.handle()).bind_local(from);
    connector.connect(&addr, move || Says(says)).expect("a good address");
    let error = failure(&told);
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{error}");
    assert!(error.to_string().contains("itself"), "{error}");
}

#[test]
fn the_local_address_can_be_chosen() {
    for (any, from) in [("127.0.0.1:0", "127.0.0.2:0"), ("[::1]:0", "[::1]:0")] {
        let (listener, addr) = listener(any);
        let server = Server::start(1);
        let (says, _told) = channel();
        let from: SocketAddr = from.parse().expect("an address");
        let connector = Connector::new(server.handle()).bind_local(from);
        connector.connect(&addr, move || Says(says)).expect("a good address");
        let (peer, seen) = listener.accept().expect("it connects");
        assert_eq!(seen.ip(), from.ip());
        echoes(patient(peer));
    }
    // And a port, too.
    let (from, _guard) = closed_port();
    let from: SocketAddr = from.parse().expect("an address");
    let (listener, addr) = listener(common::ANY);
    let server = Server::start(1);
    let (says, _told) = channel();
    let connector = Connector::new(server.handle()).bind_local(from);
    connector.connect(&addr, move || Says(says)).expect("a good address");
    assert_eq!(listener.accept().expect("it connects").1, from);
}

#[test]
fn attempts_go_to_the_poller_with_the_fewest_connections() {
    let (listener, addr) = listener(common::ANY);
    let server = Server::start(4);
    let connector = Connector::new(server.handle());
    let (says, told) = channel();
    for _ in 0..32 {
        let says = says.clone();
        connector.connect(&addr, move || Says(says)).expect("a good address");
    }
    let _peers: Vec<_> = (0..32).map(|_| listener.accept().expect("it connects")).collect();
    let mut threads = std::collections::HashMap::new();
    for _ in 0..32 {
        let (_, thread) = told.recv_timeout(PATIENCE).expect("it opens");
        *threads.entry(thread).or_insert(0) += 1;
    }
    assert_eq!(threads.into_values().collect::<Vec<_>>(), [8; 4]);
}

#[test]
fn ten_thousand_refusals_leave_nothing_behind() {
    in_own_process(|| {
        let (addr, _guard) = closed_port();
        let server = Server::start(2);
        let connector = Connector::new(server.handle()).timeout(Duration::from_secs(3600));
        let before = open_descriptors();
        let (says, told) = channel();
        for _ in 0..10_000 {
            let says = says.clone();
            connector.connect(&addr, move || Says(says)).expect("a good address");
        }
        drop(says);
        let (mut failed, mut dropped) = (0, 0);
        while dropped < 10_000 {
            match told.recv_timeout(PATIENCE).expect("they all fail").0 {
                Told::Fail(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{error}");
                    failed += 1;
                }
                Told::Dropped => dropped += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(failed, 10_000);
        assert!(told.recv().is_err(), "one is told twice");
        assert_eq!(open_descriptors(), before);
        for poller in server.handle().pollers() {
            assert!(format!("{poller:?}").contains("load: 0"));
        }
        // A timer that was left would not keep the shutdown waiting, but a connection would.
        let ended = server.stop(3 * PATIENCE);
        assert_eq!((ended.drained, ended.cancelled), (0, 0));
    });
}

#[test]
fn attempts_without_a_descriptor_fail() {
    in_own_process(|| {
        let (_listener, addr) = listener(common::ANY);
        let server = Server::start(1);
        let connector = Connector::new(server.handle());
        let mut taken = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            taken.push(file);
        }
        let (says, told) = channel();
        connector.connect(&addr, move || Says(says)).expect("a good address");
        let error = failure(&told);
        assert!(error.to_string().contains("os error 24"), "{error}");
        drop(taken);
    });
}

#[test]
fn a_panic_harms_nothing_else() {
    struct Panics(#[allow(dead_code)] Says);
    impl EvHandler for Panics {
        fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
            Ok(Action::Close)
        }
        fn on_connect_fail(&mut self, _: io::Error) {
            panic!("in on_connect_fail");
        }
    }
    let server = Server::start(1);
    let connector = Connector::new(server.handle());
    let (addr, _guard) = closed_port();
    connector.connect(&addr, || -> Says { panic!("in the factory") }).expect("a good address");
    let (says, told) = channel();
    connector.connect(&addr, move || Panics(Says(says))).expect("a good address");
    assert!(life(&told).is_empty());
    let (says, told) = channel();
    connector.connect(&addr, move || Says(says)).expect("a good address");
    failure(&told);
    assert!(format!("{:?}", server.poller()).contains("load: 0"));
    let ended = server.stop(3 * PATIENCE);
    assert_eq!((ended.drained, ended.cancelled), (0, 0));
}

// ---- the end of the poller ----

#[test]
fn a_shutdown_ends_attempts_on_their_thread() {
    let (_listener, _filler, addr) = full_listener();
    let server = Server::start(1);
    let poller_thread = server.on_poller(|| thread::current().id());
    let (says, told) = channel();
    let connector = Connector::new(server.handle());
    connector.connect(addr, move || Says(says)).expect("a good address");
    server.on_poller(|| ());
    let ended = server.stop(Duration::ZERO);
    assert_eq!((ended.drained, ended.cancelled), (0, 1));
    let (first, thread) = told.try_recv().expect("all is told when join returns");
    assert_eq!(thread, poller_thread);
    assert!(
        matches!(&first, Told::Fail(error) if error.kind() == io::ErrorKind::NotConnected),
        "{first:?}"
    );
    assert!(matches!(told.try_recv(), Ok((Told::Dropped, _))));
}

#[test]
fn within_the_grace_an_attempt_goes_on() {
    let (listener, _filler, addr) = full_listener();
    let server = Server::start(1);
    let (says, told) = channel();
    let connector = Connector::new(server.handle());
    connector.connect(addr, move || Says(says)).expect("a good address");
    server.on_poller(|| ());
    server.handle().shutdown(3 * PATIENCE);
    server.on_poller(|| ());
    drop(listener.accept().expect("what filled the backlog"));
    // It is made now, told of the shutdown, and ends by the default of `on_shutdown`.
    assert!(matches!(&life(&told)[..], [Told::Open(_), Told::Close(CloseReason::Requested)]));
    assert_eq!(server.stop(Duration::ZERO).drained, 1);
}

#[test]
fn an_attempt_that_its_poller_never_comes_to_fails() {
    let reactor = Reactor::builder().pollers(1).build().expect("a reactor");
    let (says, told) = channel();
    let connector = Connector::new(&reactor.handle());
    let (addr, _guard) = closed_port();
    connector.connect(&addr, move || Says(says)).expect("a good address");
    drop(reactor);
    assert_eq!(failure(&told).kind(), io::ErrorKind::NotConnected);

    let refused = connector.connect(&addr, || -> Says { panic!("it must not be made") });
    assert!(refused.is_err());
}

/// Posts attempts while the poller ends: each is told, or was never taken.
#[test]
fn attempts_that_race_with_the_end_are_told() {
    for _ in 0..50 {
        let server = Server::start(1);
        let connector = Connector::new(server.handle());
        let (addr, _guard) = closed_port();
        let thread = thread::spawn(move || {
            let (says, told) = channel();
            let mut taken = 0;
            loop {
                let says = says.clone();
                if connector.connect(&addr, move || Says(says)).is_err() {
                    return (taken, told);
                }
                taken += 1;
            }
        });
        server.stop(Duration::ZERO);
        let (taken, told) = thread.join().expect("it doesn't panic");
        let told: Vec<_> = told.iter().collect();
        let failed = told.iter().filter(|(told, _)| matches!(told, Told::Fail(_))).count();
        assert_eq!((failed, told.len()), (taken, 2 * taken));
    }
}

// ---- from inside a callback ----

/// Does something in `on_open`, and says when it returns from it.
struct Inside<F>(Option<F>, Sender<(Told, ThreadId)>);

impl<F: FnOnce(&mut EvContext<'_>) + 'static> EvHandler for Inside<F> {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.0.take().expect("on_open comes once")(cx);
        let _ = self.1.send((Told::Close(CloseReason::PeerClosed), thread::current().id()));
        Ok(Action::Keep)
    }
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Close)
    }
}

/// Runs `act` in a callback of `server`'s; it is given the sender whose receiver comes back.
fn inside(
    server: &Server,
    act: impl FnOnce(&mut EvContext<'_>, Sender<(Told, ThreadId)>) + Send + 'static,
) -> Receiver<(Told, ThreadId)> {
    let (says, told) = channel();
    let (fd, _) = std::os::unix::net::UnixStream::pair().expect("a socket pair");
    let done = says.clone();
    let factory = || Inside(Some(move |cx: &mut EvContext<'_>| act(cx, says)), done);
    let interest = corepoll::Interest::NONE;
    server.poller().register(fd.into(), interest, factory).expect("the poller runs");
    told
}

#[test]
fn inside_a_callback_no_call_comes() {
    let server = Server::start(1);
    let (addr, _guard) = closed_port();
    let told = inside(&server, move |cx, says| {
        for _ in 0..3 {
            cx.connect(&addr, Says(says.clone())).expect("a good address");
        }
        assert!(cx.connect("nonsense", Says(channel().0)).is_err());
    });
    let mut order = Vec::new();
    while order.len() < 7 {
        order.push(told.recv_timeout(PATIENCE).expect("they fail").0);
    }
    assert!(matches!(order[0], Told::Close(_)), "{order:?}");
    assert_eq!(order.iter().filter(|told| matches!(told, Told::Fail(_))).count(), 3);
}

#[test]
fn the_token_of_the_attempt_is_the_connections() {
    let (listener, addr) = listener(common::ANY);
    let server = Server::start(1);
    let (give, token) = channel();
    let told = inside(&server, move |cx, says| {
        give.send(cx.connect(&addr, Says(says)).expect("a good address")).expect("it waits");
    });
    echoes(patient(listener.accept().expect("it connects").0));
    let life = life(&told);
    let token = token.recv_timeout(PATIENCE).expect("it was sent");
    assert!(matches!(&life[1], Told::Open(opened) if *opened == token), "{life:?}");
}

#[test]
fn an_attempt_can_be_closed() {
    let (_listener, _filler, addr) = full_listener();
    let server = Server::start(1);
    let told = inside(&server, move |cx, says| {
        let token = cx.connect(addr, Says(says)).expect("a good address");
        assert!(cx.close(token));
        assert!(!cx.close(token), "it is ending already");
    });
    let life = life(&told);
    assert!(
        matches!(&life[..], [Told::Close(_), Told::Fail(error)]
            if error.kind() == io::ErrorKind::ConnectionAborted),
        "{life:?}"
    );
    eventually("the load is given back", || format!("{:?}", server.poller()).contains("load: 0"));
}

/// In `on_close`, when its poller ends, a handler tries to connect: nothing is registered any
/// more, but the attempt is told so.
#[test]
fn an_attempt_at_the_very_end_fails() {
    struct Last(Sender<(Told, ThreadId)>, String);
    impl EvHandler for Last {
        fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
            Ok(Action::Close)
        }
        fn on_shutdown(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
            Ok(Action::Keep)
        }
        fn on_close(&mut self, cx: &mut EvContext<'_>, _: CloseReason) {
            cx.connect(&self.1, Says(self.0.clone())).expect("a good address");
        }
    }
    let (_listener, addr) = listener(common::ANY);
    let server = Server::start(1);
    let (says, told) = channel();
    let (fd, _other) = std::os::unix::net::UnixStream::pair().expect("a socket pair");
    let interest = corepoll::Interest::READABLE;
    server.poller().register(fd.into(), interest, || Last(says, addr)).expect("it runs");
    server.on_poller(|| ());
    server.stop(Duration::ZERO);
    assert_eq!(failure(&told).kind(), io::ErrorKind::NotConnected);
}

/// The handler blocks its poller until both the deadline has passed and the answer has come: one
/// outcome.
#[test]
fn success_at_the_deadline_is_one_outcome() {
    let server = Server::start(1);
    let (listener, addr) = listener(common::ANY);
    for round in 0..200 {
        let (says, told) = channel();
        let limit = Duration::from_micros(round * 3);
        let connector = Connector::new(server.handle()).timeout(limit);
        connector.connect(&addr, move || Says(says)).expect("a good address");
        // Established in the kernel, whatever the poller makes of it.
        drop(listener.accept().expect("it connects"));
        let life = life(&told);
        assert!(matches!(&life[..], [Told::Fail(_)] | [Told::Open(_), Told::Close(_)]), "{life:?}");
    }
}

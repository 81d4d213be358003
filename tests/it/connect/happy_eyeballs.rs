//! Several addresses, one connection: RFC 8305, for tasks and for handlers.
//!
//! A black hole is a listener whose backlog is full: on the loopback interface as elsewhere the
//! kernel drops the SYN, and tries again a second later.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::common::{
    self, PATIENCE, Server, closed_port_of, eventually, hold, in_own_process, open_descriptors,
    patient, within_patience,
};
use corepoll::net::{self, ConnectOptions};
use corepoll::{Action, CloseReason, Connector, EvContext, EvHandler, Interest, block_on};

/// RFC 8305's recommended delay.
const DELAY: Duration = Duration::from_millis(250);

/// Takes no connection until what fills its backlog is accepted.
struct Hole {
    listener: TcpListener,
    _filler: TcpStream,
    addr: SocketAddr,
}

impl Hole {
    fn at(ip: &str) -> Hole {
        let addr = SocketAddr::new(ip.parse().expect("an address"), 0);
        let domain = socket2::Domain::for_address(addr);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&addr.into()).expect("a free port");
        socket.listen(0).expect("it is bound");
        let listener: TcpListener = socket.into();
        let addr = listener.local_addr().expect("it is bound");
        Hole { _filler: common::connect(addr), listener, addr }
    }

    /// Makes room for one connection.
    fn open(&self) {
        drop(self.listener.accept().expect("the filler is there"));
    }

    /// The connection that came through.
    fn accept(&self) -> TcpStream {
        patient(self.listener.accept().expect("it comes").0)
    }
}

/// Takes connections.
fn good(ip: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((ip, 0)).expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    (listener, addr)
}

/// An address that refuses.
fn refusing() -> (SocketAddr, socket2::Socket) {
    closed_port_of([127, 0, 0, 1].into())
}

/// Says which address it is connected to, or why it is not.
struct Says(mpsc::Sender<io::Result<SocketAddr>>);

impl EvHandler for Says {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let _ = self.0.send(cx.peer_addr());
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        common::send_back(cx)
    }
    fn on_connect_fail(&mut self, error: io::Error) {
        let _ = self.0.send(Err(error));
    }
    fn on_close(&mut self, _: &mut EvContext<'_>, reason: CloseReason) {
        let _ = self.0.send(Err(io::Error::other(format!("{reason:?}"))));
    }
}

/// Does something in `on_open`.
struct Inside<F>(Option<F>);

impl<F: FnOnce(&mut EvContext<'_>) + 'static> EvHandler for Inside<F> {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.0.take().expect("on_open comes once")(cx);
        Ok(Action::Keep)
    }
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Close)
    }
}

/// Asks both APIs for a connection: which of `addresses` it is to, and how long it took.
fn both(
    addresses: &[SocketAddr],
    options: &ConnectOptions,
) -> [(io::Result<SocketAddr>, Duration); 2] {
    let (addresses, options) = (addresses.to_vec(), options.clone());
    within_patience(move || {
        let start = Instant::now();
        let connect = net::TcpStream::connect_with(&addresses, options.clone());
        let by_task = block_on(async { connect.await?.peer_addr() });
        let task = (by_task, start.elapsed());

        let server = Server::start(1);
        let (says, told) = mpsc::channel();
        let start = Instant::now();
        let connector = Connector::new(server.handle()).options(options);
        connector.connect(addresses, move || Says(says)).expect("good addresses");
        let by_handler = told.recv_timeout(PATIENCE).expect("it is told");
        [task, (by_handler, start.elapsed())]
    })
}

fn plain() -> ConnectOptions {
    ConnectOptions::new()
}

#[test]
fn what_does_not_answer_is_passed_by() {
    for (dead, alive) in [("127.0.0.1", "127.0.0.2"), ("::1", "127.0.0.1"), ("127.0.0.1", "::1")] {
        let (hole, (_listener, addr)) = (Hole::at(dead), good(alive));
        let options = plain().timeout(PATIENCE / 2);
        for (connected, took) in both(&[hole.addr, addr], &options) {
            assert_eq!(connected.expect("it connects"), addr);
            assert!(took >= DELAY, "the first one is given its time: {took:?}");
        }
    }
}

/// From inside a callback it is the same.
#[test]
fn a_callback_passes_by_what_does_not_answer() {
    let (hole, (_listener, addr)) = (Hole::at("127.0.0.1"), good("127.0.0.2"));
    let server = Server::start(1);
    let (says, told) = mpsc::channel();
    let (fd, _other) = std::os::unix::net::UnixStream::pair().expect("a socket pair");
    let addresses = [hole.addr, addr];
    let connects = move || {
        Inside(Some(move |cx: &mut EvContext<'_>| {
            cx.connect(addresses, Says(says)).expect("good addresses");
        }))
    };
    server.poller().register(fd.into(), Interest::NONE, connects).expect("it runs");
    assert_eq!(told.recv_timeout(PATIENCE).expect("it is told").expect("it connects"), addr);
}

/// If each took the delay, the limit would come first.
#[test]
fn what_fails_makes_way_at_once() {
    let (refused, _guard) = refusing();
    let (_listener, addr) = good("127.0.0.1");
    let mut addresses = vec![refused; 120];
    addresses.push(addr);
    for (connected, _) in both(&addresses, &plain().timeout(PATIENCE)) {
        assert_eq!(connected.expect("it connects"), addr);
    }
}

#[test]
fn the_families_take_turns() {
    // In the order given, the second one would win.
    let (hole, (_second, second), (_third, third)) =
        (Hole::at("::1"), good("::1"), good("127.0.0.1"));
    for (connected, _) in both(&[hole.addr, second, third], &plain()) {
        assert_eq!(connected.expect("it connects"), third);
    }
    let hole = Hole::at("127.0.0.1");
    for (connected, _) in both(&[hole.addr, third, second], &plain()) {
        assert_eq!(connected.expect("it connects"), second);
    }
    // From a local address, only its own family can be reached.
    let options = plain().bind_local("[::1]:0".parse().expect("an address"));
    for (connected, _) in both(&[third, second], &options) {
        assert_eq!(connected.expect("it connects"), second);
    }
}

/// An attempt goes on while later ones are made.
#[test]
fn the_first_that_succeeds_wins_even_if_it_began_early() {
    let holes = [Hole::at("127.0.0.1"), Hole::at("127.0.0.2")];
    let addresses = holes.each_ref().map(|hole| hole.addr);
    // Its first SYN has been dropped by then; the second one comes through.
    let opener = move |hole: Hole| {
        std::thread::spawn(move || {
            hole.open();
            hole.accept()
        })
    };
    let [first, _second] = holes;
    let listener = first.listener.try_clone().expect("a descriptor");
    let connected = within_patience(move || {
        block_on(async {
            let connect = net::TcpStream::connect(&addresses[..]);
            let mut connect = std::pin::pin!(connect);
            // Under way, and not answered.
            assert!(futures::poll!(connect.as_mut()).is_pending());
            let thread = opener(first);
            let peer = connect.await?.peer_addr()?;
            drop(thread.join().expect("it accepts"));
            io::Result::Ok(peer == addresses[0])
        })
    });
    assert!(connected.expect("it connects"));
    drop(listener);
}

#[test]
fn when_all_fail_each_is_told_of() {
    let ((one, _one), (other, _other)) = (refusing(), refusing());
    for (failed, _) in both(&[one, other], &plain()) {
        let error = failed.expect_err("they refuse");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let text = error.to_string();
        for addr in [one, other] {
            assert!(text.contains(&format!("{addr}: Connection refused")), "{text}");
        }
        let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.and_then(io::Error::raw_os_error), Some(libc::ECONNREFUSED));
    }
    // No address at all is the caller's mistake: told at once.
    let none: [SocketAddr; 0] = [];
    let error = block_on(net::TcpStream::connect(none)).expect_err("there is none");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let server = Server::start(1);
    let connected = Connector::new(server.handle()).connect(none, || -> Says { unreachable!() });
    assert_eq!(connected.expect_err("there is none").kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn the_time_limit_is_for_all_of_them() {
    let (refused, _guard) = refusing();
    let holes = [Hole::at("127.0.0.1"), Hole::at("::1"), Hole::at("127.0.0.2")];
    let addresses = [refused, holes[0].addr, holes[1].addr, holes[2].addr];
    let limit = DELAY * 2;
    for (failed, took) in both(&addresses, &plain().timeout(limit)) {
        let error = failed.expect_err("none answers");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        let text = error.to_string();
        assert!(text.contains("no answer within 500ms"), "{text}");
        assert!(text.contains(&format!("{refused}: Connection refused")), "{text}");
        assert!(took >= limit);
    }
}

#[test]
fn the_others_are_closed() {
    in_own_process(|| {
        let holes = [Hole::at("127.0.0.1"), Hole::at("::1"), Hole::at("127.0.0.2")];
        let (listener, addr) = good("127.0.0.3");
        let addresses = [holes[0].addr, holes[1].addr, holes[2].addr, addr];
        let server = Server::start(1);
        let connector = Connector::new(server.handle());
        block_on(async {
            let before = open_descriptors();
            let stream = net::TcpStream::connect(&addresses[..]).await.expect("it connects");
            assert_eq!(stream.peer_addr().expect("it is connected"), addr);
            assert_eq!(open_descriptors(), before + 1);
            drop(stream);
            // Given up, in the middle of it.
            let limit = Duration::from_millis(300);
            net::TcpStream::connect_timeout(&addresses[..3], limit).await.expect_err("none");
            assert_eq!(open_descriptors(), before);
        });
        drop(listener.accept().expect("the task's"));

        let before = open_descriptors();
        let (says, told) = mpsc::channel();
        connector.connect(&addresses[..], move || Says(says)).expect("good addresses");
        assert_eq!(told.recv_timeout(PATIENCE).expect("it is told").expect("it connects"), addr);
        // The connection and its token are usable: nothing of the others comes to it.
        let mut peer = patient(listener.accept().expect("the handler's").0);
        assert_eq!(open_descriptors(), before + 2);
        peer.write_all(b"ping").expect("it is connected");
        peer.read_exact(&mut [0; 4]).expect("it echoes");
        drop(peer);
        told.recv_timeout(PATIENCE).expect("it is told").expect_err("it is closed");
        eventually("the handler's is closed", || open_descriptors() == before);

        let (says, told) = mpsc::channel();
        let hasty = connector.timeout(DELAY * 3);
        hasty.connect(&addresses[..3], move || Says(says)).expect("good addresses");
        told.recv_timeout(PATIENCE).expect("it is told").expect_err("none answers");
        assert_eq!(open_descriptors(), before);
    });
}

/// Two sockets are connected in one batch of events: one becomes the connection, and what epoll says
/// of the other one is not taken for its own.
#[test]
fn two_that_are_made_at_a_time_are_one_connection() {
    in_own_process(|| {
        let holes = [Hole::at("127.0.0.1"), Hole::at("::1")];
        let server = Server::start(1);
        let before = open_descriptors();
        let (says, told) = mpsc::channel();
        let addresses = holes.each_ref().map(|hole| hole.addr);
        Connector::new(server.handle()).connect(addresses, move || Says(says)).expect("addresses");
        eventually("both are under way", || open_descriptors() == before + 2);
        let held = hold(server.poller());
        holes.iter().for_each(Hole::open);
        let mut peers = holes.each_ref().map(Hole::accept);
        drop(held);

        let winner = told.recv_timeout(PATIENCE).expect("it is told").expect("it connects");
        let place = addresses.iter().position(|addr| *addr == winner).expect("one of them");
        // The loser hears the end, and no reset.
        assert_eq!(peers[1 - place].read(&mut [0; 8]).expect("an orderly end"), 0);
        for _ in 0..3 {
            peers[place].write_all(b"ping").expect("it is connected");
            peers[place].read_exact(&mut [0; 4]).expect("it echoes");
        }
        assert!(told.try_recv().is_err(), "one call, and it is open");
        drop(peers);
        let told = told.recv_timeout(PATIENCE).expect("it is told").expect_err("it is closed");
        assert!(told.to_string().contains("Requested"), "{told}");
        drop(holes);
    });
}

/// A handler's attempt can be closed and shut down with several sockets under way.
#[test]
fn attempts_on_several_sockets_end_with_their_poller() {
    in_own_process(|| {
        let holes = [Hole::at("127.0.0.1"), Hole::at("::1")];
        let addresses = holes.each_ref().map(|hole| hole.addr);
        let before = open_descriptors();
        let server = Server::start(1);
        let running = open_descriptors();
        let (says, told) = mpsc::channel();
        Connector::new(server.handle()).connect(addresses, move || Says(says)).expect("addresses");
        eventually("both are under way", || open_descriptors() == running + 2);
        let ended = server.stop(Duration::ZERO);
        assert_eq!((ended.drained, ended.cancelled), (0, 1));
        let error = told.recv_timeout(PATIENCE).expect("it is told").expect_err("it ended");
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
        assert!(told.recv().is_err(), "told twice");
        assert_eq!(open_descriptors(), before);
    });
}

// ---- host names, for handlers ----

#[cfg(feature = "blocking")]
#[test]
fn a_host_name_is_looked_up_for_a_handler() {
    let (listener, addr) = good("127.0.0.1");
    let server = Server::start(1);
    let connector = Connector::new(server.handle()).timeout(PATIENCE);
    let name = format!("localhost:{}", addr.port());
    let (says, told) = mpsc::channel();
    connector.connect(&name, move || Says(says)).expect("a good name");
    assert_eq!(told.recv_timeout(PATIENCE).expect("it is told").expect("it connects"), addr);
    drop(listener);

    let (says, told) = mpsc::channel();
    connector.connect("corepoll.invalid:80", move || Says(says)).expect("it may be one");
    let error = told.recv_timeout(PATIENCE).expect("it is told").expect_err("there is none");
    let text = error.to_string();
    assert!(text.starts_with("connecting to corepoll.invalid:80: looking the name up: "), "{text}");
    eventually("nothing is left", || format!("{:?}", server.poller()).contains("load: 0"));
}

/// The only thread that may block is busy: the look-up waits for it, and the limit holds.
#[cfg(feature = "blocking")]
#[test]
#[allow(unsafe_code)]
fn the_time_limit_is_for_the_look_up_too() {
    in_own_process(|| {
        // SAFETY: nothing else of this process looks at its environment now.
        unsafe { std::env::set_var("BLOCKING_MAX_THREADS", "1") };
        let (release, released) = mpsc::channel::<()>();
        let busy = corepoll::spawn_blocking(move || released.recv().is_err());
        let (_listener, addr) = good("127.0.0.1");
        let name = format!("localhost:{}", addr.port());
        let limit = Duration::from_millis(20);
        let connected = block_on(net::TcpStream::connect_timeout(&name, limit));
        let error = connected.expect_err("its name is not known");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains(&name), "{error}");

        let server = Server::start(1);
        let (says, told) = mpsc::channel();
        let connector = Connector::new(server.handle());
        let hasty = connector.clone().timeout(limit);
        hasty.connect(&name, move || Says(says)).expect("a good name");
        let error = told.recv_timeout(PATIENCE).expect("it is told").expect_err("not known");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        // This one is found when there is a thread, and one that was closed meanwhile is not told.
        let (says, patient) = mpsc::channel();
        let (closes, closed) = mpsc::channel();
        connector.connect(&name, move || Says(says)).expect("a good name");
        let both = name.clone();
        let (fd, _other) = std::os::unix::net::UnixStream::pair().expect("a socket pair");
        let closes = move || {
            Inside(Some(move |cx: &mut EvContext<'_>| {
                let token = cx.connect(both, Says(closes)).expect("a good name");
                assert!(cx.close(token));
            }))
        };
        server.poller().register(fd.into(), Interest::NONE, closes).expect("it runs");
        let error = closed.recv_timeout(PATIENCE).expect("it is told").expect_err("closed");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        drop(release);
        let peer = patient.recv_timeout(PATIENCE).expect("it is told").expect("it connects");
        assert_eq!(peer, addr);
        assert!(closed.recv().is_err(), "told twice");
        assert!(block_on(busy).expect("it ends"));
    });
}

#[cfg(feature = "blocking")]
#[test]
fn a_pool_may_be_to_a_host_name() {
    let (listener, addr) = good("127.0.0.1");
    within_patience(move || {
        block_on(async {
            let pool = corepoll::ConnectPool::new(format!("localhost:{}", addr.port()));
            let stream = pool.get().await.expect("it connects");
            assert_eq!(stream.peer_addr().expect("it is connected"), addr);
        });
    });
    drop(listener);
}

#[cfg(not(feature = "blocking"))]
#[test]
fn without_the_feature_a_name_is_an_error_at_once() {
    let server = Server::start(1);
    let connector = Connector::new(server.handle());
    let error = connector.connect("localhost:80", || Says(mpsc::channel().0)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
}

// ---- options ----

/// The window scale that the socket has told its peer: TCP_INFO of tcp(7).
#[allow(unsafe_code)]
fn window_scale(socket: &impl AsFd) -> u8 {
    use std::os::fd::AsRawFd;
    let mut info = [0u8; size_of::<libc::tcp_info>()];
    let mut size = info.len() as libc::socklen_t;
    let (fd, level) = (socket.as_fd().as_raw_fd(), libc::IPPROTO_TCP);
    // SAFETY: the buffer is writable for its size.
    let answer =
        unsafe { libc::getsockopt(fd, level, libc::TCP_INFO, info.as_mut_ptr().cast(), &mut size) };
    assert_eq!(answer, 0);
    // tcpi_snd_wscale and tcpi_rcv_wscale share the byte behind tcpi_options.
    info[6] >> 4
}

#[test]
fn buffers_are_set_before_the_connect() {
    let (_listener, addr) = good("127.0.0.1");
    let small = plain().recv_buffer_size(16 * 1024).send_buffer_size(20 * 1024).nodelay(true);
    let (as_usual, small_stream) = block_on(async {
        let as_usual = net::TcpStream::connect(addr).await.expect("it connects");
        let small = net::TcpStream::connect_with(addr, small.clone()).await.expect("it connects");
        assert!(small.nodelay().expect("a TCP socket"));
        (window_scale(&as_usual), (window_scale(&small), sizes(&small)))
    });
    // Set after the handshake, it would be as usual.
    assert!(as_usual > 0);
    assert_eq!(small_stream, (0, (32 * 1024, 40 * 1024)));

    struct Looks(mpsc::Sender<(u8, (usize, usize))>);
    impl EvHandler for Looks {
        fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
            let _ = self.0.send((window_scale(&cx.fd()), sizes(&cx.fd())));
            Ok(Action::Close)
        }
        fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
            Ok(Action::Close)
        }
    }
    let server = Server::start(1);
    let (give, take) = mpsc::channel();
    let connector = Connector::new(server.handle());
    let connector = connector.recv_buffer_size(16 * 1024).send_buffer_size(20 * 1024);
    connector.connect(addr, move || Looks(give)).expect("a good address");
    assert_eq!(take.recv_timeout(PATIENCE).expect("it opens"), small_stream);
    let options = ConnectOptions::new().recv_buffer_size(16 * 1024).send_buffer_size(20 * 1024);
    let pooled = block_on(async move {
        let pool = corepoll::ConnectPool::builder(addr.to_string()).connect_options(options);
        let stream = pool.build().get().await.expect("it connects");
        (window_scale(&*stream), sizes(&*stream))
    });
    assert_eq!(pooled, small_stream);
    // What no int can hold is cut, as the kernel cuts what it doesn't allow.
    let huge = plain().recv_buffer_size(usize::MAX).send_buffer_size(usize::MAX);
    for (connected, _) in both(&[addr], &huge) {
        connected.expect("it connects");
    }
}

fn sizes(socket: &impl AsFd) -> (usize, usize) {
    let socket = socket2::SockRef::from(socket);
    (socket.recv_buffer_size().expect("SO_RCVBUF"), socket.send_buffer_size().expect("SO_SNDBUF"))
}

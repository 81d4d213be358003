//! Kernels that lack what not every kernel has. What is missing is done without where corepoll uses
//! it by itself, and is an error of the call where the user has asked for it by name: the table is in
//! ARCHITECTURE.md. Relays and files are in `relay/` and in `handlers/send_file.rs`.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use crate::common::refuse::{decide, refuse, refuse_if};
use crate::common::{
    self, ANY, Echo, PATIENCE, Server, ask, connect, echo, in_own_process, is_ended, tcp_pair,
};
use corepoll::net::{self, ListenOptions};
use corepoll::{
    Acceptor, Action, Connector, EvContext, EvHandler, Interest, Listening, LocalPoller, Placement,
    Reactor, block_on, time,
};

/// Refuses one option of sockets.
fn refuse_option(level: i32, option: i32, errno: i32) {
    let arguments = [(1, level as u32), (2, option as u32)];
    refuse_if(libc::SYS_setsockopt, &arguments, errno);
    refuse_if(libc::SYS_getsockopt, &arguments, errno);
}

/// The call fails, with the errno as its source and `name` in its text.
#[track_caller]
fn says<T>(result: io::Result<T>, name: &str, errno: i32) {
    let Err(error) = result else { panic!("it was refused") };
    let cause = std::error::Error::source(&error).and_then(|it| it.downcast_ref::<io::Error>());
    let number = error.raw_os_error().or_else(|| cause?.raw_os_error());
    assert_eq!(number, Some(errno), "{error}");
    assert!(error.to_string().contains(name), "{error}");
}

// ---- the loop ----

/// epoll_pwait2 came with Linux 5.11, and container profiles that are older answer what they like.
fn timers_without_pwait2(errno: i32) {
    refuse(libc::SYS_epoll_pwait2, errno);
    let server = Server::start(1);
    let pause = Duration::from_micros(20_300);
    let slept = server.poller().spawn_on(move || async move {
        let start = Instant::now();
        for _ in 0..5 {
            time::sleep(pause).await;
        }
        start.elapsed()
    });
    assert!(block_on(slept).unwrap() >= 5 * pause, "never early");
    // Whole milliseconds: it neither spins nor wakes up too soon.
    let turns = server.handle().stats()[0].turns;
    assert!(turns < 60, "{turns} turns for five sleeps");
}

#[test]
fn without_pwait2_timers_are_never_early_and_the_loop_sleeps() {
    in_own_process(|| timers_without_pwait2(libc::ENOSYS));
}

#[test]
fn a_profile_that_forbids_pwait2_is_a_kernel_without_it() {
    in_own_process(|| timers_without_pwait2(libc::EACCES));
}

#[test]
fn what_a_poller_is_made_of_is_an_error_of_making_it() {
    in_own_process(|| {
        let build = || Reactor::builder().pollers(2).build();
        refuse(libc::SYS_timerfd_create, libc::ENOSYS);
        says(LocalPoller::new(), "timerfd", libc::ENOSYS);
        drop(build().expect("only a LocalPoller has one"));
        refuse(libc::SYS_eventfd2, libc::ENOSYS);
        says(build(), "eventfd", libc::ENOSYS);
        refuse(libc::SYS_epoll_create1, libc::EPERM);
        says(build(), "epoll", libc::EPERM);
    });
}

#[test]
fn a_placement_that_is_refused_is_an_error() {
    in_own_process(|| {
        let placed = || Reactor::builder().placement(Placement::OnePerCore).build();
        let reactor = placed().expect("the processors are known");
        refuse(libc::SYS_sched_setaffinity, libc::EPERM);
        let joined = reactor.start().expect("the threads start").join();
        says(joined, "placing a poller on processor", libc::EPERM);
        refuse(libc::SYS_sched_getaffinity, libc::EPERM);
        says(placed(), "", libc::EPERM);
        // Where no processor was asked for, none is needed.
        let running = Reactor::builder().pollers(1).build().unwrap().start().unwrap();
        running.handle().shutdown(Duration::ZERO);
        running.join().expect("it is placed nowhere");
    });
}

/// Without /proc the clock alone tells which poller is stuck.
#[test]
fn a_stuck_poller_is_found_without_proc() {
    in_own_process(|| {
        let running = Reactor::builder().pollers(2).build().unwrap().start().unwrap();
        let held = common::hold(&running.handle().pollers()[1]);
        refuse(libc::SYS_openat, libc::EACCES);
        assert!(std::fs::read("/proc/self/stat").is_err());
        running.handle().shutdown(Duration::ZERO);
        let error = running.join().expect_err("one is held");
        assert!(error.to_string().starts_with("poller 1 is stuck"), "{error}");
        drop(held);
    });
}

// ---- listening ----

#[test]
fn without_reuseport_a_service_listens_on_one_poller_for_all() {
    in_own_process(|| {
        refuse_option(libc::SOL_SOCKET, libc::SO_REUSEPORT, libc::ENOPROTOOPT);
        let server = Server::start(2);
        let listening = server.handle().serve(ANY, echo).expect("that was corepoll's own wish");
        let clients = [(); 4].map(|()| connect(listening.local_addr().unwrap()));
        clients.iter().for_each(|client| assert_eq!(ask(client, b"hello"), b"hello"));
        let stats = server.handle().stats();
        assert_eq!(stats.iter().map(|it| it.accepts).filter(|count| *count > 0).count(), 1);
        // Balanced all the same.
        let held = || server.handle().stats().iter().map(|it| it.connections).collect::<Vec<_>>();
        common::eventually("each has two", || held() == [2, 2]);
        // What was asked for by name is an error.
        let asked = Acceptor::new(ANY).reuse_port(true).listen(server.handle(), || Echo);
        says(asked, "SO_REUSEPORT", libc::ENOPROTOOPT);
        let options = ListenOptions::new().reuse_port(true);
        let asked = block_on(net::TcpListener::bind_with(ANY, options));
        says(asked, "SO_REUSEPORT", libc::ENOPROTOOPT);
    });
}

/// Options of listeners that were asked for: the error names the option, and nothing listens.
#[test]
fn an_option_of_a_listener_that_is_refused_is_an_error() {
    in_own_process(|| {
        let server = Server::start(2);
        let acceptor = || Acceptor::new(ANY);
        let listen = |acceptor: Acceptor| acceptor.listen(server.handle(), || Echo);
        let bind = |options| block_on(net::TcpListener::bind_with(ANY, options));
        let options = ListenOptions::new;

        let cbpf = libc::SO_ATTACH_REUSEPORT_CBPF;
        refuse_option(libc::SOL_SOCKET, cbpf, libc::ENOPROTOOPT);
        let steered = acceptor().reuse_port(true).steer_by_cpu(true);
        says(listen(steered), "SO_ATTACH_REUSEPORT_CBPF", libc::ENOPROTOOPT);

        refuse_option(libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, libc::ENOPROTOOPT);
        let limit = Duration::from_secs(1);
        says(listen(acceptor().defer_accept(limit)), "TCP_DEFER_ACCEPT", libc::ENOPROTOOPT);
        says(bind(options().defer_accept(limit)), "TCP_DEFER_ACCEPT", libc::ENOPROTOOPT);

        refuse_option(libc::IPPROTO_TCP, libc::TCP_FASTOPEN, libc::ENOPROTOOPT);
        says(listen(acceptor().fast_open(1)), "TCP_FASTOPEN", libc::ENOPROTOOPT);
        says(bind(options().fast_open(1)), "TCP_FASTOPEN", libc::ENOPROTOOPT);

        refuse_option(libc::IPPROTO_TCP, libc::TCP_NODELAY, libc::EPERM);
        says(listen(acceptor().nodelay(true)), "TCP_NODELAY", libc::EPERM);
        says(bind(options().nodelay(true)), "TCP_NODELAY", libc::EPERM);

        refuse_option(libc::SOL_SOCKET, libc::SO_RCVBUF, libc::EPERM);
        says(listen(acceptor().recv_buffer_size(65536)), "SO_RCVBUF", libc::EPERM);
        says(bind(options().recv_buffer_size(65536)), "SO_RCVBUF", libc::EPERM);

        // Without them it works.
        let addr = listen(acceptor().reuse_port(true)).unwrap().local_addr().unwrap();
        assert_eq!(ask(&TcpStream::connect(addr).unwrap(), b"hello"), b"hello");
    });
}

/// Neither the lock nor the time of birth of a socket's file is needed.
#[test]
fn a_unix_path_is_listened_at_without_flock_and_statx() {
    in_own_process(|| {
        refuse(libc::SYS_flock, libc::ENOSYS);
        refuse(libc::SYS_statx, libc::ENOSYS);
        let path = std::env::temp_dir().join(format!("corepoll-bare-{}", std::process::id()));
        drop(UnixListener::bind(&path).expect("a free path"));
        let server = Server::start(1);
        let acceptor = Acceptor::new(format!("unix:{}", path.display()));
        let listening = acceptor.listen(server.handle(), || Echo).expect("a stale socket");
        let mut client = UnixStream::connect(&path).expect("it listens");
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.write_all(b"hello").unwrap();
        client.read_exact(&mut [0; 5]).expect("it echoes");
        listening.close_and_wait();
        assert!(!path.exists());
        let lock = format!(".corepoll-bare-{}.corepoll-lock", std::process::id());
        assert!(!path.with_file_name(lock).exists());
    });
}

// ---- connecting ----

/// Sends a word, and tells what comes back.
struct Asks(mpsc::Sender<io::Result<Vec<u8>>>);

impl EvHandler for Asks {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.write(b"hello")?;
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        // The test may be over.
        let _ = self.0.send(Ok(cx.read()?.to_vec()));
        Ok(Action::Close)
    }
    fn on_connect_fail(&mut self, error: io::Error) {
        let _ = self.0.send(Err(error));
    }
}

/// A hint of when the port is to be chosen.
#[test]
fn a_local_address_is_bound_without_bind_address_no_port() {
    in_own_process(|| {
        let option = libc::IP_BIND_ADDRESS_NO_PORT;
        refuse_option(libc::IPPROTO_IP, option, libc::ENOPROTOOPT);
        let (server, addr) = Server::of_handlers(|| Echo);
        let (give, take) = mpsc::channel();
        let from = "127.0.0.2:0".parse().unwrap();
        let connector = Connector::new(server.handle()).bind_local(from);
        connector.connect(addr, move || Asks(give)).unwrap();
        assert_eq!(take.recv_timeout(PATIENCE).unwrap().expect("it is connected"), b"hello");
    });
}

/// It was asked for by name.
#[test]
fn fast_open_that_is_refused_is_an_error_of_connecting() {
    in_own_process(|| {
        let option = libc::TCP_FASTOPEN_CONNECT;
        refuse_option(libc::IPPROTO_TCP, option, libc::ENOPROTOOPT);
        let (server, addr) = Server::of_handlers(|| Echo);
        let options = || net::ConnectOptions::new().fast_open(true);
        let connected = block_on(net::TcpStream::connect_with(addr, options()));
        says(connected, "TCP_FASTOPEN_CONNECT", libc::ENOPROTOOPT);
        let (give, take) = mpsc::channel();
        let connector = Connector::new(server.handle()).options(options());
        connector.connect(addr, move || Asks(give)).unwrap();
        let connected = take.recv_timeout(PATIENCE).unwrap();
        says(connected, "TCP_FASTOPEN_CONNECT", libc::ENOPROTOOPT);
        // Without it a connection is made.
        assert_eq!(ask(&connect(addr), b"hello"), b"hello");
    });
}

// ---- connections ----

/// Options of connections that were asked for: the setter fails, and the connection goes on.
#[test]
fn an_option_of_a_connection_that_is_refused_is_an_error_of_its_setter() {
    in_own_process(|| {
        refuse_option(libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, libc::ENOPROTOOPT);
        refuse_option(libc::SOL_SOCKET, libc::SO_BUSY_POLL, libc::EPERM);
        refuse_option(libc::IPPROTO_TCP, libc::TCP_NODELAY, libc::ENOPROTOOPT);
        refuse_option(libc::SOL_SOCKET, libc::SO_KEEPALIVE, libc::ENOPROTOOPT);
        refuse_option(libc::SOL_SOCKET, libc::SO_LINGER, libc::ENOPROTOOPT);
        refuse_option(libc::SOL_SOCKET, libc::SO_PEERCRED, libc::ENOPROTOOPT);
        let (_server, addr) = Server::of_handlers(|| Echo);
        block_on(async {
            let stream = net::TcpStream::connect(addr).await.unwrap();
            let second = Duration::from_secs(1);
            says(stream.set_user_timeout(Some(second)), "", libc::ENOPROTOOPT);
            says(stream.user_timeout(), "", libc::ENOPROTOOPT);
            says(stream.set_busy_poll(second), "", libc::EPERM);
            says(stream.set_nodelay(true), "", libc::ENOPROTOOPT);
            says(stream.set_keepalive(None), "", libc::ENOPROTOOPT);
            says(stream.set_linger(Some(second)), "", libc::ENOPROTOOPT);
            stream.try_write(b"hello").unwrap();
            assert_eq!(&*stream.read_chunk().await.unwrap(), b"hello");
            let (one, other) = net::UnixStream::pair().unwrap();
            says(one.peer_cred(), "", libc::ENOPROTOOPT);
            other.try_write(b"hello").unwrap();
            assert_eq!(&*one.read_chunk().await.unwrap(), b"hello");
        });
    });
}

/// The end of a connection needs neither SO_LINGER nor FIONREAD.
#[test]
fn connections_end_without_linger_and_fionread() {
    in_own_process(|| {
        refuse_option(libc::SOL_SOCKET, libc::SO_LINGER, libc::ENOPROTOOPT);
        refuse_if(libc::SYS_ioctl, &[(1, libc::FIONREAD as u32)], libc::ENOTTY);
        let (server, addr) = Server::of_handlers(|| Echo);
        let (ours, theirs) = tcp_pair();
        server.poller().register(ours.into(), Interest::READABLE, || Echo).unwrap();
        for client in [connect(addr), theirs] {
            assert_eq!(ask(&client, b"hello"), b"hello");
            client.shutdown(std::net::Shutdown::Write).unwrap();
            assert!(is_ended(&client));
        }
    });
}

/// A descriptor whose type the kernel doesn't tell is read and written as any other.
#[test]
fn a_socket_of_unknown_type_is_read_and_written() {
    in_own_process(|| {
        refuse_option(libc::SOL_SOCKET, libc::SO_TYPE, libc::ENOPROTOOPT);
        refuse_option(libc::SOL_SOCKET, libc::SO_PROTOCOL, libc::ENOPROTOOPT);
        refuse_option(libc::SOL_SOCKET, libc::SO_ACCEPTCONN, libc::ENOPROTOOPT);
        let server = Server::start(1);
        let (ours, theirs): (TcpStream, TcpStream) = tcp_pair();
        server.poller().register(ours.into(), Interest::READABLE, || Echo).unwrap();
        assert_eq!(ask(&theirs, b"hello"), b"hello");
    });
}

// ---- relays ----

/// Relays `bytes`, and says whether they were spliced.
fn relayed(bytes: &[u8]) -> bool {
    let ((from, mut source), (to, target)) = (tcp_pair(), tcp_pair());
    source.write_all(bytes).expect("there is room");
    source.shutdown(std::net::Shutdown::Write).expect("it is connected");
    target.shutdown(std::net::Shutdown::Write).expect("it is connected");
    let relayed = block_on(async {
        let streams = [from, to].map(|it| net::TcpStream::from_std(it).expect("a stream"));
        let [from, to] = streams;
        corepoll::io::relay(from, to).await.expect("both ends are there")
    });
    assert_eq!(common::read_to_end(&target), bytes);
    assert_eq!(relayed.a_to_b, bytes.len() as u64);
    relayed.spliced
}

#[test]
fn a_relay_without_pipes_copies() {
    in_own_process(|| {
        let bytes = vec![7; 50_000];
        assert!(relayed(&bytes), "this kernel has them");
        refuse_if(libc::SYS_fcntl, &[(1, libc::F_SETPIPE_SZ as u32)], libc::EPERM);
        assert!(relayed(&bytes), "a pipe of the default size is large enough");
        refuse(libc::SYS_pipe2, libc::EMFILE);
        assert!(!relayed(&bytes));
    });
}

// ---- IPv6 ----

#[test]
fn both_families_share_a_port_whatever_the_machine_says() {
    in_own_process(|| {
        let told = Arc::new(AtomicUsize::new(0));
        let counter = told.clone();
        let option = (libc::IPPROTO_IPV6 as u64, libc::IPV6_V6ONLY as u64);
        decide(libc::SYS_setsockopt, move |arguments| {
            counter
                .fetch_add(usize::from((arguments[1], arguments[2]) == option), Ordering::Relaxed);
            None
        });
        let server = Server::start(1);
        let any = "[::]:0".parse::<SocketAddr>().unwrap();
        let by_both = |listening: Listening| {
            assert_eq!(told.swap(0, Ordering::Relaxed), 1, "not left to net.ipv6.bindv6only");
            let port = listening.local_addr().unwrap().port();
            ask(&connect(([127, 0, 0, 1], port).into()), b"4");
            ask(&connect(([0, 0, 0, 0, 0, 0, 0, 1], port).into()), b"6");
        };
        by_both(Acceptor::new(":0").listen(server.handle(), || Echo).unwrap());
        by_both(Acceptor::new("[::]:0").listen(server.handle(), || Echo).unwrap());
        by_both(server.handle().serve(any, common::echo).unwrap());
        block_on(async {
            let listener = net::TcpListener::bind(any).await.unwrap();
            assert_eq!(told.swap(0, Ordering::Relaxed), 1);
            drop(listener);
            // Another process may have the port of one try, but not that of each.
            let mut four = Err(io::ErrorKind::AddrInUse.into());
            for _ in 0..8 {
                let options = ListenOptions::new().only_v6(true);
                let six = net::TcpListener::bind_with(any, options).await.unwrap();
                let port = six.local_addr().unwrap().port();
                four = four.or(net::TcpListener::bind(("0.0.0.0", port)).await);
            }
            four.expect("the other family has the port to itself");
        });
    });
}

#[test]
fn a_host_without_ipv6_is_listened_at_by_ipv4() {
    in_own_process(|| {
        let six = [(0, libc::AF_INET6 as u32)];
        refuse_if(libc::SYS_socket, &six, libc::EAFNOSUPPORT);
        let server = Server::start(2);
        for shares in [false, true] {
            let acceptor = Acceptor::new(":0").reuse_port(shares);
            let addr = acceptor.listen(server.handle(), || Echo).unwrap().local_addr().unwrap();
            assert!(addr.is_ipv4());
            ask(&connect(([127, 0, 0, 1], addr.port()).into()), b"4");
        }
        let six = Acceptor::new("[::]:0").listen(server.handle(), || Echo);
        assert!(six.is_err(), "that one was asked for by name");
    });
}

#[test]
fn another_error_of_ipv6_is_not_hidden_by_ipv4() {
    in_own_process(|| {
        let six = [(0, libc::AF_INET6 as u32)];
        refuse_if(libc::SYS_socket, &six, libc::EACCES);
        let server = Server::start(1);
        let listening = Acceptor::new(":0").listen(server.handle(), || Echo);
        let error = listening.expect_err("IPv6 is there, and forbidden");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
    });
}

// ---- datagrams ----

#[test]
fn without_recvmmsg_and_sendmmsg_a_batch_is_one_message() {
    in_own_process(|| {
        refuse(libc::SYS_recvmmsg, libc::ENOSYS);
        refuse(libc::SYS_sendmmsg, libc::ENOSYS);
        let exchanged = block_on(async {
            let socket = net::UdpSocket::bind(ANY).await?;
            socket.set_gro(true)?;
            let here = socket.local_addr()?;
            let joined = net::udp::Message::new(b"one two three", here).with_segment_size(4);
            let messages = [joined, net::udp::Message::new(b"alone", here)];
            let mut batch = net::udp::RecvBatch::new(8, 65_535);
            let mut received = Vec::new();
            // More than once: one message is no full batch, and yet there is another behind it.
            for _ in 0..3 {
                for sent in 0..2 {
                    assert_eq!(socket.send_batch(&messages[sent..]).await?, 1);
                }
                // Their event has come.
                socket.readable().await?;
                time::sleep(Duration::from_millis(1)).await;
                for _ in 0..2 {
                    assert_eq!(socket.recv_batch(&mut batch).await?, 1);
                    let message = batch.get(0).expect("one");
                    assert_eq!(message.peer(), Some(here));
                    received.extend(message.datagrams().map(<[u8]>::to_vec));
                }
            }
            io::Result::Ok(received)
        });
        let once = [&b"one "[..], b"two ", b"thre", b"e", b"alone"];
        assert_eq!(exchanged.unwrap(), once.repeat(3));
    });
}

#[test]
fn segmentation_that_is_refused_is_an_error_that_names_it() {
    in_own_process(|| {
        refuse_option(libc::SOL_UDP, libc::UDP_SEGMENT, libc::ENOPROTOOPT);
        refuse_option(libc::SOL_UDP, libc::UDP_GRO, libc::ENOPROTOOPT);
        block_on(async {
            let socket = net::UdpSocket::bind(ANY).await.unwrap();
            says(socket.set_gro(true), "UDP_GRO", libc::ENOPROTOOPT);
            let here = socket.local_addr().unwrap();
            let joined = net::udp::Message::new(b"onetwo", here).with_segment_size(3);
            says(socket.send_batch([joined]).await, "UDP_SEGMENT", libc::ENOPROTOOPT);
            assert_eq!(socket.send_batch(joined.split()).await.unwrap(), 2);
            assert_eq!(socket.recv(&mut [0; 10]).await.unwrap(), 3);
        });
    });
}

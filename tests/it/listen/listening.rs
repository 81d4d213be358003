//! Listening: errors of accept don't end it, the caller hears of what goes wrong at its beginning,
//! every future that waits for its end hears of it, and a closed address is free.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use super::{Hello, hello, is_greeted};
use crate::common::refuse::{decide, decide_among};
use crate::common::{
    ANY, Echo, PATIENCE, Server, ask, connect, eventually, hold, in_own_process, is_ended,
    on_poller, panic_on_purpose, read_exactly, within_patience,
};
use corepoll::net::{self, ListenOptions};
use corepoll::{
    Acceptor, Action, Balance, EvContext, EvHandler, Listening, Reactor, block_on, spawn_local,
};

/// Nothing is at `addr`: a socket that shares it with none can have it. For tests in a process of their
/// own: a program that another test starts holds copies of all descriptors until it has begun.
#[track_caller]
fn is_free(addr: SocketAddr) {
    TcpListener::bind(addr).expect("the address is free");
}

/// An address that is free, and that no other process asks for.
fn own_addr() -> SocketAddr {
    let [a, b, c, _] = std::process::id().to_be_bytes();
    let own = [127, 1 + a % 100, b, 1 + c % 250];
    TcpListener::bind((own.into(), 0u16) as (std::net::IpAddr, u16)).unwrap().local_addr().unwrap()
}

// ---- errors of accept ----

type Heard = Receiver<io::Error>;

fn hook() -> (impl Fn(io::Error) + Send + Sync + 'static, Heard) {
    let (give, take) = mpsc::channel();
    // An error may come when the test is over: a panic there would take a backtrace, and its time.
    (move |error| drop(give.send(error)), take)
}

/// Listens with a hook.
type Listen = fn(&Server) -> (SocketAddr, Heard);

/// Ways to greet clients, and to tell of errors.
fn ways() -> Vec<(&'static str, Listen)> {
    fn of(listening: Listening, heard: Heard) -> (SocketAddr, Heard) {
        (listening.local_addr().expect("an IP socket"), heard)
    }
    vec![
        ("an acceptor", |server| {
            let (hook, heard) = hook();
            of(Acceptor::new(ANY).on_error(hook).listen(server.handle(), || Hello).unwrap(), heard)
        }),
        ("an acceptor that shares its port", |server| {
            let (hook, heard) = hook();
            let acceptor = Acceptor::new(ANY).reuse_port(true).on_error(hook);
            of(acceptor.listen(server.handle(), || Hello).unwrap(), heard)
        }),
        ("a service", |server| {
            let (hook, heard) = hook();
            let listening = server.handle().serve(ANY, hello).unwrap();
            listening.on_error(hook);
            of(listening, heard)
        }),
        ("a task's listener", |server| {
            let (hook, heard) = hook();
            let (give, take) = mpsc::channel();
            drop(server.poller().spawn_on(move || async move {
                let options = ListenOptions::new().on_error(hook);
                let listener = net::TcpListener::bind_with(ANY, options).await.unwrap();
                give.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    let (stream, peer) = listener.accept().await.expect("it goes on");
                    drop(spawn_local(hello(stream, peer)));
                }
            }));
            (take.recv_timeout(PATIENCE).unwrap(), heard)
        }),
    ]
}

/// The answers of accept4 in all threads that are started from now on: the queued errors, and when
/// there are none the kernel's.
fn answers_of_accept() -> Arc<Mutex<VecDeque<i32>>> {
    let answers = Arc::new(Mutex::new(VecDeque::new()));
    let queue = answers.clone();
    decide(libc::SYS_accept4, move |_| queue.lock().unwrap().pop_front());
    answers
}

fn text_of(errno: i32) -> String {
    io::Error::from_raw_os_error(errno).to_string()
}

/// Those which say that there is no listener are errors of a task's accept, and of no other's.
fn says_that_there_is_no_listener(errno: i32) -> bool {
    [libc::EBADF, libc::EINVAL, libc::ENOTSOCK, libc::EFAULT].contains(&errno)
}

#[test]
fn no_error_of_accept_takes_a_service_away() {
    in_own_process(|| {
        let answers = answers_of_accept();
        for (way, listen) in ways() {
            let server = Server::start(2);
            let (addr, heard) = listen(&server);
            is_greeted(addr);
            let is_known = |errno: &i32| !text_of(*errno).starts_with("Unknown error");
            let mut count = 0;
            for errno in (1..=libc::EHWPOISON).chain([524]).filter(|it| *it == 524 || is_known(it))
            {
                let by_a_task = way == "a task's listener";
                if errno == libc::EAGAIN || by_a_task && says_that_there_is_no_listener(errno) {
                    continue;
                }
                count += 1;
                answers.lock().unwrap().push_back(errno);
                is_greeted(addr);
                // An accept4 that was decided on before the errno was there may have taken the
                // connection. The next one gets the errno.
                while !answers.lock().unwrap().is_empty() {
                    is_greeted(addr);
                }
                let error = heard.recv_timeout(PATIENCE).expect(way);
                assert!(error.to_string().contains(&text_of(errno)), "{way}: {error}");
                assert_eq!(error.kind(), io::Error::from_raw_os_error(errno).kind());
            }
            assert!(count > 100, "{count}");
            eventually("each is counted", || {
                server.handle().stats().iter().map(|it| it.accept_errors).sum::<u64>() == count
            });
            assert!(heard.try_recv().is_err(), "{way}: each is told once");
        }
    });
}

#[test]
fn an_error_of_accept_that_stays_does_not_make_it_spin() {
    in_own_process(|| {
        let failing = Arc::new(Mutex::new(None));
        let calls = Arc::new(AtomicUsize::new(0));
        let (now, counter) = (failing.clone(), calls.clone());
        decide(libc::SYS_accept4, move |_| {
            // Counted while it is locked: none is counted after the errors are over.
            let errno: MutexGuard<'_, Option<i32>> = now.lock().unwrap();
            counter.fetch_add(usize::from(errno.is_some()), Ordering::Relaxed);
            *errno
        });
        for (way, listen) in ways() {
            // With the attempts to which four pauses belong: 8 errors of single connections are passed over.
            let errors = [
                (libc::EPERM, 8 + 5),
                (libc::ECONNABORTED, 8 + 5),
                (libc::EINTR, 8 + 5),
                (libc::EMFILE, 5),
                (libc::EIO, 5),
            ];
            for (errno, attempts) in errors {
                let server = Server::start(1);
                let (addr, _heard) = listen(&server);
                let start = Instant::now();
                *failing.lock().unwrap() = Some(errno);
                let client = connect(addr);
                eventually("it is tried", || calls.load(Ordering::Relaxed) >= attempts);
                let pauses = Duration::from_millis(5 + 10 + 20 + 40);
                assert!(start.elapsed() >= pauses, "{way}, {}", text_of(errno));
                *failing.lock().unwrap() = None;
                calls.store(0, Ordering::Relaxed);
                assert_eq!(read_exactly(&client, 5), b"hello", "{way}: it goes on");
            }
        }
    });
}

/// So many errors in a row that one more would make a pause; a connection between them ends the row.
#[test]
fn a_connection_that_comes_ends_a_row_of_errors() {
    in_own_process(|| {
        let (errors, pauses) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (left, counter) = (errors.clone(), pauses.clone());
        let mut listener = None;
        decide_among(&[libc::SYS_accept4, libc::SYS_epoll_ctl], move |number, arguments| {
            if number == libc::SYS_epoll_ctl {
                let [_, operation, fd, ..] = arguments;
                // A listener that pauses changes its interest.
                let pauses = operation == libc::EPOLL_CTL_MOD as u64 && Some(fd) == listener;
                counter.fetch_add(usize::from(pauses), Ordering::SeqCst);
                return None;
            }
            listener = Some(arguments[0]);
            let take = |left: usize| left.checked_sub(1);
            let is_left = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok();
            is_left.then_some(libc::ECONNABORTED)
        });
        // A task's listener begins anew with each call.
        for (way, listen) in ways().into_iter().filter(|(way, _)| *way != "a task's listener") {
            let server = Server::start(1);
            let (addr, heard) = listen(&server);
            let fail_and_greet = |count: usize| {
                errors.store(count, Ordering::SeqCst);
                is_greeted(addr);
                (0..count).for_each(|_| drop(heard.recv_timeout(PATIENCE).expect(way)));
            };
            fail_and_greet(0);
            let before = pauses.load(Ordering::SeqCst);
            (0..4).for_each(|_| fail_and_greet(8));
            assert_eq!(pauses.load(Ordering::SeqCst), before, "{way} pauses");
            fail_and_greet(9);
            assert!(pauses.load(Ordering::SeqCst) > before, "{way} does not pause");
        }
    });
}

#[test]
fn a_socket_that_does_not_listen_is_an_error_of_accept() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let listener: TcpListener = socket.into();
    let error = block_on(async move { net::TcpListener::from_std(listener)?.accept().await });
    assert_eq!(error.unwrap_err().raw_os_error(), Some(libc::EINVAL));
}

// ---- the beginning ----

/// One poller's epoll instance refuses its listener: the caller has the error, and nothing listens.
#[test]
fn what_a_poller_refuses_is_the_callers_error() {
    in_own_process(|| {
        // After how many registrations comes one that fails.
        let countdown = Arc::new(Mutex::new(None));
        let left = countdown.clone();
        decide(libc::SYS_epoll_ctl, move |arguments| {
            let mut left = left.lock().unwrap();
            match &mut *left {
                _ if arguments[1] != libc::EPOLL_CTL_ADD as u64 => None,
                None => None,
                Some(0) => left.take().map(|_| libc::ENOSPC),
                Some(more) => {
                    *more -= 1;
                    None
                }
            }
        });
        let server = Server::start(4);
        let unstarted = Reactor::builder().pollers(4).build().unwrap();
        let addr = own_addr();
        for handle in [server.handle(), &unstarted.handle()] {
            for place in 0..4 {
                let acceptor = || Acceptor::new(addr.to_string()).reuse_port(true);
                let refused = |listening: io::Result<Listening>| {
                    let error = listening.expect_err("one poller has refused it");
                    assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
                    assert!(error.to_string().contains(&addr.to_string()), "{error}");
                    is_free(addr);
                };
                *countdown.lock().unwrap() = Some(place);
                refused(acceptor().listen(handle, || Echo));
                *countdown.lock().unwrap() = Some(place);
                refused(handle.serve(addr, hello));
            }
        }
        *countdown.lock().unwrap() = Some(0);
        let bound = on_poller(server.poller(), move || {
            let (give, take) = mpsc::channel();
            drop(spawn_local(async move {
                give.send(net::TcpListener::bind(addr).await.map(drop)).unwrap();
            }));
            take
        });
        let error = bound.recv_timeout(PATIENCE).unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
        is_free(addr);
        // It works when the kernel lets it.
        let listening = server.handle().serve(addr, hello).unwrap();
        is_greeted(listening.local_addr().unwrap());
    });
}

#[test]
fn a_port_that_one_family_has_is_in_use() {
    let other = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
    other.set_only_v6(true).unwrap();
    let any: SocketAddr = "[::]:0".parse().unwrap();
    other.bind(&any.into()).unwrap();
    other.listen(1).unwrap();
    let port = other.local_addr().unwrap().as_socket().unwrap().port();
    let server = Server::start(1);
    let refused = |listening: io::Result<Listening>| {
        let error = listening.expect_err("another socket has the port in IPv6");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{error}");
    };
    refused(Acceptor::new(format!(":{port}")).listen(server.handle(), || Echo));
    refused(Acceptor::new(format!("[::]:{port}")).listen(server.handle(), || Echo));
    refused(server.handle().serve(SocketAddr::from(([0u16; 8], port)), hello));
}

// ---- the end ----

/// Listens at `addr` by one socket, which shares it with none.
fn listen_at(addr: SocketAddr, server: &corepoll::ReactorHandle) -> Listening {
    Acceptor::new(addr.to_string()).listen(server, || Hello).expect("the address is free")
}

#[test]
fn on_its_own_poller_it_is_closed_at_once() {
    in_own_process(|| {
        let server = Server::start(1);
        let handle = server.handle().clone();
        let addr = server.on_poller(move || {
            let mut listening = listen_at(ANY.parse().unwrap(), &handle);
            let addr = listening.local_addr().unwrap();
            for _ in 0..50 {
                listening.close();
                listening = listen_at(addr, &handle);
            }
            addr
        });
        is_greeted(addr);

        // In a callback, and in a task.
        struct Restarts(Listening, corepoll::ReactorHandle);
        impl EvHandler for Restarts {
            fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
                let data = cx.read()?;
                if !data.is_empty() {
                    let addr = self.0.local_addr()?;
                    self.0.close_and_wait();
                    self.0 = listen_at(addr, &self.1);
                    cx.write(&data)?;
                }
                Ok(if data.is_empty() { Action::Close } else { Action::Keep })
            }
        }
        let listening = listen_at(ANY.parse().unwrap(), server.handle());
        let (addr, handle) = (listening.local_addr().unwrap(), server.handle().clone());
        let once = Mutex::new(Some(Restarts(listening, handle.clone())));
        let control = server.listen(move || once.lock().unwrap().take().expect("one client"));
        let control = connect(control);
        for _ in 0..20 {
            is_greeted(addr);
            ask(&control, b"again");
        }
        is_greeted(addr);
        let task = server.poller().spawn_on(move || async move {
            let listening = handle.serve(ANY, hello).unwrap();
            let addr = listening.local_addr().unwrap();
            listening.close();
            listening.closed().await.unwrap();
            let again = listen_at(addr, &handle);
            again.close_and_wait();
            addr
        });
        is_free(block_on(task).unwrap());
    });
}

#[test]
fn elsewhere_its_close_can_be_waited_for() {
    in_own_process(|| {
        let server = Server::start(3);
        for round in 0..20 {
            let listening = server.handle().serve(ANY, hello).unwrap();
            let addr = listening.local_addr().unwrap();
            is_greeted(addr);
            if round % 2 == 0 {
                listening.close_and_wait();
            } else {
                listening.close();
                block_on(listening.closed()).unwrap();
            }
            is_free(addr);
            // Both may be asked again.
            listening.close_and_wait();
            block_on(listening.closed()).unwrap();
        }
    });
}

#[test]
fn a_wait_for_a_close_does_not_stop_a_poller() {
    in_own_process(|| {
        let server = Server::start(2);
        let listening = Arc::new(server.handle().serve(ANY, hello).unwrap());
        let there = listening.clone();
        let held = hold(&server.handle().pollers()[1]);
        let panicked = server.on_poller(move || {
            let wait = catch_unwind(AssertUnwindSafe(|| there.close_and_wait()));
            wait.expect_err("the other poller listens, too").downcast::<&str>().unwrap().to_string()
        });
        assert!(panicked.contains("await closed"), "{panicked}");
        drop(held);
        // It was asked to close all the same.
        block_on(listening.closed()).unwrap();
        is_free(listening.local_addr().unwrap());
    });
}

#[test]
fn a_factory_may_close_its_own_listener() {
    in_own_process(|| {
        let (give, take) = mpsc::channel::<Arc<Listening>>();
        let take = Mutex::new(take);
        let server = Server::start(1);
        let acceptor = Acceptor::new(ANY);
        let listening = acceptor.listen(server.handle(), move || {
            take.lock().unwrap().recv_timeout(PATIENCE).expect("the test gives it").close();
            Hello
        });
        let listening = Arc::new(listening.unwrap());
        give.send(listening.clone()).unwrap();
        is_greeted(listening.local_addr().unwrap());
        block_on(listening.closed()).unwrap();
        is_free(listening.local_addr().unwrap());
    });
}

#[test]
fn a_reactor_that_does_not_run_closes_at_once() {
    in_own_process(|| {
        let reactor = Reactor::builder().pollers(2).build().unwrap();
        let closed = reactor.handle().serve(ANY, hello).unwrap();
        within_patience(move || {
            closed.close_and_wait();
            is_free(closed.local_addr().unwrap());
        });
        let dropped = reactor.handle().serve(ANY, hello).unwrap();
        drop(reactor);
        is_free(dropped.local_addr().unwrap());
        block_on(dropped.closed()).unwrap();
    });
}

#[test]
fn a_shutdown_is_the_end_of_a_listener() {
    in_own_process(|| {
        let server = Server::start(2);
        let listening = server.handle().serve(ANY, hello).unwrap();
        let addr = listening.local_addr().unwrap();
        let client = connect(addr);
        assert_eq!(read_exactly(&client, 5), b"hello");
        let waiter = thread::spawn(move || block_on(listening.closed()));
        server.handle().shutdown(PATIENCE);
        // The client's task is still there, in its grace.
        waiter.join().unwrap().expect("that was asked for");
        is_free(addr);
        drop(client);
        server.stop(PATIENCE);
    });
}

/// Shuts the listening socket of this process at `addr` down: what other code could do.
fn shut_down_from_outside(addr: SocketAddr) {
    for entry in std::fs::read_dir("/proc/self/fd").unwrap().flatten() {
        let Ok(fd) = entry.file_name().to_str().unwrap().parse::<i32>() else { continue };
        // SAFETY: the number is looked at only, and a listener is what is meant.
        let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
        let socket = socket2::SockRef::from(&borrowed);
        let local = socket.local_addr().ok().and_then(|local| local.as_socket());
        if local == Some(addr) && socket.is_listener().unwrap_or(false) {
            socket.shutdown(std::net::Shutdown::Both).unwrap();
        }
    }
}

#[test]
fn an_end_that_was_not_asked_for_is_told() {
    in_own_process(|| {
        let server = Server::start(1);
        let (hook, heard) = hook();
        let acceptor = Acceptor::new(ANY).on_error(hook);
        let listening = acceptor.serve(server.handle(), hello).unwrap();
        let addr = listening.local_addr().unwrap();
        is_greeted(addr);
        shut_down_from_outside(addr);
        for _ in 0..2 {
            let error = block_on(listening.closed()).expect_err("it was not asked for");
            assert!(error.to_string().contains("shut the listening socket down"), "{error}");
        }
        // First that nothing can be accepted, and then that it is over.
        let mut texts = heard.iter().map(|error| error.to_string());
        assert!(texts.any(|text| text.contains("shut the listening socket down")));
    });
}

// ---- what else is told ----

#[test]
fn errors_of_a_service_are_told() {
    let (hook, heard) = hook();
    let server = Server::start(2);
    let acceptor = Acceptor::new(ANY).reuse_port(true).on_error(hook);
    let service = |stream: net::TcpStream, _| async move {
        match &*stream.read_chunk().await? {
            b"a" => Err::<(), Box<dyn std::error::Error + Send + Sync>>("an odd letter".into()),
            b"b" => Err(io::Error::from_raw_os_error(libc::EPROTO).into()),
            _ => Ok(()),
        }
    };
    let listening = acceptor.try_serve(server.handle(), service).unwrap();
    let addr = listening.local_addr().unwrap();
    for (letter, text, errno) in
        [(b"a", "an odd letter", None), (b"b", "os error 71", Some(libc::EPROTO))]
    {
        let mut client = connect(addr);
        io::Write::write_all(&mut client, letter).unwrap();
        let error = heard.recv_timeout(PATIENCE).expect("it is told");
        let peer = client.local_addr().unwrap().to_string();
        assert!(error.to_string().contains(text) && error.to_string().contains(&peer), "{error}");
        let source = std::error::Error::source(&error).expect("the service's own");
        let cause = source.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        assert_eq!(cause, errno);
    }
    assert!(is_ended(&{
        let mut client = connect(addr);
        io::Write::write_all(&mut client, b"c").unwrap();
        client
    }));
    assert!(heard.try_recv().is_err(), "one that has succeeded is not told");
}

#[test]
fn panics_of_factories_and_services_are_told() {
    let server = Server::start(1);
    let (tell, heard) = hook();
    let acceptor = Acceptor::new(ANY).on_error(move |error| {
        tell(error);
        // That goes no further.
        panic_on_purpose();
    });
    let calls = AtomicUsize::new(0);
    let factory = move || {
        if calls.fetch_add(1, Ordering::Relaxed) == 0 {
            panic_on_purpose();
        }
        Hello
    };
    let listening = acceptor.listen(server.handle(), factory).unwrap();
    let addr = listening.local_addr().unwrap();
    assert!(is_ended(&connect(addr)));
    let error = heard.recv_timeout(PATIENCE).expect("it is told");
    assert!(error.to_string().contains("on purpose"), "{error}");
    is_greeted(addr);

    let (hook, heard) = hook();
    let service = |stream: net::TcpStream, peer| {
        if stream.nodelay().unwrap() {
            panic_on_purpose();
        }
        hello(stream, peer)
    };
    let acceptor = Acceptor::new(ANY).nodelay(true).on_error(hook);
    let listening = acceptor.serve(server.handle(), service).unwrap();
    assert!(is_ended(&connect(listening.local_addr().unwrap())));
    let error = heard.recv_timeout(PATIENCE).expect("it is told");
    assert!(error.to_string().contains("on purpose"), "{error}");
}

#[test]
fn connections_for_a_reactor_that_has_ended_are_told() {
    let (front, workers) = (Server::start(1), Server::start(2));
    let (hook, heard) = hook();
    let hook = Arc::new(hook);
    let listen = |balance| {
        let hook = hook.clone();
        let acceptor = Acceptor::new(ANY).deliver_to(workers.handle()).balance(balance);
        let acceptor = acceptor.on_error(move |error| hook(error));
        let listening = acceptor.clone().listen(front.handle(), || Hello).unwrap();
        let service = acceptor.serve(front.handle(), hello).unwrap();
        [listening, service].map(|it| it.local_addr().unwrap())
    };
    let balances = [Balance::LeastLoaded, Balance::RoundRobin, Balance::Local];
    let addresses: Vec<SocketAddr> = balances.into_iter().flat_map(listen).collect();
    addresses.iter().for_each(|addr| is_greeted(*addr));
    workers.stop(Duration::ZERO);
    for addr in addresses {
        assert!(is_ended(&connect(addr)));
        let error = heard.recv_timeout(PATIENCE).expect("it is told");
        assert_eq!(error.kind(), io::ErrorKind::NotConnected, "{error}");
    }
}

/// A connection that its poller cannot watch is closed, and that is told. The next one is served.
#[test]
fn a_connection_that_cannot_be_registered_is_told() {
    in_own_process(|| {
        let refused = Arc::new(Mutex::new(false));
        let now = refused.clone();
        decide(libc::SYS_epoll_ctl, move |arguments| {
            let is_it = *now.lock().unwrap() && arguments[1] == libc::EPOLL_CTL_ADD as u64;
            is_it.then_some(libc::ENOSPC)
        });
        for (way, listen) in ways() {
            let server = Server::start(2);
            let (addr, heard) = listen(&server);
            is_greeted(addr);
            *refused.lock().unwrap() = true;
            assert!(is_ended(&connect(addr)), "{way}");
            let error = heard.recv_timeout(PATIENCE).expect(way);
            assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{way}: {error}");
            *refused.lock().unwrap() = false;
            is_greeted(addr);
        }
    });
}

#[test]
fn a_unix_acceptor_goes_on_after_an_error() {
    in_own_process(|| {
        let answers = answers_of_accept();
        let server = Server::start(1);
        let (hook, heard) = hook();
        let path = std::env::temp_dir().join(format!("corepoll-errors-{}", std::process::id()));
        let acceptor = Acceptor::new(format!("unix:{}", path.display())).on_error(hook);
        acceptor.listen(server.handle(), || Hello).unwrap();
        answers.lock().unwrap().push_back(libc::ETIMEDOUT);
        let mut client = UnixStream::connect(&path).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.read_exact(&mut [0; 5]).expect("it goes on");
        let error = heard.recv_timeout(PATIENCE).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        server.stop(Duration::ZERO);
    });
}

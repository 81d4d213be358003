//! Which poller gets a connection if the kernel chooses by processor. On loopback a packet is handled
//! on the processor that sent it.
#![allow(unsafe_code)] // For sched_setaffinity(2).

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;

use crate::common::refuse::refuse_if;
use crate::common::{self, ANY, Echo, PATIENCE, Server, in_own_process};
use corepoll::net::{ListenOptions, TcpListener, TcpStream};
use corepoll::{Acceptor, Action, Balance, EvContext, EvHandler, Placement, Reactor, block_on};

/// How many connections come from each processor.
const EACH: usize = 16;

/// Tells which poller it lives on, and which processor the kernel names.
struct Where(mpsc::Sender<(usize, Option<usize>)>);

impl EvHandler for Where {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let thread = thread::current();
        let name = thread.name().expect("pollers have names");
        let index = name.rsplit('-').next().and_then(|n| n.parse().ok()).expect("name-index");
        // The test may be over.
        let _ = self.0.send((index, cx.incoming_cpu()?));
        Ok(Action::Close)
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Close)
    }
}

/// The processors that this process may use.
fn processors() -> Vec<usize> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    let numbers = list.trim().split(',').flat_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        first.parse::<usize>().unwrap()..=last.parse().unwrap()
    });
    numbers.collect()
}

/// Whether the kernel regards SO_INCOMING_CPU of listeners that share an address.
fn prefers_by_processor() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u32>());
    let (major, minor) = (numbers.next().unwrap().unwrap(), numbers.next().unwrap().unwrap());
    (major, minor) >= (6, 2)
}

/// Runs `work` on processor `cpu`.
fn on_processor<R: Send + 'static>(cpu: usize, work: impl FnOnce() -> R + Send + 'static) -> R {
    let pinned = move || {
        // SAFETY: all zeros is an empty set, which is writable and readable for its size; `cpu`
        // comes from the kernel's own list. 0 names this thread.
        let answer = unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(cpu, &mut set);
            libc::sched_setaffinity(0, size_of_val(&set), &set)
        };
        assert_eq!(answer, 0);
        work()
    };
    thread::spawn(pinned).join().unwrap()
}

/// Connects [`EACH`] times from processor `cpu`.
fn connect_from(cpu: usize, addr: SocketAddr) {
    let connect = move || assert!(common::is_ended(&common::connect(addr)));
    on_processor(cpu, move || (0..EACH).for_each(|_| connect()));
}

#[test]
fn steering_brings_connections_to_the_poller_of_their_processor() {
    const POLLERS: usize = 3;
    let server = Server::start(POLLERS);
    let (sender, opened) = mpsc::channel();
    let listening = Acceptor::new(ANY)
        .reuse_port(true)
        .steer_by_cpu(true)
        .balance(Balance::Local)
        .listen(server.handle(), move || Where(sender.clone()))
        .unwrap();
    for cpu in processors().into_iter().take(4) {
        connect_from(cpu, listening.local_addr().unwrap());
        for _ in 0..EACH {
            let (poller, named) = opened.recv_timeout(PATIENCE).unwrap();
            assert_eq!((poller, named), (cpu % POLLERS, Some(cpu)));
        }
    }
}

#[test]
fn placement_brings_connections_to_the_poller_on_their_processor() {
    // From the last processor to the first: no number of a poller is that of its processor.
    let mut places: Vec<_> = processors().into_iter().take(4).collect();
    places.reverse();
    let server = Server::build(Reactor::builder().placement(Placement::Cores(places.clone())));
    let (sender, opened) = mpsc::channel();
    let listening = Acceptor::new(ANY)
        .reuse_port(true)
        .steer_by_placement(true)
        .balance(Balance::Local)
        .listen(server.handle(), move || Where(sender.clone()))
        .unwrap();
    for (index, cpu) in places.into_iter().enumerate() {
        connect_from(cpu, listening.local_addr().unwrap());
        for _ in 0..EACH {
            let (poller, named) = opened.recv_timeout(PATIENCE).unwrap();
            assert_eq!(named, Some(cpu));
            assert!(poller == index || !prefers_by_processor(), "{poller} for {cpu}");
        }
    }
}

#[test]
fn steering_needs_listeners_to_choose_from() {
    let placed = Server::build(Reactor::builder().placement(Placement::OnePerCore));
    let is_refused = |acceptor: Acceptor, server: &Server| {
        let error = acceptor.listen(server.handle(), || Echo).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    };
    let acceptor = || Acceptor::new(ANY);
    is_refused(acceptor().steer_by_cpu(true), &placed);
    is_refused(acceptor().steer_by_placement(true), &placed);
    let anywhere = Server::start(2);
    is_refused(acceptor().reuse_port(true).steer_by_placement(true), &anywhere);
    // Switched off again, or for the other kind.
    for acceptor in [
        acceptor().steer_by_placement(true).steer_by_placement(false),
        acceptor().steer_by_cpu(true).steer_by_cpu(false),
        acceptor().reuse_port(true).steer_by_placement(true).steer_by_cpu(true),
        acceptor().reuse_port(true).steer_by_cpu(true).steer_by_placement(false),
    ] {
        acceptor.listen(anywhere.handle(), || Echo).unwrap().close();
    }
}

/// Two listeners of tasks at one address, each for a processor of its own.
#[test]
fn listeners_of_tasks_get_the_connections_of_their_processors() {
    let places: Vec<_> = processors().into_iter().take(2).collect();
    block_on(async {
        let (mut listeners, mut addr) = (Vec::new(), ANY.to_owned());
        for cpu in &places {
            let options = ListenOptions::new().reuse_port(true).incoming_cpu(*cpu);
            let listener = TcpListener::bind_with(&addr[..], options).await.unwrap();
            addr = listener.local_addr().unwrap().to_string();
            listeners.push(listener);
        }
        let addr = listeners[0].local_addr().unwrap();
        for (listener, cpu) in listeners.iter().zip(&places) {
            let clients = on_processor(*cpu, move || {
                (0..EACH).map(|_| common::connect(addr)).collect::<Vec<_>>()
            });
            if !prefers_by_processor() {
                continue;
            }
            for client in clients {
                let (stream, peer) = listener.accept().await.unwrap();
                assert_eq!(stream.incoming_cpu().unwrap(), Some(*cpu));
                assert_eq!(peer, client.local_addr().unwrap());
            }
        }
    });
}

/// It was asked for by name.
#[test]
fn a_kernel_without_it_is_an_error() {
    in_own_process(|| {
        let option = [(1, libc::SOL_SOCKET as u32), (2, libc::SO_INCOMING_CPU as u32)];
        refuse_if(libc::SYS_setsockopt, &option, libc::ENOPROTOOPT);
        refuse_if(libc::SYS_getsockopt, &option, libc::ENOPROTOOPT);
        let place = processors()[0];
        let placement = Placement::Cores(vec![place, place]);
        let server = Server::build(Reactor::builder().placement(placement));
        let acceptor = || Acceptor::new(ANY).reuse_port(true);
        let asked = acceptor().steer_by_placement(true).listen(server.handle(), || Echo);
        let error = asked.unwrap_err();
        assert!(error.to_string().contains("SO_INCOMING_CPU"), "{error}");
        let listening = acceptor().listen(server.handle(), || Echo).unwrap();
        let addr = listening.local_addr().unwrap();
        block_on(async {
            let options = ListenOptions::new().incoming_cpu(place);
            let error = TcpListener::bind_with(ANY, options).await.unwrap_err();
            assert!(error.to_string().contains("SO_INCOMING_CPU"), "{error}");
            let stream = TcpStream::connect(addr).await.unwrap();
            let error = stream.incoming_cpu().unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENOPROTOOPT));
        });
    });
}

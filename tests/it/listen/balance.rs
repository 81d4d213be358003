//! Connections are balanced at birth: with the default, no poller holds more than one connection
//! more than any other, whichever way they come.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::{
    self, ANY, Server, ask, connect, eventually, is_ended, on_poller, panic_on_purpose,
};
use corepoll::{Acceptor, Action, Balance, CloseReason, EvContext, EvHandler, Reactor, net};
use futures::AsyncWriteExt;

const POLLERS: usize = 4;

/// How many connections each poller of one server holds.
type Held = Arc<[AtomicUsize; POLLERS]>;

/// The number of the poller whose thread this is: its name ends with it.
fn here() -> usize {
    let thread = thread::current();
    let (_, number) = thread.name().and_then(|name| name.rsplit_once('-')).expect("a poller");
    number.parse().expect("a number")
}

/// Counts one connection where it is made, for as long as it lives.
struct Counted {
    held: Held,
    at: usize,
}

impl Counted {
    fn new(held: &Held) -> Counted {
        held[here()].fetch_add(1, Ordering::SeqCst);
        Counted { held: held.clone(), at: here() }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        assert_eq!(self.at, here(), "a connection never moves");
        self.held[self.at].fetch_sub(1, Ordering::SeqCst);
    }
}

/// Says on which poller it is, then echoes.
struct Tells {
    held: Held,
    counted: Option<Counted>,
}

impl EvHandler for Tells {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.counted = Some(Counted::new(&self.held));
        cx.write(&[here() as u8])?;
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let data = cx.read()?;
        cx.write(&data)?;
        Ok(if data.is_empty() { Action::Close } else { Action::Keep })
    }
    fn on_close(&mut self, _: &mut EvContext<'_>, _: CloseReason) {
        self.counted = None;
    }
}

async fn tell(mut stream: net::TcpStream, held: Held) -> io::Result<u64> {
    let _counted = Counted::new(&held);
    stream.write_all(&[here() as u8]).await?;
    futures::io::copy(&stream, &mut &stream).await
}

/// A way to listen.
type Listen = fn(&Server, Held) -> SocketAddr;

fn listen_with(acceptor: Acceptor, server: &Server, held: Held) -> SocketAddr {
    let factory = move || Tells { held: held.clone(), counted: None };
    acceptor.listen(server.handle(), factory).unwrap().local_addr().unwrap()
}

fn serve(server: &Server, held: Held) -> SocketAddr {
    let service = move |stream, _| tell(stream, held.clone());
    server.handle().serve(ANY, service).unwrap().local_addr().unwrap()
}

const DEFAULTS: [(&str, Listen); 3] = [
    ("serve", serve),
    ("one listener", |server, held| listen_with(Acceptor::new(ANY), server, held)),
    ("a listener each", |server, held| {
        listen_with(Acceptor::new(ANY).reuse_port(true), server, held)
    }),
];

/// Connects; gives the connection and the number of its poller.
fn connect_and_hear(addr: SocketAddr) -> (TcpStream, usize) {
    let mut client = connect(addr);
    let mut number = [0];
    client.read_exact(&mut number).expect("it is told");
    (client, number[0].into())
}

fn counts(held: &Held) -> [usize; POLLERS] {
    std::array::from_fn(|poller| held[poller].load(Ordering::SeqCst))
}

fn assert_even(held: &Held, what: &str) {
    let counts = counts(held);
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(most - least <= 1, "{what}: {counts:?}");
}

/// Ends the connections that `ends` picks, and waits until the server knows.
fn end(
    server: &Server,
    held: &Held,
    clients: &mut Vec<(TcpStream, usize)>,
    mut ends: impl FnMut(usize, usize) -> bool,
) {
    let mut number = 0;
    clients.retain(|(_, poller)| {
        number += 1;
        !ends(number, *poller)
    });
    eventually("the ends are seen", || counts(held).iter().sum::<usize>() == clients.len());
    // What they see last, they see in one turn: wait for its end.
    server.handle().pollers().iter().for_each(|poller| on_poller(poller, || ()));
}

#[test]
fn no_poller_holds_more_than_one_connection_more_than_any_other() {
    for (name, listen) in DEFAULTS {
        let server = Server::start(POLLERS);
        let held = Held::default();
        let addr = listen(&server, held.clone());
        let mut clients: Vec<_> = (0..64).map(|_| connect_and_hear(addr)).collect();
        assert_eq!(counts(&held).iter().sum::<usize>(), 64, "{name}");
        assert_even(&held, name);
        // Half of them: all those of two pollers, then every second one, then all of one poller
        // and some of another.
        let halves: [fn(usize, usize) -> bool; 3] = [
            |_, poller| poller < 2,
            |number, _| number.is_multiple_of(2),
            |number, poller| poller == 3 || (poller == 0 && number > 10),
        ];
        for half in halves {
            end(&server, &held, &mut clients, half);
            let missing = 64 - clients.len();
            assert!(missing >= 16, "{name}: {missing}");
            clients.extend((0..missing).map(|_| connect_and_hear(addr)));
            assert_even(&held, name);
        }
        clients.iter().for_each(|(client, _)| assert_eq!(ask(client, b"there?"), b"there?"));
    }
}

#[test]
fn connections_that_come_at_the_same_time_are_balanced_as_well() {
    for (name, listen) in DEFAULTS {
        let server = Server::start(POLLERS);
        let held = Held::default();
        let addr = listen(&server, held.clone());
        let connecting: Vec<_> = (0..8)
            .map(|_| {
                thread::spawn(move || -> Vec<_> {
                    (0..8).map(|_| connect_and_hear(addr)).collect()
                })
            })
            .collect();
        let clients: Vec<_> =
            connecting.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_even(&held, name);
        drop(clients);
    }
}

#[test]
fn round_robin_goes_in_turn() {
    for reuse_port in [false, true] {
        let server = Server::start(POLLERS);
        let held = Held::default();
        let acceptor = Acceptor::new(ANY).reuse_port(reuse_port).balance(Balance::RoundRobin);
        let addr = listen_with(acceptor, &server, held.clone());
        let clients: Vec<_> = (0..16).map(|_| connect_and_hear(addr)).collect();
        let turns: Vec<usize> = clients.iter().map(|(_, poller)| *poller).collect();
        let expected: Vec<usize> = (0..16).map(|n| (turns[0] + n) % POLLERS).collect();
        assert_eq!(turns, expected);
        // In turn, whichever ends.
        drop(clients);
        let next: Vec<usize> = (0..4).map(|_| connect_and_hear(addr).1).collect();
        assert_eq!(next, expected[..4]);
    }
}

#[test]
fn local_stays_on_the_poller_that_accepted_it() {
    let server = Server::start(POLLERS);
    let held = Held::default();
    let acceptor = Acceptor::new(ANY).balance(Balance::Local);
    let addr = listen_with(acceptor, &server, held.clone());
    let clients: Vec<_> = (0..16).map(|_| connect_and_hear(addr)).collect();
    assert!(clients.iter().all(|(_, poller)| *poller == 0), "the first poller listens");

    let held = Held::default();
    let acceptor = Acceptor::new(ANY).reuse_port(true).balance(Balance::Local);
    let addr = listen_with(acceptor, &server, held.clone());
    let others: Vec<_> = (0..64).map(|_| connect_and_hear(addr)).collect();
    assert_eq!(counts(&held).iter().sum::<usize>(), 64);
    // By the kernel's hash: that all 64 meet on one of four is a chance of 4 in 4⁶⁴.
    assert!(counts(&held).iter().filter(|count| **count > 0).count() > 1);
    drop((clients, others));
}

#[test]
fn connections_are_delivered_to_another_reactor() {
    for balance in [Balance::LeastLoaded, Balance::RoundRobin, Balance::Local] {
        let listens = Server::build(Reactor::builder().pollers(1).thread_name("listens"));
        let serves = Server::build(Reactor::builder().pollers(POLLERS).thread_name("serves"));
        let held = Held::default();
        let acceptor = Acceptor::new(ANY).deliver_to(serves.handle()).balance(balance);
        let factory = {
            let held = held.clone();
            move || {
                let name = thread::current().name().map(str::to_owned);
                assert!(name.is_some_and(|name| name.starts_with("serves-")));
                Tells { held: held.clone(), counted: None }
            }
        };
        let listening = acceptor.listen(listens.handle(), factory).unwrap();
        let addr = listening.local_addr().unwrap();
        let clients: Vec<_> = (0..22).map(|_| connect_and_hear(addr)).collect();
        assert_eq!(counts(&held).iter().sum::<usize>(), 22);
        if balance != Balance::Local {
            assert_even(&held, "deliver_to");
        }
        // The reactor that listens ends, and the connections go on.
        listens.stop(Duration::ZERO);
        clients.iter().for_each(|(client, _)| assert_eq!(ask(client, b"there?"), b"there?"));
        assert!(TcpStream::connect(addr).is_err(), "no socket listens there");
    }
}

/// The reactor that should serve has ended: connections are closed, and nothing else happens.
#[test]
fn a_delivery_to_a_reactor_that_has_ended_costs_the_connection_only() {
    let listens = Server::start(1);
    let serves = Server::start(2);
    let held = Held::default();
    let acceptor = Acceptor::new(ANY).deliver_to(serves.handle());
    let addr = listen_with(acceptor, &listens, held.clone());
    serves.stop(Duration::ZERO);
    for _ in 0..5 {
        assert!(is_ended(&connect(addr)));
    }
    assert_eq!(listens.on_poller(|| 1), 1);
}

#[test]
fn a_factory_that_panics_costs_its_connection_and_nothing_else() {
    for reuse_port in [false, true] {
        let server = Server::start(POLLERS);
        let held = Held::default();
        let calls = AtomicUsize::new(0);
        let factory = {
            let held = held.clone();
            move || {
                if calls.fetch_add(1, Ordering::SeqCst).is_multiple_of(3) {
                    panic_on_purpose();
                }
                Tells { held: held.clone(), counted: None }
            }
        };
        let acceptor = Acceptor::new(ANY).reuse_port(reuse_port);
        let addr = acceptor.listen(server.handle(), factory).unwrap().local_addr().unwrap();
        a_third_is_lost(addr, &held);
    }
}

#[test]
fn a_service_that_panics_costs_its_connection_and_nothing_else() {
    for panics_when_polled in [false, true] {
        let server = Server::start(POLLERS);
        let held = Held::default();
        let calls = Arc::new(AtomicUsize::new(0));
        let service = {
            let held = held.clone();
            move |stream: net::TcpStream, _| {
                let is_bad = calls.fetch_add(1, Ordering::SeqCst).is_multiple_of(3);
                if is_bad && !panics_when_polled {
                    panic_on_purpose();
                }
                let held = held.clone();
                async move {
                    if is_bad {
                        panic_on_purpose();
                    }
                    tell(stream, held).await
                }
            }
        };
        let addr = server.handle().serve(ANY, service).unwrap().local_addr().unwrap();
        a_third_is_lost(addr, &held);
    }
}

/// Every third connection ends at once; the load of the lost ones is forgotten.
fn a_third_is_lost(addr: SocketAddr, held: &Held) {
    let mut clients = Vec::new();
    for number in 0..48 {
        let mut client = connect(addr);
        if number % 3 == 0 {
            assert!(is_ended(&client), "connection {number}");
        } else {
            client.read_exact(&mut [0]).unwrap();
            clients.push(client);
        }
    }
    assert_eq!(counts(held).iter().sum::<usize>(), 32);
    let counts = counts(held);
    // A lost one may still count while the next one is placed.
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(most - least <= 2, "{counts:?}");
    clients.iter().for_each(|client| assert_eq!(ask(client, b"there?"), b"there?"));
}

/// A service whose clone panics: the listeners stay.
#[test]
fn a_service_whose_clone_panics_does_not_end_the_listener() {
    struct Fragile {
        clones: Arc<AtomicUsize>,
    }
    impl Clone for Fragile {
        fn clone(&self) -> Fragile {
            // The first ones are those that the listeners hold.
            if self.clones.fetch_add(1, Ordering::SeqCst) == 2 * POLLERS {
                panic_on_purpose();
            }
            Fragile { clones: self.clones.clone() }
        }
    }
    let server = Server::start(POLLERS);
    let held = Held::default();
    let fragile = Fragile { clones: Arc::default() };
    let service = {
        let held = held.clone();
        move |stream, _| {
            let _ = &fragile;
            tell(stream, held.clone())
        }
    };
    let addr = server.handle().serve(ANY, service).unwrap().local_addr().unwrap();
    let mut served = Vec::new();
    for _ in 0..32 {
        let mut client = connect(addr);
        if client.read_exact(&mut [0]).is_ok() {
            served.push(client);
        }
    }
    assert!(served.len() >= 31, "{}", served.len());
}

/// A plain listener accepts for its own poller.
#[test]
fn a_listener_of_a_task_accepts_for_its_own_poller() {
    let server = Server::start(POLLERS);
    let held = Held::default();
    let (give, take) = std::sync::mpsc::channel();
    let ours = held.clone();
    drop(server.handle().pollers()[2].spawn_on(move || async move {
        let listener = net::TcpListener::bind(ANY).await.unwrap();
        give.send(listener.local_addr().unwrap()).unwrap();
        while let Ok((stream, _)) = listener.accept().await {
            drop(corepoll::spawn_local(tell(stream, ours.clone())));
        }
    }));
    let addr = take.recv_timeout(common::PATIENCE).unwrap();
    let clients: Vec<_> = (0..8).map(|_| connect_and_hear(addr)).collect();
    assert_eq!(counts(&held), [0, 0, 8, 0]);
    drop(clients);
}

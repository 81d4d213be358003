//! Where code runs, it can ask for its poller and its reactor; so clients can connect again.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crate::common::{
    self, ANY, PATIENCE, Server, closed_port, eventually, in_own_process, raise_descriptor_limit,
    within_patience,
};
use corepoll::{
    Action, CloseReason, Connector, EvContext, EvHandler, LocalPoller, PollerHandle, Reactor,
    ReactorHandle, TimerId, block_on, shutdown_requested, spawn_local, time,
};

const CLIENTS: usize = 5_000;

/// What all clients count together.
#[derive(Default)]
struct Counts {
    /// Clients that were refused at least once.
    refused: AtomicUsize,
    /// Clients that were served.
    served: AtomicUsize,
}

/// Connects again and again, each time after a longer pause, until it is served.
struct Client {
    server: SocketAddr,
    failures: u32,
    counts: Arc<Counts>,
    served: bool,
}

impl Client {
    fn new(server: SocketAddr, counts: Arc<Counts>) -> Client {
        Client { server, failures: 0, counts, served: false }
    }

    fn again(&self) {
        let reactor = ReactorHandle::current();
        let pause = Duration::from_millis(10 << self.failures.min(6));
        let (server, counts, failures) = (self.server, self.counts.clone(), self.failures + 1);
        let client = Client { failures, ..Client::new(server, counts) };
        drop(spawn_local(async move {
            if time::timeout(pause, shutdown_requested()).await.is_err() {
                Connector::new(&reactor).connect(server, move || client).expect("it runs");
            }
        }));
    }
}

impl EvHandler for Client {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.served |= &*cx.read()? == b"x";
        Ok(Action::Close)
    }
    fn on_connect_fail(&mut self, error: io::Error) {
        assert!(error.to_string().starts_with("connecting to 127.0.0.1:"), "{error}");
        if self.failures == 0 {
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
        }
        self.again();
    }
    fn on_close(&mut self, _: &mut EvContext<'_>, _: CloseReason) {
        match self.served {
            true => drop(self.counts.served.fetch_add(1, Ordering::Relaxed)),
            false => self.again(),
        }
    }
}

#[test]
fn five_thousand_clients_wait_for_their_server() {
    in_own_process(|| {
        // Where they don't suffice, clients wait for those of others.
        raise_descriptor_limit();
        let (addr, socket) = closed_port();
        let server: SocketAddr = addr.parse().expect("an address");
        let reactor = Server::start(2);
        let connector = Connector::new(reactor.handle());
        let counts = Arc::new(Counts::default());
        for _ in 0..CLIENTS {
            let counts = counts.clone();
            let client = move || Client::new(server, counts);
            connector.connect(server, client).expect("a good address");
        }
        eventually("each is refused", || counts.refused.load(Ordering::Relaxed) == CLIENTS);
        assert_eq!(counts.served.load(Ordering::Relaxed), 0);

        socket.listen(4096).expect("it is bound");
        let listener: TcpListener = socket.into();
        // It ends when it is told that they are all served.
        let (end, ends) = mpsc::channel::<()>();
        let accepts = thread::spawn(move || {
            for client in listener.incoming() {
                if ends.try_recv().is_ok() {
                    return;
                }
                // One that has been reset meanwhile comes again.
                let _ = client.and_then(|mut client| client.write_all(b"x"));
            }
        });
        eventually("each is served", || counts.served.load(Ordering::Relaxed) >= CLIENTS);
        let ended = reactor.stop(PATIENCE);
        assert_eq!((ended.drained, ended.cancelled), (0, 0));
        // Once, each of them.
        assert_eq!(counts.served.load(Ordering::Relaxed), CLIENTS);
        end.send(()).expect("it accepts");
        drop(common::connect(server));
        accepts.join().expect("it ends");
    });
}

/// What waits for its next attempt keeps no shutdown waiting.
#[test]
fn a_shutdown_ends_the_pause() {
    let (addr, _socket) = closed_port();
    let server = addr.parse().expect("an address");
    let reactor = Server::start(1);
    let counts = Arc::new(Counts::default());
    let (connector, told) = (Connector::new(reactor.handle()), counts.clone());
    connector.connect(server, move || Client::new(server, counts)).expect("an address");
    eventually("it is refused", || told.refused.load(Ordering::Relaxed) == 1);
    // Far sooner than the grace: within_patience holds that.
    let ended = within_patience(move || reactor.stop(Duration::from_secs(3600)));
    assert_eq!(ended.cancelled, 0);
    assert_eq!(Arc::strong_count(&told), 1, "the client is gone");
}

/// Connects again at once, in the very callback that tells of the failure.
struct Impatient {
    server: String,
    /// How many attempts were told that they have failed.
    told: Arc<AtomicUsize>,
    /// Says what became of an attempt that was refused.
    refused: mpsc::Sender<io::Error>,
}

impl EvHandler for Impatient {
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        unreachable!("nothing listens there")
    }

    fn on_connect_fail(&mut self, _: io::Error) {
        self.told.fetch_add(1, Ordering::Relaxed);
        let (server, told, refused) =
            (self.server.clone(), self.told.clone(), self.refused.clone());
        let next = Impatient { server, told, refused };
        let connector = Connector::new(&ReactorHandle::current());
        if let Err(error) = connector.connect(&self.server, move || next) {
            let _ = self.refused.send(error);
        }
    }
}

#[test]
fn a_client_without_patience_does_not_outlive_its_poller() {
    within_patience(|| {
        let server = Server::start(1);
        let (address, _unbound) = closed_port();
        let (told, (refused, errors)) = (Arc::new(AtomicUsize::new(0)), mpsc::channel());
        let client = Impatient { server: address.clone(), told: told.clone(), refused };
        Connector::new(server.handle()).connect(&address, move || client).unwrap();
        eventually("some attempts fail", || told.load(Ordering::Relaxed) > 3);
        server.stop(Duration::ZERO);
        // The attempt that was refused is told by that alone, and so there is no other one.
        assert_eq!(errors.iter().count(), 1);
    });
}

// ---- where it can be asked ----

/// The number of pollers of the reactor that runs this, and which poller does.
fn here() -> (usize, String) {
    let (reactor, poller) = (ReactorHandle::current(), PollerHandle::current());
    let text = format!("{poller:?}");
    (reactor.pollers().len(), text.split(", load").next().unwrap_or_default().to_owned())
}

/// Says in each callback where it is.
struct Asks(mpsc::Sender<(&'static str, usize)>);

impl Asks {
    fn say(&self, callback: &'static str) {
        let _ = self.0.send((callback, here().0));
    }
}

impl EvHandler for Asks {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.say("open");
        cx.set_timer(Duration::ZERO);
        Ok(Action::Keep)
    }
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        self.say("read");
        Ok(Action::Close)
    }
    fn on_timeout(&mut self, _: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        self.say("timeout");
        Ok(Action::Keep)
    }
    fn on_shutdown(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        self.say("shutdown");
        Ok(Action::Keep)
    }
    fn on_connect_fail(&mut self, _: io::Error) {
        self.say("connect_fail");
    }
    fn on_close(&mut self, _: &mut EvContext<'_>, _: CloseReason) {
        self.say("close");
    }
}

#[test]
fn callbacks_and_tasks_know_their_poller_and_their_reactor() {
    let listener = TcpListener::bind(ANY).expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let (closed, _guard) = closed_port();
    // Told apart by how many pollers they have.
    for pollers in [1, 3] {
        let server = Server::start(pollers);
        let (say, said) = mpsc::channel();
        let connector = Connector::new(server.handle());
        let accept = |say: mpsc::Sender<_>| {
            connector.connect(addr, move || Asks(say)).expect("a good address");
            listener.accept().expect("it connects").0
        };
        // One that comes and goes, one that stays until the shutdown, and one that is refused.
        let peers = [accept(say.clone()), accept(say.clone())];
        connector.connect(&closed, move || Asks(say)).expect("a good address");
        let mut heard: Vec<(&str, usize)> = Vec::new();
        let mut hear = |count: usize| {
            while heard.len() < count {
                heard.push(said.recv_timeout(PATIENCE).expect("it is called"));
            }
        };
        hear(5);
        let [goes, stays] = peers;
        drop(goes);
        hear(7);
        for (place, poller) in server.handle().pollers().iter().enumerate() {
            let there = block_on(poller.spawn_on(|| async { here() })).expect("it runs");
            assert_eq!(there.0, pollers);
            assert!(there.1.ends_with(&format!("index: {place}")), "{there:?}");
            assert_eq!(common::on_poller(poller, here), there);
        }
        server.stop(Duration::ZERO);
        heard.extend(said.iter());
        drop(stays);
        heard.sort_unstable();
        let names: Vec<&str> = heard.iter().map(|(name, _)| *name).collect();
        let once = ["connect_fail", "read", "shutdown"];
        let twice = ["close", "open", "timeout"];
        let count = |name| names.iter().filter(|other| **other == name).count();
        assert!(once.iter().all(|name| count(*name) == 1), "{names:?}");
        assert!(twice.iter().all(|name| count(*name) == 2), "{names:?}");
        assert!(heard.iter().all(|(_, there)| *there == pollers), "{heard:?}");
    }
}

#[test]
fn elsewhere_they_say_what_is_missing() {
    let reactor = Reactor::builder().pollers(2).build().expect("a reactor");
    let there = reactor.run_until(async { ReactorHandle::current().pollers().len() });
    assert_eq!(there.expect("it runs"), 2);

    let error = PollerHandle::try_current().expect_err("none runs here").to_string();
    assert!(error.contains("PollerHandle::current") && error.contains("no poller"), "{error}");
    let error = ReactorHandle::try_current().expect_err("none runs here").to_string();
    assert!(error.contains("ReactorHandle::current") && error.contains("no poller"), "{error}");
    block_on(async {
        assert!(PollerHandle::try_current().is_ok());
        let error = ReactorHandle::try_current().expect_err("it has none").to_string();
        assert!(error.contains("has no reactor"), "{error}");
    });
    let mut poller = LocalPoller::new().expect("a poller");
    let task = poller.spawn_local(async { PollerHandle::try_current().is_ok() });
    poller.turn(Some(Duration::ZERO)).expect("it turns");
    assert!(block_on(task).expect("it ends"));
    // It runs no more.
    assert!(PollerHandle::try_current().is_err());
    let panicked = thread::spawn(|| drop(ReactorHandle::current())).join();
    let panic = panicked.expect_err("there is none");
    let text = panic.downcast_ref::<String>().expect("it says why");
    assert!(text.contains("no poller on this thread"), "{text}");
}

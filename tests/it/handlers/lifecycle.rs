//! Whatever fails, and in whatever order a connection's ends come: the failure ends that
//! connection alone, and each on_open has one on_close.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{
    Echo, PATIENCE, Server, ask, closed_port, connect, eventually, in_own_process, is_ended,
    open_descriptors, panic_on_purpose, reset, tcp_pair,
};
use corepoll::{
    Action, Budget, CloseReason, Connector, EvContext, EvHandler, Interest, Reactor, TimerId, Token,
};
use proptest::prelude::*;

// ---- each callback fails in turn ----

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Callback {
    Open,
    Read,
    Write,
    WriteHigh,
    WriteLow,
    Timeout,
    Shutdown,
    Close,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Error,
    Panic,
}

struct Fails {
    at: Callback,
    by: Fault,
    closed: Sender<String>,
}

impl Fails {
    fn reach(&self, callback: Callback) -> io::Result<Action> {
        match self.by {
            _ if self.at != callback => Ok(Action::Keep),
            Fault::Error => Err(io::Error::other("a fault")),
            Fault::Panic => panic_on_purpose(),
        }
    }
}

impl EvHandler for Fails {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_timer(Duration::from_millis(1));
        cx.set_interest(Interest::READABLE | Interest::WRITABLE)?;
        self.reach(Callback::Open)
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let data = cx.read()?;
        cx.write(&data)?;
        if data.is_empty() {
            return Ok(Action::Close);
        }
        if let Callback::WriteHigh | Callback::WriteLow = self.at {
            cx.set_watermarks(1000, 100_000);
            (0..6).try_for_each(|_| cx.write(&MUCH))?;
        }
        self.reach(Callback::Read)
    }
    fn on_write_high(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        if self.at == Callback::WriteLow {
            let _ = self.closed.send("not yet: its output is queued".into());
        }
        self.reach(Callback::WriteHigh)
    }
    fn on_write_low(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        self.reach(Callback::WriteLow)
    }
    fn on_write(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_interest(Interest::READABLE)?;
        self.reach(Callback::Write)
    }
    fn on_timeout(&mut self, _: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        self.reach(Callback::Timeout)
    }
    fn on_shutdown(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        self.reach(Callback::Shutdown)
    }
    fn on_close(&mut self, _: &mut EvContext<'_>, reason: CloseReason) {
        let _ = self.closed.send(format!("{reason:?}"));
        let _ = self.reach(Callback::Close);
    }
}

fn fails_at(at: Callback, by: Fault) {
    let (closed, reasons) = mpsc::channel();
    let (server, addr) = Server::of_handlers(move || Fails { at, by, closed: closed.clone() });
    let bystander = connect(server.listen(|| Echo));
    assert_eq!(ask(&bystander, b"before"), b"before");

    let mut client = connect(addr);
    match at {
        Callback::Read | Callback::WriteHigh => client.write_all(b"x").unwrap(),
        Callback::WriteLow => {
            client.write_all(b"x").unwrap();
            // Read earlier, all of it might fit into the kernel, and nothing would be queued.
            reasons.recv_timeout(PATIENCE).expect("its output is queued");
            // It ends before the last bytes have come.
            let _ = io::copy(&mut (&client).take(6 << 20), &mut io::sink());
        }
        Callback::Close => client.shutdown(Shutdown::Write).unwrap(),
        Callback::Shutdown => {
            assert_eq!(ask(&client, b"open"), b"open");
            server.handle().shutdown(PATIENCE);
        }
        Callback::Open | Callback::Write | Callback::Timeout => {}
    }
    let reason = reasons.recv_timeout(PATIENCE);
    let reason = reason.unwrap_or_else(|_| panic!("{at:?} {by:?}: on_close is called"));
    let is_right = match (at, by) {
        (Callback::Close, _) => reason == "Requested",
        (_, Fault::Error) => reason.contains("a fault"),
        (_, Fault::Panic) => reason == "Panic",
    };
    assert!(is_right, "{at:?} {by:?}: {reason}");
    assert!(is_ended(&client));
    if at != Callback::Shutdown {
        assert_eq!(ask(&bystander, b"after"), b"after");
        let another = connect(addr);
        drop(another);
    }
    drop((client, bystander));
    server.stop(Duration::ZERO);
    assert!(reasons.iter().all(|reason| !reason.is_empty()), "the handlers are gone");
}

#[test]
fn a_failure_in_any_callback_ends_that_connection_alone() {
    use Callback::{Close, Open, Read, Shutdown, Timeout, Write, WriteHigh, WriteLow};
    for at in [Open, Read, Write, WriteHigh, WriteLow, Timeout, Shutdown, Close] {
        fails_at(at, Fault::Error);
        fails_at(at, Fault::Panic);
    }
}

struct FailsToConnect(Sender<()>);

impl EvHandler for FailsToConnect {
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Close)
    }
    fn on_connect_fail(&mut self, _: io::Error) {
        let _ = self.0.send(());
        panic_on_purpose();
    }
}

impl Drop for FailsToConnect {
    fn drop(&mut self) {
        panic_on_purpose();
    }
}

/// Its only callback panics, and so does its destructor.
#[test]
fn a_failure_to_connect_may_panic() {
    let server = Server::start(1);
    let bystander = connect(server.listen(|| Echo));
    let (failed, failures) = mpsc::channel();
    let connector = Connector::new(server.handle());
    let (addr, _guard) = closed_port();
    for _ in 0..3 {
        let failed = failed.clone();
        connector.connect(&addr, move || FailsToConnect(failed)).unwrap();
        failures.recv_timeout(PATIENCE).expect("it is told");
    }
    assert_eq!(ask(&bystander, b"after"), b"after");
}

// ---- every order of ends ----

/// What a callback does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Keep,
    Close,
    Fail,
    Panic,
    /// `cx.close` of itself.
    CloseSelf,
    /// `cx.close` of every connection that it knows.
    CloseAll,
    /// More output than the kernel takes, and then the end.
    WriteAndClose,
    /// Registers another connection.
    Register,
    /// Registers another connection and closes it at once.
    RegisterAndClose,
    /// Registers another connection that writes too much and closes.
    RegisterWriter,
    /// A timer that is due at once, and an interval.
    Arm,
    /// Nothing more is read.
    Deafen,
}

const DEEDS: &[Deed] = &[
    Deed::Keep,
    Deed::Close,
    Deed::Fail,
    Deed::Panic,
    Deed::CloseSelf,
    Deed::CloseAll,
    Deed::WriteAndClose,
    Deed::Register,
    Deed::RegisterAndClose,
    Deed::RegisterWriter,
    Deed::Arm,
    Deed::Deafen,
];

/// What a handler does in each of its callbacks.
#[derive(Debug, Clone, Copy)]
struct Script {
    open: Deed,
    read: Deed,
    timeout: Deed,
    shutdown: Deed,
    close: Deed,
    panics_in_drop: bool,
}

/// What happened to each handler, in order.
#[derive(Default)]
struct Ledger(Mutex<Vec<Vec<&'static str>>>);

impl Ledger {
    fn new_handler(self: &Arc<Ledger>, script: Script) -> Scripted {
        let mut stories = self.0.lock().unwrap();
        stories.push(Vec::new());
        Scripted { script, ledger: self.clone(), number: stories.len() - 1, has_interval: false }
    }

    fn check(&self) {
        for story in self.0.lock().unwrap().iter() {
            let count = |what| story.iter().filter(|entry| **entry == what).count();
            assert_eq!(count("drop"), 1, "{story:?}");
            assert_eq!(story.last(), Some(&"drop"), "{story:?}");
            assert_eq!((count("open"), count("close")), (1, 1), "{story:?}");
            assert_eq!(story[0], "open", "{story:?}");
            assert_eq!(story[story.len() - 2], "close", "{story:?}");
        }
    }
}

struct Scripted {
    script: Script,
    ledger: Arc<Ledger>,
    number: usize,
    has_interval: bool,
}

#[derive(Default)]
struct Known(Vec<Token>);

/// More than the kernel takes from one connection at once.
static MUCH: [u8; 1 << 20] = [7; 1 << 20];

impl Scripted {
    fn note(&self, what: &'static str) {
        self.ledger.0.lock().unwrap()[self.number].push(what);
    }

    fn register(&self, cx: &mut EvContext<'_>, open: Deed) -> io::Result<Token> {
        // Not by TCP: a callback must not wait for the network.
        let (near, far) = UnixStream::pair()?;
        // One of them keeps its peer, the other finds it gone.
        if self.number.is_multiple_of(2) {
            cx.with_local(|far_ends: &mut Vec<UnixStream>| far_ends.push(far));
        }
        let script = Script {
            open,
            read: Deed::Close,
            timeout: Deed::Keep,
            shutdown: Deed::Keep,
            close: Deed::Keep,
            panics_in_drop: self.script.panics_in_drop,
        };
        let handler = Late(Some(script), self.ledger.clone(), None);
        cx.register(OwnedFd::from(near), Interest::READABLE, handler)
    }

    fn act(&mut self, deed: Deed, cx: &mut EvContext<'_>) -> io::Result<Action> {
        match deed {
            Deed::Keep => {}
            Deed::Close => return Ok(Action::Close),
            Deed::Fail => return Err(io::ErrorKind::InvalidData.into()),
            Deed::Panic => panic_on_purpose(),
            Deed::CloseSelf => {
                let this = cx.token();
                cx.close(this);
            }
            Deed::CloseAll => {
                let known = cx.with_local(|known: &mut Known| known.0.clone());
                for token in known {
                    cx.close(token);
                }
            }
            Deed::WriteAndClose => {
                for _ in 0..4 {
                    cx.write(&MUCH)?;
                }
                return Ok(Action::Close);
            }
            Deed::Register => drop(self.register(cx, Deed::Keep)?),
            Deed::RegisterWriter => drop(self.register(cx, Deed::WriteAndClose)?),
            Deed::RegisterAndClose => {
                let token = self.register(cx, Deed::Keep)?;
                cx.close(token);
            }
            Deed::Arm => {
                cx.set_timer(Duration::ZERO);
                // If each call for a timer armed two, there would be more and more.
                if !std::mem::replace(&mut self.has_interval, true) {
                    cx.set_interval(Duration::from_millis(1));
                }
            }
            Deed::Deafen => cx.set_interest(Interest::NONE)?,
        }
        Ok(Action::Keep)
    }
}

impl EvHandler for Scripted {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.note("open");
        let token = cx.token();
        cx.with_local(|known: &mut Known| known.0.push(token));
        self.act(self.script.open, cx)
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.note("read");
        cx.read()?;
        self.act(self.script.read, cx)
    }
    fn on_timeout(&mut self, cx: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        self.note("timeout");
        self.act(self.script.timeout, cx)
    }
    fn on_shutdown(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.note("shutdown");
        self.act(self.script.shutdown, cx)
    }
    fn on_close(&mut self, cx: &mut EvContext<'_>, _: CloseReason) {
        self.note("close");
        let _ = self.act(self.script.close, cx);
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.note("drop");
        if self.script.panics_in_drop && !std::thread::panicking() {
            panic_on_purpose();
        }
    }
}

/// A handler that enters the ledger only when its registration has succeeded.
struct Late(Option<Script>, Arc<Ledger>, Option<Scripted>);

impl Late {
    fn inner(&mut self) -> &mut Scripted {
        let Late(script, ledger, inner) = self;
        inner.get_or_insert_with(|| ledger.new_handler(script.take().expect("made once")))
    }
}

impl EvHandler for Late {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.inner().on_open(cx)
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.inner().on_read(cx)
    }
    fn on_close(&mut self, cx: &mut EvContext<'_>, reason: CloseReason) {
        self.inner().on_close(cx, reason);
    }
}

/// What the client of a connection does.
#[derive(Debug, Clone, Copy)]
enum Peer {
    Waits,
    Sends,
    SendsAndFins,
    Fins,
    Resets,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop::sample::select(DEEDS)
}

fn script() -> impl Strategy<Value = Script> {
    (deed(), deed(), deed(), deed(), deed(), prop::bool::weighted(0.1)).prop_map(
        |(open, read, timeout, shutdown, close, panics_in_drop)| {
            // A handler that registers another at its end would never end.
            let registers = [Deed::Register, Deed::RegisterAndClose];
            let close = if registers.contains(&close) { Deed::CloseAll } else { close };
            Script { open, read, timeout, shutdown, close, panics_in_drop }
        },
    )
}

fn peer() -> impl Strategy<Value = Peer> {
    use Peer::{Fins, Resets, Sends, SendsAndFins, Waits};
    prop::sample::select(&[Waits, Sends, SendsAndFins, Fins, Resets][..])
}

fn run(scripts: &[(Script, Peer)], grace: Duration) {
    let mut budget = Budget::default();
    budget.close_linger = Duration::from_millis(5);
    let server = Server::build(Reactor::builder().pollers(1).budget(budget));
    let ledger = Arc::new(Ledger::default());
    let clients: Vec<TcpStream> =
        scripts.iter().map(|(script, peer)| client(&server, &ledger, *script, *peer)).collect();
    // Every event is on its way; let the poller see some of them.
    server.on_poller(|| ());
    server.stop(grace);
    drop(clients);
    ledger.check();
}

fn client(server: &Server, ledger: &Arc<Ledger>, script: Script, peer: Peer) -> TcpStream {
    let (near, mut far) = tcp_pair();
    let ledger = ledger.clone();
    let factory = move || ledger.new_handler(script);
    server.poller().register(near.into(), Interest::READABLE, factory).unwrap();
    match peer {
        Peer::Waits => {}
        Peer::Sends => far.write_all(b"x").unwrap(),
        Peer::SendsAndFins => {
            // The other side may have ended already.
            let _ = far.write_all(b"x");
            let _ = far.shutdown(Shutdown::Write);
        }
        Peer::Fins => drop(far.shutdown(Shutdown::Write)),
        Peer::Resets => {
            let copy = far.try_clone().unwrap();
            drop(copy);
            reset(far);
            return connect_to_nothing();
        }
    }
    far
}

/// In the place of a client that is gone.
fn connect_to_nothing() -> TcpStream {
    tcp_pair().0
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// on_open and on_close are one to one, on_open is the first call and on_close the last, and
    /// each handler is dropped once, after that.
    #[test]
    fn open_and_close_are_one_to_one_whatever_happens(
        scripts in prop::collection::vec((script(), peer()), 1..6),
        grace in prop::sample::select(&[0u64, 0, 3][..]),
    ) {
        run(&scripts, Duration::from_millis(grace));
    }
}

// ---- single cases that chance would rarely find ----

/// A connection that is closed before its on_open was called.
#[test]
fn a_connection_closed_before_it_opened_is_opened_and_closed() {
    let keep = script_of(Deed::Keep);
    run(&[(Script { open: Deed::RegisterAndClose, ..keep }, Peer::Waits)], Duration::ZERO);
}

/// Output that is left when the poller ends: in either order of the two connections.
#[test]
fn a_close_that_waits_for_output_ends_with_the_poller() {
    let keep = script_of(Deed::Keep);
    let writes = Script { open: Deed::WriteAndClose, ..keep };
    let kills = Script { close: Deed::CloseAll, ..keep };
    let full = Script { close: Deed::WriteAndClose, shutdown: Deed::Keep, ..keep };
    for scripts in [[writes, kills, full], [kills, full, writes], [full, writes, kills]] {
        run(&scripts.map(|script| (script, Peer::Waits)), Duration::ZERO);
    }
}

fn script_of(deed: Deed) -> Script {
    Script {
        open: deed,
        read: deed,
        timeout: deed,
        shutdown: deed,
        close: deed,
        panics_in_drop: false,
    }
}

/// It opens when the poller ends already, and what it has to say is more than the kernel takes.
#[test]
fn a_connection_that_opens_at_the_very_end_is_closed_as_well() {
    let keep = script_of(Deed::Keep);
    let heir = Script { shutdown: Deed::Close, close: Deed::RegisterWriter, ..keep };
    run(&[(heir, Peer::Waits)], Duration::ZERO);
}

/// Nothing is left of a thousand connections that ended in all ways.
#[test]
fn no_descriptor_is_left_of_connections_that_ended() {
    in_own_process(|| {
        let server = Server::start(1);
        let ledger = Arc::new(Ledger::default());
        let addr: SocketAddr = {
            let ledger = ledger.clone();
            let next = std::sync::atomic::AtomicUsize::new(0);
            server.listen(move || {
                let turn = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let deeds =
                    [Deed::Close, Deed::Fail, Deed::Panic, Deed::CloseSelf, Deed::WriteAndClose];
                ledger.new_handler(script_of(deeds[turn % deeds.len()]))
            })
        };
        let before = open_descriptors();
        for _ in 0..200 {
            let clients: Vec<TcpStream> = (0..5).map(|_| connect(addr)).collect();
            for mut client in clients {
                let _ = client.write_all(b"x");
                drop(io::copy(&mut client, &mut io::sink()));
            }
        }
        eventually("every descriptor is closed", || open_descriptors() <= before);
        server.stop(Duration::ZERO);
        ledger.check();
    });
}

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use corepoll::net::TcpListener;
use corepoll::{Action, Budget, CloseReason, LocalPoller, TimerId};
use corepoll_rustls::{Tls, TlsContext, TlsHandler, TlsOptions};

use crate::common::{
    Client, Identity, PATIENCE, Server, Session, VERSIONS, connect, echo, exchange, finish, next,
    plain, text,
};

#[test]
fn after_the_peers_end_this_side_may_write_on() {
    let identity = Identity::new("localhost");
    let (server, heard) = Server::of_sessions(identity.server(), || {
        let mut length = 0;
        move |cx: &mut TlsContext<'_, '_>, data: &[u8]| {
            length += data.len();
            if data.is_empty() {
                assert!(cx.read()?.is_empty(), "the end stays the end");
                cx.write(format!("{length} bytes").as_bytes())?;
                cx.write(&[b'.'; 100_000])?;
                return Ok(Action::Close);
            }
            Ok(Action::Keep)
        }
    });
    let config = Arc::new(identity.client(&VERSIONS));
    let mut client = connect(server.addr, config, "localhost");
    client.write_all(b"hello").expect("it is sent");
    finish(&mut client);
    client.sock.shutdown(std::net::Shutdown::Write).expect("it is connected");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("a close_notify comes at the end");
    assert_eq!((&answer[..7], answer.len()), ("5 bytes", 100_007));
    assert!(next(&heard).starts_with("open "));
    assert_eq!(next(&heard), "closed Requested");
}

#[test]
fn an_end_without_close_notify_is_told_as_truncation() {
    let identity = Identity::new("localhost");
    let (server, heard) = Server::echo(identity.server());
    for version in VERSIONS {
        let config = Arc::new(identity.client(&[version]));
        let mut client = connect(server.addr, config, "localhost");
        exchange(&mut client, b"hello");
        drop(client);
        assert!(next(&heard).starts_with("open "));
        let told = next(&heard);
        assert!(told.starts_with("closed UnexpectedEof: the peer has closed"), "{told}");
    }
    drop(plain(server.addr));
    let told = next(&heard);
    assert!(told.starts_with("failed UnexpectedEof: the peer has closed"), "{told}");
}

/// How a callback breaks.
type How = fn() -> io::Result<Action>;

/// Panics, or fails, in the callback of that name.
struct Breaks {
    place: &'static str,
    how: How,
    tell: Sender<String>,
}

impl Breaks {
    fn at(&self, place: &str) -> io::Result<Action> {
        if self.place == place { (self.how)() } else { Ok(Action::Keep) }
    }
}

impl TlsHandler for Breaks {
    fn on_open(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        match self.place {
            "on_timeout" => drop(cx.set_timer(Duration::ZERO)),
            "on_notify" => cx.notifier().notify()?,
            "on_write" | "on_write_high" | "on_write_low" => {
                cx.set_watermarks(0, 1);
                cx.write(&vec![0; 7 << 20])?;
            }
            _ => {}
        }
        // The client reads from now on, so the output above was queued.
        let _ = self.tell.send("open".into());
        self.at("on_open")
    }
    fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        let _ = cx.read()?;
        self.at("on_read")
    }
    fn on_write(&mut self, _: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        self.at("on_write")
    }
    fn on_write_high(&mut self, _: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        self.at("on_write_high")
    }
    fn on_write_low(&mut self, _: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        self.at("on_write_low")
    }
    fn on_timeout(&mut self, _: &mut TlsContext<'_, '_>, _: TimerId) -> io::Result<Action> {
        self.at("on_timeout")
    }
    fn on_notify(&mut self, _: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        self.at("on_notify")
    }
    fn on_close(&mut self, _: &mut TlsContext<'_, '_>, reason: CloseReason) {
        let _ = self.tell.send(format!("closed {}", text(&reason)));
    }
}

/// Reads until the connection ends.
fn drain(client: &mut Client) {
    let mut buffer = [0; 64 * 1024];
    while matches!(client.read(&mut buffer), Ok(1..)) {}
}

#[test]
fn a_panic_or_an_error_in_a_callback_ends_its_connection_alone() {
    let identity = Identity::new("localhost");
    let config = Arc::new(identity.client(&VERSIONS));
    let ways: [(How, &str); 2] = [
        (|| panic!("as the test wants it"), "closed Panic"),
        (|| Err(io::Error::other("as the test wants it")), "closed Other: as the test wants it"),
    ];
    let places = [
        "on_open",
        "on_read",
        "on_write",
        "on_write_high",
        "on_write_low",
        "on_timeout",
        "on_notify",
    ];
    for (how, told) in ways {
        for place in places {
            let (tell, heard) = channel();
            // The first connection breaks, the second doesn't.
            let count = std::sync::atomic::AtomicUsize::new(0);
            let server = Server::of(TlsOptions::new(), identity.server(), move || {
                let is_first = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
                Breaks { place: if is_first { place } else { "" }, how, tell: tell.clone() }
            });
            let mut client = connect(server.addr, config.clone(), "localhost");
            let _ = client.write_all(b"hello");
            assert_eq!(next(&heard), "open", "{place}");
            drain(&mut client);
            assert_eq!(next(&heard), told, "{place}");
            let mut other = connect(server.addr, config.clone(), "localhost");
            other.write_all(b"hello").expect("it is sent");
            finish(&mut other);
            assert_eq!(next(&heard), "open", "{place}");
        }
    }
}

#[test]
fn output_past_the_budget_is_an_overflow() {
    let identity = Identity::new("localhost");
    let config = Arc::new(identity.client(&VERSIONS));
    let mut budget = Budget::default();
    budget.output_per_connection = 1 << 20;
    for by_writer in [false, true] {
        let (tell, heard) = channel();
        let make = move || crate::common::Session {
            tell: tell.clone(),
            on_data: move |cx: &mut TlsContext<'_, '_>, _: &[u8]| {
                let bytes = vec![0; 64 << 10];
                for _ in 0..256 {
                    if by_writer {
                        cx.writer().write(bytes.clone())?;
                    } else {
                        cx.write(&bytes)?;
                    }
                }
                unreachable!("16 MiB are not accepted")
            },
        };
        let server =
            Server::with_budget(budget.clone(), TlsOptions::new(), identity.server(), make);
        let mut client = connect(server.addr, config.clone(), "localhost");
        client.write_all(b"hello").expect("it is sent");
        assert!(next(&heard).starts_with("open "));
        assert_eq!(next(&heard), "closed Overflow", "by a writer: {by_writer}");
    }
}

#[test]
fn a_shutdown_ends_connections_with_a_close_notify() {
    let identity = Identity::new("localhost");
    let (server, heard) = Server::echo(identity.server());
    let config = Arc::new(identity.client(&VERSIONS));
    let mut clients: Vec<_> = (0..8)
        .map(|_| {
            let mut client = connect(server.addr, config.clone(), "localhost");
            exchange(&mut client, b"hello");
            client
        })
        .collect();
    // One whose handshake is under way, and known to the server.
    let mut stalled = plain(server.addr);
    stalled.write_all(&[22, 3, 1]).expect("it is sent");
    let mut last = connect(server.addr, config, "localhost");
    exchange(&mut last, b"so the one before is accepted");
    clients.push(last);
    server.running.handle().shutdown(Duration::from_secs(60));
    for client in &mut clients {
        assert_eq!(client.read(&mut [0; 9]).expect("a close_notify comes"), 0);
    }
    assert!(matches!(stalled.read(&mut [0; 9]), Ok(0) | Err(_)));
    let mut told: Vec<_> = (0..19).map(|_| next(&heard)).collect();
    told.sort();
    assert_eq!(told.iter().filter(|told| told.starts_with("open ")).count(), 9);
    assert_eq!(told.iter().filter(|told| *told == "closed Requested").count(), 9);
    assert_eq!(told.iter().filter(|told| *told == "failed Requested").count(), 1);
}

thread_local! {
    /// A poller that ends after the function of its thread has returned.
    static POLLER: RefCell<Option<LocalPoller>> = const { RefCell::new(None) };
}

#[test]
fn a_poller_in_a_thread_local_tells_its_connections_that_it_ends() {
    let identity = Identity::new("localhost");
    let (config, (tell, heard), (tell_addr, addr)) = (identity.server(), channel(), channel());
    let poller = thread::spawn(move || {
        let has_answered = Arc::new(AtomicBool::new(false));
        let answered = has_answered.clone();
        let make = Tls::server(Arc::new(config), move || {
            let answered = answered.clone();
            let on_data = move |cx: &mut TlsContext<'_, '_>, data: &[u8]| {
                answered.store(true, Relaxed);
                echo(cx, data)
            };
            Session { tell: tell.clone(), on_data }
        });
        // Before the thread-locals of its connections, and so dropped after them.
        POLLER.set(Some(LocalPoller::new().expect("it is made")));
        POLLER.with_borrow_mut(|poller| {
            let poller = poller.as_mut().expect("it was put there");
            drop(poller.spawn_local(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("it binds");
                let _ = tell_addr.send(listener.local_addr().expect("it is bound"));
                let (stream, _peer) = listener.accept().await.expect("a client comes");
                stream.into_handler(make()).expect("the connection is open");
            }));
            while !has_answered.load(Relaxed) {
                poller.turn(None).expect("it turns");
            }
        });
    });
    let addr = addr.recv_timeout(PATIENCE).expect("it listens");
    let mut client = connect(addr, Arc::new(identity.client(&VERSIONS)), "localhost");
    assert_eq!(exchange(&mut client, b"hello"), b"hello");
    poller.join().expect("the thread has not panicked");
    assert!(next(&heard).starts_with("open "));
    assert_eq!(next(&heard), "closed Shutdown");
}

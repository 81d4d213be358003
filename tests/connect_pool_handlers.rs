//! The pool for handlers: `get_with`.

mod common;

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use common::{ANY, PATIENCE, Server, closed_port, eventually, is_ended, patient};
use corepoll::{
    Action, Budget, CloseReason, ConnectPool, EvContext, EvHandler, Interest, Reactor, Token,
    spawn_local, with_local,
};

/// Does something in `on_open`.
struct Inside<F>(Option<F>);

impl<F: FnOnce(&mut EvContext<'_>) + 'static> EvHandler for Inside<F> {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.0.take().expect("on_open comes once")(cx);
        Ok(Action::Close)
    }
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Close)
    }
}

/// The pool of a server's only poller.
struct Pool {
    server: Server,
    listener: TcpListener,
}

fn the_pool() -> ConnectPool {
    with_local(|pool: &mut Option<ConnectPool>| pool.clone()).expect("it has been made")
}

impl Pool {
    fn new(max_live: usize) -> Pool {
        Pool::of(Server::start(1), max_live)
    }

    fn of(server: Server, max_live: usize) -> Pool {
        let listener = TcpListener::bind(ANY).expect("a free port");
        let addr = listener.local_addr().expect("it is bound").to_string();
        server.on_poller(move || {
            let made = ConnectPool::new(&addr).max_live(max_live);
            with_local(|pool: &mut Option<ConnectPool>| *pool = Some(made));
        });
        Pool { server, listener }
    }

    fn accept(&self) -> TcpStream {
        patient(self.listener.accept().expect("somebody connects").0)
    }

    /// Calls `get_with` in a callback.
    fn get_with<H: EvHandler + Send>(&self, handler: H) {
        let (fd, _) = UnixStream::pair().expect("a socket pair");
        let (done, is_done) = channel();
        let act = move |cx: &mut EvContext<'_>| {
            the_pool().get_with(cx, handler);
            done.send(()).expect("the test waits");
        };
        let factory = || Inside(Some(act));
        self.server.poller().register(fd.into(), Interest::NONE, factory).expect("it runs");
        is_done.recv_timeout(PATIENCE).expect("on_open comes");
    }

    fn counts(&self) -> (usize, usize, usize) {
        self.server.on_poller(|| {
            let pool = the_pool();
            (pool.idle(), pool.live(), pool.waiting())
        })
    }

    #[track_caller]
    fn comes_to(&self, counts: (usize, usize, usize)) {
        eventually("the counts", || self.counts() == counts);
    }
}

/// Sends a word, and ends when it is answered with as many bytes.
struct Asks {
    word: &'static str,
    answered: usize,
    says: Sender<String>,
    at_open: fn(&mut EvContext<'_>) -> io::Result<Action>,
    at_close: fn(),
}

impl Asks {
    fn new(word: &'static str, says: &Sender<String>) -> Asks {
        let keep = |_: &mut EvContext<'_>| Ok(Action::Keep);
        Asks { word, answered: 0, says: says.clone(), at_open: keep, at_close: || () }
    }

    fn say(&self, what: &str) {
        let _ = self.says.send(format!("{} {what}", self.word));
    }
}

impl EvHandler for Asks {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.say("open");
        cx.write(self.word.as_bytes())?;
        (self.at_open)(cx)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let left = self.word.len() - self.answered;
        let mut answer = vec![0; left];
        let count = cx.read_into(&mut answer)?;
        self.answered += count;
        let is_over = count == 0 || self.answered == self.word.len();
        Ok(if is_over { Action::Close } else { Action::Keep })
    }

    fn on_connect_fail(&mut self, error: io::Error) {
        self.say(&format!("fail {:?}", error.kind()));
    }

    fn on_close(&mut self, _: &mut EvContext<'_>, reason: CloseReason) {
        self.say(&format!("close {reason:?}"));
        (self.at_close)();
    }
}

#[track_caller]
fn next(said: &Receiver<String>) -> String {
    said.recv_timeout(PATIENCE).expect("something is said")
}

fn answer(mut peer: &TcpStream, count: usize) {
    let mut bytes = vec![0; count];
    peer.read_exact(&mut bytes).expect("the request");
    peer.write_all(&bytes).expect("it is connected");
}

#[test]
fn a_handler_gives_its_connection_back_and_others_use_it() {
    let pool = Pool::new(8);
    let (says, said) = channel();
    pool.get_with(Asks::new("one", &says));
    let peer = pool.accept();
    answer(&peer, 3);
    assert_eq!([next(&said), next(&said)], ["one open", "one close Requested"]);
    pool.comes_to((1, 1, 0));

    // A handler, a task, and a handler again, on the same connection.
    pool.get_with(Asks::new("second", &says));
    answer(&peer, 6);
    assert_eq!([next(&said), next(&said)], ["second open", "second close Requested"]);
    pool.comes_to((1, 1, 0));
    pool.server.on_poller(|| {
        drop(spawn_local(async {
            use futures::{AsyncReadExt, AsyncWriteExt};
            let mut stream = the_pool().get().await.expect("it is idle");
            stream.write_all(b"task").await.expect("it is connected");
            stream.read_exact(&mut [0; 4]).await.expect("it is connected");
        }));
    });
    answer(&peer, 4);
    pool.comes_to((1, 1, 0));
    pool.get_with(Asks::new("last", &says));
    answer(&peer, 4);
    assert_eq!([next(&said), next(&said)], ["last open", "last close Requested"]);
    pool.comes_to((1, 1, 0));
    pool.listener.set_nonblocking(true).expect("it takes it");
    assert!(pool.listener.accept().is_err(), "there was only one connection");
    assert!(format!("{:?}", pool.server.poller()).contains("load: 0"));
}

#[test]
fn handlers_and_tasks_wait_in_one_queue() {
    let pool = Pool::new(1);
    let (says, said) = channel();
    pool.get_with(Asks::new("first", &says));
    let peer = pool.accept();
    assert_eq!(next(&said), "first open");
    pool.get_with(Asks::new("second", &says));
    let by_task = says.clone();
    pool.server.on_poller(move || {
        drop(spawn_local(async move {
            let stream = the_pool().get().await.expect("it is given back");
            let _ = by_task.send("third".into());
            drop(stream);
        }));
    });
    pool.comes_to((0, 1, 2));
    pool.get_with(Asks::new("fourth", &says));
    assert_eq!(pool.counts(), (0, 1, 3));
    for count in [5, 6, 6] {
        answer(&peer, count);
    }
    let all: Vec<String> = (0..6).map(|_| next(&said)).collect();
    let order = [
        "first close Requested",
        "second open",
        "second close Requested",
        "third",
        "fourth open",
        "fourth close Requested",
    ];
    assert_eq!(all, order);
    pool.comes_to((1, 1, 0));
}

#[test]
fn a_peer_that_is_down_is_told_to_each() {
    let pool = Pool::new(1);
    let Pool { server, listener } = pool;
    let (addr, _guard) = closed_port();
    drop(listener);
    server.on_poller(move || {
        with_local(|pool: &mut Option<ConnectPool>| *pool = Some(ConnectPool::new(&addr)));
    });
    let (says, said) = channel();
    for word in ["one", "two"] {
        let (fd, _) = UnixStream::pair().expect("a socket pair");
        let asks = Asks::new(word, &says);
        let act = move |cx: &mut EvContext<'_>| the_pool().get_with(cx, asks);
        let factory = || Inside(Some(act));
        server.poller().register(fd.into(), Interest::NONE, factory).expect("it runs");
    }
    assert_eq!(
        [next(&said), next(&said)],
        ["one fail ConnectionRefused", "two fail ConnectionRefused"]
    );
    drop(says);
    assert!(said.recv().is_err(), "each is told once");
    let ended = server.stop(3 * PATIENCE);
    assert_eq!(ended.cancelled, 0);
}

#[test]
fn an_address_that_is_none_fails_later_in_the_turn() {
    let server = Server::start(1);
    let (says, said) = channel();
    let (fd, _) = UnixStream::pair().expect("a socket pair");
    let asks = Asks::new("none", &says);
    let act = move |cx: &mut EvContext<'_>| {
        ConnectPool::new("nonsense").min_idle(2).get_with(cx, asks);
        let _ = says.send("returned".into());
    };
    let factory = || Inside(Some(act));
    server.poller().register(fd.into(), Interest::NONE, factory).expect("it runs");
    assert_eq!([next(&said), next(&said)], ["returned", "none fail InvalidInput"]);
}

#[test]
fn what_is_not_fit_to_be_used_again_is_closed() {
    // Something is left to read.
    let pool = Pool::new(8);
    let (says, said) = channel();
    pool.get_with(Asks::new("one", &says));
    let mut peer = pool.accept();
    peer.write_all(b"one and more").expect("it is connected");
    assert_eq!([next(&said), next(&said)], ["one open", "one close Requested"]);
    pool.comes_to((0, 0, 0));
    let _ = peer.read(&mut [0; 3]);
    assert!(is_ended(&peer));

    // The peer's end has been read.
    pool.get_with(Asks::new("two", &says));
    drop(pool.accept());
    assert_eq!(next(&said), "two open");
    next(&said);
    pool.comes_to((0, 0, 0));

    // Not all of its output has been sent when the patience is over.
    let mut budget = Budget::default();
    budget.close_linger = Duration::from_millis(10);
    let hasty = Pool::of(Server::build(Reactor::builder().pollers(1).budget(budget)), 8);
    let floods = |cx: &mut EvContext<'_>| {
        while cx.pending_output() == 0 {
            cx.write(&[0; 64 * 1024])?;
        }
        Ok(Action::Close)
    };
    hasty.get_with(Asks { at_open: floods, ..Asks::new("flood", &says) });
    let peer = hasty.accept();
    assert_eq!([next(&said), next(&said)], ["flood open", "flood close Requested"]);
    hasty.comes_to((0, 0, 0));
    drop(peer);

    // A callback has failed, or panicked; or the last one has.
    let fails = |_: &mut EvContext<'_>| Err(io::Error::other("enough"));
    let panics = |_: &mut EvContext<'_>| -> io::Result<Action> { panic!("in on_open") };
    let closes = |_: &mut EvContext<'_>| Ok(Action::Close);
    for asks in [
        Asks { at_open: fails, ..Asks::new("three", &says) },
        Asks { at_open: panics, ..Asks::new("four", &says) },
        Asks { at_open: closes, at_close: || panic!("in on_close"), ..Asks::new("five", &says) },
    ] {
        pool.get_with(asks);
        let mut peer = pool.accept();
        let _ = peer.read(&mut [0; 8]);
        assert!(is_ended(&peer));
        pool.comes_to((0, 0, 0));
    }
    eventually("the load is given back", || {
        format!("{:?}", pool.server.poller()).contains("load: 0")
    });
}

#[test]
fn a_connection_that_is_taken_leaves_the_pool() {
    let pool = Pool::new(1);
    let (says, _said) = channel();
    let takes = |cx: &mut EvContext<'_>| {
        let stream = cx.take_stream()?;
        drop(spawn_local(async move {
            use futures::AsyncReadExt;
            let mut stream = stream;
            let _ = stream.read(&mut [0]).await;
        }));
        Ok(Action::Keep)
    };
    pool.get_with(Asks { at_open: takes, ..Asks::new("one", &says) });
    let first = pool.accept();
    pool.comes_to((0, 0, 0));
    pool.get_with(Asks::new("two", &says));
    let _second = pool.accept();
    drop(first);
}

/// Who still waits when the poller ends is told; and who waits holds up the shutdown, as a
/// connection does.
#[test]
fn the_end_of_the_poller_is_told_to_who_waits() {
    let pool = Pool::new(1);
    let (says, said) = channel();
    struct Stays(Sender<String>);
    impl EvHandler for Stays {
        fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
            Ok(Action::Keep)
        }
        fn on_shutdown(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
            Ok(Action::Keep)
        }
        fn on_close(&mut self, _: &mut EvContext<'_>, reason: CloseReason) {
            let _ = self.0.send(format!("stays {reason:?}"));
        }
    }
    pool.get_with(Stays(says.clone()));
    let _peer = pool.accept();
    pool.get_with(Asks::new("one", &says));
    pool.get_with(Asks::new("two", &says));
    pool.comes_to((0, 1, 2));
    let ended = pool.server.stop(Duration::ZERO);
    assert_eq!(ended.cancelled, 3);
    drop(says);
    assert_eq!(
        said.into_iter().collect::<Vec<_>>(),
        ["stays Shutdown", "one fail NotConnected", "two fail NotConnected"]
    );
}

/// Handlers without a pool's handle still get their connection.
#[test]
fn who_waits_is_served_without_a_handle() {
    let listener = TcpListener::bind(ANY).expect("a free port");
    let addr = listener.local_addr().expect("it is bound").to_string();
    let server = Server::start(1);
    let (says, said) = channel();
    let (fd, _) = UnixStream::pair().expect("a socket pair");
    let asks = Asks::new("one", &says);
    let act = move |cx: &mut EvContext<'_>| {
        let _: Token = cx.token();
        ConnectPool::new(&addr).get_with(cx, asks);
    };
    let factory = || Inside(Some(act));
    server.poller().register(fd.into(), Interest::NONE, factory).expect("it runs");
    let peer = patient(listener.accept().expect("it connects").0);
    answer(&peer, 3);
    assert_eq!([next(&said), next(&said)], ["one open", "one close Requested"]);
    assert!(is_ended(&peer), "there is no pool to go back to");
}

/// The last callback of all asks for a connection: it is told that there will be none.
#[test]
fn who_asks_at_the_very_end_is_told() {
    struct Last(String, Sender<String>);
    impl EvHandler for Last {
        fn on_open(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
            Ok(Action::Close)
        }
        fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
            Ok(Action::Close)
        }
        fn on_close(&mut self, cx: &mut EvContext<'_>, _: CloseReason) {
            ConnectPool::new(&self.0).get_with(cx, Asks::new("late", &self.1));
        }
    }
    let (addr, _guard) = closed_port();
    let (says, said) = channel();
    let reactor = Reactor::builder().pollers(1).build().expect("a reactor");
    // Its first turn is its last one, and the close is due after that.
    reactor.handle().shutdown(Duration::ZERO);
    let (fd, _other) = UnixStream::pair().expect("a socket pair");
    let factory = move || Last(addr, says);
    let poller = reactor.handle().pollers()[0].clone();
    poller.register(fd.into(), Interest::READABLE, factory).expect("it takes mail");
    reactor.start().expect("its thread").join().expect("no poller has failed");
    assert_eq!(said.into_iter().collect::<Vec<_>>(), ["late fail NotConnected"]);
}

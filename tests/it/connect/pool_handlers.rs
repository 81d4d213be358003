//! The pool for handlers: `get_with`.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::common::pool::{Inside, Pool, the_pool};
use crate::common::{
    ANY, PATIENCE, Server, closed_port, eventually, is_ended, panic_on_purpose, patient,
};
use corepoll::{
    Action, CloseReason, ConnectPool, Deadlines, EvContext, EvHandler, Interest, Reactor, TimerId,
    Token, Writer, spawn_local, with_local,
};

/// Sends a word, and releases the connection when it is answered with as many bytes.
struct Asks {
    word: &'static str,
    answered: usize,
    says: Sender<String>,
    at_open: fn(&mut EvContext<'_>) -> io::Result<Action>,
}

impl Asks {
    fn new(word: &'static str, says: &Sender<String>) -> Asks {
        let keep = |_: &mut EvContext<'_>| Ok(Action::Keep);
        Asks { word, answered: 0, says: says.clone(), at_open: keep }
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
        if self.answered == self.word.len() {
            cx.release()?;
        }
        Ok(if count == 0 { Action::Close } else { Action::Keep })
    }

    fn on_connect_fail(&mut self, error: io::Error) {
        self.say(&format!("fail {:?}", error.kind()));
    }

    fn on_close(&mut self, _: &mut EvContext<'_>, reason: CloseReason) {
        self.say(&format!("close {reason:?}"));
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
            stream.release();
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
            stream.release();
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
        ConnectPool::builder("nonsense").min_idle(2).build().get_with(cx, asks);
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
}

/// Runs `act` when the first byte has come, and says what is called.
struct Acts {
    act: Act,
    at_close: fn(&mut EvContext<'_>),
    says: Sender<String>,
}

impl Acts {
    fn new(act: Act, says: &Sender<String>) -> Acts {
        Acts { act, at_close: |_| (), says: says.clone() }
    }
}

impl EvHandler for Acts {
    fn on_open(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        let _ = self.says.send("open".into());
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        if cx.read_into(&mut [0; 1])? == 0 {
            return Ok(Action::Close);
        }
        (self.act)(cx)
    }
    fn on_write(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.release()?;
        Ok(Action::Keep)
    }
    fn on_timeout(&mut self, _: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        Ok(Action::Close)
    }
    fn on_close(&mut self, cx: &mut EvContext<'_>, reason: CloseReason) {
        let _ = self.says.send(format!("close {reason:?}"));
        (self.at_close)(cx);
    }
}

/// Queues more than the kernel takes.
fn flood(cx: &mut EvContext<'_>) -> io::Result<()> {
    while cx.pending_output() == 0 {
        cx.write(&[0; 64 * 1024])?;
    }
    Ok(())
}

fn released(cx: &mut EvContext<'_>) -> io::Result<Action> {
    cx.release()?;
    Ok(Action::Keep)
}

/// Releases, and keeps what that says for [`refusals`]: a panic would be lost in a connection that is
/// ending anyway.
fn try_release(cx: &mut EvContext<'_>) {
    let refused = cx.release().err().map(|error| error.kind());
    with_local(|refusals: &mut Vec<io::ErrorKind>| refusals.extend(refused));
}

/// Why releases were refused.
fn refusals(server: &Server) -> Vec<io::ErrorKind> {
    server.on_poller(|| with_local(|refusals: &mut Vec<io::ErrorKind>| std::mem::take(refusals)))
}

type Act = fn(&mut EvContext<'_>) -> io::Result<Action>;

/// Ends of a handler that has a connection, and the reasons that it is told.
const ENDS: [(&str, Act); 12] = [
    ("Requested", |_| Ok(Action::Close)),
    ("Requested", |cx| {
        cx.close(cx.token());
        Ok(Action::Keep)
    }),
    ("Requested", |cx| {
        cx.writer().close();
        Ok(Action::Keep)
    }),
    ("Requested", |cx| {
        // `on_timeout` says `Close`.
        cx.set_timer(Duration::from_millis(1));
        Ok(Action::Keep)
    }),
    ("Error", |cx| {
        let read = Some(Duration::from_millis(1));
        cx.set_deadlines(Deadlines { read, ..Deadlines::default() })?;
        Ok(Action::Keep)
    }),
    ("Error", |_| Err(io::Error::other("enough"))),
    ("Panic", |_| panic_on_purpose()),
    // Released, and then it fails: its word is not worth much.
    ("Requested", |cx| released(cx).and(Err(io::Error::other("enough")))),
    ("Requested", |cx| released(cx).map(|_| panic_on_purpose())),
    // It is released, and not fit for it.
    ("Requested", |cx| {
        socket2::SockRef::from(&cx.fd()).shutdown(std::net::Shutdown::Write)?;
        released(cx)
    }),
    ("Requested", |cx| {
        flood(cx)?;
        try_release(cx);
        Ok(Action::Close)
    }),
    ("Requested", |cx| {
        cx.close(cx.token());
        try_release(cx);
        Ok(Action::Keep)
    }),
];

/// Only a release gives a connection back; whatever else ends it closes it. Each is told once.
#[test]
fn every_other_end_closes_the_connection() {
    let pool = Pool::new(1);
    for (number, (reason, act)) in ENDS.into_iter().enumerate() {
        let (says, said) = channel();
        pool.get_with(Acts::new(act, &says));
        drop(says);
        let mut peer = pool.accept();
        peer.write_all(b"x").expect("it is connected");
        assert!(is_ended(&peer), "end {number}");
        pool.comes_to((0, 0, 0));
        let said: Vec<String> = said.into_iter().collect();
        assert_eq!(said[0], "open");
        assert!(said[1].starts_with(&format!("close {reason}")), "end {number}: {said:?}");
        assert_eq!(said.len(), 2, "end {number}: {said:?}");
    }
    let refused = [io::ErrorKind::ResourceBusy, io::ErrorKind::BrokenPipe];
    assert_eq!(refusals(&pool.server), refused);
    eventually("the load is given back", || {
        format!("{:?}", pool.server.poller()).contains("load: 0")
    });
}

#[test]
fn a_release_gives_back_from_each_callback_and_is_told_once() {
    let pool = Pool::new(1);
    let (says, said) = channel();
    pool.get_with(Asks { at_open: released, ..Asks::new("", &says) });
    let mut peer = pool.accept();
    assert_eq!([next(&said), next(&said)], [" open", " close Requested"]);
    pool.comes_to((1, 1, 0));

    // Twice is once; and in `on_close` it is too late.
    let twice = |cx: &mut EvContext<'_>| {
        cx.release()?;
        try_release(cx);
        assert!(cx.write(b"late").is_err());
        Ok(Action::Close)
    };
    let at_close = |cx: &mut EvContext<'_>| {
        try_release(cx);
        assert!(cx.peer_addr().is_ok());
    };
    pool.get_with(Acts { at_close, ..Acts::new(twice, &says) });
    peer.write_all(b"x").expect("it is connected");
    assert_eq!([next(&said), next(&said)], ["open", "close Requested"]);
    pool.comes_to((1, 1, 0));

    assert_eq!(refusals(&pool.server), [io::ErrorKind::BrokenPipe; 2]);

    // From `on_write`, when all that was queued has been sent; before that it does nothing.
    let floods = |cx: &mut EvContext<'_>| {
        flood(cx)?;
        try_release(cx);
        Ok(Action::Keep)
    };
    pool.get_with(Acts::new(floods, &says));
    peer.write_all(b"x").expect("it is connected");
    assert_eq!(next(&said), "open");
    let mut drain = peer.try_clone().expect("a descriptor");
    let drained = std::thread::spawn(move || {
        let mut count = 0;
        while let Ok(more) = drain.read(&mut [0; 64 * 1024])
            && more > 0
        {
            count += more;
        }
        count
    });
    assert_eq!(next(&said), "close Requested");
    pool.comes_to((1, 1, 0));
    assert_eq!(refusals(&pool.server), [io::ErrorKind::ResourceBusy]);
    drop((pool, peer));
    assert!(drained.join().expect("it doesn't panic") > 0);
    drop(says);
    assert_eq!(said.into_iter().count(), 0, "nothing is told twice");
}

#[test]
fn a_panic_in_the_last_callback_closes_what_was_released() {
    let pool = Pool::new(1);
    let (says, _said) = channel();
    pool.get_with(Acts { at_close: |_| panic_on_purpose(), ..Acts::new(released, &says) });
    let mut peer = pool.accept();
    peer.write_all(b"x").expect("it is connected");
    assert!(is_ended(&peer));
    pool.comes_to((0, 0, 0));
}

#[test]
fn a_connection_that_is_from_no_pool_cannot_be_released() {
    let server = Server::start(1);
    let (says, said) = channel();
    let (fd, mut other) = UnixStream::pair().expect("a socket pair");
    let tries = |cx: &mut EvContext<'_>| {
        try_release(cx);
        Ok(Action::Close)
    };
    let factory = move || Acts::new(tries, &says);
    server.poller().register(fd.into(), Interest::READABLE, factory).expect("it runs");
    other.write_all(b"x").expect("it is connected");
    assert_eq!([next(&said), next(&said)], ["open", "close Requested"]);
    assert_eq!(refusals(&server), [io::ErrorKind::InvalidInput]);
}

/// The first handler gives up in the middle of its answer; the rest of it reaches no other handler.
#[test]
fn a_handler_that_times_out_leaves_no_answer_to_the_next_one() {
    let pool = Pool::new(1);
    let (says, said) = channel();
    let waits = |cx: &mut EvContext<'_>| {
        cx.set_timer(Duration::from_millis(1));
        Ok(Action::Keep)
    };
    pool.get_with(Acts::new(waits, &says));
    let mut first = pool.accept();
    first.write_all(b"a").expect("it is connected");
    assert_eq!([next(&said), next(&said)], ["open", "close Requested"]);
    // The connection may be gone by now.
    let _ = first.write_all(b"nswer");
    pool.get_with(Asks::new("other", &says));
    let second = pool.accept();
    answer(&second, 5);
    assert_eq!([next(&said), next(&said)], ["other open", "other close Requested"]);
    pool.comes_to((1, 1, 0));
}

/// A writer belongs to its connection with its handler: nothing of it reaches the next user.
#[test]
fn a_writer_ends_with_the_release() {
    let pool = Pool::new(1);
    let (says, said) = channel();
    let keeps = |cx: &mut EvContext<'_>| {
        let writer = cx.writer();
        with_local(|kept: &mut Option<Writer>| *kept = Some(writer));
        released(cx)
    };
    pool.get_with(Asks { at_open: keeps, ..Asks::new("", &says) });
    let peer = pool.accept();
    assert_eq!([next(&said), next(&said)], [" open", " close Requested"]);
    pool.comes_to((1, 1, 0));
    let error = pool.server.on_poller(|| {
        let writer = with_local(|kept: &mut Option<Writer>| kept.take()).expect("it was kept");
        writer.close();
        writer.write("late").expect_err("it is released").kind()
    });
    assert_eq!(error, io::ErrorKind::BrokenPipe);
    pool.get_with(Asks::new("mine", &says));
    let mut heard = [0; 4];
    (&peer).read_exact(&mut heard).expect("it is connected");
    assert_eq!(&heard, b"mine");
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

/// A handler that still waits when the poller ends is told; and one that waits holds up the shutdown, as a
/// connection does.
#[test]
fn the_end_of_the_poller_is_told_to_a_handler_that_waits() {
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
    let (fd, _other) = UnixStream::pair().expect("a socket pair");
    let factory = move || Last(addr, says);
    let poller = reactor.handle().pollers()[0].clone();
    poller.register(fd.into(), Interest::READABLE, factory).expect("it takes mail");
    // Its first turn is its last one, and the close is due after that.
    reactor.handle().shutdown(Duration::ZERO);
    reactor.start().expect("its thread").join().expect("no poller has failed");
    assert_eq!(said.into_iter().collect::<Vec<_>>(), ["late fail NotConnected"]);
}

//! Peers for pools, and pools of tasks and of handlers.

use std::future::Future;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;
use std::time::Duration;

use corepoll::{Action, ConnectPool, EvContext, EvHandler, Interest, block_on, time, with_local};

use super::{ANY, PATIENCE, Server, eventually, patient, within_patience};

/// A server whose connections the test holds in its hands, in the order of their coming.
pub struct Peer {
    pub listener: TcpListener,
    pub addr: String,
}

impl Peer {
    pub fn new() -> Peer {
        Peer::at(ANY)
    }

    pub fn at(addr: &str) -> Peer {
        let listener = TcpListener::bind(addr).expect("a free port");
        let addr = listener.local_addr().expect("it is bound").to_string();
        Peer { listener, addr }
    }

    /// Blocks the thread: the connection is there, or comes without it.
    pub fn accept(&self) -> TcpStream {
        patient(self.listener.accept().expect("a connection comes").0)
    }

    /// How many connections wait to be accepted.
    pub fn waiting(&self) -> usize {
        self.listener.set_nonblocking(true).expect("it takes it");
        let mut count = 0;
        while self.listener.accept().is_ok() {
            count += 1;
        }
        self.listener.set_nonblocking(false).expect("it takes it");
        count
    }
}

/// Runs `test` on a poller that gives up after a while.
pub fn run<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    within_patience(move || {
        block_on(async { time::timeout(PATIENCE, test()).await.expect("it hangs") });
    });
}

/// Waits until `holds`, and lets the poller go on meanwhile.
pub async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        time::sleep(Duration::from_millis(1)).await;
    }
}

pub fn counts(pool: &ConnectPool) -> (usize, usize, usize) {
    (pool.idle(), pool.live(), pool.waiting())
}

/// Does something in `on_open`.
pub struct Inside<F>(pub Option<F>);

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
pub struct Pool {
    pub server: Server,
    pub listener: TcpListener,
}

pub fn the_pool() -> ConnectPool {
    with_local(|pool: &mut Option<ConnectPool>| pool.clone()).expect("it has been made")
}

impl Pool {
    pub fn new(max_live: usize) -> Pool {
        let server = Server::start(1);
        let listener = TcpListener::bind(ANY).expect("a free port");
        let addr = listener.local_addr().expect("it is bound").to_string();
        server.on_poller(move || {
            let made = ConnectPool::builder(&addr).max_live(max_live).build();
            with_local(|pool: &mut Option<ConnectPool>| *pool = Some(made));
        });
        Pool { server, listener }
    }

    pub fn accept(&self) -> TcpStream {
        patient(self.listener.accept().expect("a connection comes").0)
    }

    /// Calls `get_with` in a callback.
    pub fn get_with<H: EvHandler + Send>(&self, handler: H) {
        let (fd, _) = UnixStream::pair().expect("a socket pair");
        let (done, is_done) = channel();
        let act = move |cx: &mut EvContext<'_>| {
            the_pool().get_with(cx, handler);
            let _ = done.send(());
        };
        let factory = || Inside(Some(act));
        self.server.poller().register(fd.into(), Interest::NONE, factory).expect("it runs");
        is_done.recv_timeout(PATIENCE).expect("on_open comes");
    }

    pub fn counts(&self) -> (usize, usize, usize) {
        self.server.on_poller(|| {
            let pool = the_pool();
            (pool.idle(), pool.live(), pool.waiting())
        })
    }

    #[track_caller]
    pub fn comes_to(&self, counts: (usize, usize, usize)) {
        eventually("the counts", || self.counts() == counts);
    }
}

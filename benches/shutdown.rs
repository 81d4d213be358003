//! How long after the end of the grace does `join` return, with a thousand connections and a thousand
//! tasks that ignore the shutdown? The promise is a tenth of a second.
//!
//! `cargo bench --bench shutdown` prints the median and the worst of some rounds for each kind of load.
//! In the last line a callback blocks its thread, so `join` gives up and names the poller.

use std::cell::Cell;
use std::future::{Future, pending};
use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use corepoll::{
    Acceptor, Action, EvContext, EvHandler, PollerHandle, Reactor, ReactorHandle, spawn_local,
    yield_now,
};

const ROUNDS: usize = 15;
const POLLERS: usize = 2;
const CONNECTIONS: usize = 1000;
const TASKS: usize = 1000;
const GRACE: Duration = Duration::from_millis(50);

/// A connection that doesn't care about the shutdown.
#[derive(Default)]
struct Stays {
    /// Output that its peer doesn't read.
    output: usize,
    /// It takes its time when it is dropped.
    is_slow: bool,
}

impl EvHandler for Stays {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.write(b".")?;
        cx.write(&vec![7; self.output])?;
        cx.set_interval(Duration::from_millis(1));
        Ok(Action::Keep)
    }
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
    fn on_timeout(&mut self, _: &mut EvContext<'_>, _: corepoll::TimerId) -> io::Result<Action> {
        Ok(Action::Keep)
    }
    fn on_shutdown(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
}

impl Drop for Stays {
    fn drop(&mut self) {
        if self.is_slow {
            compute(Duration::from_micros(5));
        }
    }
}

/// Keeps the processor busy.
fn compute(span: Duration) {
    let start = Instant::now();
    while start.elapsed() < span {
        std::hint::spin_loop();
    }
}

/// Runs a closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

async fn until_dropped(f: impl FnMut()) {
    let _guard = OnDrop(f);
    pending::<()>().await;
}

async fn busy(span: Duration) {
    loop {
        compute(span);
        yield_now().await;
    }
}

/// Spawns two of its kind when it is dropped.
struct Doubles;

impl Drop for Doubles {
    fn drop(&mut self) {
        for _ in 0..2 {
            drop(spawn_local(async { drop(Doubles) }));
        }
    }
}

fn spawn_everywhere<Fut: Future<Output = ()> + 'static>(
    reactor: &ReactorHandle,
    make: impl Fn() -> Fut + Send + Clone + 'static,
) {
    for poller in reactor.pollers() {
        let make = make.clone();
        let spawn = move || (0..TASKS / POLLERS).for_each(|_| drop(spawn_local(make())));
        on_poller(poller, spawn);
    }
}

fn on_poller(poller: &PollerHandle, f: impl FnOnce() + Send + 'static) {
    let (say, said) = mpsc::channel();
    let sent = poller.run_on(move || {
        f();
        say.send(()).expect("the main thread waits");
    });
    assert!(sent.is_ok(), "the poller is there");
    said.recv().expect("it has run");
}

fn connect(server: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(server).expect("it listens");
    client.read_exact(&mut [0]).expect("it is greeted");
    client
}

/// The time from the end of the grace to `join`'s return.
fn late(
    load: impl Fn(&ReactorHandle),
    handler: impl Fn() -> Stays + Send + Sync + 'static,
) -> Duration {
    let reactor = Reactor::builder().pollers(POLLERS).build().expect("a reactor");
    let handle = reactor.handle();
    let listening = Acceptor::new("127.0.0.1:0").listen(&handle, handler).expect("a free port");
    let server = listening.local_addr().expect("it is bound");
    let running = reactor.start().expect("threads");
    let clients: Vec<TcpStream> = (0..CONNECTIONS).map(|_| connect(server)).collect();
    load(&handle);
    let deadline = Instant::now() + GRACE;
    handle.shutdown(GRACE);
    let joined = running.join();
    let late = deadline.elapsed();
    match joined {
        Ok(shutdown) => assert_eq!(shutdown.drained, 0),
        Err(error) => STUCK.with(|stuck| stuck.set(Some(error.to_string()))),
    }
    drop(clients);
    late
}

thread_local! {
    /// What `join` has said of a poller that was stuck.
    static STUCK: Cell<Option<String>> = const { Cell::new(None) };
}

fn measure(
    name: &str,
    load: impl Fn(&ReactorHandle),
    handler: impl Fn() -> Stays + Send + Sync + Clone + 'static,
) {
    let mut rounds: Vec<Duration> = (0..ROUNDS).map(|_| late(&load, handler.clone())).collect();
    rounds.sort();
    println!("{name:42} {:>10.2?} {:>10.2?}", rounds[ROUNDS / 2], rounds[ROUNDS - 1]);
    if let Some(error) = STUCK.take() {
        println!("    {error}");
    }
}

fn main() {
    println!("{:42} {:>10} {:>10}", "after the grace, join returns", "median", "worst");
    measure("tasks that wait", |it| spawn_everywhere(it, pending), Stays::default);
    measure(
        "tasks that wake themselves",
        |it| spawn_everywhere(it, || busy(Duration::ZERO)),
        Stays::default,
    );
    let millisecond = Duration::from_millis(1);
    measure(
        "tasks that compute for 1 ms a poll",
        move |it| spawn_everywhere(it, move || busy(millisecond)),
        Stays::default,
    );
    let spawns = || drop(spawn_local(async {}));
    measure(
        "destructors that spawn",
        move |it| spawn_everywhere(it, move || until_dropped(spawns)),
        Stays::default,
    );
    let doubles = || drop(Doubles);
    measure(
        "destructors that spawn their own kind",
        move |it| spawn_everywhere(it, move || until_dropped(doubles)),
        Stays::default,
    );
    let computes = || compute(Duration::from_micros(5));
    measure(
        "destructors that compute for 5 µs",
        move |it| spawn_everywhere(it, move || until_dropped(computes)),
        || Stays { is_slow: true, ..Stays::default() },
    );
    measure(
        "half a MiB queued for each connection",
        |it| spawn_everywhere(it, pending),
        || Stays { output: 512 << 10, ..Stays::default() },
    );
    measure("a poller whose thread is kept for 300 ms", keep_a_thread, Stays::default);
}

fn keep_a_thread(reactor: &ReactorHandle) {
    let sent = reactor.pollers()[1].run_on(|| std::thread::sleep(Duration::from_millis(300)));
    assert!(sent.is_ok(), "the poller is there");
}

//! A client that connects again and again, after pauses that grow, while its server comes and goes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use corepoll::{
    Acceptor, Action, CloseReason, Connector, Deadlines, EvContext, EvHandler, Listening,
    ReactorHandle, TimerId, shutdown_requested, spawn_local, time,
};
use fastrand::Rng;

use crate::life::Life;
use crate::model::model;

/// Where its server listens.
const PORT: u16 = 1320;

/// How long it may take until the client is served, whatever goes wrong.
const PATIENCE: Duration = Duration::from_secs(300);

/// After how long a client gives up a connection by which nothing comes.
const SILENCE: Duration = Duration::from_secs(5);

/// What the client has done, and what it is told.
#[derive(Debug, Default)]
struct Course {
    /// How often it was served.
    served: AtomicU32,
    /// Whether it is not to connect again.
    is_over: AtomicBool,
    /// Whether it has ended.
    has_ended: AtomicBool,
}

/// The client.
struct Client {
    /// Whether it was opened and closed.
    life: Life,
    /// The attempts that have failed since the last connection.
    failures: u32,
    /// What it has done.
    course: Arc<Course>,
}

impl Client {
    /// Connects.
    fn connect(reactor: &ReactorHandle, failures: u32, course: Arc<Course>) {
        let make =
            move || Client { life: Life::begin("a client that reconnects"), failures, course };
        let server = SocketAddr::from(([127, 0, 0, 1], PORT));
        let begun = Connector::new(reactor).connect(server, make);
        if begun.is_err() && !model().is_shut_down.get() {
            model().violated("a client can't connect again");
        }
    }

    /// Connects again, after a pause.
    fn again(&self) {
        if self.course.is_over.load(Ordering::Relaxed) || model().is_shut_down.get() {
            return self.course.has_ended.store(true, Ordering::Relaxed);
        }
        let Ok(reactor) = ReactorHandle::try_current() else {
            return model().violated("a client has no reactor where its connection has ended");
        };
        let pause = Duration::from_millis(10 << self.failures.min(7));
        let (failures, course) = (self.failures + 1, self.course.clone());
        drop(spawn_local(async move {
            if time::timeout(pause, shutdown_requested()).await.is_err() {
                Client::connect(&reactor, failures, course);
            }
        }));
    }
}

impl EvHandler for Client {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.open();
        // The end of its connection may be lost, and it sends nothing.
        cx.set_deadlines(Deadlines { read: Some(SILENCE), ..Deadlines::default() })?;
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.live();
        if cx.read()?.is_empty() {
            return Ok(self.life.close());
        }
        self.failures = 0;
        self.course.served.fetch_add(1, Ordering::Relaxed);
        Ok(Action::Keep)
    }

    fn on_connect_fail(&mut self, _error: io::Error) {
        self.again();
    }

    fn on_close(&mut self, _cx: &mut EvContext<'_>, reason: CloseReason) {
        self.life.end_by(&reason);
        self.again();
    }
}

/// Serves the client for a while.
struct Greeter {
    /// Whether it was opened and closed.
    life: Life,
    /// How long.
    time: Duration,
}

impl EvHandler for Greeter {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.open();
        cx.write(b"x")?;
        cx.set_timer(self.time);
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.live();
        cx.read()?;
        Ok(self.life.close())
    }

    fn on_timeout(&mut self, _cx: &mut EvContext<'_>, _timer: TimerId) -> io::Result<Action> {
        self.life.live();
        Ok(self.life.close())
    }

    fn on_close(&mut self, _cx: &mut EvContext<'_>, reason: CloseReason) {
        self.life.end_by(&reason);
    }
}

/// Keeps a client connected to a server that comes and goes.
pub async fn keep_connected(reactor: ReactorHandle, mut rng: Rng) {
    let course = Arc::<Course>::default();
    Client::connect(&reactor, 0, course.clone());
    for _ in 0..rng.u32(1..4) {
        time::sleep(Duration::from_micros(rng.u64(0..500_000))).await;
        let served = course.served.load(Ordering::Relaxed) + rng.u32(1..4);
        let Some(listening) = listen(&reactor, &mut rng).await else { break };
        wait("served", || course.served.load(Ordering::Relaxed) >= served).await;
        listening.close();
        let _ = listening.closed().await;
    }
    course.is_over.store(true, Ordering::Relaxed);
    wait("told of its end", || course.has_ended.load(Ordering::Relaxed)).await;
}

/// Listens, as soon as that can be done. Returns `None` in the shutdown.
async fn listen(reactor: &ReactorHandle, rng: &mut Rng) -> Option<Listening> {
    let time = Duration::from_micros(rng.u64(0..100_000));
    let greet = move || Greeter { life: Life::begin("a server that goes"), time };
    while !model().is_shut_down.get() {
        match Acceptor::new(("127.0.0.1", PORT)).listen(reactor, greet) {
            Ok(listening) => return Some(listening),
            Err(error) if model().plan.refuses(&error) => {
                time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => {
                model().violated(format_args!("a server does not come again: {error}"));
                return None;
            }
        }
    }
    None
}

/// Waits until something is true of the client.
async fn wait(what: &str, is_true: impl Fn() -> bool) {
    let (begun, mut pause) = (time::now(), Duration::from_millis(5));
    while !is_true() && !model().is_shut_down.get() {
        if time::now() - begun > PATIENCE {
            return model().violated(format_args!("a client that reconnects is not {what}"));
        }
        time::sleep(pause).await;
        pause = (pause * 5 / 4).min(Duration::from_secs(1));
    }
}

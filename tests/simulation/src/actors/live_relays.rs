//! Relays with a deadline whose source sends for a while, and is silent then. The deadline must not end a relay that
//! moves bytes in time, whatever its handlers are called for, and must end one that moves none.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use corepoll::net::{TcpListener, TcpStream};
use corepoll::{
    Acceptor, Action, CloseReason, Deadlines, EvContext, EvHandler, Interest, ReactorHandle,
    TimerId, Token, time,
};
use fastrand::Rng;
use futures::future::join;
use futures::{AsyncReadExt, AsyncWriteExt};

use super::timed::is_limit;
use crate::life::Life;
use crate::model::{model, now};
use crate::plan::ms;

/// Where sources connect to.
const FRONT: ([u8; 4], u16) = ([127, 0, 0, 1], 7001);

/// Where relays connect to.
const SINK: ([u8; 4], u16) = ([127, 0, 0, 1], 7002);

/// Which deadline a relay has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The source has to send.
    SourceRead,
    /// Bytes have to move at the source.
    SourceIdle,
    /// They have to at the sink.
    SinkIdle,
    /// The sink has to send, and never does.
    SinkRead,
}

/// When a relay has ended, and whether that was by its deadline.
type End = (Instant, bool);

/// A relay, and what is known of it.
#[derive(Debug)]
struct Scene {
    /// Which deadline it has.
    kind: Kind,
    /// The deadline.
    limit: Duration,
    /// How often its handlers are called for a timer, if they are.
    period: Option<Duration>,
    /// When its deadline has begun, and when it has ended, and whether that was by the deadline.
    life: Mutex<(Option<Instant>, Option<End>)>,
}

impl Scene {
    /// Draws a relay.
    fn draw(rng: &mut Rng) -> Scene {
        let kinds = [Kind::SourceRead, Kind::SourceIdle, Kind::SinkIdle, Kind::SinkRead];
        // What is late by a turn is not late by much of it.
        let limit = model().plan.promptness() * 10 + ms(rng.u64(1..=500));
        Scene {
            kind: kinds[rng.usize(0..kinds.len())],
            limit,
            period: rng.bool().then(|| limit.mul_f64(0.1 + rng.f64())),
            life: Mutex::default(),
        }
    }

    /// Returns the deadlines of the source's connection and of the sink's.
    fn deadlines(&self) -> [Deadlines; 2] {
        let (none, limit) = (Deadlines::default(), Some(self.limit));
        match self.kind {
            Kind::SourceRead => [Deadlines { read: limit, ..none }, none],
            Kind::SourceIdle => [Deadlines { idle: limit, ..none }, none],
            Kind::SinkIdle => [none, Deadlines { idle: limit, ..none }],
            Kind::SinkRead => [none, Deadlines { read: limit, ..none }],
        }
    }

    /// The deadline begins.
    fn begin(&self) {
        self.life.lock().unwrap().0 = Some(now());
    }

    /// The relay ends, by `error` if by one. The first of its connections counts.
    fn end(&self, error: Option<&io::Error>) {
        self.life.lock().unwrap().1.get_or_insert((now(), error.is_some_and(is_limit)));
    }

    /// Checks when the relay has ended, whose source has sent its last bytes at `last`.
    fn judge(&self, last: Option<Instant>) {
        let model = model();
        let (Some(begun), Some((end, true))) = *self.life.lock().unwrap() else {
            if !model.plan.resets {
                model.violated(format_args!("a relay does not end by its deadline: {self:?}"));
            }
            return;
        };
        let last = last.filter(|last| *last > begun && self.kind != Kind::SinkRead);
        let what = format!("the deadline {:?} of a relay that moves bytes", self.kind);
        let due = last.unwrap_or(begun) + self.limit;
        // What moves counts from the time of the relay's turn, which may have begun before the source's.
        let by_turn = due.saturating_duration_since(end) <= model.plan.promptness();
        model.check_due(&what, if by_turn { due.min(end) } else { due }, end);
    }
}

/// Relays, by handlers or by tasks.
///
/// # Errors
///
/// Returns what the listeners and the connections return.
pub async fn play(handle: &ReactorHandle, rng: &mut Rng) -> io::Result<()> {
    let scene = Arc::new(Scene::draw(rng));
    let listener = TcpListener::bind(SocketAddr::from(SINK)).await?;
    let (relayed, acceptor) = (scene.clone(), Acceptor::new(SocketAddr::from(FRONT)));
    let _listening = if rng.bool() {
        acceptor.listen(handle, move || Side::front(&relayed))?
    } else {
        acceptor.serve(handle, move |stream, _| relay(stream, relayed.clone()))?
    };
    let (last, end) = join(send(&scene, rng.fork()), drain(&listener)).await;
    end?;
    scene.judge(last?);
    Ok(())
}

/// Is the source. Returns when it has sent its last bytes.
async fn send(scene: &Scene, mut rng: Rng) -> io::Result<Option<Instant>> {
    let mut stream = TcpStream::connect(SocketAddr::from(FRONT)).await?;
    let bytes = vec![0; rng.usize(1..=20_000)];
    let mut last = None;
    for _ in 0..rng.u32(0..6) {
        if stream.write_all(&bytes).await.is_err() {
            break;
        }
        last = Some(now());
        time::sleep(scene.limit.mul_f64(0.8 * rng.f64())).await;
    }
    while matches!(stream.read(&mut [0; 16]).await, Ok(1..)) {}
    Ok(last)
}

/// Is the sink.
async fn drain(listener: &TcpListener) -> io::Result<()> {
    let (mut stream, _) = listener.accept().await?;
    let mut buffer = vec![0; 4096];
    while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
    Ok(())
}

/// Relays by a task.
async fn relay(stream: TcpStream, scene: Arc<Scene>) {
    let Ok(back) = TcpStream::connect(SocketAddr::from(SINK)).await else { return };
    let [near, far] = scene.deadlines();
    stream.set_deadlines(near);
    back.set_deadlines(far);
    scene.begin();
    let result = corepoll::io::relay(stream, back).await;
    scene.end(result.err().as_ref());
}

/// One of the two connections of handlers.
#[derive(Debug)]
struct Side {
    /// Whether it was opened and closed.
    life: Life,
    /// The relay.
    scene: Arc<Scene>,
    /// The other connection, if that was there before.
    front: Option<Token>,
}

impl Side {
    /// Makes the side of the source.
    fn front(scene: &Arc<Scene>) -> Side {
        Side {
            life: Life::begin("the front of a relay that lives"),
            scene: scene.clone(),
            front: None,
        }
    }
}

impl EvHandler for Side {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.open();
        let [near, far] = self.scene.deadlines();
        cx.set_deadlines(if self.front.is_none() { near } else { far })?;
        if let Some(period) = self.scene.period {
            cx.set_interval(period);
        }
        // An idle deadline of the source runs from now on, and a read deadline while the relay waits.
        if self.front.is_none() == (self.scene.kind == Kind::SourceIdle) {
            self.scene.begin();
        }
        if let Some(front) = self.front {
            cx.relay(front)?;
            return Ok(Action::Keep);
        }
        cx.set_interest(Interest::NONE)?;
        let life = Life::begin("the back of a relay that lives");
        let back = Side { life, scene: self.scene.clone(), front: Some(cx.token()) };
        cx.connect(SocketAddr::from(SINK).to_string(), back)?;
        Ok(Action::Keep)
    }

    fn on_read(&mut self, _cx: &mut EvContext<'_>) -> io::Result<Action> {
        model().violated("a relay with a deadline was told of bytes");
        Ok(Action::Keep)
    }

    fn on_timeout(&mut self, _cx: &mut EvContext<'_>, _timer: TimerId) -> io::Result<Action> {
        self.life.live();
        Ok(Action::Keep)
    }

    fn on_close(&mut self, _cx: &mut EvContext<'_>, reason: CloseReason) {
        self.life.end();
        self.scene.end(match &reason {
            CloseReason::Error(error) => Some(error),
            _ => None,
        });
    }
}

//! Relays that are cut in mid-stream. What a relay has taken from its source goes to its sink, whatever cuts it: a close
//! of either connection, a shutdown, or the failure or a deadline of the source. Those of handlers relay between Unix
//! sockets, where nothing is on its way between a socket and the other one; those of tasks between TCP ones.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use corepoll::io::relay;
use corepoll::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use corepoll::{
    Acceptor, Action, CloseReason, Deadlines, EvContext, EvHandler, Interest, ReactorHandle,
    TimerId, Token, time,
};
use fastrand::Rng;
use futures::future::{join, join3, poll_immediate};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::timed::is_limit;
use crate::bytes;
use crate::life::Life;
use crate::model::model;
use crate::plan::{ms, one_in};

/// The number of the stream: that of no connection.
const STREAM: u32 = u32::MAX;

/// Where the sources of relays by tasks connect to.
const FRONT: ([u8; 4], u16) = ([127, 0, 0, 1], 7003);

/// Where relays by tasks connect to.
const SINK: ([u8; 4], u16) = ([127, 0, 0, 1], 7004);

/// How long the sink may wait before it reads: much shorter than what is left has to go out.
const LONGEST_WAIT: u64 = 500;

/// What ends a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// The connection of the source asks for its close.
    Front,
    /// That of the sink does.
    Back,
    /// A callback of the one closes the other.
    Other,
    /// A handler that is told of a shutdown closes.
    Shutdown,
    /// The source closes with input left.
    Failure,
    /// The source misses its deadline for input.
    Silence,
    /// The source misses that for bytes that move, as the sink takes none for a while.
    Standstill,
    /// Both sides end.
    Ends,
}

impl Cut {
    /// All of them.
    const ALL: [Cut; 8] = [
        Cut::Front,
        Cut::Back,
        Cut::Other,
        Cut::Shutdown,
        Cut::Failure,
        Cut::Silence,
        Cut::Standstill,
        Cut::Ends,
    ];

    /// Returns `true` if a callback cuts it, with bytes of the source left unread.
    fn is_sudden(self) -> bool {
        matches!(self, Cut::Front | Cut::Back | Cut::Other | Cut::Shutdown)
    }
}

/// A relay, and what is known of it.
#[derive(Debug)]
struct Scene {
    /// What ends it.
    cut: Cut,
    /// When a callback cuts it, after its begin.
    after: Duration,
    /// The number of bytes that are queued for the sink before it begins.
    head: usize,
    /// The number of bytes that the source sends.
    length: usize,
    /// How long the source may be silent.
    limit: Duration,
    /// Whether a task relays.
    by_task: bool,
    /// Whether it has begun.
    has_begun: AtomicBool,
    /// Whether a callback has cut it.
    is_cut: AtomicBool,
    /// How many bytes it had taken from the source then, or more.
    taken: AtomicU64,
}

impl Scene {
    /// Draws a relay.
    fn draw(rng: &mut Rng) -> Scene {
        let most = if rng.bool() { 600_000 } else { 20_000 };
        let (cut, after) = (Cut::ALL[rng.usize(0..Cut::ALL.len())], rng.u64(1000..=30_000));
        let head = if rng.bool() { rng.usize(0..=most) } else { 0 };
        let length = rng.usize(1..=most);
        // What a callback cuts has one, and of what TCP has taken some is lost with a failure.
        let is_for_tasks = matches!(cut, Cut::Silence | Cut::Ends) && !model().plan.resets;
        // A source that doesn't stand still for as long as a turn.
        let least = if cut == Cut::Standstill { model().plan.promptness() * 10 } else { ms(20) };
        Scene {
            cut,
            after: Duration::from_micros(after),
            head,
            // Some relays have nothing to wait for but what was queued before them.
            length: if head % 4 == 1 { 0 } else { length },
            limit: least + ms(rng.u64(0..=180)),
            by_task: is_for_tasks && rng.bool(),
            has_begun: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
            taken: AtomicU64::new(0),
        }
    }

    /// A callback cuts the relay now.
    fn cut_now(&self, cx: &EvContext<'_>) {
        // As of the last turn: what this one has taken is not counted.
        self.taken.store(cx.reactor().stats()[0].bytes_in, Ordering::Relaxed);
        self.is_cut.store(true, Ordering::Relaxed);
    }

    /// Checks the reason for which a connection ends.
    fn check_reason(&self, who: &str, reason: &CloseReason) {
        let is_right = match (self.cut, reason) {
            (Cut::Failure, CloseReason::Error(_)) => true,
            (Cut::Silence | Cut::Standstill, CloseReason::Error(error)) => is_limit(error),
            (Cut::Ends, CloseReason::PeerClosed) => true,
            (cut, CloseReason::Requested) => cut.is_sudden(),
            _ => !self.has_begun.load(Ordering::Relaxed),
        };
        if !is_right {
            model().violated(format_args!("{who} of a relay cut by {:?} ends: {reason}", self.cut));
        }
    }

    /// Checks how many bytes have come to the sink of those that the source has sent.
    fn judge(&self, sent: usize, got: usize) {
        let taken = self.taken.load(Ordering::Relaxed) as usize;
        let least = self.head + if self.cut.is_sudden() { taken } else { sent };
        let has_begun = self.has_begun.load(Ordering::Relaxed);
        if has_begun && !(least..=self.head + sent).contains(&got) {
            let cut = self.cut;
            let all = self.head + sent;
            model().violated(format_args!(
                "a relay cut by {cut:?} has passed {got} bytes on, of {least} or more and {all}"
            ));
        }
    }
}

/// Cuts a relay.
///
/// # Errors
///
/// Returns what the listeners and the connections return.
pub async fn play(handle: &ReactorHandle, rng: &mut Rng) -> io::Result<()> {
    let scene = Arc::new(Scene::draw(rng));
    if scene.by_task {
        return play_by_task(handle, scene, rng).await;
    }
    let listener = UnixListener::bind("\0sink")?;
    let relayed = scene.clone();
    let front = move || Front {
        life: Life::begin("a front that is cut"),
        scene: relayed.clone(),
        back: None,
    };
    let _listening = Acceptor::new("unix:@front").listen(handle, front)?;
    let shutdown = async {
        if scene.cut == Cut::Shutdown {
            time::sleep(scene.after).await;
            handle.shutdown(Duration::from_secs(10));
        }
    };
    let rngs = (rng.fork(), rng.fork());
    let source = async { send(&scene, UnixStream::connect("\0front").await?, rngs.0).await };
    let sink = async { receive(&scene, listener.accept().await?.0, rngs.1).await };
    let (sent, got, ()) = join3(source, sink, shutdown).await;
    scene.judge(sent?, got?);
    Ok(())
}

/// Does the work of [`play`] for a relay by a task.
async fn play_by_task(handle: &ReactorHandle, scene: Arc<Scene>, rng: &mut Rng) -> io::Result<()> {
    let listener = TcpListener::bind(SocketAddr::from(SINK)).await?;
    let relayed = scene.clone();
    let front = Acceptor::new(SocketAddr::from(FRONT));
    let _listening =
        front.serve(handle, move |stream, _| relay_by_task(stream, relayed.clone()))?;
    let (to_front, rngs) = (TcpStream::connect(SocketAddr::from(FRONT)), (rng.fork(), rng.fork()));
    let source = async { send(&scene, to_front.await?, rngs.0).await };
    let sink = async { receive(&scene, listener.accept().await?.0, rngs.1).await };
    let (sent, got) = join(source, sink).await;
    scene.judge(sent?, got?);
    Ok(())
}

/// Relays a connection of the source to the sink.
async fn relay_by_task(front: TcpStream, scene: Arc<Scene>) {
    let Ok(mut back) = TcpStream::connect(SocketAddr::from(SINK)).await else { return };
    let mut head = vec![0; scene.head];
    bytes::fill(STREAM, 0, &mut head);
    if back.write_all(&head).await.is_err() {
        return;
    }
    if scene.cut == Cut::Silence {
        front.set_deadlines(Deadlines { read: Some(scene.limit), ..Deadlines::default() });
    }
    scene.has_begun.store(true, Ordering::Relaxed);
    let reason =
        relay(front, back).await.map_or_else(CloseReason::Error, |_| CloseReason::PeerClosed);
    scene.check_reason("a task", &reason);
}

/// Is the source. Returns how many bytes it has sent.
async fn send(
    scene: &Scene,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    mut rng: Rng,
) -> io::Result<usize> {
    let mut buffer = vec![0; rng.usize(1000..=100_000)];
    let mut sent = 0;
    while sent < scene.length {
        let count = buffer.len().min(scene.length - sent);
        bytes::fill(STREAM, scene.head + sent, &mut buffer[..count]);
        let write = stream.write(&buffer[..count]);
        // A relay that is cut takes no more, and one that stands still has been sent all that it is.
        let Some(Ok(count)) = (match scene.cut {
            Cut::Standstill => poll_immediate(write).await,
            _ => Some(write.await),
        }) else {
            break;
        };
        sent += count;
        if scene.cut != Cut::Standstill && one_in(&mut rng, 4) {
            time::sleep(Duration::from_micros(rng.u64(0..2000))).await;
        }
    }
    match scene.cut {
        Cut::Failure => {
            // What the sink has sent has come, and is left.
            time::sleep(ms(5)).await;
            return Ok(sent);
        }
        Cut::Ends => stream.close().await?,
        _ => {}
    }
    while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
    Ok(sent)
}

/// Is the sink. Returns how many bytes have come to it.
async fn receive(
    scene: &Scene,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    mut rng: Rng,
) -> io::Result<usize> {
    if scene.cut == Cut::Failure {
        stream.write_all(b"left").await?;
    }
    if scene.cut.is_sudden() && rng.bool() {
        // Of what is on its way, the kernel holds a part, and the relay another one.
        while !scene.is_cut.load(Ordering::Relaxed) {
            time::sleep(ms(1)).await;
        }
        time::sleep(ms(rng.u64(0..LONGEST_WAIT))).await;
    }
    if scene.cut == Cut::Standstill {
        time::sleep(ms(rng.u64(0..LONGEST_WAIT))).await;
    }
    let mut buffer = vec![0; rng.usize(4000..=64_000)];
    let mut got = 0;
    loop {
        let count = match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return Ok(got),
            Ok(count) => count,
        };
        if let Some(at) = bytes::first_wrong(STREAM, got, &buffer[..count]) {
            model()
                .violated(format_args!("a relay that is cut brings a wrong byte at {}", got + at));
        }
        got += count;
        time::sleep(Duration::from_micros(rng.u64(0..4000))).await;
    }
}

/// The connection of the source.
#[derive(Debug)]
struct Front {
    /// Whether it was opened and closed.
    life: Life,
    /// The relay.
    scene: Arc<Scene>,
    /// The other connection.
    back: Option<Token>,
}

impl EvHandler for Front {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.open();
        cx.set_interest(Interest::NONE)?;
        let (none, limit) = (Deadlines::default(), Some(self.scene.limit));
        match self.scene.cut {
            Cut::Silence => cx.set_deadlines(Deadlines { read: limit, ..none })?,
            Cut::Standstill => cx.set_deadlines(Deadlines { idle: limit, ..none })?,
            _ => {}
        }
        if matches!(self.scene.cut, Cut::Front | Cut::Other) {
            cx.set_timer(self.scene.after);
        }
        let (life, scene) = (Life::begin("a back that is cut"), self.scene.clone());
        self.back = Some(cx.connect("unix:@sink", Back { life, scene, front: cx.token() })?);
        Ok(Action::Keep)
    }

    fn on_read(&mut self, _cx: &mut EvContext<'_>) -> io::Result<Action> {
        model().violated("the front of a relay was told of bytes");
        Ok(Action::Keep)
    }

    fn on_timeout(&mut self, cx: &mut EvContext<'_>, _timer: TimerId) -> io::Result<Action> {
        self.life.live();
        self.scene.cut_now(cx);
        if let Some(back) = self.back.filter(|_| self.scene.cut == Cut::Other) {
            cx.close(back);
            return Ok(Action::Keep);
        }
        Ok(self.life.close())
    }

    fn on_shutdown(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.live();
        self.scene.cut_now(cx);
        Ok(self.life.close())
    }

    fn on_close(&mut self, _cx: &mut EvContext<'_>, reason: CloseReason) {
        self.life.end();
        self.scene.check_reason("the front", &reason);
    }
}

/// The connection of the sink.
#[derive(Debug)]
struct Back {
    /// Whether it was opened and closed.
    life: Life,
    /// The relay.
    scene: Arc<Scene>,
    /// The other connection.
    front: Token,
}

impl EvHandler for Back {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.open();
        let mut head = vec![0; self.scene.head];
        bytes::fill(STREAM, 0, &mut head);
        cx.write(&head)?;
        cx.relay(self.front)?;
        self.scene.has_begun.store(true, Ordering::Relaxed);
        if self.scene.cut == Cut::Back {
            cx.set_timer(self.scene.after);
        }
        Ok(Action::Keep)
    }

    fn on_read(&mut self, _cx: &mut EvContext<'_>) -> io::Result<Action> {
        model().violated("the back of a relay was told of bytes");
        Ok(Action::Keep)
    }

    fn on_timeout(&mut self, cx: &mut EvContext<'_>, _timer: TimerId) -> io::Result<Action> {
        self.life.live();
        self.scene.cut_now(cx);
        Ok(self.life.close())
    }

    fn on_shutdown(&mut self, _cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.live();
        Ok(Action::Keep)
    }

    fn on_close(&mut self, _cx: &mut EvContext<'_>, reason: CloseReason) {
        self.life.end();
        self.scene.check_reason("the back", &reason);
    }
}

//! Output that is still queued when a reactor is shut down, of handlers that close and of ones whose stream
//! nothing holds. It has a reactor of its own, on which nothing else keeps the grace going.

use std::io;
use std::time::{Duration, Instant};

use corepoll::net::TcpStream;
use corepoll::{
    Acceptor, Action, Budget, CloseReason, EvContext, EvHandler, Reactor, shutdown_requested,
    spawn_blocking, spawn_local, time,
};
use fastrand::Rng;
use futures::AsyncReadExt;

use crate::bytes;
use crate::life::Life;
use crate::model::{model, now};
use crate::plan::ms;
use crate::server::persist;

/// Where the handlers listen.
const ADDRESS: &str = "127.0.0.1:1301";

/// More than the kernel takes for a peer that does not read, in bytes.
const LEAST: usize = 300_000;

/// The stream whose bytes they send.
const STREAM: u32 = 1 << 30;

/// What a handler does with its queued output.
#[derive(Debug, Clone, Copy)]
enum Leaving {
    /// It closes at the shutdown.
    Closes,
    /// It leaves it to a stream that is dropped at once.
    DropsAtOnce,
    /// It does so at the shutdown.
    DropsAtShutdown,
    /// It leaves it to a task that waits for the shutdown, and drops it then.
    LeavesToTask,
}

/// What is drawn of a shutdown with queued output.
#[derive(Debug, Clone)]
struct Scene {
    /// What the handlers do with it.
    leaving: Leaving,
    /// How much each of them has written, in bytes.
    length: usize,
    /// How long the output of a connection that has ended may take.
    linger: Duration,
    /// The grace of the shutdown.
    grace: Duration,
}

/// What a peer has got.
#[derive(Debug)]
struct Received {
    /// When it began to connect.
    begun: Instant,
    /// The number of bytes.
    bytes: usize,
    /// When it had all, or the connection ended.
    at: Instant,
}

/// Shuts a reactor down whose connections have output queued.
///
/// # Errors
///
/// Returns what the reactor returns.
pub async fn see_output_end(rng: &mut Rng) -> io::Result<()> {
    let scene = Scene::draw(rng);
    let mut budget = Budget::default();
    budget.close_linger = scene.linger;
    let reactor = Reactor::builder().pollers(1).budget(budget).build()?;
    let handle = reactor.handle();
    let (leaving, length) = (scene.leaving, scene.length);
    let new = move || Leaver { life: Life::begin("a handler that leaves output"), leaving, length };
    let _listening = persist(|| Acceptor::new(ADDRESS).listen(&handle, new))?;
    let running = reactor.start()?;
    let mut peers = Vec::new();
    for _ in 0..rng.usize(1..=3) {
        peers.extend(connect().await);
    }
    let asked = now();
    handle.shutdown(scene.grace);
    let reads = peers.into_iter().map(|peer| {
        let pace = (1 + scene.length / 40, scene.grace.mul_f64(rng.f64() / 20.0));
        spawn_local(peer.receive(scene.length, pace))
    });
    let reads: Vec<_> = reads.collect();
    let joined = spawn_blocking(move || running.join()).await;
    let passed = now() - asked;
    let late = passed.saturating_sub(scene.grace);
    model().check_prompt("a shutdown with queued output", late);
    let mut all = Vec::new();
    for read in reads {
        all.extend(read.await);
    }
    scene.judge(&all, asked, passed);
    joined.map_err(io::Error::other)?.map(drop)
}

impl Scene {
    /// Draws one.
    fn draw(rng: &mut Rng) -> Scene {
        let leaving = match rng.u32(0..4) {
            0 => Leaving::Closes,
            1 => Leaving::DropsAtOnce,
            2 => Leaving::DropsAtShutdown,
            _ => Leaving::LeavesToTask,
        };
        let (length, linger) = (rng.usize(LEAST..=2 * LEAST), ms(rng.u64(1..=5000)));
        Scene { leaving, length, linger, grace: ms(rng.u64(0..=2000)) }
    }

    /// Judges what peers have got of a shutdown that was asked for at `asked`, and has taken `passed`.
    fn judge(&self, all: &[Received], asked: Instant, passed: Duration) {
        let model = model();
        let plan = &model.plan;
        let may_break = plan.resets || plan.lacks_descriptors || plan.lacks_watches;
        if may_break || plan.timing.pause.is_some() {
            return;
        }
        let is_whole = |received: &Received| received.bytes == self.length;
        if all.iter().all(is_whole) {
            let last = all.iter().map(|received| received.at.max(asked)).max().unwrap_or(asked);
            let rest = passed.saturating_sub(last - asked);
            model.check_prompt("a shutdown after its last output", rest);
        }
        if passed + plan.promptness() >= self.grace {
            return;
        }
        for received in all.iter().filter(|received| !is_whole(received)) {
            let left = match self.leaving {
                Leaving::DropsAtOnce => received.begun,
                _ => asked,
            };
            if received.at < left + self.linger {
                let (bytes, length) = (received.bytes, self.length);
                model.violated(format_args!(
                    "a shutdown of {passed:?} in {self:?} has cut output at {bytes} of {length}"
                ));
            }
        }
    }
}

/// A peer that has read one byte.
struct Peer {
    /// When it began to connect.
    begun: Instant,
    /// Its connection.
    stream: TcpStream,
}

/// Connects, unless something goes wrong, and reads one byte.
async fn connect() -> Option<Peer> {
    let begun = now();
    let mut stream = TcpStream::connect(ADDRESS).await.ok()?;
    let mut first = [0];
    stream.read_exact(&mut first).await.ok()?;
    check(&first, 0);
    Some(Peer { begun, stream })
}

/// Checks bytes that have come behind others.
fn check(bytes: &[u8], position: usize) {
    if let Some(at) = bytes::first_wrong(STREAM, position, bytes) {
        model().violated(format_args!("output of a shutdown is wrong at {}", position + at));
    }
}

impl Peer {
    /// Reads the rest, up to `pace.0` bytes at once, with a pause of `pace.1` behind each.
    async fn receive(mut self, length: usize, pace: (usize, Duration)) -> Received {
        let (mut position, mut buffer) = (1, vec![0; pace.0]);
        let mut at = now();
        while let Ok(count @ 1..) = self.stream.read(&mut buffer).await {
            check(&buffer[..count], position);
            position += count;
            at = now();
            time::sleep(pace.1).await;
        }
        if position < length {
            at = now();
        }
        Received { begun: self.begun, bytes: position, at }
    }
}

/// A handler that writes much, and leaves.
#[derive(Debug)]
struct Leaver {
    /// Whether it was opened and closed.
    life: Life,
    /// What it does with its output.
    leaving: Leaving,
    /// How much it writes, in bytes.
    length: usize,
}

impl Leaver {
    /// Leaves the output to a stream, which `keeps` does something with.
    fn leave(
        &self,
        cx: &mut EvContext<'_>,
        keeps: impl FnOnce(&mut EvContext<'_>, TcpStream),
    ) -> io::Result<Action> {
        // There may be no descriptor for it.
        let Ok(stream) = cx.take_stream() else { return Ok(self.life.close()) };
        self.life.end();
        keeps(cx, stream);
        Ok(Action::Keep)
    }
}

impl EvHandler for Leaver {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.open();
        let mut bytes = vec![0; self.length];
        bytes::fill(STREAM, 0, &mut bytes);
        cx.write(&bytes)?;
        match self.leaving {
            Leaving::Closes | Leaving::DropsAtShutdown => Ok(Action::Keep),
            Leaving::DropsAtOnce => self.leave(cx, |_, stream| drop(stream)),
            Leaving::LeavesToTask => self.leave(cx, |cx, stream| {
                drop(cx.spawn_local(async move {
                    shutdown_requested().await;
                    drop(stream);
                }));
            }),
        }
    }

    fn on_read(&mut self, _cx: &mut EvContext<'_>) -> io::Result<Action> {
        // Its peer sends nothing, and ends when it has got everything.
        self.life.live();
        Ok(Action::Keep)
    }

    fn on_shutdown(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.shut_down();
        match self.leaving {
            Leaving::DropsAtShutdown => self.leave(cx, |_, stream| drop(stream)),
            _ => Ok(self.life.close()),
        }
    }

    fn on_close(&mut self, _cx: &mut EvContext<'_>, reason: CloseReason) {
        self.life.end_by(&reason);
    }
}

//! The end of a grace: calls that take long lie ready when it comes. The one that is under way then is
//! the last. It has a reactor of its own, as it holds its poller up.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use corepoll::net::TcpStream;
use corepoll::{
    Acceptor, Action, CloseReason, EvContext, EvHandler, Interest, PollerHandle, Reactor,
    ReactorHandle, TimerId, sim, spawn_local, time, yield_now,
};
use fastrand::Rng;
use futures::AsyncReadExt;
use futures::channel::oneshot;

use crate::life::Life;
use crate::model::{model, now};
use crate::plan::ms;
use crate::server::persist;

/// Where the handlers of such calls listen.
const ADDRESS: &str = "127.0.0.1:1300";

/// How long before the end of the grace the calls can begin, at most. Each takes longer.
const MOST_AHEAD: u64 = 10;

/// More than a poller needs from its look at the clock to the call that it makes then.
const LATE: Duration = Duration::from_millis(1);

/// The end of the grace, and the calls that are ready before it.
#[derive(Debug, Clone, Copy)]
struct GraceEnd {
    /// When it is.
    at: Instant,
    /// How long each call computes.
    computes: Duration,
}

impl GraceEnd {
    /// A call begins, and computes. None begins when the grace is over.
    fn call(self, what: &str) {
        let late = now().saturating_duration_since(self.at);
        if late > LATE {
            model().violated(format_args!("{what} has begun {late:?} after the grace"));
        }
        sim::compute(self.computes);
    }
}

/// Shuts a reactor down that has much to do when its grace ends.
///
/// # Errors
///
/// Returns what the reactor returns.
pub async fn see_grace_end(rng: &mut Rng) -> io::Result<()> {
    let mut budget = model().plan.timing.budget.clone();
    if rng.bool() {
        // Handlers that go on reading do so at the end of the turn.
        budget.read_per_event = 1;
    }
    let reactor = Reactor::builder().pollers(1).budget(budget).build()?;
    let handle = reactor.handle();
    let poller = &handle.pollers()[0];
    let end = Arc::<OnceLock<GraceEnd>>::default();
    let _listening = persist(|| {
        let end = end.clone();
        Acceptor::new(ADDRESS).listen(&handle, move || Last::begin(end.clone()))
    })?;
    let running = reactor.start()?;
    let peers = connect(rng.usize(0..=4)).await;
    let (begun, grace) = (now(), ms(rng.u64(2 * MOST_AHEAD..=200)));
    let computes = ms(rng.u64(2 * MOST_AHEAD..=50));
    let grace_end = GraceEnd { at: begun + grace, computes };
    let _ = end.set(grace_end);
    let ready_at = grace_end.at - ms(rng.u64(1..=MOST_AHEAD));
    let is_by_task = hold(&handle, grace_end, ready_at, rng).await;
    if rng.bool() {
        // What comes now is seen when the poller goes on.
        time::sleep(ms(1)).await;
    }
    bring(poller, &peers, grace_end, is_by_task, rng);
    running.join()?;
    let passed = (now() - begun).saturating_sub(grace + computes);
    model().check_prompt("a shutdown after its last call", passed);
    Ok(())
}

/// Requests the shutdown, and holds the poller up until `ready_at`, in one order or the other. Returns
/// `true` if a task of the poller requests it then.
async fn hold(handle: &ReactorHandle, end: GraceEnd, ready_at: Instant, rng: &mut Rng) -> bool {
    let poller = handle.pollers()[0].clone();
    let grace_left = move || end.at.saturating_duration_since(now());
    let tasks = rng.u32(0..3);
    let computes = move || {
        sim::compute(ready_at.saturating_duration_since(now()));
        // They are runnable when the next mail is opened.
        (0..tasks).for_each(|_| drop(spawn_local(async move { end.call("a task") })));
    };
    let kind = rng.u32(0..4);
    match kind {
        // A task of the poller requests it. Behind many short polls its mail comes between two of a grant.
        0 => {
            let (handle, polls) = (handle.clone(), rng.usize(0..200));
            let (holds, is_held) = oneshot::channel();
            drop(poller.spawn_on(move || async move {
                for _ in 0..polls {
                    yield_now().await;
                }
                let _ = holds.send(());
                computes();
                handle.shutdown(grace_left());
            }));
            let _ = is_held.await;
        }
        // The poller knows of it when it is held up. In its turns is mail, as is behind any other shutdown.
        1 => {
            handle.shutdown(grace_left());
            let _ = poller.run_on(|| sim::compute(ms(1)));
            let _ = poller.run_on(|| ());
            let _ = poller.run_on(computes);
        }
        // The request waits behind what holds the poller up, which ends the mail of its turn.
        _ => {
            if kind == 2 {
                // There was one before it, with a longer grace, which has begun.
                handle.shutdown(grace_left() + ms(1000));
                time::sleep(ms(2)).await;
            }
            let _ = poller.run_on(computes);
            // A run of tasks opens some of the mail, and the poller looks at the events before the rest.
            for _ in 0..rng.u32(0..20) {
                let _ = poller.run_on(|| ());
            }
            let _ = poller.run_on(|| sim::compute(ms(1)));
            handle.shutdown(grace_left());
        }
    }
    kind == 0
}

/// Connects a few times, and waits each time until the handler is open.
async fn connect(count: usize) -> Vec<TcpStream> {
    let mut peers = Vec::new();
    for _ in 0..count {
        // Whatever goes wrong, the others do.
        let Ok(mut peer) = TcpStream::connect(ADDRESS).await else { continue };
        if peer.read_exact(&mut [0]).await.is_ok() {
            peers.push(peer);
        }
    }
    peers
}

/// Brings a poller calls of all kinds.
fn bring(
    poller: &PollerHandle,
    peers: &[TcpStream],
    end: GraceEnd,
    is_by_task: bool,
    rng: &mut Rng,
) {
    for peer in peers {
        if rng.bool() {
            // A connection may have ended.
            let _ = peer.try_write(b"!");
        }
    }
    for _ in 0..rng.u32(0..3) {
        drop(poller.spawn_on(move || async move { end.call("a task") }));
    }
    // What is sent before the request is done before it.
    for _ in 0..if is_by_task { 0 } else { rng.u32(0..3) } {
        // It may have ended, where it had nothing else to do.
        let _ = poller.run_on(move || end.call("a closure"));
    }
}

/// A handler whose calls come with the end of the grace.
#[derive(Debug)]
struct Last {
    /// Whether it was opened and closed.
    life: Life,
    /// The end of the grace, once that is known.
    end: Arc<OnceLock<GraceEnd>>,
    /// Whether it uses the budget of its next event up, and is called at the end of the turn.
    reads_on: bool,
}

impl Last {
    /// Makes the handler of a new connection.
    fn begin(end: Arc<OnceLock<GraceEnd>>) -> Last {
        Last { life: Life::begin("a handler of a last call"), end, reads_on: false }
    }

    /// A callback is called.
    fn call(&self, what: &str) {
        self.life.live();
        if let Some(end) = self.end.get() {
            end.call(what);
        }
    }
}

impl EvHandler for Last {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.open();
        cx.write(b"!")?;
        if cx.peer_addr().is_ok_and(|peer| peer.port() % 4 < 2) {
            self.reads_on = true;
            cx.set_interest(Interest::READABLE.edge())?;
        }
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        if std::mem::take(&mut self.reads_on) {
            self.life.live();
            let is_over = cx.read()?.is_empty();
            if !is_over && cx.read().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                return Ok(Action::Keep);
            }
        }
        self.call("a callback");
        Ok(if cx.read()?.is_empty() { self.life.close() } else { Action::Keep })
    }

    fn on_timeout(&mut self, _cx: &mut EvContext<'_>, _timer: TimerId) -> io::Result<Action> {
        self.call("the timer of a handler");
        Ok(Action::Keep)
    }

    fn on_shutdown(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.shut_down();
        if cx.peer_addr().is_ok_and(|peer| peer.port() % 2 == 0) {
            cx.set_timer(Duration::ZERO);
        }
        Ok(Action::Keep)
    }

    fn on_close(&mut self, _cx: &mut EvContext<'_>, reason: CloseReason) {
        self.life.end_by(&reason);
    }
}

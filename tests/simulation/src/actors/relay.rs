//! Relays to the backend: by tasks, and by handlers.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use corepoll::net::TcpStream;
use corepoll::{
    Action, CloseReason, Deadlines, EvContext, EvHandler, Interest, Notifier, Token, time,
};

use super::timed::is_limit;
use crate::life::Life;
use crate::model::{model, now};
use crate::plan::{BACKEND, Service};

/// How long a relay tries to reach the backend: long enough for many packets to be lost, and shorter
/// than the kernel tries an address.
const PATIENCE: Duration = Duration::from_secs(100);

/// Returns what the backend serves a relay by.
fn upstream(peer_port: u16) -> String {
    let service = if peer_port.is_multiple_of(2) { Service::Handler } else { Service::Task };
    format!("{BACKEND}:{}", service.port())
}

/// Returns where the backend neither answers nor ends.
fn silence() -> String {
    format!("{BACKEND}:{}", Service::Silence.port())
}

/// Relays a connection to the backend.
pub async fn by_task(stream: TcpStream) {
    // What goes wrong ends both connections, which their ends tell the model of.
    let Ok(peer) = stream.peer_addr() else { return };
    let Ok(backend) = upstream(peer.port()).parse::<SocketAddr>() else { return };
    // Some try an address before it at which there is nothing. Without a backend they would go on
    // with that for long.
    let nothing = SocketAddr::from(([10, 0, 0, 200], 1));
    let has_detour = peer.port() % 4 == 3 && !model().plan.lacks_descriptors;
    let addresses = &[nothing, backend][usize::from(!has_detour)..];
    let Ok(back) = TcpStream::connect_timeout(addresses, PATIENCE).await else { return };
    stream.set_deadlines(model().plan.deadlines());
    let _ = corepoll::io::relay(stream, back).await;
}

/// Relays a connection to what neither answers nor ends.
pub async fn to_silence(stream: TcpStream) {
    let Ok(back) = TcpStream::connect(silence().as_str()).await else { return };
    stream.set_deadlines(model().plan.deadlines());
    // It ends when the client has given up.
    let _ = corepoll::io::relay(stream, back).await;
}

/// Does, and does not wait for longer than its limit.
pub async fn within_limit(stream: TcpStream) {
    let Ok(back) = TcpStream::connect(silence().as_str()).await else { return };
    let limit = model().plan.timing.limit;
    let begun = now();
    back.set_deadlines(Deadlines { read: Some(limit), ..Deadlines::default() });
    if let Err(error) = corepoll::io::relay(stream, back).await
        && is_limit(&error)
    {
        model().check_due("the deadline of a relay", begun + limit, now());
    }
}

/// Reads what comes to its end, and does nothing more.
pub async fn be_silent(stream: TcpStream) {
    while stream.read_chunk().await.is_ok_and(|chunk| !chunk.is_empty()) {}
    while !model().has_ended.get() {
        time::sleep(Duration::from_secs(60)).await;
    }
}

/// The side of the client of a relay by handlers.
#[derive(Debug)]
pub struct Front {
    /// Whether it was opened and closed.
    life: Life,
    /// Whether the backend can't be reached.
    has_failed: Rc<Cell<bool>>,
    /// Whether it relays to what neither answers nor ends, and the backend's silence has a limit.
    is_limited: bool,
    /// Where the backend is, by the port of the client.
    upstream: fn(u16) -> String,
}

impl Front {
    /// Makes the handler of a new connection.
    pub fn begin() -> Front {
        Front::to(upstream)
    }

    /// Makes that of one to what neither answers nor ends, with a limit.
    pub fn begin_limited() -> Front {
        Front { is_limited: true, ..Front::to(|_| silence()) }
    }

    /// Makes the handler of a new connection that is relayed to another place.
    pub fn to(upstream: fn(u16) -> String) -> Front {
        let life = Life::begin("the front of a relay");
        Front { life, has_failed: Rc::default(), is_limited: false, upstream }
    }
}

impl EvHandler for Front {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.open();
        // What comes before the backend has answered waits in the kernel.
        cx.set_interest(Interest::NONE)?;
        cx.set_deadlines(model().plan.deadlines())?;
        let back = Back {
            life: Life::begin("the back of a relay"),
            front: cx.token(),
            notifier: cx.notifier(),
            has_failed: self.has_failed.clone(),
            is_limited: self.is_limited,
            begun: now(),
        };
        let address = (self.upstream)(cx.peer_addr()?.port());
        cx.connect(&address, back)?;
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.live();
        // Without an interest it is called for a hang-up alone.
        cx.read()?;
        Ok(self.life.close())
    }

    fn on_notify(&mut self, _cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.live();
        Ok(if self.has_failed.get() { self.life.close() } else { Action::Keep })
    }

    fn on_shutdown(&mut self, _cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.shut_down();
        Ok(Action::Keep)
    }

    fn on_close(&mut self, _cx: &mut EvContext<'_>, reason: CloseReason) {
        self.life.end_by(&reason);
    }
}

/// The side of the backend.
#[derive(Debug)]
struct Back {
    /// Whether it was opened and closed.
    life: Life,
    /// The other side.
    front: Token,
    /// Tells the other side that there is no backend.
    notifier: Notifier,
    /// Whether there is none.
    has_failed: Rc<Cell<bool>>,
    /// Whether its silence has a limit.
    is_limited: bool,
    /// Since when.
    begun: Instant,
}

impl EvHandler for Back {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.open();
        if self.is_limited {
            self.begun = now();
            let read = Some(model().plan.timing.limit);
            cx.set_deadlines(Deadlines { read, ..Deadlines::default() })?;
        }
        // The client may be gone.
        cx.relay(self.front)?;
        Ok(Action::Keep)
    }

    fn on_read(&mut self, _cx: &mut EvContext<'_>) -> io::Result<Action> {
        model().violated("a connection that relays was told of bytes");
        Ok(Action::Close)
    }

    fn on_connect_fail(&mut self, _error: io::Error) {
        self.has_failed.set(true);
        let _ = self.notifier.notify();
    }

    fn on_shutdown(&mut self, _cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.shut_down();
        Ok(Action::Keep)
    }

    fn on_close(&mut self, _cx: &mut EvContext<'_>, reason: CloseReason) {
        self.life.end_by(&reason);
        if matches!(&reason, CloseReason::Error(error) if self.is_limited && is_limit(error)) {
            let due = self.begun + model().plan.timing.limit;
            model().check_due("the deadline of a handler's relay", due, now());
        }
    }
}

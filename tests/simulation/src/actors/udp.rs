//! Datagrams between hosts: each says which it is. A datagram may be lost, but it arrives at most once
//! in each direction, whole, and as it was sent.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use corepoll::net::UdpSocket;
use corepoll::net::udp::{Message, RecvBatch};
use corepoll::{Action, EvContext, EvHandler, Interest, PollerHandle, spawn_local, time};
use fastrand::Rng;

use crate::bytes;
use crate::model::model;

/// Where a task sends datagrams back.
const TASK_PORT: u16 = 1200;

/// Where a handler does.
const HANDLER_PORT: u16 = 1201;

/// The bytes before the content: the number of the datagram, and its length.
const HEAD: usize = 8;

/// The most bytes of a datagram, which one packet carries.
const MOST: usize = 1200;

/// After how long a client waits for no more answers.
const PATIENCE: Duration = Duration::from_secs(2);

/// What stands in for the stream of a connection in the bytes of datagrams.
const STREAMS: u32 = 1 << 31;

/// The datagrams of a program.
#[derive(Debug, Default)]
pub struct Datagrams {
    /// The number of the next one.
    next: Cell<u32>,
    /// Those that have come, and whether they came back.
    came: RefCell<BTreeSet<(u32, bool)>>,
}

impl Datagrams {
    /// Makes a datagram of `length` bytes.
    fn make(&self, length: usize) -> Vec<u8> {
        let number = self.next.replace(self.next.get() + 1);
        let mut datagram = vec![0; length.max(HEAD)];
        datagram[..4].copy_from_slice(&number.to_le_bytes());
        let length = datagram.len() as u32;
        datagram[4..HEAD].copy_from_slice(&length.to_le_bytes());
        bytes::fill(STREAMS | number, 0, &mut datagram[HEAD..]);
        datagram
    }

    /// Checks a datagram that has come.
    fn take(&self, datagram: &[u8], is_back: bool) {
        let field = |at: usize| {
            let bytes = datagram.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u32::from_le_bytes)
        };
        let (Some(number), Some(length)) = (field(0), field(4)) else {
            return model().violated(format_args!("a datagram is {datagram:?}"));
        };
        let is_right = number < self.next.get()
            && datagram.len() == length as usize
            && bytes::first_wrong(STREAMS | number, 0, &datagram[HEAD..]).is_none();
        if !is_right {
            let count = datagram.len();
            model().violated(format_args!("datagram {number} comes as {count} wrong bytes"));
        } else if !self.came.borrow_mut().insert((number, is_back)) {
            model().violated(format_args!("datagram {number} comes twice"));
        }
    }
}

/// Checks what a batch holds.
fn take_batch(batch: &RecvBatch, is_back: bool) {
    for datagram in batch.iter().flat_map(|message| message.datagrams()) {
        model().datagrams.take(datagram, is_back);
    }
}

/// Sends datagrams back on this poller: a task does, and a handler.
///
/// # Errors
///
/// Returns what making the sockets returns.
pub async fn serve() -> io::Result<()> {
    let socket = bind(TASK_PORT).await?;
    socket.set_gro(true)?;
    spawn_local(async move {
        let mut batch = RecvBatch::new(4, 65_535);
        while socket.recv_batch(&mut batch).await.is_ok() {
            take_batch(&batch, false);
            let mut sent = 0;
            while sent < batch.len() {
                let left = batch.iter().skip(sent);
                let Ok(count) = socket.send_batch(left).await else { break };
                sent += count;
            }
        }
    });
    let socket = bind(HANDLER_PORT).await?;
    let poller = PollerHandle::current();
    poller.register(socket.into(), Interest::READABLE, || Echo(RecvBatch::new(4, MOST)))?;
    Ok(())
}

/// Makes a socket at a port.
async fn bind(port: u16) -> io::Result<UdpSocket> {
    let mut left = 100;
    loop {
        match UdpSocket::bind(("0.0.0.0", port)).await {
            Err(error) if left > 0 && model().plan.refuses(&error) => left -= 1,
            made => return made,
        }
    }
}

/// Sends each datagram back, by batches.
struct Echo(RecvBatch);

impl EvHandler for Echo {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.recv_batch(&mut self.0)?;
        take_batch(&self.0, false);
        // What does not go out is lost, as it may be anyhow.
        cx.send_batch(&self.0)?;
        Ok(Action::Keep)
    }
}

/// Sends datagrams to the server, and reads what comes back, until nothing more does.
pub async fn ask(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let count = model().plan.datagrams;
    // There may be no descriptor.
    let Ok(socket) = UdpSocket::bind("0.0.0.0:0").await else { return };
    let receives = async {
        let mut batch = RecvBatch::new(rng.usize(1..=8), MOST);
        while let Ok(Ok(_)) = time::timeout(PATIENCE, socket.recv_batch(&mut batch)).await {
            take_batch(&batch, true);
        }
    };
    let sends = async {
        let mut rng = Rng::with_seed(!seed);
        for _ in 0..count {
            if send(&socket, &mut rng).await.is_err() {
                return;
            }
            time::sleep(Duration::from_micros(rng.u64(0..20_000))).await;
        }
    };
    futures::join!(receives, sends);
}

/// Sends one datagram, or several by one call.
async fn send(socket: &UdpSocket, rng: &mut Rng) -> io::Result<()> {
    let port = if rng.bool() { TASK_PORT } else { HANDLER_PORT };
    let server = std::net::SocketAddr::from((corepoll::sim::control().address("server"), port));
    let datagrams = &model().datagrams;
    let length = rng.usize(HEAD..=MOST);
    let parts: Vec<Vec<u8>> = (0..rng.usize(1..=5)).map(|_| datagrams.make(length)).collect();
    match rng.u32(0..3) {
        0 => socket.send_to(&parts[0], server).await.map(drop),
        1 => {
            let messages = parts.iter().map(|bytes| Message::new(bytes, server));
            socket.send_batch(messages).await.map(drop)
        }
        _ => {
            let bytes = parts.concat();
            let message = Message::new(&bytes, server).with_segment_size(length);
            socket.send_batch([message]).await.map(drop)
        }
    }
}

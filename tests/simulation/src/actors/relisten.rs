//! A listener that is closed, and an address that is used again: at once on the listener's own poller,
//! and elsewhere when it is told of the close.

use std::io;
use std::time::Duration;

use corepoll::net::{TcpStream, UnixStream};
use corepoll::{
    Acceptor, Action, EvContext, EvHandler, Listening, PollerHandle, ReactorHandle, time,
};
use fastrand::Rng;
use futures::{AsyncRead, AsyncReadExt};

use crate::errors::errno;
use crate::life::Life;
use crate::model::{model, now};

/// How long an answer may take where nothing goes wrong.
const LONG: Duration = Duration::from_secs(10);

/// Sends the number of its listener, and closes.
struct Hello {
    /// Whether it was opened and closed.
    life: Life,
    /// The number.
    number: u8,
}

impl EvHandler for Hello {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.open();
        cx.write(&[self.number])?;
        Ok(self.life.close())
    }

    fn on_read(&mut self, _cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.live();
        Ok(Action::Keep)
    }

    fn on_close(&mut self, _cx: &mut EvContext<'_>, reason: corepoll::CloseReason) {
        self.life.end_by(&reason);
    }
}

/// Listens at an address, closes, and listens there again, a few times.
pub async fn listen_again(reactor: ReactorHandle, port: u16, mut rng: Rng) {
    let address = match rng.u32(0..4) {
        0 => format!("unix:/run/again {port}"),
        1 => format!("unix:@again {port}"),
        _ => format!("127.0.0.1:{port}"),
    };
    let shares = rng.bool() && !address.starts_with("unix:");
    // Without a share of the port the first poller listens alone.
    let count = if shares { reactor.pollers().len() } else { 1 };
    let is_own = count == 1 && PollerHandle::current().index() == reactor.pollers()[0].index();
    for number in 0..rng.u8(2..6) {
        let Some(listening) = listen(&reactor, &address, shares, number) else { return };
        if !shares {
            check_taken(&reactor, &address);
        }
        if rng.bool() {
            check_answer(&address, number).await;
        }
        time::sleep(Duration::from_micros(rng.u64(0..20_000))).await;
        close(&listening, is_own).await;
    }
}

/// Listens. Returns `None` if that can't be done, and need not.
fn listen(reactor: &ReactorHandle, address: &str, shares: bool, number: u8) -> Option<Listening> {
    let hello = move || Hello { life: Life::begin("a handler that says hello"), number };
    match Acceptor::new(address).reuse_port(shares).listen(reactor, hello) {
        Ok(listening) => Some(listening),
        Err(error) => {
            if !may_fail(&error) {
                model().violated(format_args!("listener {number} is not made: {error}"));
            }
            None
        }
    }
}

/// Returns `true` if a call may fail by `error` for want of a descriptor, or in the shutdown.
fn may_fail(error: &io::Error) -> bool {
    model().is_shut_down.get() || model().plan.refuses(error)
}

/// Checks that nothing else listens at the same address, and that its error says why.
fn check_taken(reactor: &ReactorHandle, address: &str) {
    let hello = || Hello { life: Life::begin("a handler of a second listener"), number: 0 };
    match Acceptor::new(address).listen(reactor, hello) {
        Ok(_) => model().violated(format_args!("{address} is listened at twice")),
        Err(error) if may_fail(&error) => {}
        Err(error) if errno(&error) == Some(98) => {}
        Err(error) => model().violated(format_args!("{address} is not free by {error:?}")),
    }
}

/// Closes a listener, and waits until its address is free, if that has to be waited for.
async fn close(listening: &Listening, is_own: bool) {
    listening.close();
    if !is_own {
        let begun = now();
        if let Err(error) = listening.closed().await {
            model().violated(format_args!("a listener that was closed has failed: {error}"));
        }
        model().check_prompt("the close of a listener", now() - begun);
    } else if !listening.is_closed() {
        model().violated("a listener of its own poller was not closed at once");
    }
}

/// Connects, and checks that the newest listener answers.
async fn check_answer(address: &str, number: u8) {
    let answered = time::timeout(LONG, ask(address)).await;
    let plan = &model().plan;
    let is_disturbed =
        plan.resets || plan.lacks_descriptors || plan.fails_to_accept || model().is_shut_down.get();
    match answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(byte) if byte == number => {}
        Err(_) if is_disturbed => {}
        other => model().violated(format_args!("listener {number} answers by {other:?}")),
    }
}

/// Connects, and returns what comes.
async fn ask(address: &str) -> io::Result<u8> {
    match address.strip_prefix("unix:") {
        Some(path) => read(UnixStream::connect(path.replace('@', "\0")).await?).await,
        None => read(TcpStream::connect(address).await?).await,
    }
}

/// Returns the first byte of a stream, which is also the last.
async fn read(mut stream: impl AsyncRead + Unpin) -> io::Result<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    match bytes[..] {
        [byte] => Ok(byte),
        _ => Err(io::Error::other(format!("{} bytes have come", bytes.len()))),
    }
}

//! Every poller listens by itself, with SO_REUSEPORT, and says in its answer which one it is.
//!
//! ```text
//! cargo run --release --example reuseport
//! curl http://127.0.0.1:8080/        # several times
//! ```
//!
//! The kernel chooses the listener by a hash, so a few connections may all come to one poller. With
//! `--balance least` (the library's default) a connection goes to the poller that has the fewest.

mod common;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Arguments, Own};
use corepoll::{
    Acceptor, Action, Balance, Deadlines, EvContext, EvHandler, Listening, ReactorHandle,
};

/// What a poller knows of itself: it lives in the poller's cache, which its thread alone touches.
#[derive(Debug, Default)]
struct Poller {
    /// Its number.
    number: usize,
    /// How many connections it has answered.
    answered: u64,
}

/// Answers once and ends.
#[derive(Debug)]
struct WhoAreYou {
    /// How long the client may take to ask.
    patience: Duration,
}

impl EvHandler for WhoAreYou {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let read = Some(self.patience);
        cx.set_deadlines(Deadlines { read, ..Deadlines::default() })?;
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        if cx.read()?.is_empty() {
            return Ok(Action::Close);
        }
        let content = cx.with_local(|poller: &mut Poller| {
            poller.answered += 1;
            format!("poller {}, answer {}\n", poller.number, poller.answered)
        });
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", content.len());
        cx.write(format!("{head}Connection: close\r\n\r\n{content}").as_bytes())?;
        Ok(Action::Close)
    }
}

fn main() -> ExitCode {
    let balance = Own {
        name: "balance",
        value: Some("HOW"),
        help: "Where a connection goes: kernel, least or turn [default: kernel]",
    };
    let about = "Answers with the number of the poller that serves: each has its own listener.";
    common::run("reuseport", about, &[balance], false, listen)
}

/// Opens a listener on every poller.
fn listen(reactor: &ReactorHandle, arguments: &Arguments) -> io::Result<Listening> {
    let balance = match arguments.value("balance") {
        None | Some("kernel") => Balance::Local,
        Some("least") => Balance::LeastLoaded,
        Some("turn") => Balance::RoundRobin,
        Some(other) => {
            let what = format!("{other:?}: it is kernel, least or turn");
            return Err(common::bad_value("balance", what));
        }
    };
    // Each poller takes the next number, once, before it serves anything.
    let next = Arc::new(AtomicUsize::new(0));
    reactor.broadcast(move || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        corepoll::with_local(|poller: &mut Poller| poller.number = number);
    });
    let patience = arguments.patience;
    Acceptor::new(&arguments.address.to_string())
        .reuse_port(true)
        .balance(balance)
        .listen(reactor, move || WhoAreYou { patience })
}

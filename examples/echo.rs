//! Sends back what it is sent, byte by byte, until the peer ends its side.
//!
//! ```text
//! cargo run --release --example echo
//! ```
//!
//! Both APIs do the same here, and both hold a peer back that sends without reading: the handler stops
//! reading while much is queued, the task waits in `write_all`. A peer on whose connection nothing moves
//! for `--patience` is cut off: it has vanished, or holds a descriptor for nothing.

mod common;

use std::io;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use common::{Api, Arguments};
use corepoll::net::TcpStream;
use corepoll::{
    Acceptor, Action, Deadlines, EvContext, EvHandler, Interest, Listening, ReactorHandle,
    shutdown_requested,
};
use futures::{AsyncWriteExt, FutureExt};

/// With more than this queued for a peer, nothing more is read from it until it has taken all. Far
/// below the library's cap on queued output, which ends the connection.
const OUTPUT_LIMIT: usize = 256 * 1024;

/// Echoes on the callback API.
#[derive(Debug)]
struct Echo {
    /// How long nothing may move.
    patience: Duration,
    /// Reading waits until the queued output is gone.
    is_paused: bool,
}

impl EvHandler for Echo {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_deadlines(deadlines(self.patience))?;
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let chunk = cx.read()?;
        if chunk.is_empty() {
            // The peer may still read: what is queued goes out before our side ends.
            return Ok(Action::Close);
        }
        cx.write(&chunk)?;
        if cx.pending_output() > OUTPUT_LIMIT {
            self.is_paused = true;
            cx.set_interest(Interest::NONE)?;
        }
        Ok(Action::Keep)
    }

    fn on_write(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        if self.is_paused {
            self.is_paused = false;
            cx.set_interest(Interest::READABLE)?;
        }
        Ok(Action::Keep)
    }
}

/// Echoes on the async API.
async fn echo(stream: TcpStream, patience: Duration) -> io::Result<()> {
    stream.set_deadlines(deadlines(patience));
    let mut shutdown = pin!(shutdown_requested().fuse());
    loop {
        let mut reading = pin!(stream.read_chunk().fuse());
        let chunk = futures::select_biased! {
            chunk = reading => chunk?,
            () = shutdown => break,
        };
        if chunk.is_empty() {
            break;
        }
        (&stream).write_all(&chunk).await?;
    }
    (&stream).close().await
}

/// What cuts off a peer that neither sends nor reads.
fn deadlines(patience: Duration) -> Deadlines {
    Deadlines { idle: Some(patience), ..Deadlines::default() }
}

fn main() -> ExitCode {
    common::run_server("echo", "Sends back what it is sent.", listen)
}

/// Opens the listener.
fn listen(reactor: &ReactorHandle, arguments: &Arguments) -> io::Result<Listening> {
    let patience = arguments.patience;
    match arguments.api {
        Api::Handler => Acceptor::new(&arguments.address.to_string())
            .listen(reactor, move || Echo { patience, is_paused: false }),
        Api::Async => reactor.serve(arguments.address, move |stream, _peer| echo(stream, patience)),
    }
}

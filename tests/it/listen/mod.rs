//! Listening: how it begins, goes on after errors, spreads connections, and ends.

use std::io;
use std::net::SocketAddr;

use crate::common::{connect, read_exactly};
use corepoll::{Action, EvContext, EvHandler, net};
use futures::AsyncWriteExt;

/// No poller holds more than one connection more than another.
mod balance;
/// Without a free descriptor no listener spins, and every client is accepted in the end.
mod descriptors;
/// A socket that listens already is taken over.
mod existing;
/// Errors of accept end no listener; a listener's end is told, and its address is free.
mod listening;
/// The kernel chooses the poller by processor.
mod steering;
/// A stale Unix path is replaced, and a path that is not ours is left alone.
mod unix_acceptor;

/// Says hello, and stays until the client goes.
struct Hello;

impl EvHandler for Hello {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.write(b"hello")?;
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
    }
}

async fn hello(mut stream: net::TcpStream, _: SocketAddr) -> io::Result<()> {
    stream.write_all(b"hello").await?;
    while !stream.read_chunk().await?.is_empty() {}
    Ok(())
}

/// Asserts that a client of `addr` is greeted.
#[track_caller]
fn is_greeted(addr: SocketAddr) {
    assert_eq!(read_exactly(&connect(addr), 5), b"hello");
}

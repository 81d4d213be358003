//! A task that sends back what it gets, and, if it is planned, panics or hands the connection over
//! to a handler in mid-stream.

use std::io;
use std::net::SocketAddr;

use corepoll::net::TcpStream;
use futures::{AsyncReadExt, AsyncWriteExt};

use super::echo_handler::Echo;
use super::output::write_behind_empty_slices;
use crate::model::{Incoming, model, now};
use crate::plan::Service;

/// Serves a connection, and checks how it ends.
pub async fn echo(stream: TcpStream, incoming: Incoming) {
    let mut echo = EchoTask { incoming, turn: 0, buffer: Vec::new() };
    if let Err(error) = echo.run(stream).await
        && let Some(id) = echo.incoming.id()
        && !model().may_break(id)
    {
        let at = echo.incoming.position;
        model().violated(format_args!("connection {id} fails in a task at {at}: {error}"));
    }
}

/// The state of the task.
struct EchoTask {
    /// What has come.
    incoming: Incoming,
    /// The bytes since it has the connection.
    turn: usize,
    /// What it reads into.
    buffer: Vec<u8>,
}

impl EchoTask {
    /// Sends back what comes.
    async fn run(&mut self, mut stream: TcpStream) -> io::Result<()> {
        let ends = (stream.local_addr()?, stream.peer_addr()?);
        stream.set_deadlines(model().plan.deadlines());
        loop {
            let count = self.pass_on(&stream, ends).await?;
            if count == 0 {
                self.incoming.end();
                return stream.close().await;
            }
            self.turn += count;
            let Some(id) = self.incoming.id() else { continue };
            let model = model();
            let plan = &model.talks[id as usize].plan;
            if plan.service == Service::HandOver && self.turn >= plan.turn {
                let incoming = std::mem::take(&mut self.incoming);
                return stream.into_handler(Echo::resume(incoming)).map(drop);
            }
        }
    }

    /// Reads once, and sends that back. Returns how much it was.
    async fn pass_on(
        &mut self,
        mut stream: &TcpStream,
        ends: (SocketAddr, SocketAddr),
    ) -> io::Result<usize> {
        let attention = model().attend(ends.0, ends.1, "a task");
        // Streams with an even number are lent the poller's buffer.
        let odd = self.incoming.id().filter(|id| id % 2 == 1);
        let Some(id) = odd else {
            let chunk = stream.read_chunk().await?;
            drop(attention);
            self.take(&chunk)?;
            self.send(stream, &chunk).await?;
            return Ok(chunk.len());
        };
        // A read into nothing has nothing to wait for.
        let begun = now();
        let _nothing = stream.read(&mut []).await?;
        model().check_prompt("a read of no bytes", now() - begun);
        self.buffer.resize(model().talks[id as usize].plan.read, 0);
        let count = stream.read(&mut self.buffer).await?;
        drop(attention);
        let bytes = std::mem::take(&mut self.buffer);
        self.take(&bytes[..count])?;
        self.send(stream, &bytes[..count]).await?;
        self.buffer = bytes;
        Ok(count)
    }

    /// Sends bytes back.
    async fn send(&self, mut stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
        let id = self.incoming.id();
        if id.is_some_and(|id| model().talks[id as usize].plan.empty_slices) {
            return write_behind_empty_slices(stream, bytes).await;
        }
        stream.write_all(bytes).await
    }

    /// Checks bytes that have come, and panics if that is planned.
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        let before = self.incoming.position;
        if !self.incoming.take(bytes) {
            return Err(io::Error::other("the bytes are wrong"));
        }
        let Some(id) = self.incoming.id() else { return Ok(()) };
        let model = model();
        model.serves(id);
        let panics_at = model.talks[id as usize].plan.panics_at;
        let is_planned = |at| !bytes.is_empty() && (before..=self.incoming.position).contains(&at);
        if panics_at.is_some_and(is_planned) {
            model.excuse(id, "its task has panicked");
            panic!("planned");
        }
        Ok(())
    }
}

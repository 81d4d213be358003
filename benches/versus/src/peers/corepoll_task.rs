//! corepoll by tasks: one a connection, which waits in `read_chunk` and so holds no buffer.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use corepoll::Reactor;
use corepoll::net::TcpStream;
use futures_util::AsyncReadExt;

use super::{Options, announce};
use crate::protocol::{Protocol, SMALL_READ};
use crate::sys;

pub(super) fn run<P: Protocol>(options: &Options) -> io::Result<()> {
    let reactor =
        Reactor::builder().pollers(options.threads).read_buffer_size(P::BUFFER).build()?;
    let listening = reactor.handle().serve(options.addr, |stream, _peer| answer::<P>(stream))?;
    announce(listening.local_addr()?)?;
    let running = reactor.start()?;
    sys::wait_readable(options.stop.as_fd(), None)?;
    running.handle().shutdown(Duration::ZERO);
    running.join()?;
    Ok(())
}

async fn answer<P: Protocol>(stream: TcpStream) -> io::Result<()> {
    let mut protocol = P::default();
    while protocol.read_size() > SMALL_READ {
        let read = stream.read_chunk().await?;
        if read.is_empty() {
            return Ok(());
        }
        let answer = protocol.answer(&read);
        if !answer.is_empty() {
            stream.send_all(answer).await?;
        }
    }
    // In a box: it is no part of all other tasks.
    Box::pin(drain(stream)).await
}

/// Reads a flood that is thrown away.
async fn drain(mut stream: TcpStream) -> io::Result<()> {
    while stream.read(&mut [0; SMALL_READ]).await? > 0 {}
    Ok(())
}

//! corepoll by tasks: one a connection, which waits in `read_chunk` and so holds no buffer.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use corepoll::Reactor;
use corepoll::net::TcpStream;
use futures_util::AsyncWriteExt;

use super::{Options, announce};
use crate::protocol::{Protocol, READ_BUFFER};
use crate::sys;

pub(super) fn run<P: Protocol>(options: &Options) -> io::Result<()> {
    let reactor =
        Reactor::builder().pollers(options.threads).read_buffer_size(READ_BUFFER).build()?;
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
    loop {
        let read = stream.read_chunk().await?;
        if read.is_empty() {
            return Ok(());
        }
        let answer = protocol.answer(&read);
        if !answer.is_empty() {
            (&stream).write_all(answer).await?;
        }
    }
}

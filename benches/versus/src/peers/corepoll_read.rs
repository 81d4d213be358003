//! corepoll by tasks of the usual kind: the traits of futures-io, and a buffer for each connection.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use corepoll::Reactor;
use corepoll::net::TcpStream;
use futures_util::{AsyncReadExt, AsyncWriteExt};

use super::{Options, announce};
use crate::protocol::{Protocol, READ_BUFFER};
use crate::sys;

pub(super) fn run<P: Protocol>(options: &Options) -> io::Result<()> {
    let reactor = Reactor::builder().pollers(options.threads).build()?;
    let listening = reactor.handle().serve(options.addr, |stream, _peer| answer::<P>(stream))?;
    announce(listening.local_addr()?)?;
    let running = reactor.start()?;
    sys::wait_readable(options.stop.as_fd(), None)?;
    running.handle().shutdown(Duration::ZERO);
    running.join()?;
    Ok(())
}

async fn answer<P: Protocol>(mut stream: TcpStream) -> io::Result<()> {
    let mut protocol = P::default();
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        protocol.fit(&mut buffer);
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let answer = protocol.answer(&buffer[..read]);
        if !answer.is_empty() {
            stream.write_all(answer).await?;
        }
    }
}

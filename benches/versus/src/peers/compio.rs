//! compio: a runtime for each thread, a task and a buffer for each connection. Reads and writes take
//! the buffer and give it back.

use std::io;

use compio::BufResult;
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::fd::PollFd;
use compio::runtime::{self, Runtime};

use super::{Options, io_uring_failed, on_each_thread};
use crate::protocol::{Protocol, READ_BUFFER, Reply};
use crate::sys;

pub(super) fn run<P: Protocol>(options: &Options) -> io::Result<()> {
    let make = || Runtime::new().map_err(io_uring_failed);
    let stop = sys::stop_signal_blocked()?;
    on_each_thread(options, make, |runtime, listener| {
        // An accept of io_uring waits only on a listener that may block.
        listener.set_nonblocking(false)?;
        runtime.block_on(async {
            runtime::spawn(accept::<P>(TcpListener::from_std(listener)?)).detach();
            PollFd::new(stop.try_clone()?)?.read_ready().await
        })
    })
}

async fn accept<P: Protocol>(listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => runtime::spawn(answer::<P>(stream)).detach(),
            Err(error) => eprintln!("accept: {error}"),
        }
    }
}

async fn answer<P: Protocol>(mut stream: TcpStream) -> io::Result<()> {
    let mut protocol = P::default();
    let mut buffer = Vec::with_capacity(READ_BUFFER);
    loop {
        protocol.fit(&mut buffer);
        buffer.clear();
        let BufResult(result, read) = stream.read(buffer).await;
        buffer = read;
        if result? == 0 {
            return Ok(());
        }
        match protocol.reply(&buffer) {
            Reply::Fixed(b"") => {}
            Reply::Fixed(bytes) => stream.write_all(bytes).await.0?,
            Reply::Read => {
                let BufResult(result, written) = stream.write_all(buffer).await;
                buffer = written;
                result?;
            }
        }
    }
}

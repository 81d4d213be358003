//! monoio as its README has it: a runtime for each thread, a task and a buffer for each connection.
//! Reads and writes take the buffer and give it back.

use std::io;
use std::net::TcpListener as StdTcpListener;
use std::os::unix::net::UnixStream as StdUnixStream;

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream, UnixStream};
use monoio::{Driver, IoUringDriver, LegacyDriver, Runtime, RuntimeBuilder};

use super::{Options, io_uring_failed, on_each_thread};
use crate::protocol::{Protocol, READ_BUFFER, Reply};
use crate::sys;

/// Serves by epoll, which is the legacy driver.
pub(super) fn run<P: Protocol>(options: &Options) -> io::Result<()> {
    let make = || RuntimeBuilder::<LegacyDriver>::new().build();
    on_each_thread(options, make, |runtime, listener| {
        serve::<P, _>(runtime, listener, options.stop.try_clone()?)
    })
}

/// Serves by io_uring.
pub(super) fn run_uring<P: Protocol>(options: &Options) -> io::Result<()> {
    let stop = sys::stop_signal_blocked()?;
    let make = || RuntimeBuilder::<IoUringDriver>::new().build().map_err(io_uring_failed);
    on_each_thread(options, make, |runtime, listener| {
        // An accept of io_uring waits only on a listener that may block.
        listener.set_nonblocking(false)?;
        // Not a stream, but monoio has no type for a descriptor that is only polled.
        serve::<P, _>(runtime, listener, sys::convert(stop.try_clone()?))
    })
}

fn serve<P: Protocol, D: Driver>(
    mut runtime: Runtime<D>,
    listener: StdTcpListener,
    stop: StdUnixStream,
) -> io::Result<()> {
    runtime.block_on(async {
        monoio::spawn(accept::<P>(TcpListener::from_std(listener)?));
        UnixStream::from_std(stop)?.readable(true).await
    })
}

async fn accept<P: Protocol>(listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(monoio::spawn(answer::<P>(stream))),
            Err(error) => eprintln!("accept: {error}"),
        }
    }
}

async fn answer<P: Protocol>(mut stream: TcpStream) -> io::Result<()> {
    let mut protocol = P::default();
    let mut buffer = Vec::with_capacity(READ_BUFFER);
    let mut result;
    loop {
        protocol.fit(&mut buffer);
        (result, buffer) = stream.read(buffer).await;
        if result? == 0 {
            return Ok(());
        }
        result = match protocol.reply(&buffer) {
            Reply::Fixed(b"") => continue,
            Reply::Fixed(bytes) => stream.write_all(bytes).await.0,
            Reply::Read => {
                (result, buffer) = stream.write_all(buffer).await;
                result
            }
        };
        result?;
    }
}

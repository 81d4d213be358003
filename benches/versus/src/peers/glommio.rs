//! glommio: an executor for each thread, a task and a buffer for each connection.

use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;

use futures_util::{AsyncReadExt, AsyncWriteExt};
use glommio::LocalExecutorBuilder;
use glommio::net::{TcpListener, TcpStream, UnixStream};

use super::{Options, io_uring_failed, on_each_thread};
use crate::protocol::{Protocol, READ_BUFFER};
use crate::sys;

pub(super) fn run<P: Protocol>(options: &Options) -> io::Result<()> {
    let make =
        || LocalExecutorBuilder::default().make().map_err(|error| io_uring_failed(error.into()));
    on_each_thread(options, make, |executor, listener| {
        executor.run(async {
            glommio::spawn_local(accept::<P>(sys::convert(listener))).detach();
            stopped(options.stop).await
        })
    })
}

async fn accept<P: Protocol>(listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok(stream) => drop(glommio::spawn_local(answer::<P>(stream)).detach()),
            Err(error) => eprintln!("accept: {error}"),
        }
    }
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

/// Waits for the end of the stream: nothing is ever written to it.
async fn stopped(stop: &StdUnixStream) -> io::Result<()> {
    let mut stop: UnixStream = sys::convert(stop.try_clone()?);
    stop.read(&mut [0]).await.map(drop)
}

//! tokio as its tutorial has it: a task and a buffer for each connection, on a current-thread
//! runtime for each thread.

use std::future::Future;
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::runtime::Builder;

use super::{Options, on_each_thread};
use crate::protocol::{Protocol, READ_BUFFER};

pub(super) fn run<P: Protocol>(options: &Options) -> io::Result<()> {
    run_tasks(options, Builder::enable_io, answer::<P>)
}

/// Runs `answer` as the task of every connection, on runtimes with what `enable` gives them.
pub(crate) fn run_tasks<A, F>(
    options: &Options,
    enable: fn(&mut Builder) -> &mut Builder,
    answer: A,
) -> io::Result<()>
where
    A: Fn(TcpStream) -> F + Clone + Send + Sync + 'static,
    F: Future<Output: Send> + Send + 'static,
{
    let make = || enable(&mut Builder::new_current_thread()).build();
    on_each_thread(options, make, |runtime, listener| {
        runtime.block_on(async {
            tokio::spawn(accept(TcpListener::from_std(listener)?, answer.clone()));
            stopped(options.stop).await
        })
    })
}

pub(super) async fn accept<A, F>(listener: TcpListener, answer: A)
where
    A: Fn(TcpStream) -> F,
    F: Future<Output: Send> + Send + 'static,
{
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(answer(stream))),
            Err(error) => eprintln!("accept: {error}"),
        }
    }
}

pub(super) async fn stopped(stop: &StdUnixStream) -> io::Result<()> {
    UnixStream::from_std(stop.try_clone()?)?.readable().await
}

pub(super) async fn answer<P: Protocol>(mut stream: TcpStream) -> io::Result<()> {
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

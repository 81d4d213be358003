//! smol: a task and a buffer for each connection, on one executor that all threads run.

use std::io;
use std::thread;

use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream};
use smol::{Async, Executor, block_on};

use super::{Options, announce, listen};
use crate::protocol::{Protocol, READ_BUFFER};

/// Not `smol::spawn`: that has as many threads as a variable of the environment says.
static EXECUTOR: Executor<'static> = Executor::new();

pub(super) fn run<P: Protocol>(options: &Options) -> io::Result<()> {
    let (listener, addr) = listen(options.addr)?;
    EXECUTOR.spawn(accept::<P>(Async::new(listener)?.into())).detach();
    let stop = Async::new(options.stop.try_clone()?)?;
    announce(addr)?;
    let work = || block_on(EXECUTOR.run(stop.readable()));
    thread::scope(|scope| {
        let threads: Vec<_> = (1..options.threads).map(|_| scope.spawn(work)).collect();
        let mut ended = vec![work()];
        ended.extend(threads.into_iter().map(|thread| thread.join().expect("a thread panicked")));
        ended.into_iter().collect()
    })
}

async fn accept<P: Protocol>(listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => EXECUTOR.spawn(answer::<P>(stream)).detach(),
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

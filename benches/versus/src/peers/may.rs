//! may: a coroutine with a stack and a buffer for each connection, in code that reads as if it
//! blocked. As in its example, each worker brings a listener of its own.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use may::go;
use may::net::{TcpListener, TcpStream};

use super::{Options, announce, listen};
use crate::protocol::{Protocol, READ_BUFFER};
use crate::sys;

pub(super) fn run<P: Protocol>(options: &Options) -> io::Result<()> {
    may::config().set_workers(options.threads);
    let (first, addr) = listen(options.addr)?;
    let others = (1..options.threads).map(|_| listen(addr).map(|(listener, _)| listener));
    let listeners: Vec<_> = others.chain([Ok(first)]).collect::<Result<_, _>>()?;
    for listener in listeners {
        let listener: TcpListener = sys::convert(listener);
        go!(move || accept::<P>(&listener));
    }
    announce(addr)?;
    sys::wait_readable(options.stop.as_fd(), None)?;
    Ok(())
}

fn accept<P: Protocol>(listener: &TcpListener) {
    loop {
        match listener.accept() {
            Ok((stream, _)) => drop(go!(move || answer::<P>(stream))),
            Err(error) => eprintln!("accept: {error}"),
        }
    }
}

fn answer<P: Protocol>(mut stream: TcpStream) -> io::Result<()> {
    let mut protocol = P::default();
    // Not an array: the stack of a coroutine is small.
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        protocol.fit(&mut buffer);
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        let answer = protocol.answer(&buffer[..read]);
        if !answer.is_empty() {
            stream.write_all(answer)?;
        }
    }
}

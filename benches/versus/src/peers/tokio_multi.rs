//! tokio's multi-thread runtime, the one of `#[tokio::main]`: one listener, and threads that take
//! tasks from each other.

use std::io;

use tokio::net::TcpListener;
use tokio::runtime::Builder;

use super::tokio::{accept, answer, stopped};
use super::{Options, announce, listen};
use crate::protocol::Protocol;

pub(super) fn run<P: Protocol>(options: &Options) -> io::Result<()> {
    let runtime =
        Builder::new_multi_thread().worker_threads(options.threads).enable_io().build()?;
    let (listener, addr) = listen(options.addr)?;
    runtime.block_on(async {
        // A task of its own: the future of `block_on` is polled by none of the worker threads.
        tokio::spawn(accept(TcpListener::from_std(listener)?, answer::<P>));
        announce(addr)?;
        stopped(options.stop).await
    })
}

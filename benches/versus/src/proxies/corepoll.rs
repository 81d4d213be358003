//! corepoll by `io::relay`, and by two tasks that copy through the poller's read buffer.

use std::io;
use std::net::SocketAddr;

use corepoll::net::{OwnedReadHalf, OwnedWriteHalf, TcpListener, TcpStream, UnixStream};
use corepoll::{block_on, spawn_local};
use futures_util::io::{AsyncReadExt, AsyncWriteExt};

use super::Task;

/// Passes on what two streams send to each other.
type Pass = fn(TcpStream, TcpStream);

pub(super) fn run(task: Task, pass: Pass) -> io::Result<()> {
    block_on(async {
        let listener = TcpListener::from_std(task.listener)?;
        drop(spawn_local(accept(listener, task.upstream, pass)));
        UnixStream::from_std(task.stop.try_clone()?)?.read(&mut [0]).await.map(drop)
    })
}

async fn accept(listener: TcpListener, upstream: SocketAddr, pass: Pass) {
    loop {
        match listener.accept().await {
            Ok((near, _)) => drop(spawn_local(connect(near, upstream, pass))),
            Err(error) => eprintln!("accept: {error}"),
        }
    }
}

async fn connect(near: TcpStream, upstream: SocketAddr, pass: Pass) -> io::Result<()> {
    pass(near, TcpStream::connect(upstream).await?);
    Ok(())
}

/// By splice(2).
pub(super) fn relay(near: TcpStream, far: TcpStream) {
    drop(spawn_local(corepoll::io::relay(near, far)));
}

/// By copies.
pub(super) fn copy(near: TcpStream, far: TcpStream) {
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    drop(spawn_local(copy_one_way(near_read, far_write)));
    drop(spawn_local(copy_one_way(far_read, near_write)));
}

async fn copy_one_way(from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
    loop {
        let chunk = from.read_chunk().await?;
        if chunk.is_empty() {
            return to.close().await;
        }
        to.write_all(&chunk).await?;
    }
}

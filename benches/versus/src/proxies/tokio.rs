//! tokio's `copy_bidirectional`, on a current-thread runtime.

use std::io;
use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::runtime::Builder;

use super::Task;

pub(super) fn run(task: Task) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        tokio::spawn(accept(TcpListener::from_std(task.listener)?, task.upstream));
        UnixStream::from_std(task.stop.try_clone()?)?.readable().await
    })
}

async fn accept(listener: TcpListener, upstream: SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((near, _)) => drop(tokio::spawn(relay(near, upstream))),
            Err(error) => eprintln!("accept: {error}"),
        }
    }
}

async fn relay(mut near: TcpStream, upstream: SocketAddr) -> io::Result<()> {
    let mut far = TcpStream::connect(upstream).await?;
    copy_bidirectional(&mut near, &mut far).await.map(drop)
}

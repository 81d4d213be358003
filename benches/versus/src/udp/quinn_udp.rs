//! quinn-udp on tokio's socket, as quinn drives it: recvmmsg(2) with GRO, and one sendmsg(2) with GSO for
//! each message.

use std::io::{self, IoSliceMut};
use std::os::unix::net::UnixStream;

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::{BATCH, LONGEST};

pub(super) fn run(socket: std::net::UdpSocket, stop: &UnixStream) -> io::Result<()> {
    super::tokio::run_task(socket, stop, |socket| async move {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let mut buffers = vec![0; BATCH * LONGEST];
        let mut metas = [RecvMeta::default(); BATCH];
        loop {
            let count = receive(&socket, &state, &mut buffers, &mut metas).await?;
            for (meta, buffer) in metas.iter().zip(buffers.chunks(LONGEST)).take(count) {
                let transmit = Transmit {
                    destination: meta.addr,
                    ecn: None,
                    contents: &buffer[..meta.len],
                    segment_size: (meta.stride < meta.len).then_some(meta.stride),
                    src_ip: None,
                };
                let send = || state.try_send(UdpSockRef::from(&socket), &transmit);
                socket.async_io(Interest::WRITABLE, send).await?;
            }
        }
    })
}

/// Waits for messages, and returns how many came.
async fn receive(
    socket: &UdpSocket,
    state: &UdpSocketState,
    buffers: &mut [u8],
    metas: &mut [RecvMeta; BATCH],
) -> io::Result<usize> {
    let receive = || {
        let mut chunks = buffers.chunks_mut(LONGEST);
        let mut slices: [_; BATCH] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        state.recv(UdpSockRef::from(socket), &mut slices, metas)
    };
    socket.async_io(Interest::READABLE, receive).await
}

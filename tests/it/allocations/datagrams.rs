//! After warm-up a datagram allocates nothing, by itself or in a batch, by tasks and by handlers.

use std::io;
use std::net::UdpSocket as StdSocket;
use std::sync::mpsc;

use crate::common::counting::allocations;
use crate::common::{ANY, PATIENCE, Server};
use corepoll::net::UdpSocket;
use corepoll::net::udp::RecvBatch;
use corepoll::{Action, EvContext, EvHandler, Interest, block_on};

fn peer() -> StdSocket {
    let peer = StdSocket::bind(ANY).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer
}

#[test]
fn datagrams_of_a_task_allocate_nothing() {
    block_on(async {
        let (socket, peer) = (UdpSocket::bind(ANY).await?, peer());
        let (here, mut bytes) = (socket.local_addr()?, [0; 1500]);
        let mut batch = RecvBatch::new(8, 1500);
        let mut before = 0;
        for round in 0..300 {
            if round == 100 {
                before = allocations();
            }
            for number in 0..8 {
                peer.send_to(&[number; 100], here)?;
            }
            let mut count = 0;
            while count < 4 {
                let (length, from) = socket.recv_from(&mut bytes).await?;
                socket.send_to(&bytes[..length], from).await?;
                count += 1;
            }
            while count < 8 {
                count += socket.recv_batch(&mut batch).await?;
                socket.send_batch(&batch).await?;
            }
            for _ in 0..8 {
                peer.recv(&mut bytes)?;
            }
        }
        assert_eq!(allocations() - before, 0);
        io::Result::Ok(())
    })
    .unwrap();
}

/// Sends back, and tells how much its thread has allocated.
struct Echo(RecvBatch, mpsc::SyncSender<u64>);

impl EvHandler for Echo {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let (count, from) = cx.recv_from(&mut [0; 1500])?;
        cx.send_to(&[0; 1500][..count], from)?;
        let _ = self.1.try_send(allocations());
        cx.recv_batch(&mut self.0)?;
        cx.send_batch(&self.0)?;
        Ok(Action::Keep)
    }
}

#[test]
fn datagrams_of_a_handler_allocate_nothing() {
    let server = Server::start(1);
    // With room for one, which is allocated now.
    let (tell, told) = mpsc::sync_channel(1);
    let (socket, peer) = (StdSocket::bind(ANY).unwrap(), peer());
    let here = socket.local_addr().unwrap();
    let make = move || Echo(RecvBatch::new(8, 1500), tell);
    server.poller().register(socket.into(), Interest::READABLE, make).unwrap();
    let mut allocated = Vec::new();
    for _ in 0..300 {
        for number in 0..8 {
            peer.send_to(&[number; 100], here).unwrap();
        }
        for _ in 0..8 {
            peer.recv(&mut [0; 1500]).unwrap();
        }
        allocated.extend(told.try_iter());
    }
    let warm = &allocated[allocated.len() / 3..];
    assert_eq!(warm.last(), warm.first(), "{warm:?}");
}

//! Of sockets, whatever comes in whatever order: datagrams of any size into buffers of any size, and
//! halves that write, read and go in any order.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream as Peer, UdpSocket as UdpPeer};
use std::os::unix::net::UnixDatagram as UnixPeer;

use crate::common::{self, ANY, PATIENCE, within_patience};
use corepoll::block_on;
use corepoll::net::{OwnedReadHalf, OwnedWriteHalf, TcpStream, UdpSocket, UnixDatagram};
use futures::{AsyncReadExt, AsyncWriteExt};
use proptest::collection::vec;
use proptest::prelude::*;

// ---- datagrams ----

/// A datagram's size, the size of the buffer that takes it, and whether it is looked at before.
fn datagram() -> impl Strategy<Value = (usize, usize, bool)> {
    // Zero and one more often than others.
    let size = || prop_oneof![1 => 0usize..2, 3 => 0usize..600];
    (size(), size(), any::<bool>())
}

fn bytes_of(number: usize, size: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 7 + number) as u8).collect()
}

/// What a buffer of `size` gets of `bytes`, given what it got.
fn assert_cut(bytes: &[u8], size: usize, count: usize, buffer: &[u8]) {
    assert_eq!(count, bytes.len().min(size));
    assert_eq!(&buffer[..count], &bytes[..count]);
    assert!(buffer[count..].iter().all(|byte| *byte == 0xee), "nothing beyond it is written");
}

/// The two kinds of socket have the same methods, but no trait.
macro_rules! each_is_cut_where_its_buffer_ends {
    ($socket:expr, $datagrams:expr) => {
        for (number, &(sent, room, peek)) in $datagrams.iter().enumerate() {
            let bytes = bytes_of(number, sent);
            let mut buffer = vec![0xee; room];
            if peek {
                let (count, _) = $socket.peek_from(&mut buffer).await.unwrap();
                assert_cut(&bytes, room, count, &buffer);
                buffer.fill(0xee);
            }
            let count = match number % 2 {
                0 => $socket.recv(&mut buffer).await.unwrap(),
                _ => $socket.recv_from(&mut buffer).await.unwrap().0,
            };
            assert_cut(&bytes, room, count, &buffer);
        }
        let nothing = $socket.try_recv(&mut [0]).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock, "the rest of none came later");
    };
}

// ---- halves ----

#[derive(Clone, Copy, Debug)]
enum Step {
    Write(usize),
    Hear(usize),
    DropRead,
    DropWrite,
    Reunite,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1usize..3000).prop_map(Step::Write),
        4 => (1usize..3000).prop_map(Step::Hear),
        1 => Just(Step::DropRead),
        1 => Just(Step::DropWrite),
        2 => Just(Step::Reunite),
    ]
}

/// A stream in halves, and its other end.
struct Halves {
    read: Option<OwnedReadHalf>,
    write: Option<OwnedWriteHalf>,
    peer: Peer,
}

impl Halves {
    fn new() -> Halves {
        let (ours, peer) = common::tcp_pair();
        let (read, write) = TcpStream::from_std(ours).unwrap().into_split();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        Halves { read: Some(read), write: Some(write), peer }
    }

    async fn step(&mut self, number: usize, step: Step) {
        match step {
            Step::Write(size) => {
                let Some(write) = &mut self.write else { return };
                let bytes = bytes_of(number, size);
                write.write_all(&bytes).await.unwrap();
                assert_eq!(common::read_exactly(&self.peer, size), bytes);
            }
            Step::Hear(size) => {
                let Some(read) = &mut self.read else { return };
                let (bytes, mut got) = (bytes_of(number, size), vec![0; size]);
                self.peer.write_all(&bytes).unwrap();
                read.read_exact(&mut got).await.unwrap();
                assert_eq!(got, bytes);
            }
            Step::DropRead => self.read = None,
            Step::DropWrite if self.write.take().is_some() => {
                // Whether the other half is there or not, this direction has ended.
                assert_eq!(self.peer.read(&mut [0]).unwrap(), 0);
            }
            Step::DropWrite => {}
            Step::Reunite => {
                if let (Some(read), Some(write)) = (self.read.take(), self.write.take()) {
                    let (read, write) = read.reunite(write).unwrap().into_split();
                    (self.read, self.write) = (Some(read), Some(write));
                } else {
                    // One alone can't: both have gone by now, and with them the connection.
                    assert!(common::is_ended(&self.peer));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 8, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_udp_datagram_is_cut_where_its_buffer_ends_and_no_other(
        datagrams in vec(datagram(), 1..30)
    ) {
        within_patience(move || block_on(async {
            let socket = UdpSocket::bind(ANY).await.unwrap();
            let peer = UdpPeer::bind(ANY).unwrap();
            for (number, &(sent, ..)) in datagrams.iter().enumerate() {
                peer.send_to(&bytes_of(number, sent), socket.local_addr().unwrap()).unwrap();
            }
            each_is_cut_where_its_buffer_ends!(socket, datagrams);
        }));
    }

    /// Fewer: a queue of Unix datagrams may hold ten (net.unix.max_dgram_qlen).
    #[test]
    fn a_unix_datagram_is_cut_where_its_buffer_ends_and_no_other(
        datagrams in vec(datagram(), 1..10)
    ) {
        within_patience(move || block_on(async {
            let (ours, peer) = UnixPeer::pair().unwrap();
            let socket = UnixDatagram::from_std(ours).unwrap();
            for (number, &(sent, ..)) in datagrams.iter().enumerate() {
                peer.send(&bytes_of(number, sent)).unwrap();
            }
            each_is_cut_where_its_buffer_ends!(socket, datagrams);
        }));
    }

    #[test]
    fn halves_work_and_go_in_any_order(steps in vec(step(), 1..20)) {
        within_patience(move || block_on(async {
            let mut halves = Halves::new();
            for (number, step) in steps.into_iter().enumerate() {
                halves.step(number, step).await;
            }
            let peer = halves.peer.try_clone().unwrap();
            drop((halves.read, halves.write));
            assert!(common::is_ended(&peer));
        }));
    }
}

//! Handlers of datagrams: each comes with its sender, by itself or in a batch, and a flood of them is
//! told in pieces.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use crate::common::{ANY, PATIENCE, Server, read_to_end, tcp_pair};
use corepoll::net::udp::{Message, RecvBatch};
use corepoll::{Action, EvContext, EvHandler, Interest, block_on, time};

/// A socket of std's that cannot hang.
fn peer_at(addr: &str) -> UdpSocket {
    let socket = UdpSocket::bind(addr).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Does what it is told in `on_read`.
struct Scripted<R>(R);

impl<R> EvHandler for Scripted<R>
where
    R: FnMut(&mut EvContext<'_>) -> io::Result<Action> + 'static,
{
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        (self.0)(cx)
    }
}

/// Registers a socket at `addr`, which nothing is connected to, and returns its address.
fn serve<R>(server: &Server, addr: &str, interest: Interest, read: R) -> SocketAddr
where
    R: FnMut(&mut EvContext<'_>) -> io::Result<Action> + Send + 'static,
{
    let socket = UdpSocket::bind(addr).unwrap();
    let addr = socket.local_addr().unwrap();
    server.poller().register(socket.into(), interest, || Scripted(read)).unwrap();
    addr
}

/// Bytes that no other number has.
fn datagram(number: usize, length: usize) -> Vec<u8> {
    (0..length).map(|place| (number * 7 + place * 31) as u8).collect()
}

/// Two peers ask in turns, each several times before it hears the answers.
fn ask_from_two(ip: &str, addr: SocketAddr) {
    let peers = [peer_at(ip), peer_at(ip)];
    let mut bytes = [0; 2000];
    for round in 0..100 {
        for number in 0..8 {
            peers[number % 2].send_to(&datagram(round + number, number * 200), addr).unwrap();
        }
        for number in 0..8 {
            let (count, from) = peers[number % 2].recv_from(&mut bytes).unwrap();
            assert_eq!(from, addr);
            assert_eq!(&bytes[..count], datagram(round + number, number * 200));
        }
    }
}

#[test]
fn datagrams_are_answered_one_by_one() {
    let server = Server::start(1);
    for ip in ["127.0.0.1:0", "[::1]:0"] {
        for interest in [Interest::READABLE, Interest::READABLE.edge()] {
            let mut bytes = vec![0; 2000];
            let addr = serve(&server, ip, interest, move |cx| {
                loop {
                    let (count, peer) = cx.recv_from(&mut bytes)?;
                    assert_eq!(cx.send_to(&bytes[..count], peer)?, count);
                }
            });
            ask_from_two(ip, addr);
        }
    }
}

#[test]
fn datagrams_are_answered_in_batches() {
    let server = Server::start(1);
    for ip in ["127.0.0.1:0", "[::1]:0"] {
        for interest in [Interest::READABLE, Interest::READABLE.edge()] {
            let mut batch = RecvBatch::new(5, 2000);
            let addr = serve(&server, ip, interest, move |cx| {
                loop {
                    let count = cx.recv_batch(&mut batch)?;
                    assert_eq!(cx.send_batch(&batch)?, count);
                }
            });
            ask_from_two(ip, addr);
        }
    }
}

#[test]
#[allow(unsafe_code)]
fn joined_datagrams_are_sent_on_as_they_came() {
    let server = Server::start(1);
    let (mut batch, mut is_first) = (RecvBatch::new(8, 65_535), true);
    let addr = serve(&server, ANY, Interest::READABLE, move |cx| {
        // What has come before is not joined any more.
        if std::mem::take(&mut is_first) {
            cx.set_gro(true)?;
        }
        cx.recv_batch(&mut batch)?;
        for message in &batch {
            let size = message.segment_size().unwrap_or(0);
            cx.send_to(&size.to_be_bytes(), message.peer().expect("it has one"))?;
        }
        cx.send_batch(&batch)?;
        Ok(Action::Keep)
    });
    let peer = peer_at(ANY);
    peer.connect(addr).unwrap();
    let mut bytes = [0; 2000];
    peer.send(b"hello").unwrap();
    peer.recv(&mut bytes).unwrap();
    peer.recv(&mut bytes).unwrap();
    let size = 1000i32;
    // SAFETY: the option takes an int, which is readable for its size.
    let answer = unsafe {
        let (value, length) = ((&raw const size).cast(), size_of_val(&size) as libc::socklen_t);
        libc::setsockopt(peer.as_raw_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, value, length)
    };
    assert_eq!(answer, 0);
    let sent = datagram(1, 5500);
    peer.send(&sent).unwrap();
    assert_eq!(peer.recv(&mut bytes).unwrap(), 8);
    assert_eq!(bytes[..8], 1000usize.to_be_bytes());
    for expected in sent.chunks(1000) {
        let count = peer.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..count], expected);
    }
}

/// A batch of the largest size may not take more than the event may read.
#[test]
fn a_flood_is_told_in_pieces() {
    let server = Server::start(1);
    for interest in [Interest::READABLE, Interest::READABLE.edge()] {
        for size in [1, 32, 1000] {
            let socket = UdpSocket::bind(ANY).unwrap();
            let peer = peer_at(ANY);
            for _ in 0..200 {
                peer.send_to(b"x", socket.local_addr().unwrap()).unwrap();
            }
            let (tell, told) = mpsc::channel();
            let mut batch = RecvBatch::new(size, 10);
            let read = move |cx: &mut EvContext<'_>| {
                let mut count = 0;
                let ended = loop {
                    match cx.recv_batch(&mut batch) {
                        Ok(more) => count += more,
                        Err(error) => break error,
                    }
                };
                let _ = tell.send((count, ended.kind()));
                Ok(Action::Keep)
            };
            server.poller().register(socket.into(), interest, || Scripted(read)).unwrap();
            // 256 KiB an event, of which each datagram counts for at least 2 KiB.
            for count in [128, 72] {
                assert_eq!(next(&told), (count, ErrorKind::WouldBlock));
            }
        }
    }
}

fn next<T>(told: &Receiver<T>) -> T {
    told.recv_timeout(PATIENCE).expect("it is told")
}

#[test]
fn an_error_of_an_earlier_datagram_is_told_and_is_not_the_end() {
    let server = Server::start(1);
    // An address that no other test has, so that its port is free again afterwards.
    let (ours, theirs) = (peer_at("127.11.5.3:0"), peer_at("127.11.5.4:0"));
    let (here, there) = (ours.local_addr().unwrap(), theirs.local_addr().unwrap());
    ours.connect(there).unwrap();
    drop(theirs);
    ours.send(b"to a closed port").unwrap();
    let (tell, told) = mpsc::channel();
    let mut batch = RecvBatch::new(8, 100);
    let read = move |cx: &mut EvContext<'_>| {
        let _ = tell.send(match cx.recv_batch(&mut batch) {
            Ok(_) => String::from_utf8_lossy(batch.get(0).expect("one").bytes()).into_owned(),
            Err(error) => format!("{:?}", error.kind()),
        });
        Ok(Action::Keep)
    };
    server.poller().register(ours.into(), Interest::READABLE, || Scripted(read)).unwrap();
    assert_eq!(next(&told), "ConnectionRefused");
    UdpSocket::bind(there).unwrap().send_to(b"it goes on", here).unwrap();
    assert_eq!(next(&told), "it goes on");
}

#[test]
fn what_is_no_socket_for_datagrams_is_told_so() {
    let server = Server::start(1);
    let (tell, told) = mpsc::channel();
    let (near, far) = tcp_pair();
    let read = move |cx: &mut EvContext<'_>| {
        let peer = cx.peer_addr()?;
        let _ = tell.send([
            cx.recv_batch(&mut RecvBatch::new(8, 100)).unwrap_err().kind(),
            cx.recv_from(&mut [0; 100]).unwrap_err().kind(),
            cx.send_batch([Message::to_connected(b"x")]).unwrap_err().kind(),
            cx.send_to(b"x", peer).unwrap_err().kind(),
        ]);
        // Nothing was taken.
        assert_eq!(&*cx.read()?, b"bytes");
        cx.write(b"bytes")?;
        Ok(Action::Close)
    };
    server.poller().register(near.into(), Interest::READABLE, || Scripted(read)).unwrap();
    io::Write::write_all(&mut &far, b"bytes").unwrap();
    assert_eq!(next(&told), [ErrorKind::InvalidInput; 4]);
    assert_eq!(read_to_end(&far), b"bytes");
}

/// Their addresses are none of IP.
#[test]
fn datagrams_of_unix_come_in_batches_without_a_sender() {
    let server = Server::start(1);
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    theirs.set_read_timeout(Some(PATIENCE)).unwrap();
    for text in ["one", "", "three"] {
        theirs.send(text.as_bytes()).unwrap();
    }
    let (tell, told) = mpsc::channel();
    let mut batch = RecvBatch::new(8, 100);
    let read = move |cx: &mut EvContext<'_>| {
        cx.recv_batch(&mut batch)?;
        let seen: Vec<_> = batch.iter().map(|it| (it.bytes().to_vec(), it.peer())).collect();
        let _ = tell.send(seen);
        cx.send_batch(&batch)?;
        Ok(Action::Keep)
    };
    server.poller().register(ours.into(), Interest::READABLE, || Scripted(read)).unwrap();
    let expected = ["one", "", "three"].map(|text| (text.as_bytes().to_vec(), None));
    assert_eq!(next(&told), expected);
    for text in ["one", "", "three"] {
        let mut bytes = [0; 100];
        let count = theirs.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..count], text.as_bytes());
    }
}

/// A handler that has closed its connection sends nothing more.
#[test]
fn what_is_ending_sends_nothing() {
    let server = Server::start(1);
    let (tell, told) = mpsc::channel();
    let addr = serve(&server, ANY, Interest::READABLE, move |cx| {
        let (_, peer) = cx.recv_from(&mut [0; 100])?;
        cx.send_to(b"last", peer)?;
        let me = cx.token();
        cx.close(me);
        let _ = tell.send([
            cx.send_to(b"later", peer).unwrap_err().kind(),
            cx.send_batch([Message::new(b"later", peer)]).unwrap_err().kind(),
        ]);
        Ok(Action::Keep)
    });
    let peer = peer_at(ANY);
    peer.send_to(b"hello", addr).unwrap();
    assert_eq!(next(&told), [ErrorKind::BrokenPipe; 2]);
    let mut bytes = [0; 100];
    let count = peer.recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..count], b"last");
}

/// Datagrams that are never at an end keep neither a timer nor another connection.
#[test]
fn a_flood_leaves_the_others_their_turn() {
    let server = Server::start(1);
    let mut batch = RecvBatch::new(32, 100);
    let flood = serve(&server, ANY, Interest::READABLE, move |cx| {
        let me = cx.local_addr()?;
        cx.recv_batch(&mut batch)?;
        // Back to itself: it always has some.
        cx.send_batch(batch.iter().map(|message| Message::new(message.bytes(), me)))?;
        Ok(Action::Keep)
    });
    let mut bytes = vec![0; 100];
    let quiet = serve(&server, ANY, Interest::READABLE, move |cx| {
        let (count, peer) = cx.recv_from(&mut bytes)?;
        cx.send_to(&bytes[..count], peer)?;
        Ok(Action::Keep)
    });
    let peer = peer_at(ANY);
    for _ in 0..50 {
        peer.send_to(b"round", flood).unwrap();
    }
    for _ in 0..100 {
        peer.send_to(b"are you there?", quiet).unwrap();
        assert_eq!(peer.recv(&mut [0; 100]).unwrap(), 14);
    }
    let pause = Duration::from_millis(1);
    block_on(server.poller().spawn_on(move || time::sleep(pause))).unwrap();
}

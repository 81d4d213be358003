//! Batches of datagrams: whole and in order, with their senders, split where the kernel has joined them;
//! told honestly where only some go out; and a flood of them holds nothing up.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket as StdSocket};
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use crate::common::{ANY, PATIENCE, within_patience};
use corepoll::net::UdpSocket;
use corepoll::net::udp::{Message, RecvBatch};
use corepoll::{block_on, coop, spawn_local, time, yield_now};
use futures::{future, poll};

/// A socket of std's that cannot hang.
fn peer_at(addr: &str) -> StdSocket {
    let socket = StdSocket::bind(addr).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn peer() -> StdSocket {
    peer_at(ANY)
}

fn in_a_poller<T: Send + 'static, F: Future<Output = io::Result<T>>>(
    make: impl FnOnce() -> F + Send + 'static,
) -> T {
    within_patience(|| block_on(make()).unwrap())
}

/// Bytes that no other number has.
fn datagram(number: usize, length: usize) -> Vec<u8> {
    (0..length).map(|place| (number * 7 + place * 31 + (place >> 8)) as u8).collect()
}

/// Has the kernel split what `socket` sends into datagrams of `size` bytes, by the option of the
/// socket: corepoll says so by control messages.
#[allow(unsafe_code)]
fn split_by(socket: &StdSocket, size: i32) {
    let (name, length) = (libc::UDP_SEGMENT, size_of::<i32>() as libc::socklen_t);
    // SAFETY: the option takes an int, which is readable for its size.
    let answer = unsafe {
        let size = (&raw const size).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, name, size, length)
    };
    assert_eq!(answer, 0, "{}", io::Error::last_os_error());
}

/// Receives all that is there, in batches.
async fn receive(
    socket: &UdpSocket,
    batch: &mut RecvBatch,
    count: usize,
) -> io::Result<Vec<Vec<u8>>> {
    let mut received = Vec::new();
    while received.len() < count {
        socket.recv_batch(batch).await?;
        for message in &*batch {
            assert!(!message.is_truncated());
            received.extend(message.datagrams().map(<[u8]>::to_vec));
        }
    }
    Ok(received)
}

// ---- receiving ----

#[test]
fn a_batch_has_what_came_in_order_with_its_senders() {
    in_a_poller(|| async {
        for ip in ["127.0.0.1:0", "[::1]:0"] {
            let socket = UdpSocket::bind(ip).await?;
            let to = socket.local_addr()?;
            let peers = [peer_at(ip), peer_at(ip)];
            let lengths = [3, 0, 1200, 1, 1500, 64, 0, 9000];
            for (number, length) in lengths.into_iter().enumerate() {
                peers[number % 2].send_to(&datagram(number, length), to)?;
            }
            let mut batch = RecvBatch::new(16, 10_000);
            assert_eq!(socket.recv_batch(&mut batch).await?, lengths.len());
            assert_eq!(batch.len(), lengths.len());
            for (number, message) in batch.iter().enumerate() {
                assert_eq!(message.bytes(), datagram(number, lengths[number]));
                assert_eq!(message.peer(), Some(peers[number % 2].local_addr()?));
                assert_eq!((message.segment_size(), message.datagrams().len()), (None, 1));
                assert!(!message.is_truncated());
            }
        }
        Ok(())
    });
}

#[test]
fn a_batch_takes_as_many_as_it_has_room_for() {
    in_a_poller(|| async {
        let socket = UdpSocket::bind(ANY).await?;
        let (from, to) = (peer(), socket.local_addr()?);
        let mut batch = RecvBatch::new(32, 100);
        for number in 0..100u8 {
            from.send_to(&[number], to)?;
        }
        let mut numbers = Vec::new();
        for count in [32, 32, 32, 4] {
            assert_eq!(socket.recv_batch(&mut batch).await?, count);
            numbers.extend(batch.iter().map(|message| message.bytes()[0]));
        }
        assert!(numbers.into_iter().eq(0..100));
        // There is nothing left, and nothing of the last batch.
        let error = socket.try_recv_batch(&mut batch).unwrap_err();
        assert_eq!((error.kind(), batch.len()), (ErrorKind::WouldBlock, 0));
        assert!(batch.get(0).is_none() && batch.iter().next().is_none());
        from.send_to(b"more", to)?;
        assert_eq!(socket.recv_batch(&mut batch).await?, 1);
        Ok(())
    });
}

/// A batch that isn't full is taken for an empty queue: each datagram after it must wake the task.
#[test]
fn no_datagram_is_overlooked_behind_a_batch_that_is_not_full() {
    in_a_poller(|| async {
        let socket = UdpSocket::bind(ANY).await?;
        let to = socket.local_addr()?;
        let asking = thread::spawn(move || {
            let (peer, mut answer) = (peer(), [0; 2000]);
            for round in 0..2000 {
                // Some come while the others are received.
                let burst = round % 7 + 1;
                for number in 0..burst {
                    peer.send_to(&datagram(round + number, round % 900), to).unwrap();
                }
                for number in 0..burst {
                    let (count, from) = peer.recv_from(&mut answer).unwrap();
                    assert_eq!(&answer[..count], datagram(round + number, round % 900));
                    assert_eq!(from, to);
                }
            }
            peer.send_to(b"end", to).unwrap();
        });
        let mut batch = RecvBatch::new(4, 2000);
        loop {
            let count = socket.recv_batch(&mut batch).await?;
            if batch.iter().any(|message| message.bytes() == b"end") {
                break;
            }
            assert_eq!(socket.send_batch(&batch).await?, count);
        }
        asking.join().unwrap();
        Ok(())
    });
}

#[test]
fn what_a_message_has_no_room_for_is_lost_and_said_to_be() {
    in_a_poller(|| async {
        let socket = UdpSocket::bind(ANY).await?;
        let (from, to) = (peer(), socket.local_addr()?);
        for text in ["0123456789", "0123", ""] {
            from.send_to(text.as_bytes(), to)?;
        }
        let mut batch = RecvBatch::new(8, 4);
        socket.recv_batch(&mut batch).await?;
        let seen: Vec<_> = batch.iter().map(|it| (it.bytes(), it.is_truncated())).collect();
        assert_eq!(seen, [(&b"0123"[..], true), (b"0123", false), (b"", false)]);
        Ok(())
    });
}

#[test]
fn an_error_of_an_earlier_datagram_is_told_once() {
    in_a_poller(|| async {
        // An address that no other test has, so that its port stays free.
        let gone = StdSocket::bind("127.11.6.2:0")?.local_addr()?;
        let socket = UdpSocket::bind(ANY).await?;
        socket.connect(gone).await?;
        assert_eq!(socket.send_batch([Message::to_connected(b"hello?")]).await?, 1);
        let mut batch = RecvBatch::new(8, 100);
        let error = socket.recv_batch(&mut batch).await.unwrap_err();
        assert_eq!((error.kind(), batch.len()), (ErrorKind::ConnectionRefused, 0));
        let back = peer_at(&gone.to_string());
        assert_eq!(socket.send_batch([Message::to_connected(b"hello!")]).await?, 1);
        assert_eq!(back.recv(&mut [0; 10])?, 6);
        for number in 0..3u8 {
            back.send_to(&[number], socket.local_addr()?)?;
        }
        // After an error has been reported, a batch that is not full proves nothing any more.
        assert_eq!(receive(&socket, &mut batch, 3).await?, [[0], [1], [2]]);
        back.send_to(b"again", socket.local_addr()?)?;
        assert_eq!(receive(&socket, &mut batch, 1).await?, [b"again"]);
        Ok(())
    });
}

#[test]
fn a_receive_that_is_dropped_loses_no_datagram() {
    in_a_poller(|| async {
        let socket = UdpSocket::bind(ANY).await?;
        let from = peer();
        let mut batch = RecvBatch::new(8, 100);
        for round in 0..100u8 {
            {
                let mut receive = pin!(socket.recv_batch(&mut batch));
                assert!(poll!(receive.as_mut()).is_pending());
                from.send_to(&[round], socket.local_addr()?)?;
                // Dropped before it is polled again, and after it was woken in every second round.
                if round % 2 == 0 {
                    socket.readable().await?;
                }
            }
            assert_eq!(socket.recv_batch(&mut batch).await?, 1);
            assert_eq!(batch.get(0).unwrap().bytes(), [round]);
        }
        Ok(())
    });
}

#[test]
fn each_of_many_waiting_tasks_gets_its_share() {
    in_a_poller(|| async {
        let socket = Rc::new(UdpSocket::bind(ANY).await?);
        let seen = Rc::new(RefCell::new(Vec::new()));
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let (socket, seen) = (socket.clone(), seen.clone());
                spawn_local(async move {
                    let mut batch = RecvBatch::new(2, 100);
                    while seen.borrow().len() < 40 {
                        socket.recv_batch(&mut batch).await?;
                        seen.borrow_mut().extend(batch.iter().map(|it| it.bytes()[0]));
                    }
                    io::Result::Ok(())
                })
            })
            .collect();
        yield_now().await;
        let from = peer();
        for number in 0..40u8 {
            from.send_to(&[number], socket.local_addr()?)?;
        }
        let (first, _, rest) = future::select_all(tasks).await;
        first??;
        rest.into_iter().for_each(|task| task.abort());
        seen.borrow_mut().sort_unstable();
        assert!(seen.borrow().iter().copied().eq(0..40));
        Ok(())
    });
}

// ---- sending ----

#[test]
fn messages_go_to_their_peers_in_order() {
    in_a_poller(|| async {
        for ip in ["127.0.0.1:0", "[::1]:0"] {
            let socket = UdpSocket::bind(ip).await?;
            let peers = [peer_at(ip), peer_at(ip)];
            let addrs = [peers[0].local_addr()?, peers[1].local_addr()?];
            let datagrams: Vec<_> = (0..20).map(|number| datagram(number, number * 70)).collect();
            let messages: Vec<_> = datagrams
                .iter()
                .enumerate()
                .map(|(number, bytes)| Message::new(bytes, addrs[number % 2]))
                .collect();
            assert_eq!(socket.send_batch(&messages).await?, 20);
            let mut bytes = [0; 2000];
            for (number, sent) in datagrams.iter().enumerate() {
                let (count, from) = peers[number % 2].recv_from(&mut bytes)?;
                assert_eq!((&bytes[..count], from), (&sent[..], socket.local_addr()?));
            }
        }
        Ok(())
    });
}

#[test]
fn how_many_were_sent_is_told() {
    in_a_poller(|| async {
        let socket = UdpSocket::bind(ANY).await?;
        let to = peer();
        let addr = to.local_addr()?;
        let too_long = vec![0; 70_000];
        // None at all, more than one call takes, and up to one that fails.
        assert_eq!(socket.send_batch(&[]).await?, 0);
        assert_eq!(socket.try_send_batch(&[])?, 0);
        let messages = [Message::new(b"x", addr); 100];
        assert_eq!(socket.send_batch(&messages).await?, 64);
        assert_eq!(socket.try_send_batch(&messages[64..])?, 36);
        let messages =
            [&b"one"[..], b"two", &too_long, b"three"].map(|bytes| Message::new(bytes, addr));
        assert_eq!(socket.send_batch(messages).await?, 2);
        let error = socket.send_batch(&messages[2..]).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
        assert_eq!(socket.send_batch(&messages[3..]).await?, 1);
        let mut bytes = [0; 10];
        for _ in 0..100 {
            assert_eq!(to.recv(&mut bytes)?, 1);
        }
        for text in ["one", "two", "three"] {
            let count = to.recv(&mut bytes)?;
            assert_eq!(&bytes[..count], text.as_bytes());
        }
        Ok(())
    });
}

// ---- messages of several datagrams ----

/// Asserts that `peer` receives `bytes` in datagrams of `size` bytes.
#[track_caller]
fn assert_split(peer: &StdSocket, bytes: &[u8], size: usize) {
    let mut buffer = vec![0; 2000];
    for expected in bytes.chunks(size) {
        let count = peer.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], expected);
    }
}

#[test]
fn a_message_is_split_where_it_says() {
    in_a_poller(|| async {
        for ip in ["127.0.0.1:0", "[::1]:0"] {
            let socket = UdpSocket::bind(ip).await?;
            let to = peer_at(ip);
            let addr = to.local_addr()?;
            for (length, size) in [(64 * 64, 64), (54 * 1200, 1200), (3 * 1200 + 1, 1200), (5, 2)] {
                let bytes = datagram(length, length);
                let message = Message::new(&bytes, addr).with_segment_size(size);
                assert_eq!(socket.send_batch([message]).await?, 1);
                assert_split(&to, &bytes, size);
            }
            // Among others, and for one datagram, which needs no split.
            let bytes = datagram(1, 2500);
            let one = Message::new(&bytes[..1000], addr);
            let messages = [
                one,
                Message::new(&bytes, addr).with_segment_size(1000),
                one.with_segment_size(1000),
                one.with_segment_size(usize::MAX),
                one.with_segment_size(0),
            ];
            assert_eq!(socket.send_batch(messages).await?, 5);
            assert_split(&to, &bytes[..1000], 1000);
            assert_split(&to, &bytes, 1000);
            (0..3).for_each(|_| assert_split(&to, &bytes[..1000], 1000));
        }
        Ok(())
    });
}

/// The sender splits by its own option, the kernel joins again, and the message says where.
#[test]
fn joined_datagrams_come_apart_as_they_were() {
    in_a_poller(|| async {
        let socket = UdpSocket::bind(ANY).await?;
        let to = socket.local_addr()?;
        socket.set_gro(true)?;
        let mut batch = RecvBatch::new(8, 65_535);
        for (size, length) in [(64, 64 * 64), (1200, 40 * 1200), (1200, 3 * 1200 + 7), (300, 300)] {
            let from = peer();
            split_by(&from, size as i32);
            let bytes = datagram(length, length);
            from.send_to(&bytes, to)?;
            // Beside one that is not joined with them.
            from.send_to(b"alone", to)?;
            socket.readable().await?;
            let mut received = Vec::new();
            let mut joined = 0;
            let expected = length.div_ceil(size) + 1;
            while received.len() < expected {
                socket.recv_batch(&mut batch).await?;
                for message in &batch {
                    assert!(!message.is_truncated());
                    assert_eq!(message.peer(), Some(from.local_addr()?));
                    joined += usize::from(message.segment_size() == Some(size));
                    received.extend(message.datagrams().map(<[u8]>::to_vec));
                }
            }
            let mut sent: Vec<_> = bytes.chunks(size).map(<[u8]>::to_vec).collect();
            sent.push(b"alone".to_vec());
            assert_eq!(received, sent);
            // On this machine the kernel passes on as one what was sent as one.
            assert_eq!(joined, usize::from(length > size));
        }
        Ok(())
    });
}

#[test]
fn without_gro_each_datagram_comes_by_itself() {
    in_a_poller(|| async {
        let socket = UdpSocket::bind(ANY).await?;
        let (from, bytes) = (peer(), datagram(5, 10_500));
        split_by(&from, 1000);
        let mut batch = RecvBatch::new(32, 65_535);
        for turns in [[true, false], [false, false]] {
            for gro in turns {
                socket.set_gro(gro)?;
            }
            from.send_to(&bytes, socket.local_addr()?)?;
            let received = receive(&socket, &mut batch, 11).await?;
            assert!(received.iter().map(Vec::as_slice).eq(bytes.chunks(1000)));
            assert!(batch.iter().all(|message| message.segment_size().is_none()));
        }
        Ok(())
    });
}

#[test]
fn joined_datagrams_are_sent_on_as_they_came() {
    in_a_poller(|| async {
        let socket = UdpSocket::bind(ANY).await?;
        socket.set_gro(true)?;
        let to = socket.local_addr()?;
        let asking = thread::spawn(move || {
            let peer = peer();
            for round in 0..50 {
                let (size, count) = (1 + round * 20, 1 + round % 40);
                let bytes = datagram(round, size * count - round % 2 * (size / 2));
                split_by(&peer, size as i32);
                peer.send_to(&bytes, to).unwrap();
                assert_split(&peer, &bytes, size);
            }
            split_by(&peer, 0);
            peer.send_to(b"end", to).unwrap();
        });
        let mut batch = RecvBatch::new(8, 65_535);
        loop {
            let count = socket.recv_batch(&mut batch).await?;
            if batch.iter().any(|message| message.bytes() == b"end") {
                break;
            }
            assert_eq!(socket.send_batch(&batch).await?, count);
        }
        asking.join().unwrap();
        Ok(())
    });
}

#[test]
fn a_message_that_cannot_be_split_says_so() {
    in_a_poller(|| async {
        let socket = UdpSocket::bind(ANY).await?;
        let to = peer();
        // More datagrams than any kernel takes, in a message that is long and in one that is short.
        for length in [1000, 65_000] {
            let bytes = vec![7; length];
            let message = Message::new(&bytes, to.local_addr()?).with_segment_size(length / 1000);
            let error = socket.send_batch([message]).await.unwrap_err();
            assert!(error.to_string().contains("UDP_SEGMENT"), "{error}");
            let cause = std::error::Error::source(&error);
            let cause = cause.and_then(|it| it.downcast_ref::<io::Error>()).expect("a source");
            assert_eq!(cause.raw_os_error(), Some(libc::EINVAL), "{error}");
        }
        // One by one they go.
        let message = Message::new(b"onetwo", to.local_addr()?).with_segment_size(3);
        assert_eq!(socket.send_batch(message.split()).await?, 2);
        assert_split(&to, b"onetwo", 3);
        Ok(())
    });
}

// ---- the others ----

/// A task may receive 128 datagrams in one poll, however it receives them.
#[test]
fn a_batch_counts_by_its_messages() {
    in_a_poller(|| async {
        let socket = UdpSocket::bind(ANY).await?;
        let (from, to) = (peer(), socket.local_addr()?);
        for size in [1, 10, 32, 1000] {
            for _ in 0..200 {
                from.send_to(b"x", to)?;
            }
            let received = Cell::new(0);
            let receive = async {
                let mut batch = RecvBatch::new(size, 10);
                while received.get() < 200 {
                    received.set(received.get() + socket.recv_batch(&mut batch).await?);
                }
                io::Result::Ok(())
            };
            let mut receive = pin!(receive);
            let mut most = 0;
            poll_fn(|cx| {
                let before = received.get();
                let polled = receive.as_mut().poll(cx);
                most = most.max(received.get() - before);
                polled
            })
            .await?;
            assert!(most <= 128, "{most} in one poll, with batches of {size}");
        }
        // Without the limit it is one poll.
        for _ in 0..200 {
            from.send_to(b"x", to)?;
        }
        let mut batch = RecvBatch::new(1000, 10);
        assert_eq!(coop::unconstrained(socket.recv_batch(&mut batch)).await?, 200);
        Ok(())
    });
}

#[test]
fn a_flood_leaves_the_others_their_turn() {
    in_a_poller(|| async {
        let socket = UdpSocket::bind(ANY).await?;
        let addr = socket.local_addr()?;
        // It is never without datagrams: those that it takes are sent again.
        for _ in 0..50 {
            socket.send_to(b"round", addr).await?;
        }
        let flood = spawn_local(async move {
            let mut batch = RecvBatch::new(32, 1500);
            loop {
                socket.recv_batch(&mut batch).await?;
                socket.send_batch(&batch).await?;
            }
            #[allow(unreachable_code)]
            io::Result::Ok(())
        });
        let quiet = UdpSocket::bind(ANY).await?;
        let here = quiet.local_addr()?;
        let asking = thread::spawn(move || {
            let peer = peer();
            for _ in 0..20 {
                peer.send_to(b"are you there?", here).unwrap();
                peer.recv(&mut [0; 32]).unwrap();
            }
        });
        let mut bytes = [0; 32];
        for _ in 0..20 {
            let (count, from) = quiet.recv_from(&mut bytes).await?;
            quiet.send_to(&bytes[..count], from).await?;
            time::sleep(Duration::from_millis(1)).await;
        }
        asking.join().unwrap();
        assert!(!flood.is_finished());
        flood.abort();
        Ok(())
    });
}

#[test]
fn a_batch_may_be_made_elsewhere_and_takes_every_number() {
    fn is_send_and_sync<T: Send + Sync>(value: T) -> T {
        value
    }
    assert_eq!(is_send_and_sync(RecvBatch::new(0, 0)).capacity(), 1);
    assert_eq!(RecvBatch::new(usize::MAX, 1).capacity(), 1024);
    let mut large = is_send_and_sync(RecvBatch::new(1, usize::MAX));
    in_a_poller(move || async move {
        let socket = UdpSocket::bind(ANY).await?;
        let longest = vec![7; 65_507];
        socket.send_to(&longest, socket.local_addr()?).await?;
        assert_eq!(socket.recv_batch(&mut large).await?, 1);
        assert!(large.get(0).unwrap().bytes() == longest);
        Ok(())
    });
    let nowhere: SocketAddr = ANY.parse().unwrap();
    let lengths = |bytes: &[u8], size| -> Vec<usize> {
        Message::new(bytes, nowhere).with_segment_size(size).datagrams().map(<[u8]>::len).collect()
    };
    assert_eq!(lengths(b"", 0), [0]);
    assert_eq!(lengths(b"", 5), [0]);
    assert_eq!(lengths(b"1234", 1), [1; 4]);
    assert_eq!(lengths(b"1234", 3), [3, 1]);
    assert_eq!(lengths(b"1234", usize::MAX), [4]);
}

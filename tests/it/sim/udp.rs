//! Programs over UDP: what is lost is lost, and what is sent later may come first.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use corepoll::net::UdpSocket;
use corepoll::net::udp::{Message, RecvBatch};
use corepoll::sim::{Faults, Simulation};
use corepoll::{Action, EvContext, EvHandler, Interest, PollerHandle, time};

use super::ms;

/// Adds a host whose task sends each datagram back.
fn add_echo(sim: &mut Simulation) {
    sim.host("server", || async {
        let socket = UdpSocket::bind("0.0.0.0:7").await?;
        let mut bytes = [0; 2048];
        loop {
            let (count, from) = socket.recv_from(&mut bytes).await?;
            socket.send_to(&bytes[..count], from).await?;
        }
    });
}

/// Sends a number until its echo comes, and returns how often that was. What else comes is the echo
/// of an earlier number.
async fn ask(socket: &UdpSocket, number: u32) -> io::Result<usize> {
    let mut answer = [0; 8];
    for sent in 1.. {
        socket.send(&number.to_be_bytes()).await?;
        let answered = time::timeout(ms(200), async {
            loop {
                let count = socket.recv(&mut answer).await?;
                if answer[..count] == number.to_be_bytes() {
                    return io::Result::Ok(());
                }
            }
        });
        if let Ok(answered) = answered.await {
            return answered.map(|()| sent);
        }
    }
    unreachable!("it is asked again and again")
}

#[test]
fn a_lost_datagram_is_sent_again_by_the_program_alone() {
    let mut most = 0;
    for seed in 0..20 {
        let mut sim = Simulation::new(seed);
        add_echo(&mut sim);
        let (tell, told) = std::sync::mpsc::channel();
        sim.client("client", async move {
            let socket = UdpSocket::bind("0.0.0.0:0").await?;
            socket.connect("server:7").await?;
            for number in 0..20 {
                let _ = tell.send(ask(&socket, number).await?);
            }
            Ok(())
        });
        sim.faults(Faults::default().latency(ms(1)..ms(50)).drop(0.2));
        sim.run().unwrap();
        most = told.iter().max().unwrap().max(most);
    }
    assert!(most > 2, "of 400 requests none was lost twice");
}

#[test]
fn datagrams_overtake_each_other_where_latencies_differ() {
    let mut orders = std::collections::HashSet::new();
    for seed in 0..10 {
        let mut sim = Simulation::new(seed);
        let (tell, told) = std::sync::mpsc::channel();
        sim.host("server", move || {
            let tell = tell.clone();
            async move {
                let socket = UdpSocket::bind("0.0.0.0:7").await?;
                let mut byte = [0];
                loop {
                    socket.recv(&mut byte).await?;
                    let _ = tell.send(byte[0]);
                }
            }
        });
        sim.client("client", async {
            let socket = UdpSocket::bind("0.0.0.0:0").await?;
            for byte in 0..8 {
                socket.send_to(&[byte], "server:7").await?;
            }
            time::sleep(Duration::from_secs(1)).await;
            Ok(())
        });
        sim.faults(Faults::default().latency(ms(1)..ms(50)));
        sim.run().unwrap();
        let came: Vec<u8> = told.try_iter().collect();
        let mut sorted = came.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..8).collect::<Vec<u8>>(), "seed {seed}: nothing is lost");
        orders.insert(came);
    }
    assert!(orders.len() > 5, "{orders:?}");
}

#[test]
fn a_connected_socket_hears_that_nothing_receives() {
    let mut sim = Simulation::new(1);
    add_echo(&mut sim);
    sim.client("client", async {
        let socket = UdpSocket::bind("0.0.0.0:0").await?;
        socket.connect("server:8").await?;
        let sent = time::now();
        socket.send(b"hello").await?;
        let error = socket.recv(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(time::now() - sent >= ms(6), "the news takes its time");
        // A socket without a peer never hears of it, and a connected one goes on.
        let other = UdpSocket::bind("0.0.0.0:0").await?;
        other.send_to(b"hello", "server:8").await?;
        assert!(time::timeout(ms(999), other.recv(&mut [0; 8])).await.is_err());
        socket.connect("server:7").await?;
        ask(&socket, 1).await.map(drop)
    });
    sim.faults(Faults::default().latency(ms(3)..ms(4)));
    sim.run().unwrap();
}

#[test]
fn a_crash_takes_the_socket_with_it() {
    let mut sim = Simulation::new(1);
    add_echo(&mut sim);
    sim.client("client", async {
        let socket = UdpSocket::bind("0.0.0.0:0").await?;
        socket.connect("server:7").await?;
        assert_eq!(ask(&socket, 1).await?, 1);
        time::sleep(Duration::from_secs(1)).await;
        // A host without power does not say that nothing receives.
        let times = ask(&socket, 2).await?;
        assert!((3..=6).contains(&times), "{times}");
        Ok(())
    });
    sim.faults(Faults::default().crash("server", ms(500)..ms(1800)));
    sim.run().unwrap();
}

#[test]
fn a_cut_link_loses_what_is_sent() {
    let mut sim = Simulation::new(1);
    add_echo(&mut sim);
    sim.client("client", async {
        let socket = UdpSocket::bind("0.0.0.0:0").await?;
        socket.connect("server:7").await?;
        time::sleep(ms(500)).await;
        let times = ask(&socket, 1).await?;
        assert!((4..=6).contains(&times), "{times}");
        Ok(())
    });
    sim.faults(Faults::default().partition("server", "client", ms(400)..ms(1400)));
    sim.run().unwrap();
}

#[test]
fn a_full_buffer_drops_what_comes() {
    let mut sim = Simulation::new(1);
    sim.client("client", async {
        let (one, other) =
            (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
        for _ in 0..1000 {
            one.send_to(&[1; 1000], other.local_addr()?).await?;
        }
        let mut came = 0;
        while other.try_recv(&mut [0; 1000]).is_ok() {
            came += 1;
        }
        // net.core.rmem_default, and the kernel's own accounts of what a datagram takes.
        assert_eq!(came, 212_992 / 2304);
        Ok(())
    });
    sim.run().unwrap();
}

/// Sends all of `messages`.
async fn send_all(socket: &UdpSocket, messages: &[Message<'_>]) -> io::Result<()> {
    let mut sent = 0;
    while sent < messages.len() {
        sent += socket.send_batch(&messages[sent..]).await?;
    }
    Ok(())
}

#[test]
fn segments_come_together_or_apart() {
    let (mut together, mut apart) = (0, 0);
    for seed in 0..20 {
        let mut sim = Simulation::new(seed);
        let (tell, told) = std::sync::mpsc::channel();
        sim.host("server", move || {
            let tell = tell.clone();
            async move {
                let socket = UdpSocket::bind("0.0.0.0:7").await?;
                socket.set_gro(true)?;
                let mut batch = RecvBatch::new(4, 65_535);
                loop {
                    socket.recv_batch(&mut batch).await?;
                    for message in &batch {
                        let lengths: Vec<usize> = message.datagrams().map(<[u8]>::len).collect();
                        let _ = tell.send(lengths);
                    }
                }
            }
        });
        sim.client("client", async {
            let socket = UdpSocket::bind("0.0.0.0:0").await?;
            let server = UdpSocket::bind("0.0.0.0:0").await?;
            server.connect("server:7").await?;
            let (peer, bytes) = (server.peer_addr()?, vec![7; 12_100]);
            let message = Message::new(&bytes, peer).with_segment_size(1200);
            assert_eq!(socket.send_batch([message]).await?, 1);
            // A packet between hosts has no more than 1,500 bytes, with its headers.
            let large = message.with_segment_size(1473);
            let error = socket.send_batch([large]).await.unwrap_err();
            assert!(error.to_string().contains("UDP_SEGMENT"), "{error}");
            let split: Vec<Message<'_>> = large.split().collect();
            send_all(&socket, &split).await?;
            time::sleep(Duration::from_secs(1)).await;
            Ok(())
        });
        sim.faults(Faults::default().latency(ms(1)..ms(9)));
        sim.run().unwrap();
        let (large, small): (Vec<_>, Vec<_>) =
            told.try_iter().partition(|lengths| lengths[0] == 1473 || lengths[0] == 316);
        assert_eq!(large.len(), 9);
        let mut all = small.concat();
        all.sort_unstable();
        assert_eq!(all, [[100].as_slice(), &[1200; 10]].concat());
        if small.len() == 1 {
            together += 1;
        } else {
            apart += 1;
        }
    }
    assert!(together > 0 && apart > 0, "{together} {apart}");
}

#[test]
fn a_broadcast_reaches_all_hosts() {
    let mut sim = Simulation::new(1);
    let (tell, told) = std::sync::mpsc::channel();
    for number in 0..3 {
        let tell = tell.clone();
        sim.host(format!("host {number}"), move || {
            let tell = tell.clone();
            async move {
                let socket = UdpSocket::bind("0.0.0.0:7").await?;
                socket.recv(&mut [0; 8]).await?;
                let _ = tell.send(number);
                std::future::pending().await
            }
        });
    }
    sim.client("client", async {
        let socket = UdpSocket::bind("0.0.0.0:0").await?;
        let error = socket.send_to(b"hello", "255.255.255.255:7").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(!socket.broadcast()?);
        socket.set_broadcast(true)?;
        socket.send_to(b"hello", "255.255.255.255:7").await?;
        time::sleep(ms(100)).await;
        Ok(())
    });
    sim.faults(Faults::default().latency(ms(1)..ms(9)));
    sim.run().unwrap();
    let mut all: Vec<i32> = told.try_iter().collect();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2]);
}

thread_local! {
    /// How many datagrams the handler of the last simulation has sent back.
    static ECHOED: Rc<RefCell<usize>> = Rc::default();
}

/// Sends each datagram back, by batches.
struct Echo(RecvBatch);

impl EvHandler for Echo {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let count = cx.recv_batch(&mut self.0)?;
        // What does not go out is lost, as it may be anyhow.
        let sent = cx.send_batch(&self.0)?;
        assert_eq!(sent, count);
        ECHOED.with(|echoed| *echoed.borrow_mut() += sent);
        Ok(Action::Keep)
    }
}

/// Runs handlers and tasks over a bad network, and returns the steps, the hash and the trace.
fn run(seed: u64) -> (u64, u64, Vec<String>) {
    ECHOED.with(|echoed| *echoed.borrow_mut() = 0);
    let mut sim = Simulation::new(seed);
    sim.keep_trace();
    sim.host("server", || async {
        let socket = UdpSocket::bind("0.0.0.0:7").await?;
        let make = || Echo(RecvBatch::new(8, 1500));
        PollerHandle::current().register(socket.into(), Interest::READABLE, make)?;
        std::future::pending().await
    });
    for number in 0..3 {
        sim.client(format!("client {number}"), async move {
            let socket = UdpSocket::bind("0.0.0.0:0").await?;
            socket.connect("server:7").await?;
            for request in 0..10 {
                ask(&socket, number * 100 + request).await?;
            }
            Ok(())
        });
    }
    let faults = Faults::default().latency(ms(1)..ms(50)).drop(0.1);
    sim.faults(faults.partition("server", "client 1", ms(200)..ms(600)));
    sim.run().unwrap();
    assert!(ECHOED.with(|echoed| *echoed.borrow()) >= 30);
    (sim.steps(), sim.trace_hash(), sim.trace())
}

#[test]
fn handlers_echo_batches_and_a_seed_replays_them() {
    let mut hashes = std::collections::HashSet::new();
    for seed in 0..10 {
        let first = run(seed);
        assert_eq!(first, run(seed), "seed {seed}");
        hashes.insert(first.1);
    }
    assert_eq!(hashes.len(), 10);
}

/// Returns a message from an iterator that sends one itself, and asks for the time.
fn messages(socket: &UdpSocket) -> impl Iterator<Item = Message<'static>> + Clone {
    (0..2).map(|_| {
        socket.try_send_batch([Message::to_connected(b"inner")]).unwrap();
        assert!(time::now() < time::now());
        Message::to_connected(b"outer")
    })
}

#[test]
fn an_iterator_of_messages_may_call_the_kernel() {
    let mut sim = Simulation::new(1);
    sim.client("client", async {
        let (one, other) = (UdpSocket::bind("[::1]:0").await?, UdpSocket::bind("[::1]:0").await?);
        one.connect(other.local_addr()?).await?;
        assert_eq!(one.try_send_batch(messages(&one))?, 2);
        assert_eq!(one.send_batch(messages(&one)).await?, 2);
        let (mut bytes, mut outer) = ([0; 8], 0);
        while outer < 4 {
            let (count, _) = other.recv_from(&mut bytes).await?;
            outer += usize::from(&bytes[..count] == b"outer");
        }
        Ok(())
    });
    sim.run().unwrap();
}

//! Programs over Unix sockets: their names and files belong to a host, and their queues have ends.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use corepoll::net::{UnixDatagram, UnixListener, UnixStream};
use corepoll::sim::{Faults, Simulation, remove_file};
use corepoll::{Acceptor, Action, EvContext, EvHandler, Reactor, spawn_local, time};
use futures::{AsyncReadExt, AsyncWriteExt};

use super::ms;

/// How many connections wait for a listener, and one more, unless it has set another limit.
const BACKLOG: usize = 4096;

/// Where services listen.
const PATH: &str = "/run/service";

/// Sends back what comes on `stream`.
async fn echo(stream: UnixStream) -> io::Result<()> {
    futures::io::copy(&stream, &mut &stream).await?;
    (&stream).close().await
}

/// Sends `bytes` to the echo at the path, and checks what comes back.
async fn ask(bytes: &[u8]) -> io::Result<()> {
    let stream = UnixStream::connect(PATH).await?;
    let (mut reader, mut writer) = stream.into_split();
    let mut answer = Vec::new();
    let write = async {
        writer.write_all(bytes).await?;
        writer.close().await
    };
    futures::try_join!(write, reader.read_to_end(&mut answer))?;
    assert!(answer == bytes, "{} bytes of {} came back", answer.len(), bytes.len());
    Ok(())
}

/// Runs tasks that ask an echo of their host, and returns the steps, the hash and the trace.
fn run(seed: u64) -> (u64, u64, Vec<String>) {
    let mut sim = Simulation::new(seed);
    sim.keep_trace();
    for number in 0..2_u8 {
        sim.client(format!("machine {number}"), async move {
            // The same path on each host.
            let listener = UnixListener::bind(PATH)?;
            let echoes = spawn_local(async move {
                while let Ok((stream, peer)) = listener.accept().await {
                    assert!(peer.is_unnamed());
                    spawn_local(echo(stream));
                }
            });
            for length in [0, 1, 3000, 500_000] {
                ask(&vec![number; length]).await?;
            }
            echoes.abort();
            Ok(())
        });
    }
    sim.faults(Faults::default().short_io(0.2));
    sim.run().unwrap();
    (sim.steps(), sim.trace_hash(), sim.trace())
}

#[test]
fn tasks_exchange_bytes_by_a_path_and_a_seed_replays_them() {
    let mut hashes = std::collections::HashSet::new();
    for seed in 0..10 {
        let first = run(seed);
        assert_eq!(first, run(seed), "seed {seed}");
        hashes.insert(first.1);
    }
    assert_eq!(hashes.len(), 10);
}

#[test]
fn a_name_is_known_on_its_host_alone() {
    let mut sim = Simulation::new(1);
    sim.host("server", || async {
        let _listener = UnixListener::bind(PATH)?;
        let _hidden = UnixListener::bind("\0service")?;
        let error = UnixListener::bind("\0service").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        std::future::pending().await
    });
    sim.client("client", async {
        let error = UnixStream::connect(PATH).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = UnixStream::connect("\0service").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(remove_file(PATH).unwrap_err().kind(), ErrorKind::NotFound);
        Ok(())
    });
    sim.run().unwrap();
}

#[test]
fn a_full_backlog_lets_a_connect_wait() {
    let mut sim = Simulation::new(1);
    sim.client("client", async {
        let listener = UnixListener::bind(PATH)?;
        let mut streams = Vec::new();
        while let Ok(connected) = time::timeout(ms(100), UnixStream::connect(PATH)).await {
            streams.push(connected?);
        }
        assert_eq!(streams.len(), BACKLOG + 1);
        let accept = async {
            time::sleep(ms(100)).await;
            listener.accept().await
        };
        let (last, (first, _peer)) = futures::try_join!(UnixStream::connect(PATH), accept)?;
        let path = Some(std::path::Path::new(PATH));
        assert_eq!(first.local_addr()?.as_pathname(), path);
        assert_eq!(last.peer_addr()?.as_pathname(), path);
        // Those that were never accepted are reset with the listener.
        drop(listener);
        let error = (&last).read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        Ok(())
    });
    sim.run().unwrap();
}

#[test]
fn a_pair_has_ends_and_credentials() {
    let mut sim = Simulation::new(1);
    sim.client("client", async {
        let (one, other) = UnixStream::pair()?;
        assert_eq!(one.peer_cred()?.pid(), Some(std::process::id() as i32));
        // The buffer has an end, and a peer that reads makes room.
        let mut written = 0;
        while let Ok(count) = one.try_write(&[7; 100_000]) {
            written += count;
        }
        assert!((200_000..240_000).contains(&written), "{written}");
        let reader = spawn_local(async move {
            let (mut all, mut other) = (Vec::new(), other);
            other.read_to_end(&mut all).await.map(|count| (count, other))
        });
        (&one).write_all(&[7; 300_000]).await?;
        (&one).close().await?;
        let (read, other) = reader.await??;
        assert_eq!(read, written + 300_000);
        // The other direction is still open.
        (&other).write_all(b"bye").await?;
        drop(other);
        let mut all = Vec::new();
        (&one).read_to_end(&mut all).await?;
        assert_eq!(all, b"bye");
        assert_eq!((&one).write(b"late").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        Ok(())
    });
    sim.run().unwrap();
}

#[test]
fn a_full_queue_lets_a_sender_of_datagrams_wait() {
    let mut sim = Simulation::new(1);
    sim.client("client", async {
        let receiver = UnixDatagram::bind("/run/log")?;
        let connected = UnixDatagram::unbound()?;
        connected.connect("/run/log")?;
        let named = UnixDatagram::bind("/run/sender")?;
        let mut sent = 0;
        while connected.try_send(b"line").is_ok() {
            sent += 1;
        }
        // net.unix.max_dgram_qlen, and one more.
        assert_eq!(sent, 11);
        let senders =
            futures::future::try_join(async { connected.send(b"by event").await }, async {
                named.send_to(b"by pauses", "/run/log").await
            });
        let receive = async {
            let mut came = Vec::new();
            let mut bytes = [0; 16];
            for _ in 0..13 {
                time::sleep(ms(100)).await;
                let (count, from) = receiver.recv_from(&mut bytes).await?;
                came.push((bytes[..count].to_vec(), from.as_pathname().map(ToOwned::to_owned)));
            }
            io::Result::Ok(came)
        };
        let (_, came) = futures::try_join!(senders, receive)?;
        assert!(came.contains(&(b"by event".to_vec(), None)));
        assert!(came.contains(&(b"by pauses".to_vec(), Some("/run/sender".into()))));
        // A closed receiver refuses, and its file stays.
        drop(receiver);
        let error = connected.send(b"late").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let error = UnixDatagram::bind("/run/log").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let (one, other) = UnixDatagram::pair()?;
        one.send(b"pair").await?;
        assert_eq!(other.recv(&mut [0; 16]).await?, 4);
        Ok(())
    });
    sim.run().unwrap();
}

thread_local! {
    /// What the handlers of the last simulation were told.
    static TOLD: Rc<RefCell<Vec<&'static str>>> = Rc::default();
}

/// Sends back what it gets.
struct Echo;

impl EvHandler for Echo {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let bytes = cx.read()?;
        if bytes.is_empty() {
            return Ok(Action::Close);
        }
        cx.write(&bytes)?;
        Ok(Action::Keep)
    }

    fn on_close(&mut self, _cx: &mut EvContext<'_>, _reason: corepoll::CloseReason) {
        TOLD.with(|told| told.borrow_mut().push("close"));
    }
}

#[test]
fn an_acceptor_replaces_the_file_that_a_crash_has_left() {
    for seed in 0..20 {
        TOLD.with(|told| told.borrow_mut().clear());
        let mut sim = Simulation::new(seed);
        sim.host("machine", || async {
            if TOLD.with(|told| told.borrow().contains(&"asked")) {
                let error = UnixListener::bind(PATH).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::AddrInUse);
            }
            let reactor = Reactor::builder().pollers(2).build()?;
            let acceptor = Acceptor::new(format!("unix:{PATH}"));
            let listening = acceptor.clone().listen(&reactor.handle(), || Echo)?;
            let second = acceptor.listen(&reactor.handle(), || Echo).unwrap_err();
            assert_eq!(second.kind(), ErrorKind::AddrInUse);
            let running = reactor.start()?;
            ask(&[1; 100_000]).await?;
            TOLD.with(|told| told.borrow_mut().push("asked"));
            time::sleep(Duration::from_secs(10)).await;
            listening.close();
            listening.closed().await?;
            // The file is gone with the listener.
            let error = ask(b"late").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            running.handle().shutdown(ms(500));
            running.join()?;
            TOLD.with(|told| told.borrow_mut().push("joined"));
            std::future::pending().await
        });
        sim.client("client", async {
            time::sleep(Duration::from_secs(100)).await;
            Ok(())
        });
        sim.faults(Faults::default().short_io(0.1).crash("machine", ms(5000)..ms(6000)));
        sim.run().unwrap();
        let told = TOLD.with(|told| told.borrow().clone());
        let count = |what: &str| told.iter().filter(|it| **it == what).count();
        // The look whether something listens at a path that is taken is a connection as well.
        assert_eq!((count("asked"), count("close"), count("joined")), (2, 4, 1), "seed {seed}");
    }
}

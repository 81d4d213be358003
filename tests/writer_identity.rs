//! Bytes that a writer brings never reach another connection than its own, whatever slots,
//! descriptors and addresses are used again.

mod common;

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use common::{PATIENCE, Server, connect, read_exactly, reset};
use corepoll::{Action, EvContext, EvHandler, Writer};

/// Threads that write.
const WRITERS: usize = 8;
/// Threads that connect.
const CLIENTS: usize = 4;
/// Connections, if there is the time for them.
const CONNECTIONS: u64 = 100_000;
/// The time: a slow machine makes do with fewer.
const AT_MOST: Duration = Duration::from_secs(10);
/// Writers that are written to at a time. Most of them are of connections that have ended.
const KEPT: usize = 64;

/// The tag of the next connection.
static NEXT: AtomicU64 = AtomicU64::new(1);
/// The writers of the last connections, with their tags.
static POOL: Mutex<VecDeque<(u64, Writer)>> = Mutex::new(VecDeque::new());

/// Says its tag, and then nothing by itself.
struct Tagged;

impl EvHandler for Tagged {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let tag = NEXT.fetch_add(1, Relaxed);
        cx.write(&tag.to_be_bytes())?;
        let mut pool = POOL.lock().unwrap();
        pool.push_back((tag, cx.writer()));
        let old = if pool.len() > KEPT { pool.pop_front() } else { None };
        drop(pool);
        drop(old);
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
    }
}

/// Writes tags to their connections, and to those that have ended, until it is told to stop. Says
/// how many writes were accepted and how many were refused.
fn write_tags(seed: usize, stop: &AtomicBool) -> (u64, u64) {
    let (mut step, mut accepted, mut refused) = (seed, 0, 0);
    while !stop.load(Relaxed) {
        step = step.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let pool = POOL.lock().unwrap();
        let some = pool.get((step >> 33) % KEPT).cloned();
        drop(pool);
        let Some((tag, writer)) = some else {
            thread::yield_now();
            continue;
        };
        for _ in 0..(step >> 40) % 4 + 1 {
            match writer.write(tag.to_be_bytes().to_vec()) {
                Ok(()) => accepted += 1,
                Err(_) => refused += 1,
            }
        }
    }
    (accepted, refused)
}

/// One short connection: everything that comes over it bears its tag. Gives how often it did.
fn visit(addr: SocketAddr, number: u64) -> u64 {
    let stream = connect(addr);
    let tag = read_exactly(&stream, 8);
    // Some stay for more; the rest go when they know who they are. Writers of newer connections
    // may have taken this one's place, so nobody waits for long.
    let enough = if number.is_multiple_of(8) { 64 } else { 0 };
    stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a socket takes a timeout");
    let (mut bytes, mut count) = ([0; 256], 0);
    while count < enough {
        match (&stream).read(&mut bytes[count..]) {
            Ok(0) => panic!("the server ended it"),
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    for other in bytes[..count].chunks(8) {
        assert_eq!(other, &tag[..other.len()], "the bytes of another connection");
    }
    leave(stream, number);
    count as u64 / 8
}

/// In one of the ways in which connections end.
fn leave(stream: TcpStream, number: u64) {
    if number.is_multiple_of(3) {
        stream.shutdown(std::net::Shutdown::Write).expect("it is connected");
        // Whatever comes until the server ends it.
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
        let _ = io::copy(&mut &stream, &mut io::sink());
    }
    // A plain close would leave a port in TIME_WAIT for each connection.
    reset(stream);
}

#[test]
fn bytes_never_reach_another_connection() {
    let (_server, addr) = Server::of_handlers(|| Tagged);
    let (stop, begin) = (AtomicBool::new(false), Instant::now());
    let (visits, tagged) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    while begin.elapsed() < AT_MOST {
                        let number = visits.fetch_add(1, Relaxed);
                        if number >= CONNECTIONS {
                            break;
                        }
                        tagged.fetch_add(visit(addr, number), Relaxed);
                    }
                })
            })
            .collect();
        let writers: Vec<_> = (0..WRITERS)
            .map(|seed| {
                scope.spawn({
                    let stop = &stop;
                    move || write_tags(seed, stop)
                })
            })
            .collect();
        let failed: Vec<_> = clients.into_iter().filter_map(|client| client.join().err()).collect();
        stop.store(true, Relaxed);
        let (mut accepted, mut refused) = (0, 0);
        for writer in writers {
            let (more, less) = writer.join().expect("a writer never panics");
            (accepted, refused) = (accepted + more, refused + less);
        }
        if let Some(panic) = failed.into_iter().next() {
            std::panic::resume_unwind(panic);
        }
        println!(
            "{visits:?} connections, {tagged:?} tags read, {accepted} accepted, {refused} refused"
        );
        assert!(visits.load(Relaxed) > 1000 && tagged.load(Relaxed) > 1000);
        assert!(accepted > 1000 && refused > 1000, "live and dead connections were written to");
    });
    POOL.lock().unwrap().clear();
}

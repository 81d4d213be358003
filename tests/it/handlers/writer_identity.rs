//! Bytes that a writer brings never reach another connection than its own, whatever slots,
//! descriptors and addresses are used again.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::common::{Server, connect, read_exactly, read_to_end, reset};
use corepoll::{Action, EvContext, EvHandler, Writer};

/// Threads that write.
const WRITERS: usize = 8;
/// Threads that connect.
const CLIENTS: u64 = 4;
/// Connections in all.
const CONNECTIONS: u64 = 100_000;
/// Writers that each thread keeps. Most of them are of connections that have ended, and some are
/// of those whose slots have been taken since.
const KEPT: usize = 16;
/// How far behind the connections a thread may be.
const BEHIND: usize = 256;

/// A connection's tag and its writer.
type Lent = (u64, Writer);

/// Says its tag, and then nothing by itself: its writer goes to every thread.
struct Tagged {
    tag: u64,
    threads: Vec<SyncSender<Lent>>,
}

impl EvHandler for Tagged {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.write(&self.tag.to_be_bytes())?;
        for thread in self.threads.drain(..) {
            thread.send((self.tag, cx.writer())).expect("it takes them to the end");
        }
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
    }
}

/// Writes its tag to each connection that comes, and to some of those that came before theirs, most
/// of which have ended. Says how many writes were accepted and how many were refused.
fn write_tags(connections: &Receiver<Lent>) -> (u64, u64) {
    let (mut accepted, mut refused) = (0, 0);
    let mut kept = VecDeque::new();
    for newest in connections {
        kept.push_back(newest);
        for (tag, writer) in [&kept[kept.len() - 1], &kept[kept.len() / 2], &kept[0]] {
            match writer.write(tag.to_be_bytes().to_vec()) {
                Ok(()) => accepted += 1,
                Err(_) => refused += 1,
            }
        }
        if kept.len() > KEPT {
            kept.pop_front();
        }
    }
    (accepted, refused)
}

/// One short connection: everything that comes over it bears its tag. Gives how often it did.
fn visit(addr: SocketAddr, number: u64) -> usize {
    let stream = connect(addr);
    let tag = read_exactly(&stream, 8);
    // Some stay until each thread has written. The rest go when they know their names: the threads
    // write to whatever has taken their place.
    let mut more =
        if number.is_multiple_of(4) { read_exactly(&stream, WRITERS * 8) } else { vec![] };
    if number.is_multiple_of(3) {
        stream.shutdown(std::net::Shutdown::Write).expect("it is connected");
        more.extend(read_to_end(&stream));
    }
    // A plain close would leave a port in TIME_WAIT for each connection.
    reset(stream);
    assert!(more.chunks(8).all(|other| other == tag), "the bytes of another connection: {more:?}");
    more.len() / 8
}

/// The connections of a thread. Gives how many tags they read.
fn visit_many(addr: SocketAddr, next: &AtomicU64) -> usize {
    std::iter::repeat_with(|| next.fetch_add(1, Relaxed))
        .take_while(|&number| number < CONNECTIONS)
        .map(|number| visit(addr, number))
        .sum()
}

#[test]
fn bytes_never_reach_another_connection() {
    let (threads, connections): (Vec<_>, Vec<_>) =
        (0..WRITERS).map(|_| sync_channel(BEHIND)).unzip();
    let next_tag = AtomicU64::new(1);
    let (server, addr) = Server::of_handlers(move || Tagged {
        tag: next_tag.fetch_add(1, Relaxed),
        threads: threads.clone(),
    });
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        let writing: Vec<_> = connections
            .into_iter()
            .map(|connections| scope.spawn(move || write_tags(&connections)))
            .collect();
        let visiting: Vec<_> =
            (0..CLIENTS).map(|_| scope.spawn(|| visit_many(addr, &next))).collect();
        let visited: Vec<_> = visiting.into_iter().map(|clients| clients.join()).collect();
        // With the acceptor go the senders, and with them the threads that write.
        drop(server);
        let written = writing.into_iter().map(|thread| thread.join().expect("it never panics"));
        let (accepted, refused) =
            written.fold((0, 0), |sum, (more, less)| (sum.0 + more, sum.1 + less));
        let tags: usize = visited.into_iter().map(|tags| tags.expect("all bore its tag")).sum();
        println!("{tags} tags read, {accepted} accepted, {refused} refused");
        assert_eq!(accepted + refused, 3 * WRITERS as u64 * CONNECTIONS);
        assert!(accepted > CONNECTIONS && refused > CONNECTIONS, "both the living and the dead");
    });
}

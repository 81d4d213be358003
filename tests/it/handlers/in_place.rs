//! A handler is called where it stands, and what it is lent belongs to it alone, whatever its callback
//! begins meanwhile.

use std::io::{self, Read, Write};
use std::mem;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::common::{Server, ask, connect, is_ended, panic_on_purpose, read_exactly};
use corepoll::{
    Action, CloseReason, EvContext, EvHandler, Interest, LocalPoller, PollerHandle, Reactor,
    block_on,
};
use futures::AsyncWriteExt;

/// Sends back what it reads, after the number of its calls.
struct Counts(u8);

impl EvHandler for Counts {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let chunk = cx.read()?;
        if chunk.is_empty() {
            return Ok(Action::Close);
        }
        self.0 += 1;
        cx.write(&[&[self.0], &*chunk].concat())?;
        Ok(Action::Keep)
    }
}

fn register(fd: impl Into<OwnedFd>, handler: impl EvHandler + Send) {
    PollerHandle::current().register(fd.into(), Interest::READABLE, move || handler).unwrap();
}

/// Runs a poller of its own inside of its callback, and holds a chunk meanwhile.
struct Nests {
    inner: LocalPoller,
    peer: UnixStream,
    calls: u8,
}

impl Nests {
    fn new() -> Nests {
        let (near, peer) = UnixStream::pair().unwrap();
        peer.set_nonblocking(true).unwrap();
        let inner = LocalPoller::new().unwrap();
        drop(inner.spawn_local(async { register(near, Counts(100)) }));
        Nests { inner, peer, calls: 0 }
    }
}

impl EvHandler for Nests {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let chunk = cx.read()?;
        if chunk.is_empty() {
            return Ok(Action::Close);
        }
        assert!(catch_unwind(AssertUnwindSafe(|| block_on(async {}))).is_err(), "it would wait");
        self.peer.write_all(b"inner")?;
        let mut answer = [0; 6];
        while self.peer.read(&mut answer).is_err() {
            self.inner.turn(Some(Duration::ZERO))?;
        }
        self.calls += 1;
        cx.write(&[&answer, &[self.calls][..], &chunk].concat())?;
        Ok(Action::Keep)
    }
}

#[test]
fn a_callback_may_run_another_poller_with_callbacks_of_its_own() {
    let (_server, addr) = Server::of_handlers(Nests::new);
    let peer = connect(addr);
    assert_eq!(ask(&peer, b"outer")[..5], *b"\x65inne");
    assert_eq!(read_exactly(&peer, 7), b"r\x01outer");
    assert_eq!(ask(&peer, b"again")[..5], *b"\x66inne");
    assert_eq!(read_exactly(&peer, 7), b"r\x02again");
}

/// Reads three chunks at once, and gives them back in an order that differs each time; the last times
/// it forgets one, and panics.
struct Holds(usize);

impl EvHandler for Holds {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let mut held = [cx.read()?, cx.read()?, cx.read()?];
        if held[0].is_empty() {
            return Ok(Action::Close);
        }
        held[1].make_ascii_uppercase();
        assert_eq!(held.each_ref().map(|it| &**it).concat(), b"abcdEFGHijkl");
        let round = self.0;
        self.0 += 1;
        cx.write(b"held")?;
        match round {
            0..6 => {
                held.rotate_left(round % 3);
                let [one, two, three] = held;
                drop(two);
                assert_eq!((one.len(), three.len()), (4, 4));
                let kept = if round < 3 { one } else { three };
                assert!(kept.iter().all(u8::is_ascii_alphabetic));
            }
            6 => held.into_iter().for_each(mem::forget),
            _ => panic_on_purpose(),
        }
        Ok(Action::Keep)
    }
}

#[test]
fn chunks_come_back_in_any_order_or_never_and_none_is_lent_twice() {
    let reactor = Reactor::builder().pollers(1).read_buffer_size(4);
    let server = Server::build(reactor);
    let addr = server.listen(|| Holds(0));
    for _ in 0..3 {
        let peer = connect(addr);
        for _ in 0..8 {
            (&peer).write_all(b"abcdefghijkl").unwrap();
            assert_eq!(read_exactly(&peer, 4), b"held");
        }
        assert!(is_ended(&peer), "it has panicked");
    }
}

/// Registers another connection in its destructor, which takes the next free place of the table.
struct Succeeded(Option<UnixStream>, u8);

impl EvHandler for Succeeded {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        if cx.read()?.is_empty() { Ok(Action::Close) } else { panic_on_purpose() }
    }
    fn on_close(&mut self, cx: &mut EvContext<'_>, _: CloseReason) {
        // A handler may be done away with while its own callback runs: it ends after that.
        cx.close(cx.token());
    }
}

impl Drop for Succeeded {
    fn drop(&mut self) {
        let Some(fd) = self.0.take() else { return };
        register(fd, Counts(self.1));
        panic_on_purpose();
    }
}

#[test]
fn a_handler_may_register_another_one_as_it_is_dropped() {
    let server = Server::start(1);
    let mut peers = Vec::new();
    for round in 0..200u8 {
        let (near, mut far) = UnixStream::pair().unwrap();
        let (next, peer) = UnixStream::pair().unwrap();
        let handler = Succeeded(Some(next), round);
        server.poller().register(near.into(), Interest::READABLE, move || handler).unwrap();
        if round % 2 == 0 {
            far.write_all(b"panic").unwrap();
        }
        drop(far);
        peers.push(peer);
    }
    for (mut peer, round) in peers.into_iter().zip(0..) {
        peer.write_all(b"hello").unwrap();
        let mut answer = [0; 6];
        peer.read_exact(&mut answer).unwrap();
        assert_eq!(answer, *[&[round + 1][..], b"hello"].concat());
    }
}

/// Gives its connection to a task while it holds what it has read.
struct GivesAway;

impl EvHandler for GivesAway {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let chunk = cx.read()?;
        let stream = cx.take_stream()?;
        let copy = chunk.to_vec();
        drop(cx.spawn_local(async move { (&stream).write_all(&copy).await }));
        assert!(cx.read().is_err());
        assert_eq!(&*chunk, b"hello");
        // The answer is for a connection that is no more its own.
        Ok(Action::Close)
    }
}

#[test]
fn a_chunk_outlives_the_connection_of_its_callback() {
    let (_server, addr) = Server::of_handlers(|| GivesAway);
    for _ in 0..3 {
        assert_eq!(ask(&connect(addr), b"hello"), b"hello");
    }
}

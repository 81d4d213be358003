//! What a poller notices and what it forgets: no event is lost, no waiter is kept too long, waiting
//! is free, and a registration ends with its connection. A `LocalPoller` shows each turn apart.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream as Peer};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use corepoll::io::relay;
use corepoll::net::{TcpListener, TcpStream, UnixStream};
use corepoll::{Action, EvContext, EvHandler, LocalPoller};
use futures::{AsyncRead, AsyncWriteExt, FutureExt};

use crate::common::{self, PATIENCE, patient, read_exactly, tcp_pair};

/// Whether the poller has something to do: poll(2), as any loop would.
fn wants_a_turn(poller: &LocalPoller, within: Duration) -> bool {
    let fd = poller.as_fd().as_raw_fd();
    let mut asked = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: `asked` is one valid pollfd.
    unsafe { libc::poll(&mut asked, 1, within.as_millis() as i32) == 1 }
}

fn turn(poller: &mut LocalPoller) {
    poller.turn(Some(Duration::ZERO)).expect("a turn");
}

/// Turns when the poller has something to do, and only then, until `done`.
#[track_caller]
fn turn_until(poller: &mut LocalPoller, mut done: impl FnMut() -> bool) {
    while !done() {
        assert!(wants_a_turn(poller, PATIENCE), "it has nothing to do, and it isn't done");
        turn(poller);
    }
}

/// Turns until the poller has nothing to do, which it comes to.
#[track_caller]
fn settle(poller: &mut LocalPoller) {
    for _ in 0..1000 {
        if !wants_a_turn(poller, Duration::ZERO) {
            return;
        }
        turn(poller);
    }
    panic!("it never comes to rest");
}

/// Runs `f` as a task of the poller.
#[track_caller]
fn inside<R: 'static>(poller: &mut LocalPoller, f: impl FnOnce() -> R + 'static) -> R {
    let task = poller.spawn_local(async { f() });
    turn_until(poller, || task.is_finished());
    task.now_or_never().expect("it has ended").expect("it doesn't panic")
}

/// A stream of the poller, whose first events have been dispatched, and its peer.
fn stream(poller: &mut LocalPoller) -> (TcpStream, Peer) {
    let (near, far) = tcp_pair();
    let stream = inside(poller, || TcpStream::from_std(near).expect("a stream"));
    settle(poller);
    (stream, far)
}

// ---- events ----

#[test]
fn an_event_that_came_before_a_task_waited_is_remembered() {
    let mut poller = LocalPoller::new().unwrap();
    let (near, mut far) = tcp_pair();
    far.write_all(b"hello").unwrap();
    let stream = inside(&mut poller, || TcpStream::from_std(near).expect("a stream"));
    // Both directions are reported now, and no task waits for either.
    settle(&mut poller);
    let waits = poller.spawn_local(async move {
        stream.writable().await.expect("there is room");
        stream.readable().await.expect("there are bytes");
    });
    turn_until(&mut poller, || waits.is_finished());
}

struct Count;

impl Wake for Count {
    fn wake(self: Arc<Self>) {}
}

/// A loop that waits for a descriptor or for something else drops one such future every time.
#[test]
fn a_wait_that_is_dropped_keeps_no_waker() {
    let mut poller = LocalPoller::new().unwrap();
    let (stream, _far) = stream(&mut poller);
    let kept = Arc::new(Count);
    let waker = Waker::from(kept.clone());
    for _ in 0..3 {
        let mut waits = Box::pin(stream.readable());
        assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(Arc::strong_count(&kept), 3, "the wait keeps its waker");
        drop(waits);
        assert_eq!(Arc::strong_count(&kept), 2, "the dropped wait keeps its waker");
    }
}

// ---- waiting is free ----

/// More than a task may do in one poll: see `unconstrained`.
const MANY: usize = 300;

/// Waits for all `waits` in one task: one poll comes to the last of them, and none is lost.
/// `bring` makes the last one ready.
#[track_caller]
fn one_poll_reaches_all<F: Future + Unpin + 'static>(
    poller: &mut LocalPoller,
    mut waits: Vec<F>,
    bring: impl FnOnce(),
) {
    let polls = Rc::new(Cell::new(0));
    let counted = polls.clone();
    let task = poller.spawn_local(poll_fn(move |cx| {
        counted.set(counted.get() + 1);
        let ready = waits.iter_mut().map(|wait| usize::from(wait.poll_unpin(cx).is_ready()));
        if ready.sum::<usize>() == 1 { Poll::Ready(()) } else { Poll::Pending }
    }));
    settle(poller);
    assert_eq!(polls.get(), 1, "the polls that it takes to come to the last of {MANY}");
    bring();
    turn_until(poller, || task.is_finished());
    assert_eq!(polls.get(), 2, "the polls that it takes to hear of the last of {MANY}");
}

/// Pairs of streams in the poller.
fn pairs(poller: &mut LocalPoller, count: usize) -> Vec<(Rc<UnixStream>, UnixStream)> {
    let made = inside(poller, move || {
        let pair = |_| UnixStream::pair().map(|(one, other)| (Rc::new(one), other));
        (0..count).map(pair).collect::<io::Result<Vec<_>>>()
    });
    settle(poller);
    made.expect("descriptors")
}

#[test]
fn a_read_that_waits_takes_nothing_from_the_allowance() {
    let mut poller = LocalPoller::new().unwrap();
    let pairs = pairs(&mut poller, MANY);
    let read = |(stream, _): &(Rc<UnixStream>, UnixStream)| {
        let stream = stream.clone();
        poll_fn(move |cx| Pin::new(&mut &*stream).poll_read(cx, &mut [0; 8]))
    };
    let reads = pairs.iter().map(read).collect();
    one_poll_reaches_all(&mut poller, reads, || {
        pairs[MANY - 1].1.try_write(b"late").expect("room");
    });
}

#[test]
fn a_wait_for_readiness_takes_nothing_from_the_allowance() {
    let mut poller = LocalPoller::new().unwrap();
    let pairs = pairs(&mut poller, MANY);
    let wait = |(stream, _): &(Rc<UnixStream>, UnixStream)| {
        let stream = stream.clone();
        Box::pin(async move { stream.readable().await })
    };
    let waits = pairs.iter().map(wait).collect();
    one_poll_reaches_all(&mut poller, waits, || {
        pairs[MANY - 1].1.try_write(b"late").expect("room");
    });
}

/// A chain of relays, all of them in one task: bytes go through, from the one end to the other.
#[test]
fn a_relay_that_waits_takes_nothing_from_the_allowance() {
    const RELAYS: usize = 150;
    let mut poller = LocalPoller::new().unwrap();
    let (mut client, mut last) = tcp_pair();
    let mut streams = Vec::new();
    for _ in 0..RELAYS {
        let (near, far) = tcp_pair();
        streams.push((std::mem::replace(&mut last, far), near));
    }
    let polls = Rc::new(Cell::new(0));
    let counted = polls.clone();
    let task = poller.spawn_local(async move {
        let stream = |it| TcpStream::from_std(it).expect("a stream");
        let relays = streams.into_iter().map(|(near, far)| relay(stream(near), stream(far)));
        let mut relays: Vec<_> = relays.map(Box::pin).collect();
        poll_fn(|cx| {
            counted.set(counted.get() + 1);
            relays.retain_mut(|relay| relay.poll_unpin(cx).is_pending());
            if relays.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    });
    settle(&mut poller);
    assert_eq!(polls.get(), 1, "the polls that it takes to come to the last of {RELAYS}");
    client.write_all(b"through all of them").unwrap();
    last.set_nonblocking(true).unwrap();
    let (mut got, mut bytes) = (Vec::new(), [0; 64]);
    turn_until(&mut poller, || {
        let count = last.read(&mut bytes).unwrap_or(0);
        got.extend_from_slice(&bytes[..count]);
        got == b"through all of them"
    });
    drop((client, last));
    turn_until(&mut poller, || task.is_finished());
}

// ---- a descriptor that others have ----

/// What a handler does with the first bytes that come.
type Deed = fn(&mut EvContext<'_>) -> io::Result<Action>;

/// Lends its descriptor out when it opens, and does its deed when something comes.
struct Lends(Rc<RefCell<Option<OwnedFd>>>, Deed);

impl EvHandler for Lends {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        *self.0.borrow_mut() = Some(cx.fd().try_clone_to_owned()?);
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        drop(cx.read()?);
        (self.1)(cx)
    }
}

/// Asserts that the connection to `far` goes on by `duplicate`, and that its poller hears nothing of it.
#[track_caller]
fn is_the_duplicates_alone(poller: &LocalPoller, duplicate: OwnedFd, mut far: Peer) {
    far.write_all(b"more").unwrap();
    assert!(!wants_a_turn(poller, Duration::ZERO), "it hears of what is the duplicate's");
    let owner = patient(duplicate.into());
    owner.set_nonblocking(false).unwrap();
    far.set_nonblocking(false).unwrap();
    assert_eq!(read_exactly(&owner, 4), b"more");
    (&owner).write_all(b"fine").expect("its direction is open");
    assert_eq!(read_exactly(&far, 4), b"fine");
}

/// A duplicate keeps the registration alive in epoll, which would tell of it for ever.
#[test]
fn nothing_is_heard_of_a_connection_that_has_ended_while_its_duplicate_lives() {
    for deed in [|_| Ok(Action::Close), |_| Err(io::Error::other("a failure"))] as [Deed; 2] {
        let mut poller = LocalPoller::new().unwrap();
        let (stream, mut far) = stream(&mut poller);
        let lent = Rc::default();
        let handler = Lends(Rc::clone(&lent), deed);
        inside(&mut poller, move || stream.into_handler(handler).map(drop)).unwrap();
        turn_until(&mut poller, || lent.borrow().is_some());
        far.write_all(b"end").unwrap();
        settle(&mut poller);
        is_the_duplicates_alone(&poller, lent.take().expect("it was lent"), far);
    }
}

/// Turns while `far` reads, until all that was queued has come.
#[track_caller]
fn receive_all(poller: &mut LocalPoller, far: &mut Peer) {
    far.set_nonblocking(true).unwrap();
    let (mut got, mut bytes) = (0, vec![0; 1 << 20]);
    loop {
        while let Ok(count @ 1..) = far.read(&mut bytes) {
            got += count;
        }
        if got == QUEUED {
            return;
        }
        // The last of it may be on its way from one end to the other, which takes a while on a busy
        // machine: the poller has nothing to do then.
        assert!(either_is_ready(poller, far), "it has nothing to do, and nothing comes");
        if wants_a_turn(poller, Duration::ZERO) {
            turn(poller);
        }
    }
}

/// Waits until the poller has something to do, or bytes have come at `far`.
fn either_is_ready(poller: &LocalPoller, far: &Peer) -> bool {
    let mut asked = [poller.as_fd().as_raw_fd(), far.as_raw_fd()].map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    // SAFETY: `asked` has two valid elements.
    unsafe { libc::poll(asked.as_mut_ptr(), 2, PATIENCE.as_millis() as i32) >= 1 }
}

/// Queues more than the kernel takes at once.
fn queue_much(cx: &mut EvContext<'_>) -> io::Result<()> {
    cx.write(&[7; QUEUED])?;
    assert!(cx.pending_output() > 0, "the kernel takes all of it: queue more");
    Ok(())
}

/// Queues output, and leaves it to a stream, which is lent out and dropped.
struct Leaves(Rc<RefCell<Option<OwnedFd>>>);

const QUEUED: usize = 6 << 20;

impl EvHandler for Leaves {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        queue_much(cx)?;
        let stream = cx.take_stream()?;
        *self.0.borrow_mut() = Some(stream.as_fd().try_clone_to_owned()?);
        Ok(Action::Keep)
    }
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Close)
    }
}

/// The output arrives; after it the socket is the duplicate's alone, open in both directions.
#[test]
fn what_a_dropped_stream_owes_is_sent_and_its_duplicate_goes_on() {
    let mut poller = LocalPoller::new().unwrap();
    let (stream, mut far) = stream(&mut poller);
    let lent = Rc::default();
    let handler = Leaves(Rc::clone(&lent));
    inside(&mut poller, move || stream.into_handler(handler).map(drop)).unwrap();
    turn_until(&mut poller, || lent.borrow().is_some());
    receive_all(&mut poller, &mut far);
    settle(&mut poller);
    is_the_duplicates_alone(&poller, lent.take().expect("it was lent"), far);
}

/// Promises more of a file than there is of it, behind much output, and leaves both to a stream.
struct PromisesTooMuch(Rc<RefCell<Option<TcpStream>>>);

impl EvHandler for PromisesTooMuch {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        queue_much(cx)?;
        cx.send_file(File::open("/dev/null")?, 0, 1)?;
        *self.0.borrow_mut() = Some(cx.take_stream()?);
        Ok(Action::Keep)
    }
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Close)
    }
}

/// The output has failed before the stream is shut down, and no call has been told yet.
#[test]
fn a_stream_whose_output_has_failed_is_shut_down_at_once_and_then_told() {
    let mut poller = LocalPoller::new().unwrap();
    let (stream, mut far) = stream(&mut poller);
    let left = Rc::default();
    let handler = PromisesTooMuch(Rc::clone(&left));
    inside(&mut poller, move || stream.into_handler(handler).map(drop)).unwrap();
    turn_until(&mut poller, || left.borrow().is_some());
    receive_all(&mut poller, &mut far);
    settle(&mut poller);
    let stream = left.take().expect("it was left");
    let stream = inside(&mut poller, move || {
        stream.shutdown(Shutdown::Write).expect("its socket is open");
        stream
    });
    far.set_nonblocking(false).unwrap();
    assert_eq!(far.read(&mut [0]).expect("the end is there"), 0);
    let write = poller.spawn_local(async move { (&stream).write_all(b"x").await });
    turn_until(&mut poller, || write.is_finished());
    let written = write.now_or_never().expect("it has ended").expect("it doesn't panic");
    assert_eq!(written.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

// ---- the last output ----

/// Queues much and closes: the rest is sent as its peer reads.
struct Leaving;

impl EvHandler for Leaving {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        queue_much(cx)?;
        Ok(Action::Close)
    }
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Close)
    }
}

#[test]
fn the_end_of_a_peer_that_reads_no_more_is_heard_of_once() {
    let mut poller = LocalPoller::new().unwrap();
    // Accepted here: nothing else has the descriptor, so what the peer sends is thrown away.
    let task = poller.spawn_local(async {
        let listener = TcpListener::bind(common::ANY).await.expect("a free port");
        let far = common::connect(listener.local_addr().expect("it is bound"));
        (listener.accept().await.expect("it connects").0, far)
    });
    turn_until(&mut poller, || task.is_finished());
    let (stream, mut far) = task.now_or_never().expect("it has ended").expect("no panic");
    inside(&mut poller, move || stream.into_handler(Leaving).map(drop)).unwrap();
    settle(&mut poller);
    far.write_all(b"and that is all").unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    // Until it reads on, there is nothing to do.
    settle(&mut poller);
    receive_all(&mut poller, &mut far);
}

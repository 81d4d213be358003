//! A bound value is used and dropped on its poller's thread, wherever its binding goes.

use std::cell::Cell;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::task::{Context, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use async_tungstenite::tungstenite::Message;
use corepoll::net::{TcpListener, TcpStream};
use corepoll::{PollerBound, Reactor, Running, block_on, yield_now};
use futures::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, FutureExt};
use futures::{Sink, SinkExt, Stream, StreamExt};

/// Counts where it is dropped.
#[derive(Default)]
struct Census {
    at_home: AtomicUsize,
    elsewhere: AtomicUsize,
}

/// Not Send.
struct Guest {
    census: Arc<Census>,
    home: ThreadId,
    value: Rc<Cell<u32>>,
}

impl Guest {
    fn new(census: &Arc<Census>) -> Guest {
        Guest { census: census.clone(), home: thread::current().id(), value: Rc::default() }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let here = thread::current().id() == self.home;
        let count = if here { &self.census.at_home } else { &self.census.elsewhere };
        count.fetch_add(1, SeqCst);
    }
}

impl Census {
    fn counts(&self) -> (usize, usize) {
        (self.at_home.load(SeqCst), self.elsewhere.load(SeqCst))
    }
}

fn one_poller() -> Running {
    Reactor::builder().pollers(1).build().unwrap().start().unwrap()
}

/// A value that is bound in `running`.
fn bound<T: 'static>(
    running: &Running,
    make: impl FnOnce() -> T + Send + 'static,
) -> PollerBound<T> {
    let task = running.handle().pollers()[0].spawn_on(|| async { PollerBound::new(make()) });
    block_on(task).unwrap()
}

fn end(running: Running) {
    running.handle().shutdown(Duration::ZERO);
    running.join().unwrap();
}

/// What a panic said.
fn complaint<R>(call: impl FnOnce() -> R) -> String {
    let panic = catch_unwind(AssertUnwindSafe(call)).err().expect("it panics");
    *panic.downcast::<String>().expect("with a message")
}

#[test]
fn it_can_be_sent_and_shared_whatever_it_carries() {
    fn send_and_sync<T: Send + Sync>() {}
    send_and_sync::<PollerBound<Rc<Cell<u32>>>>();
    send_and_sync::<PollerBound<TcpStream>>();
}

#[test]
fn outside_of_a_poller_nothing_can_be_bound() {
    assert!(complaint(|| PollerBound::new(5)).contains("outside of a poller"));
}

#[test]
fn every_use_on_another_thread_panics_and_spares_the_value() {
    let (census, running) = (Arc::new(Census::default()), one_poller());
    let make = {
        let census = census.clone();
        move || Guest::new(&census)
    };
    let mut stranger = bound(&running, make.clone());
    assert!(!stranger.is_home());
    assert!(complaint(|| stranger.value.get()).contains("outside of its poller"));
    assert!(complaint(|| stranger.value = Rc::default()).contains("outside of its poller"));
    assert!(complaint(|| stranger.into_inner()).contains("Guest"));
    let mut future = Box::pin(bound(&running, || async { Rc::new(1) }));
    let poll = || future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(complaint(poll).contains("outside of its poller"));
    // Another poller is no better.
    let stranger = bound(&running, make);
    let inside = block_on(async { complaint(|| stranger.value.get()) });
    assert!(inside.contains("outside of its poller"));
    block_on(async { drop(stranger) });
    end(running);
    assert_eq!(census.counts(), (2, 0));
}

#[test]
fn dropped_elsewhere_it_is_dropped_at_home() {
    let (census, running) = (Arc::new(Census::default()), one_poller());
    for _ in 0..100 {
        let census = census.clone();
        drop(bound(&running, move || Guest::new(&census)));
    }
    // What was posted before the shutdown arrives before the end.
    end(running);
    assert_eq!(census.counts(), (100, 0));
}

/// Knows where it was when it was last looked for.
struct Settled {
    address: Cell<usize>,
    moved: Arc<AtomicUsize>,
}

impl Settled {
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

impl Drop for Settled {
    fn drop(&mut self) {
        if self.address.get() != self.address() {
            self.moved.fetch_add(1, SeqCst);
        }
    }
}

#[test]
fn a_polled_future_is_not_moved_on_its_way_home() {
    let (census, running) = (Arc::new(Census::default()), one_poller());
    let moved = Arc::new(AtomicUsize::new(0));
    let (send, receive) = mpsc::channel();
    let task = running.handle().pollers()[0].spawn_on({
        let (census, moved) = (census.clone(), moved.clone());
        move || async move {
            let mut bound = Box::pin(PollerBound::new(async move {
                let _guest = Guest::new(&census);
                let settled = Settled { address: Cell::new(0), moved };
                settled.address.set(settled.address());
                pending::<()>().await;
                drop(settled);
            }));
            assert!(bound.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            send.send(bound).unwrap();
        }
    });
    block_on(task).unwrap();
    drop(receive.recv().unwrap());
    end(running);
    assert_eq!((census.counts(), moved.load(SeqCst)), ((1, 0), 0));
}

#[test]
fn when_its_poller_is_gone_a_value_leaks_rather_than_being_dropped_on_a_foreign_thread() {
    let (census, running) = (Arc::new(Census::default()), one_poller());
    let make = {
        let census = census.clone();
        move || Guest::new(&census)
    };
    let (used, dropped) = (bound(&running, make.clone()), bound(&running, make));
    end(running);
    assert!(complaint(|| used.value.get()).contains("outside of its poller"));
    drop(dropped);
    drop(used);
    assert_eq!(census.counts(), (0, 0));
}

#[test]
fn on_its_own_thread_it_is_dropped_even_when_the_poller_has_ended() {
    let census = Arc::new(Census::default());
    let bound = block_on(async { PollerBound::new(Guest::new(&census)) });
    assert!(complaint(|| bound.value.get()).contains("outside of its poller"));
    block_on(async { assert!(complaint(|| bound.value.get()).contains("outside of its poller")) });
    assert_eq!(census.counts(), (0, 0));
    drop(bound);
    assert_eq!(census.counts(), (1, 0));
}

#[test]
fn bindings_that_are_dropped_while_their_poller_ends_are_not_dropped_elsewhere() {
    for _ in 0..50 {
        let (census, running) = (Arc::new(Census::default()), one_poller());
        let bindings: Vec<_> = (0..8)
            .map(|_| {
                let census = census.clone();
                bound(&running, move || Guest::new(&census))
            })
            .collect();
        let droppers: Vec<_> =
            bindings.into_iter().map(|it| thread::spawn(move || drop(it))).collect();
        end(running);
        droppers.into_iter().for_each(|it| it.join().unwrap());
        assert_eq!(census.counts().1, 0);
    }
}

#[test]
fn a_future_that_carries_one_across_awaits_is_send_and_works() {
    fn asks_for_send<F: Future + Send>(future: F) -> F {
        future
    }
    let sum = block_on(asks_for_send(async {
        let mut shared = PollerBound::new(vec![Rc::new(1)]);
        yield_now().await;
        shared.push(Rc::new(2));
        let inner = PollerBound::new(async {
            let three = Rc::new(3);
            yield_now().await;
            *three
        });
        let three = inner.await;
        shared.into_inner().iter().map(|it| **it).sum::<i32>() + three
    }));
    assert_eq!(sum, 6);
}

#[test]
fn streams_and_sockets_pass_through() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut client: Box<dyn Socket> = Box::new(PollerBound::new(client));
        let mut server = PollerBound::new(listener.accept().await.unwrap().0);
        client.write_all(b"hello").await.unwrap();
        client.close().await.unwrap();
        let mut text = String::new();
        server.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello");
        assert_eq!(server.peer_addr().unwrap().ip(), listener.local_addr().unwrap().ip());
        let stream = PollerBound::new(futures::stream::iter(0..5));
        assert_eq!(stream.size_hint(), (5, Some(5)));
        assert_eq!(stream.collect::<Vec<_>>().await, [0, 1, 2, 3, 4]);
    });
}

#[test]
fn buffered_readers_pass_through() {
    block_on(async {
        let text = Rc::<[u8]>::from(*b"one\ntwo\nthree");
        let mut lines = PollerBound::new(futures::io::Cursor::new(text));
        let mut line = String::new();
        lines.read_line(&mut line).await.unwrap();
        assert_eq!(line, "one\n");
        // The value is where the binding has left it.
        assert_eq!(lines.position(), 4);
        let rest: Vec<_> = lines.lines().map(Result::unwrap).collect().await;
        assert_eq!(rest, ["two", "three"]);
    });
}

/// What code that spawns for any thread asks of the sink that it is given.
async fn feed<S>(mut sink: S, messages: Vec<Message>) -> Result<(), S::Error>
where
    S: Sink<Message> + Send + Unpin + 'static,
{
    for message in messages {
        sink.feed(message).await?;
    }
    sink.flush().await?;
    sink.close().await
}

#[test]
fn sinks_pass_through() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let client = TcpStream::connect(addr).await.unwrap();
        let server = corepoll::spawn_local(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let socket = async_tungstenite::accept_async(stream).await.unwrap();
            socket.map(Result::unwrap).collect::<Vec<_>>().await
        });
        let (client, _) =
            async_tungstenite::client_async(format!("ws://{addr}/"), client).await.unwrap();
        // Not `Send`: corepoll's stream is in it.
        let messages: Vec<_> = (0..100).map(|n| Message::text("x".repeat(n * 97))).collect();
        feed(PollerBound::new(client), messages.clone()).await.unwrap();
        let mut received = server.await.unwrap();
        assert!(received.pop().is_some_and(|last| last.is_close()));
        assert_eq!(received, messages);
    });
}

#[test]
fn a_sink_of_another_poller_panics() {
    let running = one_poller();
    let mut stranger = bound(&running, futures::sink::drain::<Rc<u32>>);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(complaint(|| stranger.poll_ready_unpin(&mut cx)).contains("outside of its poller"));
    assert!(complaint(|| stranger.start_send_unpin(Rc::new(1))).contains("outside of its poller"));
    assert!(complaint(|| stranger.poll_flush_unpin(&mut cx)).contains("outside of its poller"));
    assert!(complaint(|| stranger.poll_close_unpin(&mut cx)).contains("outside of its poller"));
    end(running);
}

#[test]
fn a_boxed_binding_has_a_name_and_may_be_moved_between_polls() {
    type Named = PollerBound<Pin<Box<dyn Future<Output = Rc<u32>>>>>;
    type NamedStream = PollerBound<Pin<Box<dyn Stream<Item = Rc<u32>>>>>;
    fn asks<T: Send + Sync + Unpin + 'static>(value: T) -> T {
        value
    }
    block_on(async {
        let moved = Arc::new(AtomicUsize::new(0));
        let mut future: Named = asks(PollerBound::boxed({
            let moved = moved.clone();
            async move {
                let settled = Settled { address: Cell::new(0), moved };
                settled.address.set(settled.address());
                yield_now().await;
                // Its drop looks where it is: here, at the end of the block.
                Rc::new(7)
            }
        }));
        assert!(future.poll_unpin(&mut Context::from_waker(Waker::noop())).is_pending());
        let elsewhere = Box::new(future);
        assert_eq!(*(*elsewhere).await, 7);
        assert_eq!(moved.load(SeqCst), 0, "the future has not moved with its binding");
        let stream: NamedStream =
            asks(PollerBound::boxed_stream(futures::stream::iter(0..3).map(Rc::new)));
        assert_eq!(stream.map(|it| *it).collect::<Vec<_>>().await, [0, 1, 2]);
    });
    assert!(complaint(|| PollerBound::boxed(async {})).contains("outside of a poller"));
}

#[test]
fn a_boxed_future_is_dropped_at_home() {
    let (census, running) = (Arc::new(Census::default()), one_poller());
    let task = running.handle().pollers()[0].spawn_on({
        let census = census.clone();
        move || async move {
            let guest = Guest::new(&census);
            // Returned, and not awaited here.
            Some(PollerBound::boxed(async move { guest.value.get() }))
        }
    });
    let mut boxed = block_on(task).unwrap().expect("it is given");
    let poll = || boxed.poll_unpin(&mut Context::from_waker(Waker::noop()));
    assert!(complaint(poll).contains("outside of its poller"));
    drop(boxed);
    end(running);
    assert_eq!(census.counts(), (1, 0));
}

/// What many a client asks of its stream.
trait Socket: futures::AsyncRead + futures::AsyncWrite + Send + Sync + Unpin {}
impl Socket for PollerBound<TcpStream> {}

#[test]
fn dropped_with_its_task_it_is_dropped_with_the_poller() {
    let (census, running) = (Arc::new(Census::default()), one_poller());
    let task = running.handle().pollers()[0].spawn_on({
        let census = census.clone();
        move || async move {
            let _bound = PollerBound::new(Guest::new(&census));
            pending::<()>().await;
        }
    });
    running.handle().broadcast(|| ());
    drop(task);
    block_on(running.handle().pollers()[0].spawn_on(yield_now)).unwrap();
    end(running);
    assert_eq!(census.counts(), (1, 0));
}

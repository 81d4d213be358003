//! Uses of the contract: the handlers as a user would write them, each of them run; and the
//! signatures, each of them named.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use crate::common::{self, ANY, PATIENCE, ask, connect, read_exactly, read_to_end};
use corepoll::*;

// ---- callback echo ----

struct Echo {
    idle: Option<TimerId>,
    failed: Option<Sender<io::ErrorKind>>,
}

impl EvHandler for Echo {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.idle = Some(cx.set_timer(Duration::from_secs(30)));
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let data = cx.read()?;
        if data.is_empty() {
            return Ok(Action::Close);
        }
        cx.write(&data)?;
        if let Some(t) = self.idle {
            cx.reset_timer(t, Duration::from_secs(30));
        }
        Ok(Action::Keep)
    }
    fn on_timeout(&mut self, _: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        Ok(Action::Close)
    }
    fn on_connect_fail(&mut self, error: io::Error) {
        self.failed.take().expect("it is told once").send(error.kind()).unwrap();
    }
}

const ECHO: Echo = Echo { idle: None, failed: None };

// ---- a handler that keeps bytes, a worker pool by Writer, an upgrade to a stream ----

struct Up(Vec<u8>);

impl EvHandler for Up {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        loop {
            let data = cx.read()?; // WouldBlock ends the loop: Keep
            if data.is_empty() {
                return Ok(Action::Close);
            }
            self.0.extend_from_slice(&data);
            let w = cx.writer();
            let worker = thread::spawn(move || w.write("done\n"));
            if self.0.ends_with(b"UPGRADE\n") {
                worker.join().unwrap()?;
                let stream = cx.take_stream()?;
                let seen = std::mem::take(&mut self.0);
                drop(cx.spawn_local(async move {
                    use futures::AsyncWriteExt;
                    let mut s = stream;
                    s.write_all(&seen).await.unwrap();
                }));
                return Ok(Action::Keep);
            }
            let hits = cx.with_local(|n: &mut u64| {
                *n += 1;
                *n
            });
            cx.write(format!("{hits}\n").as_bytes())?;
        }
    }
}

#[test]
fn one_reactor_listens_and_another_serves() -> io::Result<()> {
    let listen = Reactor::builder().pollers(1).build()?;
    let serve = Reactor::new()?;
    let l = Acceptor::new("0.0.0.0:0")
        .deliver_to(&serve.handle())
        .balance(Balance::LeastLoaded)
        .listen(&listen.handle(), || ECHO)?;
    let addr = l.local_addr()?;
    let h = serve.handle();
    h.broadcast(|| with_local(|speed: &mut u32| *speed = 5));
    let listening = listen.start()?;
    let running = serve.start()?;
    let client = connect(([127, 0, 0, 1], addr.port()).into());
    assert_eq!(ask(&client, b"hello"), b"hello");

    let shared = Arc::new(7);
    let j = running.handle().pollers()[0].spawn_on(move || async move {
        assert_eq!(with_local(|speed: &mut u32| *speed), 5);
        let rc = std::rc::Rc::new(*shared);
        let k = spawn_local(async move { *rc });
        k.await.unwrap()
    });
    assert_eq!(block_on(async { j.await.unwrap() }), 7);

    let (failed, error) = mpsc::channel();
    let (closed, _guard) = common::closed_port();
    Connector::new(&h)
        .timeout(PATIENCE)
        .connect(&closed, move || Echo { failed: Some(failed), ..ECHO })?;
    assert_eq!(error.recv_timeout(PATIENCE), Ok(io::ErrorKind::ConnectionRefused));

    running.handle().shutdown(Duration::ZERO);
    listening.handle().shutdown(Duration::ZERO);
    running.join()?;
    listening.join()?;
    Ok(())
}

#[test]
fn a_connection_is_upgraded_from_a_handler_to_a_stream() {
    let server = common::Server::start(1);
    let addr = server.listen(|| Up(Vec::new()));
    let mut client = connect(addr);
    client.write_all(b"one").unwrap();
    // The counter at once, and "done" from the worker, before or after it.
    let mut answers = read_exactly(&client, 7);
    answers.sort_unstable();
    let mut expected = b"1\ndone\n".to_vec();
    expected.sort_unstable();
    assert_eq!(answers, expected);
    client.write_all(b"UPGRADE\n").unwrap();
    let rest = String::from_utf8(read_to_end(&client)).unwrap();
    assert_eq!(rest, "done\noneUPGRADE\n");
}

#[test]
fn a_service_runs_until_its_reactor_is_shut_down() {
    let free = std::net::TcpListener::bind(ANY).unwrap().local_addr().unwrap();
    let reactor = Reactor::builder().pollers(2).build().unwrap();
    let handle = reactor.handle();
    let serving = thread::spawn(move || {
        reactor.serve(free, |stream: net::TcpStream, _peer| async move {
            let (r, mut w) = (&stream, &stream);
            futures::io::copy(r, &mut w).await
        })
    });
    let mut client = None;
    common::eventually("it listens", || {
        client = std::net::TcpStream::connect(free).ok();
        client.is_some()
    });
    let client = common::patient(client.unwrap());
    assert_eq!(ask(&client, b"hello"), b"hello");
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!((&client).read(&mut [0; 1]).unwrap(), 0);
    handle.shutdown(PATIENCE);
    serving.join().unwrap().unwrap();
}

// ---- the signatures ----

mod signatures {
    use super::*;
    use std::fs::File;
    use std::future::Future;
    use std::io::IoSlice;
    use std::net::SocketAddr;
    use std::os::fd::{BorrowedFd, OwnedFd};
    use std::pin::Pin;
    use std::time::Instant;

    type Boxed = Pin<Box<dyn Future<Output = u8>>>;

    fn debug<T: std::fmt::Debug>() {}
    fn send<T: Send>() {}
    fn send_and_sync<T: Send + Sync>() {}
    fn error_like_others<T: std::error::Error + Send + Sync + 'static>() {}
    fn copied_and_compared<T: Copy + Eq + std::hash::Hash + std::fmt::Debug>() {}

    #[test]
    fn what_crosses_threads_does() {
        send_and_sync::<ReactorHandle>();
        send_and_sync::<PollerHandle>();
        send_and_sync::<Writer>();
        send_and_sync::<Listening>();
        send_and_sync::<time::Sleep>();
        send::<Reactor>();
        send::<Running>();
        send::<RemoteJoinHandle<u8>>();
        send::<PollerBound<std::rc::Rc<u8>>>();
        send_and_sync::<(JoinError, CloseReason)>();
        error_like_others::<JoinError>();
        error_like_others::<time::Elapsed>();
        copied_and_compared::<Token>();
        copied_and_compared::<TimerId>();
        debug::<(Reactor, Builder, Budget, Placement, ReactorHandle, PollerHandle, Running)>();
        debug::<(Shutdown, Listening, Action, CloseReason, Interest, Chunk<'_>, Writer)>();
        debug::<(Acceptor, Balance, Connector, ConnectPool, Pooled, LocalPoller, JoinError)>();
        debug::<(JoinHandle<u8>, RemoteJoinHandle<u8>, TaskGroup<u8>, AbortOnDrop<u8>)>();
        debug::<(net::TcpListener, net::TcpStream, net::ListenOptions, time::Elapsed)>();
        debug::<(net::UdpSocket, net::UnixListener, net::UnixStream, net::UnixDatagram)>();
        debug::<(net::AsyncFd<File>, net::OwnedReadHalf, net::OwnedWriteHalf, net::ReuniteError)>();
        debug::<(net::ReadHalf<'_>, net::WriteHalf<'_>, net::Incoming<'_>, corepoll::io::Relayed)>(
        );
        debug::<(time::Sleep, time::Interval, PollerBound<u8>, PollerStats)>();
    }

    /// With both implementations, `A` can't be inferred: it compiles only for what is not Send.
    trait StaysHere<A> {
        fn check() {}
    }
    impl<T: ?Sized> StaysHere<()> for T {}
    impl<T: ?Sized + Send> StaysHere<u8> for T {}

    #[test]
    fn what_stays_on_its_thread_does() {
        <EvContext<'static> as StaysHere<_>>::check();
        <Chunk<'static> as StaysHere<_>>::check();
        <ConnectPool as StaysHere<_>>::check();
        <Pooled as StaysHere<_>>::check();
        <JoinHandle<u8> as StaysHere<_>>::check();
        <TaskGroup<u8> as StaysHere<_>>::check();
        <LocalPoller as StaysHere<_>>::check();
        <net::TcpListener as StaysHere<_>>::check();
        <net::TcpStream as StaysHere<_>>::check();
    }

    #[test]
    fn reactors() {
        let _: fn() -> io::Result<Reactor> = Reactor::new;
        let _: fn() -> Builder = Reactor::builder;
        let _: fn(&Reactor) -> ReactorHandle = Reactor::handle;
        let _: fn(Reactor) -> io::Result<Running> = Reactor::start;
        let _: fn(Reactor) -> io::Result<()> = Reactor::run;
        let _: fn(Reactor, Boxed) -> io::Result<u8> = Reactor::run_until;
        let _: fn(Builder, usize) -> Builder = Builder::pollers;
        let _: fn(Builder, Placement) -> Builder = Builder::placement;
        let _: fn(Builder, usize) -> Builder = Builder::read_buffer_size;
        let _: fn(Builder, &'static str) -> Builder = Builder::thread_name;
        let _: fn(Builder, Budget) -> Builder = Builder::budget;
        let _: fn(Builder) -> io::Result<Reactor> = Builder::build;
        let _ = [Placement::None, Placement::Cores(vec![0]), Placement::OnePerCore];
        let mut budget = Budget::default();
        budget.events_per_wait = 1;
        budget.tasks_per_turn = 1;
        budget.accepts_per_event = 1;
        budget.mail_per_turn = 1;
        budget.output_per_connection = 1;
        budget.close_linger = Duration::ZERO;
        assert_ne!(budget, Budget::default());
        let _: fn(&ReactorHandle) -> &[PollerHandle] = ReactorHandle::pollers;
        let _: fn(&ReactorHandle, fn()) = ReactorHandle::broadcast;
        let _: fn(&ReactorHandle, Duration) = ReactorHandle::shutdown;
        let _: fn(&Running) -> ReactorHandle = Running::handle;
        let _: fn(Running) -> io::Result<Shutdown> = Running::join;
        let counts = |shutdown: Shutdown| -> [usize; 3] {
            [shutdown.drained, shutdown.cancelled, shutdown.leaked_blocking]
        };
        let _: fn(&Listening) -> io::Result<SocketAddr> = Listening::local_addr;
        let _: fn(&Listening) = Listening::close;
        let _ = |poller: &PollerHandle, f: fn()| -> Result<(), fn()> { poller.run_on(f) };
        let register = |poller: &PollerHandle, fd: OwnedFd| -> io::Result<()> {
            poller.register(fd, Interest::READABLE, || ECHO)
        };
        let _ = (counts, register);
    }

    #[test]
    fn contexts() {
        let _ = [Interest::NONE, Interest::READABLE | Interest::WRITABLE].map(Interest::edge);
        type Cx<'a, 'b> = &'a mut EvContext<'b>;
        fn reading<'a>(cx: Cx<'_, 'a>) -> io::Result<Chunk<'a>> {
            let _: Token = cx.token();
            let _: BorrowedFd<'_> = cx.fd();
            let _: (SocketAddr, SocketAddr) = (cx.peer_addr()?, cx.local_addr()?);
            let _: usize = cx.read_into(&mut [0; 1])?;
            let first = cx.read()?;
            // It doesn't borrow the context, and another one is lent beside it.
            let second = cx.read()?;
            let _: &[u8] = &first;
            Ok(second)
        }
        fn writing(cx: Cx<'_, '_>, file: File) -> io::Result<usize> {
            cx.write(b"")?;
            cx.write_vectored(&[IoSlice::new(b"")])?;
            cx.send_file(file, 0u64, 0u64)?;
            cx.set_watermarks(1, 2);
            let writer: Writer = cx.writer();
            writer.write("text")?;
            writer.write(vec![1, 2])?;
            writer.write(bytes::Bytes::new())?;
            writer.close();
            let _: usize = writer.clone().pending();
            Ok(cx.pending_output())
        }
        fn timing(cx: Cx<'_, '_>) -> bool {
            let _: Instant = cx.now();
            let timer: TimerId = cx.set_interval(Duration::ZERO);
            cx.reset_timer(timer, Duration::MAX) && cx.cancel_timer(timer)
        }
        fn others(cx: Cx<'_, '_>, fd: OwnedFd) -> io::Result<net::TcpStream> {
            cx.set_interest(Interest::NONE)?;
            let one: Token = cx.register(fd, Interest::READABLE, ECHO)?;
            let other: Token = cx.connect("127.0.0.1:1", ECHO)?;
            let _: bool = cx.close(one);
            cx.relay(other)?;
            cx.take_stream()
        }
        let _ = (reading, writing, timing, others);
        let _ = |reason: CloseReason| match reason {
            CloseReason::Requested | CloseReason::PeerClosed | CloseReason::Panic => None,
            CloseReason::Error(error) => Some(error),
            CloseReason::Overflow | CloseReason::Shutdown => None,
            _ => None,
        };
    }

    #[test]
    fn listening_and_connecting() {
        let _: fn(&'static str) -> Acceptor = Acceptor::new;
        let _: fn(Acceptor, bool) -> Acceptor = Acceptor::reuse_port;
        let _: fn(Acceptor, u32) -> Acceptor = Acceptor::backlog;
        let _: fn(Acceptor, usize) -> Acceptor = Acceptor::recv_buffer_size;
        let _: fn(Acceptor, Balance) -> Acceptor = Acceptor::balance;
        let _: fn(Acceptor, &ReactorHandle) -> Acceptor = Acceptor::deliver_to;
        let _ = [Balance::LeastLoaded, Balance::RoundRobin, Balance::Local];
        let _: fn(&ReactorHandle) -> Connector = Connector::new;
        let _: fn(Connector, Duration) -> Connector = Connector::timeout;
        let _: fn(Connector, SocketAddr) -> Connector = Connector::bind_local;
        let _: fn(&'static str) -> ConnectPool = ConnectPool::new;
        let _ = |pool: &ConnectPool| [pool.idle(), pool.live(), pool.waiting()];
        let _ = |pool: &ConnectPool, cx: &mut EvContext<'_>| pool.get_with(cx, ECHO);
        let _ = async |pool: &ConnectPool| -> io::Result<()> {
            let pooled: Pooled = pool.get().await?;
            let _: &net::TcpStream = &pooled;
            pooled.release();
            Ok(())
        };
        let _: fn(&'static str) -> PoolBuilder = ConnectPool::builder;
        let _ = |builder: PoolBuilder| -> ConnectPool {
            let builder = builder.min_idle(1).max_live(2).grow_by(3);
            builder.connect_timeout(Duration::ZERO).idle_timeout(Duration::ZERO).build()
        };
        let _ = |cx: &mut EvContext<'_>| -> io::Result<()> { cx.release() };
    }

    #[test]
    fn tasks() {
        let _: fn(Boxed) -> u8 = block_on;
        let _: fn(Boxed) -> JoinHandle<u8> = spawn_local;
        let _ = |handle: JoinHandle<u8>| (handle.is_finished(), handle.abort());
        let _ = |handle: RemoteJoinHandle<u8>| (handle.is_finished(), handle.abort());
        let _ = |error: JoinError| (error.is_panic(), error.is_cancelled(), error.into_panic());
        let _ = async || {
            yield_now().await;
            shutdown_requested().await;
            let mut group: TaskGroup<u8> = TaskGroup::new();
            group.spawn(async { 5 });
            let _: Option<Result<u8, JoinError>> = group.next().await;
            group.abort_all();
            group.len()
        };
        let _: fn(u8) -> PollerBound<u8> = PollerBound::new;
        let _: fn(PollerBound<u8>) -> u8 = PollerBound::into_inner;
        let _: fn() -> io::Result<LocalPoller> = LocalPoller::new;
        let _: fn(&mut LocalPoller, Option<Duration>) -> io::Result<()> = LocalPoller::turn;
        let _: fn(&LocalPoller) -> Option<Instant> = LocalPoller::next_deadline;
    }

    #[test]
    fn streams() {
        let _ = async |addr: SocketAddr| -> io::Result<()> {
            let listener = net::TcpListener::bind(addr).await?;
            let listener2 = net::TcpListener::bind_with(addr, net::ListenOptions::new()).await?;
            let (mut stream, _): (net::TcpStream, SocketAddr) = listener.accept().await?;
            let _ = (listener2.incoming(), listener2.local_addr()?);
            let _ = net::TcpStream::connect("127.0.0.1:1").await?;
            let _ = net::TcpStream::connect(("127.0.0.1", 1)).await?;
            let _ = net::TcpStream::connect(&[addr][..]).await?;
            let _ = net::TcpStream::connect((addr.ip(), 1)).await?;
            let _ = net::TcpStream::connect_timeout(addr, Duration::ZERO).await?;
            let _ = (stream.peer_addr()?, stream.local_addr()?, stream.set_nodelay(true)?);
            let _: usize = stream.peek(&mut [0; 1]).await?;
            stream.readable().await?;
            stream.writable().await?;
            let _ = (stream.try_read(&mut [0; 1])?, stream.try_write(&[0])?);
            let _: Chunk<'_> = stream.read_chunk().await?;
            stream.shutdown(std::net::Shutdown::Write)?;
            let _ = stream.split();
            let (read, write) = stream.into_split();
            let stream = read.reunite(write).expect("they belong together");
            let _ = socket2::SockRef::from(&stream).linger()?;
            let other = net::TcpStream::from_std(stream.into_std()?)?;
            let far = net::TcpStream::connect(addr).await?;
            let relayed: corepoll::io::Relayed = corepoll::io::relay(other, far).await?;
            let _: (u64, u64, bool) = (relayed.a_to_b, relayed.b_to_a, relayed.spliced);
            net::TcpStream::connect(addr).await?.into_handler(ECHO)?;
            Ok(())
        };
        let _ = async || {
            time::sleep(Duration::ZERO).await;
            time::sleep_until(Instant::now()).await;
            let _: Result<u8, time::Elapsed> = time::timeout(Duration::ZERO, async { 1 }).await;
            let _: Result<u8, time::Elapsed> = time::timeout_at(Instant::now(), async { 1 }).await;
            time::interval(Duration::ZERO).tick().await;
            let sleep: Pin<&mut time::Sleep> = std::pin::pin!(time::sleep(Duration::ZERO));
            sleep.reset(Instant::now());
        };
    }
}

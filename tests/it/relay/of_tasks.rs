//! `io::relay`: every byte arrives once and in order, ends are passed on, and nothing is left over.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::common::refuse::{decide, decide_among, refuse, refuse_if};
use crate::common::{self, Server};
use corepoll::io::{Relayed, relay};
use corepoll::{
    Action, Budget, EvContext, EvHandler, Reactor, block_on, net, spawn_local, yield_now,
};

/// Bytes that tell their place; `salt` tells streams apart.
fn pattern(length: usize, salt: u8) -> Vec<u8> {
    (0..length).map(|at| (at ^ at >> 8 ^ at >> 16) as u8 ^ salt).collect()
}

/// A proxy of tasks: where it listens, its upstream, and what its relays came to.
fn proxy(server: &Server) -> (SocketAddr, TcpListener, Receiver<std::io::Result<Relayed>>) {
    let upstream = TcpListener::bind(common::ANY).unwrap();
    let address = upstream.local_addr().unwrap();
    let (sender, done) = channel();
    let listening = server
        .handle()
        .serve(common::ANY, move |near, _| {
            let sender = sender.clone();
            async move {
                let far = net::TcpStream::connect(address).await.unwrap();
                let _ = sender.send(relay(near, far).await);
            }
        })
        .unwrap();
    (listening.local_addr().unwrap(), upstream, done)
}

/// A client and a server with the proxy in between.
fn ends(address: SocketAddr, upstream: &TcpListener) -> (TcpStream, TcpStream) {
    let client = common::connect(address);
    let (server, _) = upstream.accept().unwrap();
    (client, common::patient(server))
}

/// A client and a server with a proxy of `server` in between, and what its relay comes to.
fn relayed(server: &Server) -> (TcpStream, TcpStream, Receiver<std::io::Result<Relayed>>) {
    let (address, upstream, done) = proxy(server);
    let (client, server) = ends(address, &upstream);
    (client, server, done)
}

fn recv(done: &Receiver<std::io::Result<Relayed>>) -> std::io::Result<Relayed> {
    done.recv_timeout(common::PATIENCE).expect("the relay ends")
}

/// Sends `bytes` and the end, in pieces of odd sizes.
fn send(mut stream: &TcpStream, bytes: &[u8]) {
    for (piece, chunk) in bytes.chunks(100_003).enumerate() {
        let cut = piece * 7919 % chunk.len();
        stream.write_all(&chunk[..cut]).unwrap();
        stream.write_all(&chunk[cut..]).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
}

/// Reads to the end, a little at a time.
fn read_slowly(stream: &TcpStream) -> Vec<u8> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 1999]);
    loop {
        match common::read_some(stream, &mut buffer) {
            0 => return bytes,
            count => bytes.extend_from_slice(&buffer[..count]),
        }
        if bytes.len() % 64 == 0 {
            thread::yield_now();
        }
    }
}

const MUCH: usize = 32 << 20;

#[test]
fn both_ways_at_once_with_a_slow_side_every_byte_arrives() {
    let server = Server::start(1);
    let (near, far, done) = relayed(&server);
    let (question, answer) = (pattern(MUCH, 0), pattern(MUCH, 0xa5));
    thread::scope(|scope| {
        scope.spawn(|| send(&near, &question));
        scope.spawn(|| send(&far, &answer));
        let at_far = scope.spawn(|| read_slowly(&far));
        assert!(common::read_to_end(&near) == answer, "the answer is damaged");
        assert!(at_far.join().unwrap() == question, "the question is damaged");
    });
    let relayed = recv(&done).unwrap();
    assert_eq!((relayed.a_to_b, relayed.b_to_a), (MUCH as u64, MUCH as u64));
    assert!(relayed.spliced);
}

#[test]
fn the_end_of_one_direction_is_passed_on_and_the_other_goes_on() {
    let server = Server::start(1);
    let (mut near, mut far, done) = relayed(&server);
    near.write_all(b"question").unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    assert_eq!(common::read_to_end(&far), b"question");
    for round in 0..10u8 {
        far.write_all(&[round]).unwrap();
        assert_eq!(common::read_exactly(&near, 1), [round]);
    }
    drop(far);
    assert_eq!(near.read(&mut [0]).unwrap(), 0);
    let relayed = recv(&done).unwrap();
    assert_eq!((relayed.a_to_b, relayed.b_to_a), (8, 10));
}

#[test]
fn a_relay_of_nothing_moves_nothing() {
    let server = Server::start(1);
    let (near, far, done) = relayed(&server);
    drop((near, far));
    let relayed = recv(&done).unwrap();
    assert_eq!((relayed.a_to_b, relayed.b_to_a), (0, 0));
}

#[test]
fn a_side_that_does_not_read_makes_the_other_wait() {
    let server = Server::start(1);
    let (near, far, done) = relayed(&server);
    near.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let bytes = pattern(256 << 20, 1);
    let mut sent = 0;
    while let Ok(count) = (&near).write(&bytes[sent..]) {
        sent += count;
        assert!(sent < bytes.len(), "the sender is never made to wait");
    }
    near.shutdown(Shutdown::Write).unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    assert!(common::read_to_end(&far) == bytes[..sent], "bytes were damaged");
    assert_eq!(recv(&done).unwrap().a_to_b, sent as u64);
}

#[test]
fn what_came_before_a_reset_arrives_and_the_relay_tells_of_it() {
    let server = Server::start(1);
    let (near, far, done) = relayed(&server);
    // More than goes through at once: the rest is in the pipe or in the socket at the reset.
    socket2::SockRef::from(&far).set_recv_buffer_size(4096).unwrap();
    near.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let bytes = pattern(64 << 10, 2);
    (&near).write_all(&bytes).unwrap();
    // The first byte has arrived: the relay is at it, and all of the others are with it, since the
    // sender's queue is empty.
    let first = common::read_exactly(&far, 1);
    common::reset_after_arrival(near);
    let mut got = first;
    // The end is a plain one or a reset: what counts is that the bytes come before it.
    let _ = (&far).read_to_end(&mut got);
    assert!(got == bytes, "{} of {} bytes", got.len(), bytes.len());
    assert!(recv(&done).is_err(), "a reset is no end");
}

#[test]
fn what_a_dead_side_had_said_arrives_although_nothing_reaches_it() {
    let [(one, near), (two, far)] = [common::tcp_pair(), common::tcp_pair()];
    (&far).write_all(b"last words").unwrap();
    common::reset_after_arrival(far);
    // Its reset has come, and the first thing that the relay does is to write to it.
    common::eventually("the reset comes", || is_gone(&two));
    (&near).write_all(b"still there?").unwrap();
    let relayed = block_on(async {
        let [a, b] = [one, two].map(|end| net::TcpStream::from_std(end).unwrap());
        relay(a, b).await
    });
    assert!(relayed.is_err());
    let mut got = Vec::new();
    let _ = (&near).read_to_end(&mut got);
    assert_eq!(got, b"last words");
}

/// Whether the peer has reset the connection: EPOLLERR, as poll(2) tells it without taking it.
#[allow(unsafe_code)]
fn is_gone(stream: &TcpStream) -> bool {
    use std::os::fd::AsRawFd;
    let mut poll = libc::pollfd { fd: stream.as_raw_fd(), events: 0, revents: 0 };
    // SAFETY: one pollfd.
    assert!(unsafe { libc::poll(&mut poll, 1, 0) } >= 0);
    poll.revents & libc::POLLERR != 0
}

#[test]
fn a_dropped_relay_closes_both_and_leaves_nothing_in_the_pipes() {
    common::in_own_process(|| {
        let server = Server::start(1);
        let upstream = TcpListener::bind(common::ANY).unwrap();
        let address = upstream.local_addr().unwrap();
        let before = common::open_descriptors();
        for round in 0..20u8 {
            let (one, two) = common::tcp_pair();
            let (give, take) = channel();
            let task = server.poller().spawn_on(move || async move {
                let far = net::TcpStream::connect(address).await.unwrap();
                let near = net::TcpStream::from_std(one).unwrap();
                give.send(()).unwrap();
                relay(near, far).await
            });
            take.recv().unwrap();
            let far = common::patient(upstream.accept().unwrap().0);
            if round % 2 == 0 {
                // Dropped with a pipe full of bytes.
                two.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
                let dirt = vec![round; 1 << 20];
                while (&two).write_all(&dirt).is_ok() {}
                task.abort();
                assert!(block_on(task).unwrap_err().is_cancelled());
                let mut got = Vec::new();
                let _ = (&far).read_to_end(&mut got);
                assert!(got.iter().all(|byte| *byte == round));
            } else {
                (&two).write_all(&[round; 1000]).unwrap();
                two.shutdown(Shutdown::Write).unwrap();
                assert_eq!(common::read_to_end(&far), [round; 1000]);
                drop(far);
                assert!(block_on(task).unwrap().unwrap().spliced);
            }
        }
        // The pipes that were kept are let go when no relay needs them.
        common::eventually("all descriptors are closed", || common::open_descriptors() == before);
    });
}

#[test]
#[allow(unsafe_code)]
fn sigpipe_is_never_raised() {
    common::in_own_process(|| {
        // SAFETY: the process is the test's own: nothing else changes signals.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let server = Server::start(1);
        let (address, upstream, done) = proxy(&server);
        for _ in 0..20 {
            let (mut near, far) = ends(address, &upstream);
            near.write_all(b"x").unwrap();
            common::read_exactly(&far, 1);
            common::reset(far);
            // Most of it finds a target that is gone; our own writes are not to raise it either.
            while socket2::SockRef::from(&near)
                .send_with_flags(&[1; 4096], libc::MSG_NOSIGNAL)
                .is_ok()
            {}
            assert!(recv(&done).is_err());
        }
    });
}

#[test]
fn an_urgent_byte_is_not_counted_and_what_follows_it_is_copied() {
    let server = Server::start(1);
    let (mut near, far, done) = relayed(&server);
    near.write_all(b"abc").unwrap();
    socket2::SockRef::from(&near).send_out_of_band(b"!").unwrap();
    near.write_all(b"def").unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    assert_eq!(common::read_to_end(&far), b"abcdef");
    drop(far);
    let relayed = recv(&done).unwrap();
    assert_eq!((relayed.a_to_b, relayed.b_to_a, relayed.spliced), (6, 0, false));
}

/// Whether this thread holds SIGPIPE back, and whether one waits.
#[allow(unsafe_code)]
fn sigpipe() -> (bool, bool) {
    // SAFETY: both calls initialise their sets, for which all zeros is a valid value.
    unsafe {
        let [mut mask, mut pending]: [libc::sigset_t; 2] = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut mask);
        libc::sigpending(&mut pending);
        let [blocks, waits] = [mask, pending].map(|set| libc::sigismember(&set, libc::SIGPIPE));
        (blocks == 1, waits == 1)
    }
}

#[test]
#[allow(unsafe_code)]
fn a_sigpipe_of_the_users_own_stays_as_it_was() {
    common::in_own_process(|| {
        let relays_to_a_closed_peer = || {
            let [(one, near), (two, _far)] = [common::tcp_pair(), common::tcp_pair()];
            two.shutdown(Shutdown::Write).unwrap();
            (&near).write_all(b"still there?").unwrap();
            let relayed = block_on(async {
                let [a, b] = [one, two].map(|end| net::TcpStream::from_std(end).unwrap());
                relay(a, b).await
            });
            assert_eq!(relayed.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
        };
        relays_to_a_closed_peer();
        assert_eq!(sigpipe(), (false, false));
        // SAFETY: the set is initialised before it is used; no other thread depends on the mask.
        unsafe {
            let mut only_pipe = std::mem::zeroed();
            libc::sigemptyset(&mut only_pipe);
            libc::sigaddset(&mut only_pipe, libc::SIGPIPE);
            libc::pthread_sigmask(libc::SIG_BLOCK, &only_pipe, std::ptr::null_mut());
        }
        relays_to_a_closed_peer();
        assert_eq!(sigpipe(), (true, false), "one that is ours is left");
        // SAFETY: takes no pointers, and the signal is held back.
        assert_eq!(unsafe { libc::raise(libc::SIGPIPE) }, 0);
        relays_to_a_closed_peer();
        assert_eq!(sigpipe(), (true, true), "the user's is taken away");
    });
}

/// Gives a function that makes a system call, splice(2) or pipe2(2), fail from the call `from` on,
/// counted anew; the other one is let pass. It holds for the calling thread.
fn refuse_splices() -> impl Fn(libc::c_long, u64, libc::c_int) {
    let plan = Arc::new(Mutex::new((0, u64::MAX, 0)));
    let told = plan.clone();
    decide_among(&[libc::SYS_splice, libc::SYS_pipe2], move |number, _| {
        let (refused, left, errno) = &mut *told.lock().unwrap();
        if number != *refused {
            return None;
        }
        let is_refused = *left == 0;
        *left = left.saturating_sub(1);
        is_refused.then_some(*errno)
    });
    move |number, from, errno| *plan.lock().unwrap() = (number, from, errno)
}

#[test]
fn where_the_kernel_refuses_to_splice_the_bytes_are_copied() {
    common::in_own_process(|| {
        let refuse_from = refuse_splices();
        let pairs = || [common::tcp_pair(), common::tcp_pair()];
        // 0 is an answer, not an error, and as wrong.
        let answers = [0, libc::ENOSYS, libc::EPERM, libc::EOPNOTSUPP, libc::EINVAL, libc::ENOMEM];
        for errno in answers {
            // From the first call on, or later, when bytes are in a pipe or on their way.
            for from in [0, 1, 2, 3, 10] {
                refuse_from(libc::SYS_splice, from, errno);
                let relayed = relay_pairs(pairs(), || {});
                assert!(!relayed.spliced, "splice says {errno} from the call {from} on");
            }
        }
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOSYS, libc::EPERM] {
            refuse_from(libc::SYS_pipe2, 0, errno);
            // The pipes of the relays before it are gone with their pollers.
            assert!(!relay_pairs(pairs(), || {}).spliced, "pipe2 says {errno}");
        }
        refuse_from(libc::SYS_splice, u64::MAX, 0);
        assert!(relay_pairs(pairs(), || {}).spliced, "nothing is refused");
    });
}

#[test]
#[allow(unsafe_code)]
fn without_descriptors_for_pipes_the_bytes_go_through_the_buffer() {
    common::in_own_process(|| {
        let pairs = [common::tcp_pair(), common::tcp_pair()];
        let relayed = relay_pairs(pairs, || {
            let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            // SAFETY: `limit` is a valid rlimit.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
        });
        assert!(!relayed.spliced);
    });
}

/// Relays between the first ends of two pairs while the others send and read, and are content.
fn relay_pairs(pairs: [(TcpStream, TcpStream); 2], prepare: impl FnOnce()) -> Relayed {
    const LENGTH: usize = 4 << 20;
    let [(one, near), (two, far)] = pairs;
    block_on(async {
        let [a, b] = [one, two].map(|end| net::TcpStream::from_std(end).unwrap());
        prepare();
        let peers = thread::spawn(move || {
            let (question, answer) = (pattern(LENGTH, 5), pattern(LENGTH, 6));
            thread::scope(|scope| {
                scope.spawn(|| send(&near, &question));
                scope.spawn(|| send(&far, &answer));
                let at_far = scope.spawn(|| read_slowly(&far));
                assert!(common::read_to_end(&near) == answer, "the answer is damaged");
                assert!(at_far.join().unwrap() == question, "the question is damaged");
            });
        });
        let relayed = relay(a, b).await.unwrap();
        assert_eq!((relayed.a_to_b, relayed.b_to_a), (LENGTH as u64, LENGTH as u64));
        peers.join().unwrap();
        relayed
    })
}

/// Makes splice(2) to a descriptor fail with EINVAL, once bytes are in the pipe.
#[allow(unsafe_code)]
fn refuse_splice(stream: &TcpStream) {
    use std::os::fd::AsRawFd;
    // SAFETY: takes no pointers.
    unsafe {
        let flags = libc::fcntl(stream.as_raw_fd(), libc::F_GETFL);
        assert_eq!(libc::fcntl(stream.as_raw_fd(), libc::F_SETFL, flags | libc::O_APPEND), 0);
    }
}

#[test]
fn a_target_that_cannot_be_spliced_to_gets_what_is_in_the_pipe_first() {
    let pairs = [common::tcp_pair(), common::tcp_pair()];
    refuse_splice(&pairs[1].0);
    assert!(!relay_pairs(pairs, || {}).spliced);
}

#[test]
fn a_busy_relay_lets_other_tasks_run() {
    const SHARE: usize = 4096;
    let mut budget = Budget::default();
    budget.read_per_event = SHARE;
    let running = Reactor::builder().pollers(1).budget(budget).build().unwrap().start().unwrap();
    let ((one, near), (two, far)) = (common::tcp_pair(), common::tcp_pair());
    // All is there before the relay begins, so that it never waits.
    let bytes = pattern(64 << 10, 7);
    (&near).write_all(&bytes).unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    let task = running.handle().pollers()[0].spawn_on(move || async move {
        let [a, b] = [one, two].map(|end| net::TcpStream::from_std(end).unwrap());
        let turns = Rc::new(Cell::new(0));
        let counter = spawn_local({
            let turns = turns.clone();
            async move {
                loop {
                    turns.set(turns.get() + 1);
                    yield_now().await;
                }
            }
        });
        relay(a, b).await.unwrap();
        counter.abort();
        turns.get()
    });
    let turns = block_on(task).unwrap();
    assert!(common::read_to_end(&far) == bytes, "bytes were damaged");
    // A few shares go in each turn, both ways.
    let least = bytes.len() / SHARE / 8;
    assert!(turns >= least, "{turns} turns of another task, and not {least}");
    running.handle().shutdown(Duration::ZERO);
    running.join().unwrap();
}

/// Queues much, then relays to an address, and tells what came of it.
struct QueuesAndRelays(SocketAddr, Sender<std::io::Result<Relayed>>);

const QUEUED: usize = 6 << 20;

impl EvHandler for QueuesAndRelays {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> std::io::Result<Action> {
        let mut first = [0];
        assert_eq!(cx.read_into(&mut first)?, 1);
        cx.write(&pattern(QUEUED, 8))?;
        assert!(cx.pending_output() > 0, "the kernel takes all of it: queue more");
        let (near, to, tell) = (cx.take_stream()?, self.0, self.1.clone());
        drop(cx.spawn_local(async move {
            let far = net::TcpStream::connect(to).await.unwrap();
            let _ = tell.send(relay(near, far).await);
        }));
        Ok(Action::Keep)
    }
}

#[test]
fn output_that_a_handler_had_queued_goes_first() {
    let upstream = TcpListener::bind(common::ANY).unwrap();
    let to = upstream.local_addr().unwrap();
    let (tell, told) = channel();
    let (_server, address) = Server::of_handlers(move || QueuesAndRelays(to, tell.clone()));
    let mut near = common::connect(address);
    near.write_all(b"!question").unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    let mut far = common::patient(upstream.accept().unwrap().0);
    assert_eq!(common::read_to_end(&far), b"question");
    far.write_all(b"answer").unwrap();
    drop(far);
    let got = common::read_to_end(&near);
    assert!(got[..QUEUED] == pattern(QUEUED, 8), "queued output is damaged");
    assert_eq!(&got[QUEUED..], b"answer");
    assert!(recv(&told).is_ok());
}

/// The tests below believe what this one shows.
#[test]
fn a_refused_system_call_fails_as_it_was_told_to() {
    common::in_own_process(|| {
        let (one, two) = common::tcp_pair();
        let errno = |result: std::io::Result<_>| result.err().and_then(|it| it.raw_os_error());
        // In the threads that are there already as well.
        let (go, wait) = channel();
        let other = thread::spawn(move || wait.recv().map(|()| errno(two.try_clone().map(drop))));
        refuse(libc::SYS_fcntl, libc::EMFILE);
        go.send(()).unwrap();
        assert_eq!(other.join().unwrap().unwrap(), Some(libc::EMFILE));
        // Only where the arguments are these.
        let (level, nodelay) = (libc::IPPROTO_TCP as u32, libc::TCP_NODELAY as u32);
        refuse_if(libc::SYS_setsockopt, &[(1, level), (2, nodelay)], libc::ENOPROTOOPT);
        assert_eq!(errno(one.set_nodelay(true)), Some(libc::ENOPROTOOPT));
        assert_eq!(errno(one.set_ttl(3)), None);
        // Every other time.
        let mut calls = 0;
        decide(libc::SYS_shutdown, move |[_, how, ..]| {
            assert_eq!(how, libc::SHUT_WR as u64);
            calls += 1;
            (calls % 2 == 1).then_some(libc::EIO)
        });
        for expected in [Some(libc::EIO), None, Some(libc::EIO)] {
            let shut_down = || errno(one.shutdown(Shutdown::Write));
            assert_eq!(thread::scope(|scope| scope.spawn(shut_down).join().unwrap()), expected);
        }
    });
}

#[test]
fn a_relay_tells_the_error_that_queued_output_has_met_with() {
    let upstream = TcpListener::bind(common::ANY).unwrap();
    let to = upstream.local_addr().unwrap();
    let (tell, told) = channel();
    let (_server, address) = Server::of_handlers(move || QueuesAndRelays(to, tell.clone()));
    let mut near = common::connect(address);
    near.write_all(b"!question").unwrap();
    let far = common::patient(upstream.accept().unwrap().0);
    assert_eq!(common::read_exactly(&far, 8), b"question");
    // Nothing is read of what was queued.
    common::reset(near);
    let error = recv(&told).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_side_that_is_gone_when_both_have_ended_has_not_failed() {
    let upstream = TcpListener::bind(common::ANY).unwrap();
    let (one, near) = common::tcp_pair();
    let relayed = block_on(async {
        let a = net::TcpStream::from_std(one).unwrap();
        let b = net::TcpStream::connect(upstream.local_addr().unwrap()).await.unwrap();
        (&near).write_all(b"hello").unwrap();
        // The bytes meet with a socket that is closed, which answers with a reset. That is told in
        // the event that tells of the end.
        drop((near, upstream.accept().unwrap()));
        relay(a, b).await
    });
    let relayed = relayed.unwrap();
    assert_eq!((relayed.a_to_b, relayed.b_to_a), (5, 0));
}

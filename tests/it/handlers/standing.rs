//! Conditions that hold for long and are no end: messages in the error queue, bytes before a hang-up
//! that a handler leaves for later, what is out of band, and a queue that stays full.
#![allow(unsafe_code)] // For options and messages of sockets that have no safe form.

use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net as std_unix;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use crate::common::{
    self, ANY, PATIENCE, Server, ask, eventually, hold, load_of, read_exactly, reset, tcp_pair,
    within_patience,
};
use corepoll::net::UnixDatagram;
use corepoll::{
    Action, Budget, CloseReason, EvContext, EvHandler, Interest, PollerHandle, Reactor, TimerId,
};
use futures::FutureExt;
use socket2::{SockRef, Socket};

/// Does what it is told in `on_read`, and tells of its end.
struct Scripted<R> {
    read: R,
    ended: Sender<String>,
}

impl<R> EvHandler for Scripted<R>
where
    R: FnMut(&mut EvContext<'_>) -> io::Result<Action> + 'static,
{
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        (self.read)(cx)
    }
    fn on_close(&mut self, _: &mut EvContext<'_>, reason: CloseReason) {
        // The test may be over.
        let _ = self.ended.send(format!("{reason:?}"));
    }
}

/// Registers `fd`; its end comes out of the channel.
fn register<R>(
    poller: &PollerHandle,
    fd: impl Into<OwnedFd>,
    interest: Interest,
    read: R,
) -> Receiver<String>
where
    R: FnMut(&mut EvContext<'_>) -> io::Result<Action> + Send + 'static,
{
    let (ended, ends) = mpsc::channel();
    let factory = move || Scripted { read, ended };
    poller.register(fd.into(), interest, factory).expect("epoll takes it");
    ends
}

fn next<T>(told: &Receiver<T>) -> T {
    told.recv_timeout(PATIENCE).expect("it is told")
}

/// All that is told until the handler has gone.
fn all<T>(told: &Receiver<T>) -> impl Iterator<Item = T> {
    std::iter::from_fn(|| told.recv_timeout(PATIENCE).ok())
}

#[track_caller]
fn assert_sleeps(poller: &PollerHandle) {
    let load = load_of(poller, Duration::from_millis(200));
    assert!(load < 0.3, "it spins: {load}");
}

// ---- the error queue ----

fn set_option(socket: &impl AsFd, level: i32, name: i32, value: i32) {
    let fd = socket.as_fd().as_raw_fd();
    let size = size_of::<i32>() as libc::socklen_t;
    // SAFETY: `value` is readable for `size` bytes.
    let answer = unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), size) };
    assert_eq!(answer, 0, "{}", io::Error::last_os_error());
}

/// Every segment that is sent leaves a message: SOF_TIMESTAMPING_TX_SCHED and _SOFTWARE.
fn ask_for_timestamps(socket: &impl AsFd) {
    const TX_SOFTWARE: i32 = 1 << 1;
    const SOFTWARE: i32 = 1 << 4;
    const TX_SCHED: i32 = 1 << 8;
    let flags = TX_SOFTWARE | SOFTWARE | TX_SCHED;
    set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, flags);
}

/// Takes a message out of the error queue, if there is one.
fn take_message(socket: &impl AsFd) -> bool {
    let (mut bytes, mut control) = ([0u8; 256], [0u64; 64]);
    let mut slice = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: all zeros is a valid msghdr, and every pointer is to a local that outlives the call.
    let answer = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut slice;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
        libc::recvmsg(socket.as_fd().as_raw_fd(), &mut message, flags)
    };
    answer >= 0
}

/// Echoes, one callback at a time; takes messages if it is to.
fn echo(takes: bool) -> impl FnMut(&mut EvContext<'_>) -> io::Result<Action> + Send + 'static {
    move |cx| {
        while takes && cx.is_priority() && take_message(&cx.fd()) {}
        common::send_back(cx)
    }
}

const READ: Interest = Interest::READABLE;

#[test]
fn timestamps_are_no_end_whether_they_are_taken_or_not() {
    let server = Server::start(1);
    for interest in [READ, READ.edge(), READ | Interest::PRIORITY] {
        for takes in [false, true] {
            let (near, far) = tcp_pair();
            ask_for_timestamps(&near);
            let ends = register(server.poller(), near, interest, echo(takes));
            for round in 0..5u8 {
                assert_eq!(ask(&far, &[round; 3]), [round; 3], "{interest:?} {takes}");
            }
            assert_sleeps(server.poller());
            assert_eq!(ask(&far, b"still there"), b"still there");
            assert!(ends.try_recv().is_err());
            // The end is told as ever.
            drop(far);
            assert_eq!(next(&ends), "Requested");
        }
    }
}

/// Messages are in the queue, and the level is what it was: told again for what is left.
#[test]
fn a_level_stays_a_level_beside_the_error_queue() {
    let server = Server::start(1);
    let (near, mut far) = tcp_pair();
    ask_for_timestamps(&near);
    let read = |cx: &mut EvContext<'_>| {
        let mut bite = [0; 1];
        let count = cx.read_into(&mut bite)?;
        cx.write(&bite[..count])?;
        Ok(if count == 0 { Action::Close } else { Action::Keep })
    };
    let ends = register(server.poller(), near, READ, read);
    assert_eq!(ask(&far, b"x"), b"x");
    assert_sleeps(server.poller());
    for _ in 0..3 {
        assert_eq!(ask(&far, b"a byte at a time"), b"a byte at a time");
    }
    far.write_all(b"the last").unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    assert_eq!(common::read_to_end(&far), b"the last");
    assert_eq!(next(&ends), "Requested");
}

#[test]
fn completions_of_sends_without_a_copy_are_no_end() {
    let server = Server::start(1);
    let (near, far) = tcp_pair();
    set_option(&near, libc::SOL_SOCKET, libc::SO_ZEROCOPY, 1);
    static ANSWER: [u8; 20_000] = [7; 20_000];
    let read = |cx: &mut EvContext<'_>| {
        if cx.read()?.is_empty() {
            return Ok(Action::Close);
        }
        let flags = libc::MSG_ZEROCOPY | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        SockRef::from(&cx.fd()).send_with_flags(&ANSWER, flags)?;
        Ok(Action::Keep)
    };
    let ends = register(server.poller(), near, READ, read);
    for _ in 0..3 {
        (&far).write_all(b"?").unwrap();
        assert_eq!(read_exactly(&far, ANSWER.len()), ANSWER);
    }
    assert_sleeps(server.poller());
    assert!(ends.try_recv().is_err());
    drop(far);
    assert_eq!(next(&ends), "Requested");
}

/// Its peer is gone: each datagram leaves a message, which is not taken.
#[test]
fn a_datagram_handler_with_messages_of_errors_goes_on() {
    let server = Server::start(1);
    let none = Interest::NONE;
    for interest in [READ, READ.edge(), none, none | Interest::PRIORITY, Interest::WRITABLE.edge()]
    {
        // An address that no other test has, so that its port is free again afterwards.
        let (ours, theirs) =
            (UdpSocket::bind(ANY).unwrap(), UdpSocket::bind("127.11.7.1:0").unwrap());
        let (addr, our_addr) = (theirs.local_addr().unwrap(), ours.local_addr().unwrap());
        set_option(&ours, libc::IPPROTO_IP, libc::IP_RECVERR, 1);
        ours.connect(addr).unwrap();
        drop(theirs);
        let other = ours.try_clone().unwrap();
        let (tell, told) = mpsc::channel();
        let (urge, urged) = mpsc::channel();
        let read = move |cx: &mut EvContext<'_>| {
            if cx.is_priority() {
                let _ = urge.send(());
            }
            // One datagram a callback, or its error.
            if let Ok(datagram) = cx.read() {
                let _ = tell.send(datagram.to_vec());
            }
            Ok(Action::Keep)
        };
        let ends = register(server.poller(), ours, interest, read);
        other.send(b"to a closed port").unwrap();
        if interest.is_readable() || interest.is_priority() {
            next(&urged);
        }
        assert_sleeps(server.poller());
        let theirs = UdpSocket::bind(addr).unwrap();
        for byte in 0..3 {
            theirs.send_to(&[byte], our_addr).unwrap();
        }
        if interest == READ {
            assert_eq!([(); 3].map(|()| next(&told)), [[0], [1], [2]]);
        }
        assert!(ends.try_recv().is_err());
        while take_message(&other) {}
        assert_sleeps(server.poller());
    }
}

/// A close that waits for its peer, while messages stay in the queue.
#[test]
fn a_close_that_flushes_beside_the_error_queue_sleeps() {
    let mut budget = Budget::default();
    // So little that one event isn't enough for the room that there is.
    budget.send_per_event = 16 << 10;
    let server = Server::build(Reactor::builder().pollers(1).budget(budget));
    let (near, mut far) = tcp_pair();
    ask_for_timestamps(&near);
    const MUCH: usize = 6 << 20;
    let read = |cx: &mut EvContext<'_>| {
        let _ = cx.read()?;
        cx.fd();
        cx.write(&vec![7; MUCH])?;
        Ok(Action::Close)
    };
    let ends = register(server.poller(), near, READ, read);
    far.write_all(b"?").unwrap();
    assert_sleeps(server.poller());
    assert!(ends.try_recv().is_err());
    assert_eq!(read_exactly(&far, MUCH).len(), MUCH);
    assert_eq!(next(&ends), "Requested");
}

#[test]
fn a_datagram_socket_that_has_been_shut_down_has_ended() {
    let server = Server::start(1);
    for interest in [Interest::NONE, Interest::READABLE, Interest::READABLE.edge()] {
        let udp = UdpSocket::bind(ANY).unwrap();
        udp.connect(udp.local_addr().unwrap()).unwrap();
        let (unix, _peer) = std_unix::UnixDatagram::pair().unwrap();
        for ours in [OwnedFd::from(udp), OwnedFd::from(unix)] {
            let duplicate = Socket::from(ours.try_clone().unwrap());
            let ends = register(server.poller(), ours, interest, |cx| {
                cx.read()?;
                Ok(Action::Keep)
            });
            // Whatever the mask says, EPOLLHUP is reported from now on.
            duplicate.shutdown(Shutdown::Both).unwrap();
            assert_eq!(next(&ends), "PeerClosed", "{interest:?}");
        }
    }
    assert_sleeps(server.poller());
}

#[test]
fn an_error_of_the_connection_is_still_its_end() {
    let server = Server::start(1);
    for interest in [READ, READ.edge(), Interest::NONE] {
        let (near, far) = tcp_pair();
        ask_for_timestamps(&near);
        let ends = register(server.poller(), near, interest, echo(false));
        if interest.is_readable() {
            assert_eq!(ask(&far, b"hello"), b"hello");
            assert_sleeps(server.poller());
        }
        reset(far);
        assert!(next(&ends).contains("ConnectionReset"), "{interest:?}");
    }
}

// ---- bytes before a hang-up ----

/// Registers a handler that skips `skips` `on_read`s, and tells of all that it reads.
fn skipping(
    poller: &PollerHandle,
    fd: impl Into<OwnedFd>,
    mut skips: usize,
) -> (Receiver<String>, Receiver<Vec<u8>>) {
    let (tell, told) = mpsc::channel();
    let read = move |cx: &mut EvContext<'_>| {
        if skips > 0 {
            skips -= 1;
            return Ok(Action::Keep);
        }
        let mut bite = [0; 4];
        let count = cx.read_into(&mut bite)?;
        let _ = tell.send(bite[..count].to_vec());
        Ok(if count == 0 { Action::Close } else { Action::Keep })
    };
    (register(poller, fd, READ, read), told)
}

#[test]
fn what_came_before_a_hang_up_is_told_again_to_a_handler_that_skips() {
    let server = Server::start(1);
    for skips in [0, 1, 2, 3, 50] {
        let tcp = || {
            let (near, far) = tcp_pair();
            near.shutdown(Shutdown::Write).unwrap();
            (OwnedFd::from(near), OwnedFd::from(far))
        };
        let unix = || {
            let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
            (OwnedFd::from(near), OwnedFd::from(far))
        };
        let pipe = || {
            let (near, far) = io::pipe().unwrap();
            (OwnedFd::from(near), OwnedFd::from(far))
        };
        for (near, far) in [tcp(), unix(), pipe()] {
            let held = hold(server.poller());
            let (ends, told) = skipping(server.poller(), near, skips);
            std::fs::File::from(far).write_all(b"the last words").unwrap();
            drop(held);
            let words: Vec<Vec<u8>> = all(&told).collect();
            assert_eq!(words, [&b"the "[..], b"last", b" wor", b"ds", b""], "{skips}");
            assert_eq!(next(&ends), "Requested");
        }
    }
}

/// After a reset nothing can be read any more but what is there already: with TCP, nothing.
#[test]
fn a_reset_is_told_to_a_handler_that_skips() {
    let server = Server::start(1);
    let (near, far) = tcp_pair();
    let (ends, _told) = skipping(server.poller(), near, 1);
    reset(far);
    assert!(next(&ends).contains("ConnectionReset"));
}

#[test]
fn a_handler_that_never_reads_does_not_keep_its_poller_awake_and_is_closed() {
    for (linger, sleeps) in [(PATIENCE, true), (Duration::from_millis(30), false)] {
        let mut budget = Budget::default();
        budget.close_linger = linger;
        let server = Server::build(Reactor::builder().pollers(1).budget(budget));
        let (near, mut far) = tcp_pair();
        near.shutdown(Shutdown::Write).unwrap();
        let start = Instant::now();
        let (ends, _told) = skipping(server.poller(), near, usize::MAX);
        far.write_all(b"this is not wanted").unwrap();
        drop(far);
        if sleeps {
            assert_sleeps(server.poller());
            assert!(ends.try_recv().is_err());
        } else {
            assert_eq!(next(&ends), "PeerClosed");
            assert!(start.elapsed() >= linger);
        }
    }
}

/// Reads in its timer, a little at a time.
struct InItsOwnTime(Sender<Vec<u8>>, bool);

impl EvHandler for InItsOwnTime {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        if !std::mem::replace(&mut self.1, true) {
            cx.set_interval(Duration::from_millis(75));
        }
        Ok(Action::Keep)
    }
    fn on_timeout(&mut self, cx: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        let mut bite = [0; 1];
        let count = cx.read_into(&mut bite)?;
        let _ = self.0.send(bite[..count].to_vec());
        Ok(if count == 0 { Action::Close } else { Action::Keep })
    }
}

/// What it reads elsewhere is progress as well.
#[test]
fn a_handler_that_reads_in_a_timer_after_a_hang_up_gets_everything() {
    let mut budget = Budget::default();
    // For a byte, that is more than enough; for all of them it isn't.
    budget.close_linger = Duration::from_secs(2);
    let server = Server::build(Reactor::builder().pollers(1).budget(budget));
    let (tell, told) = mpsc::channel();
    let (near, mut far) = tcp_pair();
    near.shutdown(Shutdown::Write).unwrap();
    let held = hold(server.poller());
    server.poller().register(near.into(), READ, || InItsOwnTime(tell, false)).unwrap();
    far.write_all(&[7; 30]).unwrap();
    drop((far, held));
    let got: Vec<u8> = all(&told).flatten().collect();
    assert_eq!(got, [7; 30]);
}

// ---- out of band ----

fn urgent_byte(cx: &EvContext<'_>) -> io::Result<u8> {
    let mut byte = [MaybeUninit::new(0)];
    SockRef::from(&cx.fd()).recv_out_of_band(&mut byte)?;
    // SAFETY: it was initialised when it was made.
    Ok(unsafe { byte[0].assume_init() })
}

#[test]
fn an_urgent_byte_is_told_to_those_that_ask() {
    let server = Server::start(1);
    let priority = Interest::PRIORITY;
    for interest in [priority, priority.edge(), priority | READ, (priority | READ).edge()] {
        let (near, far) = tcp_pair();
        let (tell, told) = mpsc::channel();
        let read = move |cx: &mut EvContext<'_>| {
            if cx.is_priority() {
                let _ = tell.send(urgent_byte(cx)?);
            } else if cx.read()?.is_empty() {
                return Ok(Action::Close);
            }
            Ok(Action::Keep)
        };
        let ends = register(server.poller(), near, interest, read);
        for byte in *b"abc" {
            SockRef::from(&far).send_out_of_band(&[byte]).unwrap();
            assert_eq!(next(&told), byte, "{interest:?}");
        }
        assert_sleeps(server.poller());
        assert!(ends.try_recv().is_err());
    }
    // Handlers that don't ask aren't told.
    let (near, mut far) = tcp_pair();
    let (tell, told) = mpsc::channel();
    let read = move |cx: &mut EvContext<'_>| {
        let _ = tell.send((cx.is_priority(), cx.read()?.to_vec()));
        Ok(Action::Keep)
    };
    let _ends = register(server.poller(), near, READ, read);
    SockRef::from(&far).send_out_of_band(b"!").unwrap();
    assert_sleeps(server.poller());
    far.write_all(b"usual").unwrap();
    eventually("it is read", || told.try_recv().is_ok_and(|it| it == (false, b"usual".to_vec())));
}

/// What the kernel of the peer can't take at once.
const ANSWER: usize = 100_000;

/// A connection with an answer that its peer, which takes a little at a time, has still to get.
fn answered() -> (std::net::TcpStream, std::net::TcpStream) {
    let (mut near, far) = tcp_pair();
    SockRef::from(&near).set_send_buffer_size(2 * ANSWER).unwrap();
    SockRef::from(&far).set_recv_buffer_size(4096).unwrap();
    near.set_nonblocking(true).unwrap();
    near.write_all(&[b'a'; ANSWER]).unwrap();
    assert!(common::unsent(&near) > 0, "the peer has got all of it");
    (near, far)
}

/// A socket that is closed with an unread byte resets its connection, and destroys what is on its way
/// to the peer.
#[test]
fn an_urgent_byte_right_before_the_end_makes_no_reset() {
    let server = Server::start(1);
    for interest in [READ, READ.edge(), Interest::NONE, Interest::PRIORITY] {
        let (near, far) = answered();
        near.shutdown(Shutdown::Write).unwrap();
        SockRef::from(&far).send_out_of_band(b"!").unwrap();
        far.shutdown(Shutdown::Write).unwrap();
        let ends = register(server.poller(), near, interest, |_| Ok(Action::Keep));
        assert_eq!(next(&ends), "PeerClosed", "{interest:?}");
        assert_eq!(common::read_to_end(&far).len(), ANSWER, "{interest:?}");
    }
}

// ---- a queue that stays full ----

/// The kernel doesn't tell of room in a queue to which the sender isn't connected.
#[test]
fn waiting_for_a_full_queue_does_not_spin() {
    let test = async || {
        let name = format!("corepoll-full-queue-{}", std::process::id());
        let address = std_unix::SocketAddr::from_abstract_name(&name)?;
        let receiver = std_unix::UnixDatagram::bind_addr(&address)?;
        let sender = UnixDatagram::unbound()?;
        let name = format!("\0{name}");
        let mut sent = 0;
        while sender.try_send_to(b"one of many", &name).is_ok() {
            sent += 1;
        }
        let rounds = std::cell::Cell::new(0);
        let waits = async {
            loop {
                rounds.set(rounds.get() + 1);
                sender.writable().await?;
                match sender.try_send_to(b"the last", &name) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => return result,
                }
            }
        };
        let drains = async {
            corepoll::time::sleep(Duration::from_millis(200)).await;
            for _ in 0..sent {
                receiver.recv(&mut [0; 16])?;
            }
            io::Result::Ok(())
        };
        let (last, drained) = futures::join!(waits, drains);
        last?;
        drained?;
        assert!(rounds.get() < 1000, "{} rounds", rounds.get());
        assert_eq!(receiver.recv(&mut [0; 16])?, b"the last".len());
        // There is room: no pause comes any more.
        assert!(sender.writable().now_or_never().is_some());
        io::Result::Ok(())
    };
    within_patience(move || corepoll::block_on(test()).unwrap());
}

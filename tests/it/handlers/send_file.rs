//! Files, in order with the writes around them, whole or with an error.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::refuse::decide;
use crate::common::{
    self, PATIENCE, Server, ask, connect, eventually, hold, in_own_process, open_descriptors,
    read_exactly, read_to_end, reset,
};
use corepoll::{Action, Budget, CloseReason, EvContext, EvHandler, Interest, Reactor};
use futures::AsyncWriteExt;

/// A file without a name, that is gone with its descriptor.
fn file_of(bytes: &[u8]) -> File {
    let mut file = unnamed();
    file.write_all(bytes).expect("there is room in /tmp");
    file
}

/// A file without a name that reads as `len` zeros and takes no room.
fn zeros(len: u64) -> File {
    let file = unnamed();
    file.set_len(len).expect("a sparse file");
    file
}

fn unnamed() -> File {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("corepoll-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
    let path = std::env::temp_dir().join(name);
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
    let file = file.expect("a file in /tmp");
    fs::remove_file(path).expect("it is ours");
    file
}

/// `len` bytes, of which no stretch is like another.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8).collect()
}

type Open = Box<dyn FnOnce(&mut EvContext<'_>) -> io::Result<Action> + Send>;

/// Does one thing when it opens, and says why it ended.
struct Once {
    open: Option<Open>,
    ends: Sender<CloseReason>,
}

impl EvHandler for Once {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.open.take().expect("it opens once")(cx)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
    }

    fn on_close(&mut self, _: &mut EvContext<'_>, reason: CloseReason) {
        let _ = self.ends.send(reason);
    }
}

/// A server whose only connection does `open`.
fn serve(
    budget: Budget,
    open: impl FnOnce(&mut EvContext<'_>) -> io::Result<Action> + Send + 'static,
) -> (Server, SocketAddr, Receiver<CloseReason>) {
    let (ends, ended) = channel();
    let handler = Mutex::new(Some(Once { open: Some(Box::new(open)), ends }));
    let server = Server::build(Reactor::builder().pollers(1).budget(budget));
    let addr = server.listen(move || handler.lock().unwrap().take().expect("one connection"));
    (server, addr, ended)
}

/// The error with which a connection ended.
fn error(ended: &Receiver<CloseReason>) -> io::Error {
    match ended.recv_timeout(PATIENCE).expect("on_close is called") {
        CloseReason::Error(error) => error,
        other => panic!("it ended with {other:?}"),
    }
}

#[test]
fn files_keep_their_place_between_writes() {
    let text = pattern(3_000_000);
    let writer_text = b"from a writer".repeat(5000);
    let expected = [
        &b"head"[..],
        &text[1000..2_500_000],
        b"middle",
        &text[..10],
        &writer_text,
        &text[2_999_999..],
        b"tail",
    ]
    .concat();
    let (_server, addr, ended) = serve(Budget::default(), move |cx| {
        let file = file_of(&text);
        let again = || file.try_clone().expect("a descriptor");
        cx.write(b"head")?;
        cx.send_file(again(), 1000, 2_499_000)?;
        cx.write(b"middle")?;
        cx.send_file(again(), 5, 0)?;
        cx.send_file(again(), 0, 10)?;
        cx.writer().write(writer_text)?;
        cx.send_file(again(), 2_999_999, 1)?;
        cx.write(b"tail")?;
        assert!(cx.pending_output() > 0);
        Ok(Action::Close)
    });
    let client = connect(addr);
    // A slow reader: it takes little at a time, so that every kind of rest is met.
    let (mut received, mut buffer) = (Vec::new(), [0; 7001]);
    loop {
        match common::read_some(&client, &mut buffer) {
            0 => break,
            count => received.extend_from_slice(&buffer[..count]),
        }
    }
    assert!(received == expected, "{} of {} bytes", received.len(), expected.len());
    let reason = ended.recv_timeout(PATIENCE).expect("on_close is called");
    assert!(matches!(reason, CloseReason::Requested), "{reason:?}");
}

#[test]
fn a_file_does_not_count_as_memory_and_its_descriptor_is_closed_when_it_is_sent() {
    in_own_process(|| {
        const LEN: usize = 50_000_000;
        let mut budget = Budget::default();
        budget.output_per_connection = 10_000;
        let (told_pending, pending) = channel();
        let (_server, addr, _ended) = serve(budget, move |cx| {
            cx.send_file(zeros(LEN as u64), 0, LEN as u64)?;
            cx.write(&[1; 9000])?;
            let _ = told_pending.send(cx.pending_output());
            Ok(Action::Keep)
        });
        let client = connect(addr);
        let pending = pending.recv_timeout(PATIENCE).expect("on_open is called");
        assert!(pending > LEN / 2 && pending <= LEN + 9000, "{pending}");
        let with_the_file = open_descriptors();
        let received = read_exactly(&client, LEN + 9000);
        assert!(received[..LEN].iter().all(|&b| b == 0));
        assert!(received[LEN..].iter().all(|&b| b == 1));
        eventually("the file is closed", || open_descriptors() == with_the_file - 1);
    });
}

#[test]
fn a_file_that_is_too_short_at_once_is_an_error() {
    let (_server, addr, ended) = serve(Budget::default(), |cx| {
        let error = cx.send_file(file_of(&[5; 1000]), 0, 1001).expect_err("a byte is missing");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        Ok(Action::Keep)
    });
    assert_eq!(read_to_end(&connect(addr)), [5; 1000]);
    assert_eq!(error(&ended).kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_file_that_is_cut_while_it_is_sent_is_an_error() {
    const LEN: u64 = 100_000_000;
    let file = zeros(LEN);
    let sent = file.try_clone().expect("a descriptor");
    let (opened, is_open) = channel();
    let (_server, addr, ended) = serve(Budget::default(), move |cx| {
        cx.send_file(sent, 0, LEN)?;
        cx.write(b"and what comes after it")?;
        let _ = opened.send(());
        Ok(Action::Close)
    });
    let client = connect(addr);
    is_open.recv_timeout(PATIENCE).expect("on_open is called");
    // More than the buffers of a connection hold.
    file.set_len(LEN / 2).expect("it gets shorter");
    let received = read_to_end(&client);
    assert!(received.len() as u64 <= LEN / 2, "{}", received.len());
    assert!(received.iter().all(|&b| b == 0), "nothing that came after the file is sent");
    assert_eq!(error(&ended).kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn what_cannot_be_sent_is_an_error() {
    let (_server, addr, ended) = serve(Budget::default(), |cx| {
        for (offset, len) in [(u64::MAX, 1), (u64::MAX, u64::MAX), (i64::MAX as u64, 1)] {
            let error = cx.send_file(file_of(b""), offset, len).expect_err("beyond every file");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
        // Nothing has happened by that.
        cx.write(b"fine")?;
        let directory = File::open("/tmp")?;
        assert!(cx.send_file(directory, 0, 10).is_err());
        Ok(Action::Keep)
    });
    assert_eq!(read_to_end(&connect(addr)), b"fine");
    error(&ended);
}

/// A process with a long command line, which `/proc` shows as a file that sendfile(2) refuses.
fn process_with_a_long_command_line() -> std::process::Child {
    let words = (0..20_000).map(|number| format!("an argument that is number {number}"));
    Command::new("sh")
        .args(["-c", "read _"])
        .args(words)
        .stdin(Stdio::piped())
        .spawn()
        .expect("there is a shell")
}

#[test]
fn a_file_from_which_the_kernel_cannot_send_is_read_and_sent() {
    let mut process = process_with_a_long_command_line();
    let path = format!("/proc/{}/cmdline", process.id());
    let mut expected = Vec::new();
    eventually("the shell runs", || {
        expected = fs::read(&path).expect("it is our child");
        expected.ends_with(b"number 19999\0")
    });
    let len = expected.len() as u64;
    let (_server, addr, _) = serve(Budget::default(), move |cx| {
        socket2::SockRef::from(&cx.fd()).set_send_buffer_size(1)?;
        cx.write(b"head")?;
        cx.send_file(File::open(path)?, 10, len - 10)?;
        cx.write(b"tail")?;
        Ok(Action::Close)
    });
    let received = read_to_end(&connect(addr));
    assert!(received == [b"head", &expected[10..], b"tail"].concat(), "{}", received.len());
    process.kill().expect("it is our child");
    process.wait().expect("it is our child");
}

#[test]
fn a_file_goes_into_a_pipe_too() {
    let (mut reader, writer) = io::pipe().expect("a pipe");
    let server = Server::start(1);
    let text = pattern(1_000_000);
    let (ends, _ended) = channel();
    let sent = file_of(&text);
    let open: Open = Box::new(move |cx| {
        cx.write(b"head")?;
        cx.send_file(sent, 0, 1_000_000)?;
        cx.write(b"tail")?;
        Ok(Action::Close)
    });
    let handler = Once { open: Some(open), ends };
    server.poller().register(OwnedFd::from(writer), Interest::NONE, || handler).expect("a pipe");
    let mut received = Vec::new();
    reader.read_to_end(&mut received).expect("the handler writes");
    assert!(received == [&b"head"[..], &text, b"tail"].concat());
}

#[test]
fn all_that_was_accepted_goes_along_with_a_stream() {
    let text = pattern(3_000_000);
    let file = file_of(&text);
    let written = vec![1; 2_000_000];
    let from_writer = vec![2; 1_000_000];
    let expected = [&b"head"[..], &text, &written, &from_writer, b"stream"].concat();
    let (give, take) = channel();
    let (_server, addr, _ended) = serve(Budget::default(), move |cx| {
        let writer = cx.writer();
        cx.write(b"head")?;
        cx.send_file(file, 0, 3_000_000)?;
        cx.write(&written)?;
        writer.write(from_writer)?;
        let mut stream = cx.take_stream()?;
        let late = writer.write("too late").expect_err("a stream has it").kind();
        let _ = give.send((late, writer.pending()));
        drop(cx.spawn_local(async move {
            stream.write_all(b"stream").await?;
            stream.close().await
        }));
        Ok(Action::Keep)
    });
    let client = connect(addr);
    assert_eq!(take.recv_timeout(PATIENCE), Ok((io::ErrorKind::BrokenPipe, 0)));
    assert!(read_to_end(&client) == expected);
}

#[test]
fn a_file_goes_on_with_a_stream_that_is_not_written_to() {
    const LEN: u64 = 30_000_000;
    let mut budget = Budget::default();
    // The stream is edge-triggered: what a budget leaves over, no event brings.
    budget.send_per_event = 10_000;
    let (_server, addr, _ended) = serve(budget, |cx| {
        cx.send_file(zeros(LEN), 0, LEN)?;
        let stream = cx.take_stream()?;
        drop(cx.spawn_local(async move {
            let _stream = stream;
            std::future::pending::<()>().await;
        }));
        Ok(Action::Keep)
    });
    let received = read_exactly(&connect(addr), LEN as usize);
    assert!(received.iter().all(|&b| b == 0));
}

/// Sends a file for as long as it is not stopped, or echoes.
struct Busy;

const HUGE: u64 = 1 << 40;

impl EvHandler for Busy {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let data = cx.read()?;
        match &*data {
            b"" => return Ok(Action::Close),
            b"level" => cx.send_file(zeros(HUGE), 0, HUGE)?,
            b"edge" => {
                cx.set_interest(Interest::READABLE.edge())?;
                cx.send_file(zeros(HUGE), 0, HUGE)?;
            }
            echo => cx.write(echo)?,
        }
        Ok(Action::Keep)
    }
}

#[test]
fn a_huge_file_on_a_fast_connection_leaves_the_others_their_turns() {
    for trigger in ["level", "edge"] {
        let (server, addr) = Server::of_handlers(|| Busy);
        let mut download = connect(addr);
        download.write_all(trigger.as_bytes()).expect("the server reads");
        let received = Arc::new(AtomicU64::new(0));
        let reader = std::thread::spawn({
            let received = received.clone();
            move || {
                let mut buffer = vec![0; 1 << 20];
                while let Ok(count @ 1..) = download.read(&mut buffer) {
                    received.fetch_add(count as u64, Relaxed);
                }
            }
        });
        // Both go on: neither waits for the end of the other.
        let (other, mut asked) = (connect(addr), 0);
        while asked < 100 || received.load(Relaxed) < 32 << 20 {
            assert_eq!(ask(&other, b"are you there?"), b"are you there?");
            asked += 1;
        }
        drop(server);
        reader.join().expect("it reads");
    }
}

#[test]
fn a_download_ends_by_edges_too() {
    const LEN: u64 = 40_000_000;
    let mut budget = Budget::default();
    budget.send_per_event = 10_000;
    let (_server, addr, _ended) = serve(budget, |cx| {
        cx.set_interest(Interest::READABLE.edge())?;
        cx.send_file(zeros(LEN), 0, LEN)?;
        let sent = LEN - cx.pending_output() as u64;
        assert!(sent <= 10_000, "{sent} bytes were sent at once");
        cx.write(b"tail")?;
        Ok(Action::Keep)
    });
    let received = read_exactly(&connect(addr), LEN as usize + 4);
    assert!(received.ends_with(b"tail"));
}

/// SIGPIPE kills from now on, as in a C program; Rust's runtime had it ignored.
#[allow(unsafe_code)]
fn let_sigpipe_kill() {
    // SAFETY: no handler is installed, and none is taken away.
    let before = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    assert_ne!(before, libc::SIG_ERR);
}

/// Sends a file to a peer that has gone.
struct ToClosedPeer(Sender<CloseReason>);

impl EvHandler for ToClosedPeer {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_interest(Interest::NONE)?;
        cx.write(b"hello")?;
        cx.set_timer(Duration::from_millis(1));
        Ok(Action::Keep)
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }

    fn on_timeout(&mut self, cx: &mut EvContext<'_>, _: corepoll::TimerId) -> io::Result<Action> {
        // The first one finds the reset, or fits into a send buffer; a later one finds the end.
        cx.send_file(zeros(1000), 0, 1000)?;
        cx.set_timer(Duration::from_millis(1));
        Ok(Action::Keep)
    }

    fn on_close(&mut self, _: &mut EvContext<'_>, reason: CloseReason) {
        let _ = self.0.send(reason);
    }
}

#[test]
fn a_file_for_a_peer_that_has_gone_raises_no_sigpipe() {
    in_own_process(|| {
        let_sigpipe_kill();
        let server = Server::start(1);
        for shutdown_first in [false, true] {
            let (ends, ended) = channel();
            let addr = server.listen(move || ToClosedPeer(ends.clone()));
            let client: TcpStream = connect(addr);
            assert_eq!(read_exactly(&client, 5), b"hello");
            if shutdown_first {
                drop(client);
            } else {
                reset(client);
            }
            ended.recv_timeout(PATIENCE).expect("on_close is called");
        }
        // Straight into a socket whose writing side has been shut down: EPIPE at once.
        let (ours, theirs) = common::tcp_pair();
        ours.shutdown(std::net::Shutdown::Write).expect("it is connected");
        let (ends, ended) = channel();
        let open: Open = Box::new(|cx| cx.send_file(zeros(1000), 0, 1000).map(|()| Action::Keep));
        let handler = Once { open: Some(open), ends };
        server.poller().register(ours.into(), Interest::NONE, || handler).expect("a socket");
        assert_eq!(error(&ended).kind(), io::ErrorKind::BrokenPipe);
        // And into a pipe without a reader.
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let (ends, ended) = channel();
        let open: Open = Box::new(|cx| cx.send_file(zeros(1000), 0, 1000).map(|()| Action::Keep));
        let handler = Once { open: Some(open), ends };
        server.poller().register(writer.into(), Interest::NONE, || handler).expect("a pipe");
        assert_eq!(error(&ended).kind(), io::ErrorKind::BrokenPipe);
        drop(theirs);
    });
}

/// Answers each byte with a file.
struct Answers {
    file: File,
    length: u64,
    ended: Sender<CloseReason>,
}

impl EvHandler for Answers {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let requests = cx.read()?;
        if requests.is_empty() {
            return Ok(Action::Close);
        }
        for _ in requests.iter() {
            cx.send_file(self.file.try_clone()?, 0, self.length)?;
        }
        Ok(Action::Keep)
    }

    fn on_close(&mut self, _: &mut EvContext<'_>, reason: CloseReason) {
        let _ = self.ended.send(reason);
    }
}

#[test]
fn a_peer_that_has_closed_raises_no_sigpipe_in_the_middle_of_a_file() {
    in_own_process(|| {
        let_sigpipe_kill();
        let server = Server::start(1);
        let (ended, ends) = channel();
        let addr = server.listen(move || Answers {
            file: zeros(4 << 20),
            length: 4 << 20,
            ended: ended.clone(),
        });
        for _ in 0..50 {
            // It has closed before the handler reads: the first bytes of the file bring its reset,
            // and sendfile, which has moved them, goes on and meets with it.
            let held = hold(server.poller());
            let mut client = connect(addr);
            client.write_all(b"?").expect("the server listens");
            drop(client);
            drop(held);
            let error = error(&ends);
            let kinds = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
            assert!(kinds.contains(&error.kind()), "{error:?}");
        }
    });
}

#[test]
fn files_for_a_peer_that_reads_nothing_are_limited() {
    in_own_process(|| {
        const FILES: usize = 5;
        let mut budget = Budget::default();
        assert!((1..=64).contains(&budget.files_per_connection), "the default is small");
        budget.files_per_connection = FILES;
        let server = Server::build(Reactor::builder().pollers(1).budget(budget));
        let (ended, ends) = channel();
        let file = zeros(50_000_000);
        let addr = server.listen(move || Answers {
            file: file.try_clone().expect("a descriptor"),
            length: 50_000_000,
            ended: ended.clone(),
        });
        let before = open_descriptors();
        let mut client = connect(addr);
        client.write_all(&[b'?'; FILES]).expect("the server listens");
        // The socket, the handler's file, and as many as may be queued; and the client's socket.
        let mut open = 0;
        eventually("the files are queued", || {
            open = open_descriptors() - before;
            open == FILES + 3
        });
        assert!(ends.try_recv().is_err(), "it is within its limit");
        client.write_all(b"?").expect("the server listens");
        let reason = ends.recv_timeout(PATIENCE).expect("on_close is called");
        assert!(matches!(reason, CloseReason::Overflow), "{reason:?}");
        eventually("all but the client's are closed", || open_descriptors() == before + 1);
        // Files that are taken make room for others.
        let mut client = connect(addr);
        for _ in 0..2 * FILES {
            client.write_all(b"?").expect("the server listens");
            io::copy(&mut (&client).take(50_000_000), &mut io::sink()).expect("it is sent");
        }
    });
}

#[test]
fn where_the_kernel_refuses_to_send_a_file_it_is_read_and_sent() {
    in_own_process(|| {
        // From the call with this number on, sendfile fails with this errno.
        let plan = Arc::new(Mutex::new((u64::MAX, 0)));
        let told = plan.clone();
        decide(libc::SYS_sendfile, move |_| {
            let (left, errno) = &mut *told.lock().unwrap();
            let is_refused = *left == 0;
            *left = left.saturating_sub(1);
            is_refused.then_some(*errno)
        });
        let text = pattern(3_000_000);
        // 0 is an answer, not an error, and as wrong.
        let answers = [0, libc::ENOSYS, libc::EPERM, libc::EOPNOTSUPP, libc::EINVAL, libc::ENOMEM];
        for errno in answers {
            for from in [0, 1, 2] {
                *plan.lock().unwrap() = (from, errno);
                let file = file_of(&text);
                let (_server, addr, ended) = serve(Budget::default(), move |cx| {
                    cx.write(b"head")?;
                    cx.send_file(file, 10, 2_999_990)?;
                    cx.write(b"tail")?;
                    Ok(Action::Close)
                });
                let received = read_to_end(&connect(addr));
                let expected = [b"head", &text[10..], b"tail"].concat();
                assert!(received == expected, "{errno} from call {from} on: {}", received.len());
                let reason = ended.recv_timeout(PATIENCE).expect("on_close is called");
                assert!(matches!(reason, CloseReason::Requested), "{reason:?}");
            }
        }
    });
}

//! Signals: interrupted system calls are no failure, and nothing that we do raises SIGPIPE.
#![allow(unsafe_code)]

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{
    self, ANY, Echo, PATIENCE, Server, ask, connect, echo, in_own_process, reset, tcp_pair,
};
use corepoll::{Action, CloseReason, EvContext, EvHandler, Interest, TimerId, block_on, net, time};
use futures::AsyncWriteExt;

static INTERRUPTIONS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn interrupt(_: libc::c_int) {
    INTERRUPTIONS.fetch_add(1, Ordering::Relaxed);
}

/// SIGALRM interrupts system calls from now on: no SA_RESTART.
fn let_alarms_interrupt() {
    // SAFETY: all zeros is a valid sigaction; the handler only counts, which is allowed in it.
    let answer = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = interrupt as extern "C" fn(libc::c_int) as usize;
        libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut())
    };
    assert_eq!(answer, 0);
}

/// Interrupts the pollers of `server` a thousand times a second each, while `work` runs. An
/// interval timer would find the main thread, which the kernel prefers.
fn in_a_storm(server: &Server, work: impl FnOnce()) {
    let pollers = server.handle().pollers().iter();
    let threads: Vec<libc::pthread_t> =
        // SAFETY: pthread_self has no conditions.
        pollers.map(|poller| common::on_poller(poller, || unsafe { libc::pthread_self() })).collect();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                for thread in &threads {
                    // SAFETY: the pollers' threads run until the server is dropped, after this.
                    unsafe { libc::pthread_kill(*thread, libc::SIGALRM) };
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        work();
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn echo_survives_a_storm_of_interruptions() {
    in_own_process(|| {
        let_alarms_interrupt();
        let server = Server::start(2);
        let addrs = [
            server.listen(|| Echo),
            server.handle().serve(ANY, echo).unwrap().local_addr().unwrap(),
        ];
        in_a_storm(&server, || {
            for addr in addrs {
                let clients = [connect(addr), connect(addr)];
                for round in 0..60 {
                    let request = vec![round as u8; 20_000];
                    clients.iter().for_each(|client| assert_eq!(ask(client, &request), request));
                }
            }
            let sleeper = server.poller().spawn_on(|| async {
                for _ in 0..20 {
                    let start = Instant::now();
                    time::sleep(Duration::from_micros(3300)).await;
                    assert!(start.elapsed() >= Duration::from_micros(3300));
                }
                let listener = net::TcpListener::bind(ANY).await.unwrap();
                for _ in 0..50 {
                    let addr = listener.local_addr().unwrap();
                    let stream = net::TcpStream::connect(addr).await.unwrap();
                    drop((listener.accept().await.unwrap(), stream));
                }
            });
            block_on(sleeper).unwrap();
        });
        let count = INTERRUPTIONS.load(Ordering::Relaxed);
        assert!(count > 100, "that was no storm: {count}");
    });
}

// ---- SIGPIPE ----

/// SIGPIPE kills from now on; Rust's runtime had it ignored.
fn let_sigpipe_kill() {
    // SAFETY: SIG_DFL is a valid disposition.
    let before = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    assert_ne!(before, libc::SIG_ERR);
}

/// Writes until that fails.
struct Writes {
    vectored: bool,
    closed: Sender<String>,
}

impl EvHandler for Writes {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_interval(Duration::from_millis(1));
        cx.set_interest(Interest::NONE)?;
        Ok(Action::Keep)
    }
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
    fn on_timeout(&mut self, cx: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        if self.vectored {
            cx.write_vectored(&[IoSlice::new(b"one"), IoSlice::new(b"other")])?;
        } else {
            cx.write(b"bytes")?;
        }
        Ok(Action::Keep)
    }
    fn on_close(&mut self, _: &mut EvContext<'_>, reason: CloseReason) {
        let _ = self.closed.send(format!("{reason:?}"));
    }
}

async fn write_until_it_fails(mut stream: net::TcpStream, _: SocketAddr) {
    while stream.write_all(b"bytes").await.is_ok() {
        time::sleep(Duration::from_millis(1)).await;
    }
    assert!(stream.write_all(b"more").await.is_err());
    assert!(stream.write_vectored(&[IoSlice::new(b"more")]).await.is_err());
    assert!(stream.try_write(b"more").is_err());
    let _ = stream.close().await;
}

/// The ends of a pipe: to read and to write.
fn pipe() -> (OwnedFd, OwnedFd) {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for two descriptors.
    assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    // SAFETY: the kernel just gave us these, and nothing else knows of them.
    let [read, write] = ends.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    (read, write)
}

#[test]
fn nothing_raises_sigpipe() {
    in_own_process(|| {
        let_sigpipe_kill();
        let server = Server::start(1);
        let (closed, reasons) = mpsc::channel();
        for vectored in [false, true] {
            for end in [drop, reset] {
                let (near, far) = tcp_pair();
                let handler = Writes { vectored, closed: closed.clone() };
                server.poller().register(near.into(), Interest::NONE, || handler).unwrap();
                end(far);
                assert!(reasons.recv_timeout(PATIENCE).is_ok());
            }
            let (read, write) = pipe();
            assert_ne!(read.as_raw_fd(), write.as_raw_fd());
            let handler = Writes { vectored, closed: closed.clone() };
            server.poller().register(write, Interest::NONE, || handler).unwrap();
            drop(read);
            assert!(reasons.recv_timeout(PATIENCE).is_ok());
        }
        for end in [drop, reset] {
            let (near, far) = tcp_pair();
            let peer = far.local_addr().unwrap();
            let task = server.poller().spawn_on(move || async move {
                write_until_it_fails(net::TcpStream::from_std(near).unwrap(), peer).await;
            });
            end(far);
            block_on(task).unwrap();
        }
        drop(server);
        // SAFETY: as above. It was at its default to the end: nothing had it ignored meanwhile.
        let disposition = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        assert_eq!(disposition, libc::SIG_DFL);
    });
}

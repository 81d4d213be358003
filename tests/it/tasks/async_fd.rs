//! `AsyncFd`: any descriptor that epoll takes, without one event lost or made up.
#![allow(unsafe_code)] // For eventfd(2) and timerfd_create(2).

use std::cell::Cell;
use std::fs::File;
use std::future::Future;
use std::io::{self, ErrorKind, Read, Write};
use std::net::UdpSocket as StdUdp;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::common::{self, ANY, within_patience};
use corepoll::net::AsyncFd;
use corepoll::{Interest, block_on, spawn_local, time, yield_now};
use futures::{FutureExt, poll};

fn in_a_poller<T: Send + 'static, F: Future<Output = io::Result<T>>>(
    make: impl FnOnce() -> F + Send + 'static,
) -> T {
    within_patience(|| block_on(make()).unwrap())
}

fn owned(fd: i32) -> File {
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    // SAFETY: the kernel just gave us this descriptor.
    File::from(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A blocking one: `AsyncFd` makes it non-blocking.
fn eventfd() -> File {
    // SAFETY: takes no pointers.
    owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) })
}

fn timerfd(due: Duration) -> File {
    // SAFETY: takes no pointers.
    let timer = owned(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC) });
    let once = libc::itimerspec {
        it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: libc::timespec { tv_sec: 0, tv_nsec: due.as_nanos() as i64 },
    };
    // SAFETY: `once` is a valid itimerspec, and no old value is asked for.
    let answer =
        unsafe { libc::timerfd_settime(timer.as_raw_fd(), 0, &once, std::ptr::null_mut()) };
    assert_eq!(answer, 0);
    timer
}

fn counter(mut file: &File) -> io::Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

fn would_block<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// tokio's example of `AsyncFd`, for a pipe: wait, try, and wait again.
#[test]
fn a_pipe_is_read_as_bytes_come() {
    in_a_poller(|| async {
        let (reader, mut writer) = io::pipe()?;
        let reader = AsyncFd::new(reader)?;
        let sender = std::thread::spawn(move || {
            for _ in 0..100 {
                writer.write_all(b"0123456789").unwrap();
                std::thread::yield_now();
            }
        });
        let mut seen = Vec::new();
        loop {
            reader.readable().await?;
            let mut bytes = [0; 7];
            match reader.try_io(Interest::READABLE, |mut pipe| pipe.read(&mut bytes)) {
                Ok(0) => break,
                Ok(count) => seen.extend_from_slice(&bytes[..count]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        assert_eq!(seen, b"0123456789".repeat(100));
        sender.join().unwrap();
        Ok(())
    });
}

/// A naive user's way: after `readable` there is something to read.
#[test]
fn readable_is_not_guessed_at_first() {
    in_a_poller(|| async {
        let (reader, mut writer) = io::pipe()?;
        let reader = AsyncFd::new(reader)?;
        let mut wait = pin!(reader.readable());
        assert!(poll!(wait.as_mut()).is_pending());
        // Not even when the poller has looked for events.
        time::sleep(Duration::from_millis(1)).await;
        assert!(poll!(wait.as_mut()).is_pending());
        assert!(would_block(
            reader.try_io(Interest::READABLE, |_| -> io::Result<()> {
                unreachable!("it isn't ready")
            })
        ));
        writer.write_all(b"x")?;
        wait.await?;
        assert_eq!(reader.get_ref().read(&mut [0; 4])?, 1);
        Ok(())
    });
}

#[test]
fn the_writing_end_of_a_pipe_waits_for_room() {
    in_a_poller(|| async {
        let (mut reader, writer) = io::pipe()?;
        let writer = AsyncFd::new(writer)?;
        let mut written = 0;
        writer.writable().await?;
        loop {
            match writer.try_io(Interest::WRITABLE, |mut pipe| pipe.write(&[1; 4096])) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let mut wait = pin!(writer.writable());
        assert!(poll!(wait.as_mut()).is_pending());
        reader.read_exact(&mut vec![0; written])?;
        wait.await?;
        drop(reader);
        let error = writer.async_io(Interest::WRITABLE, |mut pipe| pipe.write(b"x")).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::BrokenPipe);
        Ok(())
    });
}

#[test]
fn an_eventfd_counts_for_every_waiter() {
    in_a_poller(|| async {
        let event = AsyncFd::new(eventfd())?;
        let mut other = event.get_ref().try_clone()?;
        for round in 1..=20u64 {
            let mut wait = pin!(event.async_io(Interest::READABLE, counter));
            assert!(poll!(wait.as_mut()).is_pending());
            other.write_all(&round.to_ne_bytes())?;
            assert_eq!(wait.await?, round);
        }
        Ok(())
    });
}

#[test]
fn a_timerfd_is_readable_when_it_is_due() {
    in_a_poller(|| async {
        let (start, due) = (Instant::now(), Duration::from_millis(2));
        let timer = AsyncFd::new(timerfd(due))?;
        timer.readable().await?;
        assert_eq!(counter(timer.get_ref())?, 1);
        assert!(start.elapsed() >= due);
        assert!(would_block(timer.try_io(Interest::READABLE, counter)));
        Ok(())
    });
}

#[test]
fn a_udp_socket_of_stds_works_both_ways() {
    in_a_poller(|| async {
        let socket = AsyncFd::new(StdUdp::bind(ANY)?)?;
        let peer = StdUdp::bind(ANY)?;
        let mut bytes = [0; 10];
        let wait = socket.async_io(Interest::READABLE, |socket| socket.recv_from(&mut bytes));
        let mut wait = pin!(wait);
        assert!(poll!(wait.as_mut()).is_pending());
        peer.send_to(b"hello", socket.get_ref().local_addr()?)?;
        let (count, from) = wait.await?;
        assert_eq!((count, from), (5, peer.local_addr()?));
        let to = peer.local_addr()?;
        socket.async_io(Interest::WRITABLE, |socket| socket.send_to(b"and you?", to)).await?;
        assert_eq!(peer.recv(&mut [0; 10])?, 8);
        let both = Interest::READABLE | Interest::WRITABLE;
        let error = socket.async_io(both, |_| Ok(())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        // For both directions, as long as it is ready for one of them.
        assert_eq!(socket.try_io(both, |socket| socket.send_to(b"x", to))?, 1);
        Ok(())
    });
}

#[test]
fn a_direction_that_would_block_says_nothing_of_the_other() {
    in_a_poller(|| async {
        let (ours, _peer) = common::tcp_pair();
        let stream = AsyncFd::new(ours)?;
        stream.writable().await?;
        // An edge has told of both; reading finds nothing, and writing goes on.
        assert!(would_block(stream.try_io(Interest::READABLE, |mut it| it.read(&mut [0; 4]))));
        assert!(stream.readable().now_or_never().is_none());
        assert!(stream.writable().now_or_never().is_some());
        assert_eq!(stream.try_io(Interest::WRITABLE, |mut it| it.write(b"x"))?, 1);
        Ok(())
    });
}

#[test]
fn one_descriptor_is_registered_once() {
    in_a_poller(|| async {
        let event = Rc::new(eventfd());
        let first = AsyncFd::new(event.clone())?;
        let error = AsyncFd::new(event.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert!(error.to_string().contains("registered"), "{error}");
        // The failure has taken nothing from the first one.
        (&*event).write_all(&1u64.to_ne_bytes())?;
        first.readable().await?;
        drop(first);
        let second = AsyncFd::new(event)?;
        second.readable().await?;
        Ok(())
    });
}

#[test]
fn a_regular_file_and_a_missing_poller_are_errors() {
    in_a_poller(|| async {
        let error = AsyncFd::new(File::open("/proc/self/exe")?).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("regular file"), "{error}");
        Ok(())
    });
    let error = AsyncFd::new(eventfd()).unwrap_err();
    assert!(error.to_string().contains("block_on"), "{error}");
}

/// Looks at its descriptor's registration when it is dropped.
struct Looks {
    fd: File,
    /// How many descriptors this poller's epoll instance had, at the end.
    seen: Rc<Cell<Option<usize>>>,
}

impl AsFd for Looks {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        self.seen.set(Some(registrations_of(&self.fd)));
    }
}

/// In how many epoll instances of this process `fd` is registered: proc(5), fdinfo.
fn registrations_of(fd: &File) -> usize {
    let target = format!("tfd: {:8} ", fd.as_raw_fd());
    let infos = std::fs::read_dir("/proc/self/fdinfo").unwrap();
    let texts = infos.filter_map(|info| std::fs::read_to_string(info.ok()?.path()).ok());
    texts.map(|text| text.matches(&target).count()).sum()
}

#[test]
fn it_is_deregistered_before_it_is_dropped_or_given_back() {
    // Others register descriptors of the same numbers.
    common::in_own_process(|| {
        in_a_poller(|| async {
            let seen = Rc::new(Cell::new(None));
            let looks = AsyncFd::new(Looks { fd: eventfd(), seen: seen.clone() })?;
            assert_eq!(registrations_of(&looks.get_ref().fd), 1);
            drop(looks);
            assert_eq!(seen.get(), Some(0));

            let event = AsyncFd::new(eventfd())?;
            let event = event.into_inner();
            assert_eq!(registrations_of(&event), 0);
            // And it is free to be registered again.
            drop(AsyncFd::new(event)?);
            Ok(())
        });
    });
}

/// A descriptor that lives on in a dup keeps its registration, if nothing ends it.
#[test]
fn nothing_is_heard_of_a_descriptor_that_was_dropped() {
    in_a_poller(|| async {
        let event = AsyncFd::new(eventfd())?;
        let mut copy = event.get_ref().try_clone()?;
        drop(event);
        copy.write_all(&1u64.to_ne_bytes())?;
        // Its successor gets the slot.
        let successor = AsyncFd::new(eventfd())?;
        time::sleep(Duration::from_millis(1)).await;
        assert!(successor.readable().now_or_never().is_none());
        Ok(())
    });
}

#[test]
fn all_waiting_tasks_are_woken() {
    in_a_poller(|| async {
        let event = Rc::new(AsyncFd::new(eventfd())?);
        let waiting: Vec<_> = (0..5)
            .map(|_| {
                let event = event.clone();
                spawn_local(async move { event.readable().await })
            })
            .collect();
        yield_now().await;
        // One leaves before the event.
        let mut gone = pin!(event.readable());
        assert!(poll!(gone.as_mut()).is_pending());
        event.get_ref().write_all(&1u64.to_ne_bytes())?;
        for task in waiting {
            task.await??;
        }
        Ok(())
    });
}

#[test]
fn a_closure_that_panics_leaves_it_usable() {
    in_a_poller(|| async {
        let event = Rc::new(AsyncFd::new(eventfd())?);
        event.get_ref().write_all(&1u64.to_ne_bytes())?;
        event.readable().await?;
        let task = spawn_local({
            let event = event.clone();
            async move { event.try_io(Interest::READABLE, |_| -> io::Result<()> { panic!("oh") }) }
        });
        assert!(task.await.unwrap_err().is_panic());
        assert_eq!(event.try_io(Interest::READABLE, counter)?, 1);
        Ok(())
    });
}

/// Inside of its own operation anything may be done with it.
#[test]
fn an_operation_may_use_its_own_async_fd() {
    in_a_poller(|| async {
        let event = AsyncFd::new(eventfd())?;
        event.get_ref().write_all(&1u64.to_ne_bytes())?;
        event.readable().await?;
        let inner = event.try_io(Interest::READABLE, |_| {
            assert!(event.readable().now_or_never().is_some());
            event.try_io(Interest::READABLE, counter)
        });
        assert_eq!(inner?, 1);
        Ok(())
    });
}

/// Has several descriptors, and gives the one that it is told to.
struct Several {
    all: [File; 2],
    given: Cell<usize>,
}

impl AsFd for Several {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.all[self.given.get()].as_fd()
    }
}

/// What safe code can do: `as_fd` of a value that is only shared may give another descriptor.
/// The one that was registered is the one that is waited for and deregistered.
#[test]
fn the_descriptor_that_was_registered_is_the_one_that_is_deregistered() {
    in_a_poller(|| async {
        let several = Several { all: [eventfd(), eventfd()], given: Cell::new(0) };
        let mut other = several.all[1].try_clone()?;
        let several = Rc::new(several);
        let first = AsyncFd::new(several.clone())?;
        several.given.set(1);
        let second = AsyncFd::new(several.clone())?;
        first.get_ref().given.set(0);
        drop(first);
        several.given.set(1);
        // This one still is.
        other.write_all(&1u64.to_ne_bytes())?;
        second.readable().await?;
        // And the first one is not: it may be registered again.
        several.given.set(0);
        drop(AsyncFd::new(several.clone())?);
        several.given.set(0);
        drop(second);
        several.given.set(1);
        AsyncFd::new(several.clone())?;
        Ok(())
    });
}

// ---- out of band ----

fn urgent_byte(stream: &std::net::TcpStream) -> io::Result<u8> {
    let mut byte = [std::mem::MaybeUninit::new(0)];
    socket2::SockRef::from(stream).recv_out_of_band(&mut byte)?;
    // SAFETY: it was initialised when it was made.
    Ok(unsafe { byte[0].assume_init() })
}

#[test]
fn urgent_bytes_wake_those_that_wait_for_them_and_no_reader() {
    in_a_poller(|| async {
        let (near, mut far) = common::tcp_pair();
        let near = AsyncFd::new(near)?;
        for byte in *b"ab" {
            let (mut one, mut other) = (pin!(near.priority()), pin!(near.priority()));
            let mut reader = pin!(near.readable());
            let mut io = pin!(near.async_io(Interest::PRIORITY, urgent_byte));
            assert!(poll!(one.as_mut()).is_pending() && poll!(other.as_mut()).is_pending());
            assert!(poll!(reader.as_mut()).is_pending() && poll!(io.as_mut()).is_pending());
            socket2::SockRef::from(&far).send_out_of_band(&[byte])?;
            one.await?;
            other.await?;
            assert_eq!(io.await?, byte);
            assert!(poll!(reader.as_mut()).is_pending(), "there is nothing to read");
            assert!(would_block(near.try_io(Interest::READABLE, |_| Ok(()))));
            // It is remembered, until an operation finds that it is gone.
            assert!(near.try_io(Interest::PRIORITY, urgent_byte).is_err());
            near.clear_ready(Interest::PRIORITY);
            assert!(would_block(near.try_io(Interest::PRIORITY, |_| Ok(()))));
        }
        far.write_all(b"usual")?;
        near.readable().await?;
        assert!(near.priority().now_or_never().is_none());
        Ok(())
    });
}

/// A message in the error queue is out of band too.
#[test]
fn a_message_in_the_error_queue_is_a_priority() {
    in_a_poller(|| async {
        let (ours, theirs) = (StdUdp::bind(ANY)?, StdUdp::bind(ANY)?);
        let on: libc::c_int = 1;
        // SAFETY: `on` is readable for its size.
        let answer = unsafe {
            let size = size_of_val(&on) as libc::socklen_t;
            let (level, name) = (libc::IPPROTO_IP, libc::IP_RECVERR);
            libc::setsockopt(ours.as_raw_fd(), level, name, (&raw const on).cast(), size)
        };
        assert_eq!(answer, 0);
        ours.connect(theirs.local_addr()?)?;
        drop(theirs);
        let ours = AsyncFd::new(ours)?;
        let mut wait = pin!(ours.priority());
        assert!(poll!(wait.as_mut()).is_pending());
        ours.get_ref().send(b"to a closed port")?;
        wait.await?;
        // MSG_ERRQUEUE gives back what was sent.
        let taken = ours.async_io(Interest::PRIORITY, |socket| {
            let mut bytes = [std::mem::MaybeUninit::uninit(); 64];
            socket2::SockRef::from(socket).recv_with_flags(&mut bytes, libc::MSG_ERRQUEUE)
        });
        assert_eq!(taken.await?, b"to a closed port".len());
        let error = ours.async_io(Interest::READABLE | Interest::PRIORITY, |_| Ok(())).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
        Ok(())
    });
}

/// Ways to what a type holds, which it has if it has none of its own by these names.
trait NoWay<Marker> {
    fn get_mut(&mut self) -> NoMethod {
        NoMethod
    }
    fn is_no_deref_mut(&self) {}
}

/// What a method returns that the type itself does not have.
struct NoMethod;

impl<T> NoWay<()> for T {}

/// With it `is_no_deref_mut` of a type is ambiguous, and does not compile.
impl<T: std::ops::DerefMut> NoWay<u8> for T {}

/// What is held could be exchanged by `&mut`, and its registration would be left to another descriptor. This fails
/// by not compiling: a method of the type's own comes before one of a trait.
#[test]
fn what_it_holds_cannot_be_exchanged() {
    block_on(async {
        let (reader, _writer) = std::io::pipe().unwrap();
        let mut reader = AsyncFd::new(reader).unwrap();
        let NoMethod = reader.get_mut();
        reader.is_no_deref_mut();
    });
}

//! Unix sockets: streams and datagrams behave as their peers of std do, and as TCP does here.

#![allow(unsafe_code)] // For signal(2) and bind(2).
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net as std_unix;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{self, PATIENCE, send_with_descriptor, within_patience};
use corepoll::net::{UnixDatagram, UnixListener, UnixStream};
use corepoll::{block_on, spawn_local};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, FutureExt, StreamExt, poll};
use socket2::{Domain, SockAddr, Socket, Type};

/// A folder that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("corepoll-unix-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An address in the abstract namespace that no other socket has.
fn abstract_address() -> std_unix::SocketAddr {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("corepoll-test-{}-{number}", std::process::id());
    std_unix::SocketAddr::from_abstract_name(name).unwrap()
}

fn patient(stream: std_unix::UnixStream) -> std_unix::UnixStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn in_a_poller<T: Send + 'static, F: Future<Output = io::Result<T>>>(
    make: impl FnOnce() -> F + Send + 'static,
) -> T {
    within_patience(|| block_on(make()).unwrap())
}

/// A stream of ours and its peer, of std's.
fn stream_and_peer() -> io::Result<(UnixStream, std_unix::UnixStream)> {
    let (ours, peer) = std_unix::UnixStream::pair()?;
    Ok((UnixStream::from_std(ours)?, patient(peer)))
}

// ---- streams ----

/// tokio's and async-net's examples of `UnixListener`.
#[test]
fn a_listener_serves_clients_of_stds_at_a_path() {
    let folder = Folder::new();
    let path = folder.file("echo");
    let at = path.clone();
    in_a_poller(|| async move {
        let listener = UnixListener::bind(&at)?;
        assert_eq!(listener.local_addr()?.as_pathname(), Some(&*at));
        let client = std::thread::spawn(move || {
            for _ in 0..2 {
                let mut client = patient(std_unix::UnixStream::connect(&at).unwrap());
                client.write_all(b"hello").unwrap();
                client.shutdown(Shutdown::Write).unwrap();
                let mut text = String::new();
                client.read_to_string(&mut text).unwrap();
                assert_eq!(text, "hello");
            }
        });
        let mut incoming = listener.incoming();
        for _ in 0..2 {
            let stream = incoming.next().await.unwrap()?;
            futures::io::copy(&stream, &mut &stream).await?;
        }
        client.join().unwrap();
        Ok(())
    });
    assert!(path.exists(), "the file stays");
}

#[test]
fn abstract_addresses_work_both_ways() {
    in_a_poller(|| async {
        let address = abstract_address();
        let listener = UnixListener::bind_addr(&address)?;
        assert_eq!(listener.local_addr()?.as_abstract_name(), address.as_abstract_name());
        let client = UnixStream::connect_addr(&address).await?;
        let (server, peer) = listener.accept().await?;
        assert!(peer.is_unnamed());
        assert_eq!(client.peer_addr()?.as_abstract_name(), address.as_abstract_name());
        assert_eq!(server.local_addr()?.as_abstract_name(), address.as_abstract_name());
        (&client).write_all(b"x").await?;
        assert_eq!(&*server.read_chunk().await?, b"x");
        Ok(())
    });
}

/// The kernel takes a path of 108 bytes, of which std makes no address.
#[test]
fn a_peer_with_the_longest_of_paths_is_accepted() {
    let folder = Folder::new();
    let at = folder.file("listener");
    let mut longest = folder.file("x").into_os_string().into_vec();
    longest.resize(108, b'x');
    in_a_poller(|| async move {
        let listener = UnixListener::bind(&at)?;
        let longest = whole_path(&longest)?;
        let client = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        client.bind(&longest)?;
        client.connect(&SockAddr::unix(&at)?)?;
        let (server, _) = listener.accept().await?;
        (&client).write_all(b"hello")?;
        assert_eq!(&*server.read_chunk().await?, b"hello");
        server.peer_addr()?;
        Ok(())
    });
}

/// An address whose path fills it to the last byte.
fn whole_path(path: &[u8]) -> io::Result<SockAddr> {
    // SAFETY: the storage has room for a sockaddr_un, all zeros is a valid one, and the length is
    // the whole of it.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, length| {
            let address = &mut *storage.cast::<libc::sockaddr_un>();
            address.sun_family = libc::AF_UNIX as libc::sa_family_t;
            for (to, from) in address.sun_path.iter_mut().zip(path) {
                *to = *from as libc::c_char;
            }
            *length = size_of::<libc::sockaddr_un>() as libc::socklen_t;
            Ok(())
        })
    }?;
    Ok(address)
}

/// A read ends where a descriptor was sent along: what comes behind it is no other event.
#[test]
fn bytes_behind_a_descriptor_are_read() {
    in_a_poller(|| async {
        let (mut ours, mut peer) = stream_and_peer()?;
        send_with_descriptor(&peer, b"hel", &std::fs::File::open("/dev/null")?)?;
        peer.write_all(b"lo")?;
        ours.readable().await?;
        // The events of the beginning have come.
        ours.writable().await?;
        let mut bytes = [0; 64];
        let mut got = Vec::new();
        while got.len() < 5 {
            let count = ours.read(&mut bytes).await?;
            got.extend_from_slice(&bytes[..count]);
        }
        assert_eq!(got, b"hello");
        Ok(())
    });
}

#[test]
fn refusals_say_what_and_where() {
    let folder = Folder::new();
    let (nothing, dead) = (folder.file("nothing"), folder.file("dead"));
    drop(std_unix::UnixListener::bind(&dead).unwrap());
    in_a_poller(|| async move {
        let error = UnixStream::connect(&nothing).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("nothing"), "{error}");
        let error = UnixStream::connect(&dead).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let error = UnixListener::bind(&dead).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains("dead"), "{error}");
        // Longer than a sockaddr_un: unix(7).
        let long = "x".repeat(200);
        assert!(UnixStream::connect(&long).await.is_err());
        assert!(UnixListener::bind(&long).is_err());
        assert!(UnixListener::bind("").is_err());
        Ok(())
    });
}

/// connect(2) of a Unix socket doesn't wait in the background: it says EAGAIN.
#[test]
fn a_connect_waits_while_the_backlog_is_full() {
    in_a_poller(|| async {
        let address = abstract_address();
        let listener = std_unix::UnixListener::bind_addr(&address)?;
        socket2::SockRef::from(&listener).listen(0)?;
        let first = UnixStream::connect_addr(&address).await?;
        let mut second = pin!(UnixStream::connect_addr(&address));
        assert!(poll!(second.as_mut()).is_pending(), "there is room for one");
        listener.accept()?;
        let second = second.await?;
        listener.accept()?;
        drop((first, second));
        Ok(())
    });
}

#[test]
fn the_peers_last_bytes_come_before_its_end() {
    in_a_poller(|| async {
        let (stream, mut peer) = stream_and_peer()?;
        peer.write_all(b"abc")?;
        drop(peer);
        let mut bytes = Vec::new();
        (&stream).read_to_end(&mut bytes).await?;
        assert_eq!(bytes, b"abc");
        // Again and again.
        assert_eq!((&stream).read(&mut [0; 4]).await?, 0);
        assert!(stream.read_chunk().await?.is_empty());
        Ok(())
    });
}

/// Without SIGPIPE, which would end this process: it has its default action in the child.
#[test]
fn writing_to_a_peer_that_has_vanished_is_an_error() {
    common::in_own_process(|| {
        in_a_poller(|| async {
            // SAFETY: nothing else is going on in this process.
            unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
            let (stream, peer) = stream_and_peer()?;
            drop(peer);
            let error = (&stream).write_all(&[0; 100]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
            let bufs = [IoSlice::new(b"x")];
            assert_eq!(stream.try_write_vectored(&bufs).unwrap_err().kind(), ErrorKind::BrokenPipe);
            let (ours, peer) = UnixDatagram::pair()?;
            drop(peer);
            assert_eq!(ours.send(b"x").await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
            Ok(())
        });
    });
}

/// A peer that closes with unread bytes resets the connection.
#[test]
fn a_peer_that_vanishes_wakes_reader_and_writer() {
    in_a_poller(|| async {
        let (stream, peer) = stream_and_peer()?;
        let filled = fill(&stream);
        assert!(filled > 0);
        let stream = std::rc::Rc::new(stream);
        let reader = spawn_local({
            let stream = stream.clone();
            async move { (&*stream).read(&mut [0; 10]).await }
        });
        let writer = spawn_local({
            let stream = stream.clone();
            async move { (&*stream).write_all(&[1; 10]).await }
        });
        corepoll::yield_now().await;
        assert!(!reader.is_finished() && !writer.is_finished());
        drop(peer);
        let read = reader.await?;
        assert!(
            matches!(&read, Ok(0)) || read.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset)
        );
        assert!(writer.await?.is_err());
        Ok(())
    });
}

/// Writes until the kernel takes no more.
fn fill(stream: &UnixStream) -> usize {
    let mut filled = 0;
    loop {
        match stream.try_write(&[9; 4096]) {
            Ok(count) => filled += count,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return filled;
            }
        }
    }
}

#[test]
fn a_writer_waits_for_a_slow_reader_and_nothing_is_lost() {
    in_a_poller(|| async {
        let (stream, peer) = stream_and_peer()?;
        let bytes: Vec<u8> = (0..4_000_000u32).map(|n| (n % 251) as u8).collect();
        let expected = bytes.clone();
        let reader = std::thread::spawn(move || {
            let (mut peer, mut seen) = (peer, Vec::new());
            peer.read_to_end(&mut seen).unwrap();
            seen == expected
        });
        (&stream).write_all(&bytes).await?;
        // Twice: the second says nothing new.
        (&stream).close().await?;
        (&stream).close().await?;
        assert!(corepoll::time::timeout(PATIENCE, poll_join(reader)).await.unwrap());
        Ok(())
    });
}

/// Waits for a thread without blocking the poller.
async fn poll_join(thread: std::thread::JoinHandle<bool>) -> bool {
    while !thread.is_finished() {
        corepoll::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    thread.join().unwrap()
}

#[test]
fn reads_and_writes_take_several_buffers() {
    in_a_poller(|| async {
        let (mut one, mut other) = UnixStream::pair()?;
        let bufs = [IoSlice::new(b"hel"), IoSlice::new(b"lo")];
        let count = poll_fn(|cx| Pin::new(&mut one).poll_write_vectored(cx, &bufs)).await?;
        assert_eq!(count, 5);
        let (mut first, mut second) = ([0; 2], [0; 8]);
        let mut bufs = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        let count = poll_fn(|cx| Pin::new(&mut other).poll_read_vectored(cx, &mut bufs)).await?;
        assert_eq!((count, &first, &second[..3]), (5, b"he", &b"llo"[..]));
        assert_eq!(one.try_write_vectored(&[IoSlice::new(b"a"), IoSlice::new(b"b")])?, 2);
        other.readable().await?;
        let mut bufs = [IoSliceMut::new(&mut second)];
        assert_eq!(other.try_read_vectored(&mut bufs)?, 2);
        assert_eq!(&second[..2], b"ab");
        Ok(())
    });
}

#[test]
fn looking_at_bytes_leaves_them_there() {
    in_a_poller(|| async {
        let (stream, mut peer) = stream_and_peer()?;
        let mut bytes = [0; 10];
        assert!(stream.peek(&mut bytes).now_or_never().is_none());
        assert_eq!(stream.try_read(&mut bytes).unwrap_err().kind(), ErrorKind::WouldBlock);
        peer.write_all(b"look")?;
        assert_eq!(stream.peek(&mut bytes).await?, 4);
        assert_eq!(stream.try_read(&mut bytes)?, 4);
        Ok(())
    });
}

#[test]
fn any_number_of_tasks_may_wait_to_look() {
    in_a_poller(|| async {
        let (stream, mut peer) = stream_and_peer()?;
        let stream = std::rc::Rc::new(stream);
        let look = || {
            let stream = stream.clone();
            spawn_local(async move { stream.peek(&mut [0; 10]).await })
        };
        let looks = [look(), look(), look()];
        // They wait by now.
        corepoll::yield_now().await;
        peer.write_all(b"look")?;
        for look in looks {
            assert_eq!(look.await.unwrap()?, 4);
        }
        Ok(())
    });
}

#[test]
fn the_peers_credentials_are_this_process() {
    in_a_poller(|| async {
        let (one, _other) = UnixStream::pair()?;
        let credentials = one.peer_cred()?;
        assert_eq!(credentials.pid(), Some(std::process::id() as i32));
        let us = std::fs::metadata("/proc/self")?;
        use std::os::unix::fs::MetadataExt;
        assert_eq!((credentials.uid(), credentials.gid()), (us.uid(), us.gid()));
        Ok(())
    });
}

#[test]
fn std_gives_and_takes_streams_and_listeners() {
    in_a_poller(|| async {
        let (stream, mut peer) = stream_and_peer()?;
        let mut stream = patient(stream.into_std()?);
        stream.set_nonblocking(false)?;
        peer.write_all(b"x")?;
        assert_eq!(stream.read(&mut [0; 4])?, 1);
        let address = abstract_address();
        // Blocking: accept must not block the poller.
        let listener = UnixListener::from_std(std_unix::UnixListener::bind_addr(&address)?)?;
        assert!(listener.accept().now_or_never().is_none());
        let listener = listener.into_std()?;
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        Ok(())
    });
}

// ---- datagrams ----

/// tokio's example of `UnixDatagram` at paths.
#[test]
fn datagrams_go_from_path_to_path() {
    let folder = Folder::new();
    let (one, other) = (folder.file("one"), folder.file("other"));
    in_a_poller(|| async move {
        let receiver = UnixDatagram::bind(&one)?;
        let sender = UnixDatagram::bind(&other)?;
        sender.send_to(b"hello", &one).await?;
        let mut bytes = [0; 10];
        let (count, from) = receiver.peek_from(&mut bytes).await?;
        assert_eq!((count, from.as_pathname()), (5, Some(&*other)));
        let (count, from) = receiver.recv_from(&mut bytes).await?;
        assert_eq!((count, from.as_pathname()), (5, Some(&*other)));
        receiver.connect(&other)?;
        assert_eq!(receiver.peer_addr()?.as_pathname(), Some(&*other));
        receiver.send(b"bye").await?;
        assert_eq!(sender.recv(&mut bytes).await?, 3);
        let error = sender.send_to(b"x", folder.file("missing")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        Ok(())
    });
}

#[test]
fn an_unbound_sender_has_no_name() {
    in_a_poller(|| async {
        let address = abstract_address();
        let receiver = UnixDatagram::bind_addr(&address)?;
        let sender = UnixDatagram::unbound()?;
        assert!(sender.local_addr()?.is_unnamed());
        assert_eq!(sender.send(b"x").await.unwrap_err().kind(), ErrorKind::NotConnected);
        sender.send_to_addr(b"x", &address).await?;
        let (count, from) = receiver.recv_from(&mut [0; 4]).await?;
        assert!(count == 1 && from.is_unnamed());
        sender.connect_addr(&address)?;
        sender.send(b"yz").await?;
        assert_eq!(receiver.recv(&mut [0; 4]).await?, 2);
        Ok(())
    });
}

#[test]
fn a_shutdown_of_datagrams_is_told_to_the_sender() {
    in_a_poller(|| async {
        let (one, other) = UnixDatagram::pair()?;
        one.send(b"before").await?;
        other.shutdown(Shutdown::Read)?;
        assert_eq!(one.send(b"after").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        // What had come before is there, and then there is no end.
        assert_eq!(other.recv(&mut [0; 10]).await?, 6);
        assert!(other.recv(&mut [0; 10]).now_or_never().is_none());
        Ok(())
    });
}

#[test]
fn datagrams_are_cut_and_may_be_empty() {
    in_a_poller(|| async {
        let (one, other) = UnixDatagram::pair()?;
        one.send(b"0123456789").await?;
        one.send(b"").await?;
        one.send(b"next").await?;
        let mut four = [0; 4];
        assert_eq!(other.recv(&mut four).await?, 4);
        assert_eq!(&four, b"0123");
        assert_eq!(other.recv(&mut four).await?, 0);
        let (count, from) = other.recv_from(&mut four).await?;
        assert!(count == 4 && &four == b"next" && from.is_unnamed());
        assert_eq!(other.try_recv(&mut four).unwrap_err().kind(), ErrorKind::WouldBlock);
        Ok(())
    });
}

/// The kernel tells a sender without a connection nothing when there is room again.
#[test]
fn senders_wait_for_room_connected_or_not() {
    in_a_poller(|| async {
        let address = abstract_address();
        let receiver = std_unix::UnixDatagram::bind_addr(&address)?;
        receiver.set_read_timeout(Some(PATIENCE))?;
        let (loose, tied) = (UnixDatagram::unbound()?, UnixDatagram::unbound()?);
        tied.connect_addr(&address)?;
        let mut sent = 0;
        while let Ok(1) = tied.try_send(b"x") {
            sent += 1;
        }
        assert!(sent > 0, "there is a queue");
        let mut waiting = pin!(loose.send_to_addr(b"loose", &address));
        let mut tied_waiting = pin!(tied.send(b"tied"));
        assert!(poll!(waiting.as_mut()).is_pending());
        assert!(poll!(tied_waiting.as_mut()).is_pending());
        for _ in 0..sent {
            assert_eq!(receiver.recv(&mut [0; 10])?, 1);
        }
        let (first, second) = futures::join!(waiting, tied_waiting);
        assert_eq!((first?, second?), (5, 4));
        let lengths = [receiver.recv(&mut [0; 10])?, receiver.recv(&mut [0; 10])?];
        assert_eq!(lengths.iter().sum::<usize>(), 9);
        Ok(())
    });
}

#[test]
fn many_tasks_may_wait_for_datagrams_of_one_socket() {
    in_a_poller(|| async {
        let (one, other) = UnixDatagram::pair()?;
        let other = std::rc::Rc::new(other);
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let other = other.clone();
                spawn_local(async move { other.recv(&mut [0; 4]).await })
            })
            .collect();
        corepoll::yield_now().await;
        for _ in 0..4 {
            one.send(b"x").await?;
        }
        for task in tasks {
            assert_eq!(task.await??, 1);
        }
        Ok(())
    });
}

// ---- names ----

/// tokio's rule for paths, and std's form of the same name.
#[test]
fn a_path_that_begins_with_a_nul_is_an_abstract_name() {
    in_a_poller(|| async {
        for rest in ["plain", "with\0nuls\0", &"x".repeat(60)] {
            let name = format!("corepoll-nul-{}-{rest}", std::process::id());
            let (path, address) =
                (format!("\0{name}"), std_unix::SocketAddr::from_abstract_name(&name)?);

            let listener = UnixListener::bind(&path)?;
            assert_eq!(listener.local_addr()?.as_abstract_name(), Some(name.as_bytes()));
            let mut std_client = std_unix::UnixStream::connect_addr(&address)?;
            listener.accept().await?;
            std_client.write_all(b"x").unwrap_err();
            let (client, accepted) = (UnixStream::connect(&path).await?, listener.accept().await?);
            assert_eq!(client.peer_addr()?.as_abstract_name(), Some(name.as_bytes()));
            accepted.0.try_write(b"hello")?;
            assert_eq!(&*client.read_chunk().await?, b"hello");
            let text = UnixListener::bind(&path).unwrap_err().to_string();
            assert!(text.contains(&format!("@{}", name.replace('\0', "\\0"))), "{text}");
            drop((listener, client, accepted));

            let receiver = UnixDatagram::bind(&path)?;
            let sender = UnixDatagram::unbound()?;
            sender.send_to(b"one", &path).await?;
            sender.try_send_to(b"two", &path)?;
            sender.connect(&path)?;
            sender.send(b"three").await?;
            std_unix::UnixDatagram::unbound()?.send_to_addr(b"four", &address)?;
            for length in [3, 3, 5, 4] {
                assert_eq!(receiver.recv(&mut [0; 16]).await?, length);
            }
        }
        Ok(())
    });
}

#[test]
fn names_as_long_as_the_kernels_field_and_longer() {
    in_a_poller(|| async {
        let folder = Folder::new();
        let path_of = |length: usize| {
            let start = folder.file("");
            let rest = length - start.as_os_str().len();
            folder.file(&"p".repeat(rest))
        };
        // sun_path has 108 bytes: a path ends with a NUL, an abstract name begins with one.
        let fits = UnixListener::bind(path_of(107))?;
        assert_eq!(fits.local_addr()?.as_pathname(), Some(&*path_of(107)));
        let name = |length: usize| {
            let width = length + 1 - "\0corepoll-".len();
            format!("\0corepoll-{:x>width$}", std::process::id())
        };
        let fits = UnixDatagram::bind(name(107))?;
        assert_eq!(fits.local_addr()?.as_abstract_name().map(<[u8]>::len), Some(107));
        for too_long in [path_of(108), path_of(200), name(108).into(), name(200).into()] {
            let connected = UnixStream::connect(&too_long).await;
            for error in [
                UnixListener::bind(&too_long).unwrap_err(),
                connected.unwrap_err(),
                UnixDatagram::bind(&too_long).unwrap_err(),
                UnixDatagram::unbound()?.connect(&too_long).unwrap_err(),
                UnixDatagram::unbound()?.try_send_to(b"x", &too_long).unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            }
        }
        let error = UnixStream::connect("").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        Ok(())
    });
}

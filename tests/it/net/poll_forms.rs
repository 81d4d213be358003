//! The poll functions of sockets do what their futures do, for code that has only a `Context`.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Wake, Waker};

use crate::common::{ANY, within_patience};
use corepoll::net::{
    AsyncFd, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream,
};
use corepoll::{Interest, block_on};
use futures::{FutureExt, StreamExt, poll};
use socket2::SockRef;

/// Counts how often its waker is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

async fn tcp_pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(ANY).await?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    Ok((client, listener.accept().await?.0))
}

/// The bytes that a read has put into `space`.
#[allow(unsafe_code)]
fn initialized(space: &[MaybeUninit<u8>]) -> Vec<u8> {
    // SAFETY: the caller hands over as many as `poll_read_uninit` has read.
    space.iter().map(|byte| unsafe { byte.assume_init() }).collect()
}

fn in_a_poller<F: Future<Output = io::Result<()>>>(make: impl FnOnce() -> F + Send + 'static) {
    within_patience(|| block_on(make()).unwrap());
}

/// What a test says of both kinds of streams, whose pair is `$pair`.
macro_rules! of_streams {
    ($name:ident, $pair:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn readiness_is_waited_for_and_never_guessed() {
                in_a_poller(|| async {
                    let (one, other) = $pair;
                    let mut readable = pin!(poll_fn(|cx| other.poll_readable(cx)));
                    assert!(poll!(&mut readable).is_pending(), "nothing has come");
                    one.try_write(b"hello")?;
                    readable.await?;
                    assert_eq!(other.try_read(&mut [0; 16])?, 5);
                    // A Unix stream finds out only by trying: a read may stop at a descriptor.
                    assert!(other.try_read(&mut [0; 16]).is_err());
                    assert!(poll_fn(|cx| other.poll_readable(cx)).now_or_never().is_none());
                    poll_fn(|cx| one.poll_writable(cx)).await?;
                    while one.try_write(&[0; 64 << 10]).is_ok() {}
                    let mut writable = pin!(poll_fn(|cx| one.poll_writable(cx)));
                    assert!(poll!(&mut writable).is_pending(), "the socket is full");
                    drop(other);
                    writable.await
                });
            }

            #[test]
            fn a_task_that_waits_is_woken_once_when_bytes_come() {
                in_a_poller(|| async {
                    let (one, other) = $pair;
                    let wakes = [(); 3].map(|()| Arc::new(Wakes::default()));
                    for wakes in &wakes {
                        let waker = Waker::from(wakes.clone());
                        assert!(other.poll_readable(&mut Context::from_waker(&waker)).is_pending());
                        assert_eq!(wakes.0.load(Relaxed), 0, "nothing has come");
                    }
                    one.try_write(b"hello")?;
                    other.readable().await?;
                    assert_eq!(
                        wakes.map(|wakes| wakes.0.load(Relaxed)),
                        [0, 0, 1],
                        "the last one waits"
                    );
                    Ok(())
                });
            }

            #[test]
            fn a_peek_leaves_the_bytes_to_be_read() {
                in_a_poller(|| async {
                    let (one, other) = $pair;
                    let (mut bytes, mut none) = ([0; 16], [0; 0]);
                    assert_eq!(poll_fn(|cx| other.poll_peek(cx, &mut none)).await?, 0);
                    let mut peek = pin!(poll_fn(|cx| other.poll_peek(cx, &mut bytes)));
                    assert!(poll!(&mut peek).is_pending(), "nothing has come");
                    one.try_write(b"hello")?;
                    assert_eq!(peek.await?, 5);
                    assert_eq!((&bytes[..5], other.try_read(&mut [0; 16])?), (&b"hello"[..], 5));
                    drop(one);
                    assert_eq!(poll_fn(|cx| other.poll_peek(cx, &mut bytes)).await?, 0, "the end");
                    Ok(())
                });
            }

            #[test]
            fn bytes_are_read_into_memory_that_is_not_initialized() {
                in_a_poller(|| async {
                    let (one, other) = $pair;
                    let mut space = [MaybeUninit::uninit(); 8];
                    let none = &mut [MaybeUninit::uninit(); 0];
                    assert_eq!(poll_fn(|cx| other.poll_read_uninit(cx, none)).await?, 0);
                    one.try_write(b"good day to you")?;
                    for part in [&b"good day"[..], b" to you"] {
                        let count = poll_fn(|cx| other.poll_read_uninit(cx, &mut space)).await?;
                        assert_eq!(initialized(&space[..count]), part);
                    }
                    let (reader, writer) = other.into_split();
                    drop((one, writer));
                    assert_eq!(poll_fn(|cx| reader.poll_read_uninit(cx, &mut space)).await?, 0);
                    Ok(())
                });
            }

            #[test]
            fn a_system_call_of_the_user_takes_part_in_readiness() {
                in_a_poller(|| async {
                    let (one, other) = $pair;
                    let recv = |space: &mut [MaybeUninit<u8>]| SockRef::from(&other).recv(space);
                    let mut space = [MaybeUninit::uninit(); 16];
                    let empty = other.try_io(Interest::READABLE, || recv(&mut space));
                    assert_eq!(empty.unwrap_err().kind(), ErrorKind::WouldBlock);
                    let mut readable = pin!(other.readable());
                    assert!(poll!(&mut readable).is_pending(), "`WouldBlock` has been noted");
                    one.try_write(b"hello")?;
                    readable.await?;
                    assert_eq!(other.try_io(Interest::READABLE, || recv(&mut space))?, 5);
                    let kind = other.try_io(Interest::NONE, || Ok(())).unwrap_err().kind();
                    assert_eq!(kind, ErrorKind::WouldBlock, "nothing was asked for");
                    Ok(())
                });
            }

            #[test]
            fn halves_have_the_poll_functions_too() {
                in_a_poller(|| async {
                    let (one, other) = $pair;
                    let (reader, _writer) = other.into_split();
                    let (_reader, writer) = one.into_split();
                    poll_fn(|cx| writer.poll_writable(cx)).await?;
                    writer.try_write(b"hello")?;
                    poll_fn(|cx| reader.poll_readable(cx)).await?;
                    let mut first = [0];
                    assert_eq!(poll_fn(|cx| reader.poll_peek(cx, &mut first)).await?, 1);
                    assert_eq!((&first, reader.try_read(&mut [0; 16])?), (b"h", 5));
                    Ok(())
                });
            }
        }
    };
}

of_streams!(tcp, tcp_pair().await?);
of_streams!(unix, UnixStream::pair()?);

#[test]
fn datagrams_are_polled_for() {
    in_a_poller(|| async {
        let (one, other) = (UdpSocket::bind(ANY).await?, UdpSocket::bind(ANY).await?);
        let (from, to) = (one.local_addr()?, other.local_addr()?);
        let mut bytes = [0; 16];
        let mut receive = pin!(poll_fn(|cx| other.poll_recv_from(cx, &mut bytes)));
        assert!(poll!(&mut receive).is_pending(), "nothing has come");
        assert_eq!(poll_fn(|cx| one.poll_send_to(cx, b"ping", to)).await?, 4);
        assert_eq!(receive.await?, (4, from));
        assert_eq!(&bytes[..4], b"ping");

        let mut readable = pin!(poll_fn(|cx| other.poll_readable(cx)));
        assert!(other.try_recv(&mut [0]).is_err() && poll!(&mut readable).is_pending());
        poll_fn(|cx| one.poll_writable(cx)).await?;
        // An empty datagram is one, too.
        assert_eq!(poll_fn(|cx| one.poll_send_to(cx, b"", to)).await?, 0);
        readable.await?;
        let mut space = [MaybeUninit::uninit(); 4];
        let recv = || SockRef::from(&other).recv(&mut space);
        assert_eq!(other.try_io(Interest::READABLE, recv)?, 0);
        Ok(())
    });
}

#[test]
fn a_unix_datagram_waits_for_its_receivers_queue() {
    use std::os::linux::net::SocketAddrExt;
    in_a_poller(|| async {
        let name = format!("\0corepoll-test-poll-forms-{}", std::process::id());
        let receiver = UnixDatagram::bind(&name)?;
        assert!(receiver.local_addr()?.as_abstract_name().is_some());
        let sender = UnixDatagram::unbound()?;
        poll_fn(|cx| sender.poll_writable(cx)).await?;
        let mut sent = 0;
        while sender.try_send_to(b"ping", &name).is_ok() {
            sent += 1;
        }
        // Its own buffer has room, but it has just been refused: it pauses.
        assert!(poll_fn(|cx| sender.poll_writable(cx)).now_or_never().is_none());
        poll_fn(|cx| sender.poll_writable(cx)).await?;
        for _ in 0..sent {
            poll_fn(|cx| receiver.poll_readable(cx)).await?;
            assert_eq!(receiver.try_recv(&mut [0; 16])?, 4);
        }
        assert_eq!(sender.try_send_to(b"ping", &name)?, 4);
        let recv = || SockRef::from(&receiver).recv(&mut [MaybeUninit::uninit(); 16]);
        receiver.readable().await?;
        assert_eq!(receiver.try_io(Interest::READABLE, recv)?, 4);
        Ok(())
    });
}

#[test]
fn any_descriptor_is_polled() {
    use std::io::{Read, Write};
    in_a_poller(|| async {
        let (reader, writer) = io::pipe()?;
        let (reader, writer) = (AsyncFd::new(reader)?, AsyncFd::new(writer)?);
        let mut readable = pin!(poll_fn(|cx| reader.poll_readable(cx)));
        assert!(poll!(&mut readable).is_pending(), "nothing has come");
        poll_fn(|cx| writer.poll_writable(cx)).await?;
        writer.try_io(Interest::WRITABLE, |mut pipe| pipe.write(b"hello"))?;
        readable.await?;
        assert_eq!(reader.try_io(Interest::READABLE, |mut pipe| pipe.read(&mut [0; 16]))?, 5);
        Ok(())
    });
}

/// Not a poll function, but what code without a borrow needs as well.
#[test]
fn connections_come_from_a_stream_that_owns_its_listener() {
    in_a_poller(|| async {
        let listener = TcpListener::bind(ANY).await?;
        let addr = listener.local_addr()?;
        let mut incoming = listener.into_incoming();
        let client = TcpStream::connect(addr).await?;
        let server = incoming.next().await.unwrap()?;
        assert_eq!(server.peer_addr()?, client.local_addr()?);
        drop(incoming);
        assert!(TcpStream::connect(addr).await.is_err(), "the listener went with the stream");

        let name = format!("\0corepoll-test-into-incoming-{}", std::process::id());
        let mut incoming = UnixListener::bind(&name)?.into_incoming();
        let client = UnixStream::connect(&name).await?;
        client.try_write(b"hello")?;
        let server = incoming.next().await.unwrap()?;
        assert_eq!(&*server.read_chunk().await?, b"hello");
        Ok(())
    });
}

//! The poll functions of sockets do what their futures do, for code that has only a `Context`.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::pin::pin;

use crate::common::{ANY, within_patience};
use corepoll::net::{TcpListener, TcpStream, UnixStream};
use corepoll::{Interest, block_on};
use futures::{FutureExt, poll};
use socket2::SockRef;

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

//! Buffers of no bytes: they are done at once, and stand in the way of nothing.

use std::fmt::Debug;
use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::TcpStream as StdStream;
use std::pin::Pin;
use std::sync::mpsc::{self, Sender};
use std::task::Poll;

use crate::common::{PATIENCE, Server, patient, read_exactly, reset, tcp_pair, within_patience};
use corepoll::net::{TcpStream, UnixStream};
use corepoll::{Action, EvContext, EvHandler, Interest, PollerBound, block_on};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, FutureExt};
use socket2::{Domain, Socket, Type};

/// More slices than any system call takes.
const MANY: usize = 3000;

/// What a poll gives that must not wait.
async fn now<R: Debug>(poll: impl FnMut(&mut std::task::Context<'_>) -> Poll<io::Result<R>>) -> R {
    let ready = poll_fn(poll).now_or_never();
    ready.expect("it waits").expect("it fails")
}

/// Nothing is there to be read.
async fn reads_nothing(mut reader: impl AsyncRead + Unpin) {
    assert_eq!(now(|cx| Pin::new(&mut reader).poll_read(cx, &mut [])).await, 0);
    assert_eq!(now(|cx| Pin::new(&mut reader).poll_read_vectored(cx, &mut [])).await, 0);
    let mut empty: Vec<_> = (0..MANY).map(|_| IoSliceMut::new(&mut [])).collect();
    assert_eq!(now(|cx| Pin::new(&mut reader).poll_read_vectored(cx, &mut empty)).await, 0);
}

async fn writes_nothing(mut writer: impl AsyncWrite + Unpin) {
    assert_eq!(now(|cx| Pin::new(&mut writer).poll_write(cx, &[])).await, 0);
    assert_eq!(now(|cx| Pin::new(&mut writer).poll_write_vectored(cx, &[])).await, 0);
    let empty = vec![IoSlice::new(&[]); MANY];
    assert_eq!(now(|cx| Pin::new(&mut writer).poll_write_vectored(cx, &empty)).await, 0);
}

/// Writes until there is no room, so that even the first byte would wait.
async fn fill(writer: &mut (impl AsyncWrite + Unpin)) {
    let full = |cx: &mut std::task::Context<'_>| {
        Poll::Ready(Pin::new(&mut *writer).poll_write(cx, &[7; 65536]).is_pending())
    };
    let mut full = full;
    while !poll_fn(&mut full).await {}
}

/// Every way to read and to write no bytes.
macro_rules! every_way {
    ($type:ident, $stream:expr) => {{
        let mut stream = $stream;
        fill(&mut stream).await;
        reads_nothing(&stream).await;
        writes_nothing(&stream).await;
        reads_nothing(&mut stream).await;
        writes_nothing(&mut stream).await;
        assert_eq!(stream.try_read(&mut []).unwrap(), 0);
        assert_eq!(stream.try_read_vectored(&mut [IoSliceMut::new(&mut [])]).unwrap(), 0);
        assert_eq!(stream.try_write(&[]).unwrap(), 0);
        assert_eq!(stream.try_write_vectored(&[IoSlice::new(&[])]).unwrap(), 0);
        assert_eq!(stream.peek(&mut []).now_or_never().expect("it waits").unwrap(), 0);
        let (mut reader, mut writer) = $type::split(&mut stream);
        reads_nothing(&mut reader).await;
        writes_nothing(&mut writer).await;
        let (mut reader, mut writer) = stream.into_split();
        assert_eq!(reader.try_read(&mut []).unwrap(), 0);
        assert_eq!(reader.peek(&mut []).now_or_never().expect("it waits").unwrap(), 0);
        assert_eq!(writer.try_write(&[]).unwrap(), 0);
        reads_nothing(&mut reader).await;
        writes_nothing(&mut writer).await;
        let mut bound = PollerBound::new(reader.reunite(writer).unwrap());
        reads_nothing(&mut bound).await;
        writes_nothing(&mut bound).await;
    }};
}

#[test]
fn no_bytes_wait_for_nothing() {
    within_patience(|| {
        block_on(async {
            let (near, far) = tcp_pair();
            every_way!(TcpStream, TcpStream::from_std(near).unwrap());
            let (near, _far) = UnixStream::pair().unwrap();
            every_way!(UnixStream, near);
            drop(far);
        });
    });
}

/// The error is for the call that wants bytes.
#[test]
fn no_bytes_take_no_error_away() {
    within_patience(|| {
        block_on(async {
            let (near, far) = tcp_pair();
            let mut near = TcpStream::from_std(near).unwrap();
            reset(far);
            near.readable().await.unwrap();
            reads_nothing(&mut near).await;
            writes_nothing(&mut near).await;
            assert_eq!(near.peek(&mut []).await.unwrap(), 0);
            let error = near.read(&mut [0; 8]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        });
    });
}

/// Empty slices before the first byte, more than a system call takes.
fn padded<'a>(bytes: &'a [u8]) -> Vec<IoSlice<'a>> {
    let mut slices = vec![IoSlice::new(&[]); MANY];
    slices.push(IoSlice::new(bytes));
    slices
}

async fn passes_padding(mut near: impl AsyncRead + AsyncWrite + Unpin, mut far: impl Read + Write) {
    let count = near.write_vectored(&padded(b"hello")).await.unwrap();
    assert_eq!(count, 5, "Ok(0) means that the stream takes nothing any more");
    let mut bytes = [0; 5];
    far.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"hello");

    far.write_all(b"world").unwrap();
    let mut space = [0; 5];
    let mut slices: Vec<_> = (0..MANY).map(|_| IoSliceMut::new(&mut [])).collect();
    slices.push(IoSliceMut::new(&mut space));
    let count = near.read_vectored(&mut slices).await.unwrap();
    assert_eq!(count, 5, "Ok(0) means the end");
    assert_eq!(&space, b"world");
}

#[test]
fn empty_slices_before_the_bytes_are_passed_over() {
    within_patience(|| {
        block_on(async {
            let (near, far) = tcp_pair();
            passes_padding(TcpStream::from_std(near).unwrap(), far).await;
            let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
            passes_padding(UnixStream::from_std(near).unwrap(), far).await;

            let (near, far) = tcp_pair();
            let near = TcpStream::from_std(near).unwrap();
            assert_eq!(near.try_write_vectored(&padded(b"hello")).unwrap(), 5);
            assert_eq!(read_exactly(&far, 5), b"hello");
        });
    });
}

/// Writes `MANY` empty slices and one of bytes, then `MANY` of one byte each.
struct Slices(Sender<usize>);

impl EvHandler for Slices {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.write_vectored(&padded(b"hello"))?;
        let _ = self.0.send(cx.pending_output());
        cx.write_vectored(&vec![IoSlice::new(b"x"); MANY])?;
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
    }
}

#[test]
fn a_handler_writes_what_is_behind_empty_slices_at_once() {
    let server = Server::start(1);
    let (queued, told) = mpsc::channel();
    let (near, far): (StdStream, StdStream) = tcp_pair();
    server.poller().register(near.into(), Interest::READABLE, || Slices(queued)).unwrap();
    assert_eq!(told.recv_timeout(PATIENCE), Ok(0));
    assert_eq!(read_exactly(&patient(far), 5 + MANY)[..6], *b"hellox");
}

/// What keeps writes apart gets all of one write in one piece, however many slices it has.
#[test]
fn many_slices_are_one_record() {
    let server = Server::start(1);
    for kind in [Type::SEQPACKET, Type::DGRAM] {
        let (near, far) = Socket::pair(Domain::UNIX, kind, None).unwrap();
        far.set_read_timeout(Some(PATIENCE)).unwrap();
        let (queued, told) = mpsc::channel();
        server.poller().register(near.into(), Interest::READABLE, || Slices(queued)).unwrap();
        let mut bytes = [0; 2 * MANY];
        assert_eq!((&far).read(&mut bytes).unwrap(), 5);
        assert_eq!((&far).read(&mut bytes).unwrap(), MANY, "it was cut");
        assert_eq!(told.recv_timeout(PATIENCE), Ok(0));
    }
}

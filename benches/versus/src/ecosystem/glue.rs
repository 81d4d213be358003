//! What hyper asks of a runtime.

#![allow(unsafe_code)]

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use corepoll::net::TcpStream;
use corepoll::time;
use futures_util::io::AsyncWrite;
use hyper::rt::{Executor, Read, ReadBufCursor, Sleep, Timer, Write};

pub(super) struct HyperIo {
    stream: TcpStream,
}

impl HyperIo {
    pub(super) fn new(stream: TcpStream) -> HyperIo {
        HyperIo { stream }
    }
}

impl Read for HyperIo {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // SAFETY: `poll_read_uninit` writes bytes only, and so uninitializes none.
        let spare = unsafe { buf.as_mut() };
        let count = ready!(self.stream.poll_read_uninit(cx, spare))?;
        // SAFETY: `poll_read_uninit` has initialized that many bytes.
        unsafe { buf.advance(count) };
        Poll::Ready(Ok(()))
    }
}

impl Write for HyperIo {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }

    #[inline]
    fn is_write_vectored(&self) -> bool {
        true
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
}

#[derive(Clone)]
pub(super) struct LocalExec;

impl<F: Future<Output: 'static> + 'static> Executor<F> for LocalExec {
    fn execute(&self, future: F) {
        drop(corepoll::spawn_local(future));
    }
}

#[derive(Clone)]
pub(super) struct LocalTimer;

struct LocalSleep(time::Sleep);

impl Future for LocalSleep {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl Sleep for LocalSleep {}

impl Timer for LocalTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(LocalSleep(time::sleep(duration)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(LocalSleep(time::sleep_until(deadline)))
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<LocalSleep>() {
            Some(mut sleep) => Pin::new(&mut sleep.0).reset(deadline),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

//! Which connections wait until the socket of their endpoint has room for another datagram.
//!
//! A socket counts as writable until a send finds no room. Then each connection that has something
//! to send leaves its waker here, on whichever thread it is driven, and a task on the socket's poller
//! ([`WriteReadiness::watch`]) waits for the kernel's event and wakes all of them.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use corepoll::Interest;
use quinn::UdpPoller;

use crate::datagrams::Registration;
use crate::poll;

/// Whether a socket takes datagrams, and who waits until it does.
#[derive(Debug, Default)]
pub(crate) struct WriteReadiness {
    /// Whether a send has found no room, and none has been seen since. It changes under the lock.
    /// Relaxed: a stale value costs a try, or a look under the lock.
    is_blocked: AtomicBool,
    /// The rest.
    state: Mutex<State>,
}

/// What changes under the lock. No foreign code runs meanwhile.
#[derive(Debug, Default)]
struct State {
    /// The watching task, while it has nothing to watch for.
    watcher: Option<Waker>,
    /// Whether the watching task has ended: with the poller, unless the socket was dropped.
    has_ended: bool,
    /// Whether the socket has been dropped, which ends the watching task.
    is_closed: bool,
    /// The tasks of the connections that wait.
    waiting: Vec<Waker>,
    /// How often `waiting` has been emptied.
    round: u64,
}

impl WriteReadiness {
    /// Locks the state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a send found no room.
    pub(crate) fn block(&self) {
        let mut state = self.lock();
        self.is_blocked.store(true, Ordering::Relaxed);
        let watcher = state.watcher.take();
        drop(state);
        if let Some(watcher) = watcher {
            watcher.wake();
        }
    }

    /// Notes that the socket has room, and wakes the connections that wait for it.
    fn unblock(&self) {
        let state = self.lock();
        self.is_blocked.store(false, Ordering::Relaxed);
        wake_all(state);
    }

    /// Ends the watching task.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        let watcher = state.watcher.take();
        drop(state);
        if let Some(watcher) = watcher {
            watcher.wake();
        }
    }

    /// Polls until a send has found no room: `true`; or until the socket has been dropped: `false`.
    fn poll_blocked(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let waker = cx.waker().clone();
        let mut state = self.lock();
        if state.is_closed {
            return Poll::Ready(false);
        }
        if self.is_blocked.load(Ordering::Relaxed) {
            return Poll::Ready(true);
        }
        let before = state.watcher.replace(waker);
        drop(state);
        drop(before);
        Poll::Pending
    }

    /// Watches the socket for room whenever a send has found none, and keeps its registration, until
    /// the socket is dropped. This is a task of the socket's poller.
    pub(crate) fn watch(
        self: Arc<Self>,
        registration: Rc<Registration>,
    ) -> impl Future<Output = ()> {
        // Made here and not in the future, which may be dropped before its first poll.
        let watching = Watching(self);
        async move {
            let readiness = &watching.0;
            while poll_fn(|cx| readiness.poll_blocked(cx)).await {
                // The kernel is asked for the present state: another thread's send may be younger
                // than the last event.
                let has_room = |socket: &Arc<_>| match poll::has_room(socket) {
                    true => Ok(()),
                    false => Err(ErrorKind::WouldBlock.into()),
                };
                if registration.async_io(Interest::WRITABLE, has_room).await.is_err() {
                    return; // the poller has ended
                }
                readiness.unblock();
            }
        }
    }
}

/// The watching task. When it ends, nothing would wake those that wait.
struct Watching(Arc<WriteReadiness>);

impl Drop for Watching {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.has_ended = true;
        wake_all(state);
    }
}

/// Wakes all that wait, and begins a new round.
fn wake_all(mut state: MutexGuard<'_, State>) {
    let waiting = mem::take(&mut state.waiting);
    state.round += 1;
    drop(state);
    for waker in waiting {
        waker.wake();
    }
}

/// A connection that sends through the socket.
#[derive(Debug)]
pub(crate) struct Writer {
    /// The socket's state.
    readiness: Arc<WriteReadiness>,
    /// Where its waker lies in `State::waiting`, in the round of that number.
    place: Option<(u64, usize)>,
}

impl Writer {
    /// Makes a connection that does not wait.
    pub(crate) fn new(readiness: Arc<WriteReadiness>) -> Writer {
        Writer { readiness, place: None }
    }
}

impl UdpPoller for Writer {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Writer { readiness, place } = &mut *self;
        if !readiness.is_blocked.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let waker = cx.waker().clone();
        let mut state = readiness.lock();
        if !readiness.is_blocked.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        if state.has_ended {
            let message = "corepoll-quinn: the poller of the endpoint has ended";
            return Poll::Ready(Err(io::Error::new(ErrorKind::NotConnected, message)));
        }
        let round = state.round;
        let before = match *place {
            Some((of_round, index)) if of_round == round => {
                Some(mem::replace(&mut state.waiting[index], waker))
            }
            _ => {
                *place = Some((round, state.waiting.len()));
                state.waiting.push(waker);
                None
            }
        };
        drop(state);
        drop(before);
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::thread;

    use corepoll::{Reactor, block_on, spawn_local, yield_now};

    use super::*;
    use crate::socket::QuicSocket;

    /// Waits until `writer` may send.
    async fn writable(writer: &mut Writer) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut *writer).poll_writable(cx)).await
    }

    /// Returns the readiness of a new socket of this thread's poller, which is dropped with `held`.
    fn of_socket() -> (Arc<WriteReadiness>, QuicSocket) {
        let held = QuicSocket::new(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
        (held.writers().clone(), held)
    }

    #[test]
    fn all_that_wait_are_woken_when_there_is_room() {
        block_on(async {
            let (readiness, _held) = of_socket();
            for _round in 0..3 {
                readiness.block();
                let tasks: Vec<_> = (0..3)
                    .map(|_| {
                        let mut writer = Writer::new(readiness.clone());
                        spawn_local(async move { writable(&mut writer).await })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap().unwrap();
                }
                assert!(!readiness.is_blocked.load(Ordering::Relaxed));
            }
        });
    }

    #[test]
    fn a_connection_on_another_poller_is_woken() {
        let running = Reactor::builder().pollers(1).build().unwrap().start().unwrap();
        let poller = running.handle().pollers()[0].clone();
        let (readiness, held) = block_on(poller.spawn_on(|| async { of_socket() })).unwrap();
        for _round in 0..1000 {
            let mut writer = Writer::new(readiness.clone());
            readiness.block();
            block_on(writable(&mut writer)).unwrap();
        }
        drop(held);
        running.handle().shutdown(std::time::Duration::from_secs(60));
        assert_eq!(running.join().unwrap().cancelled, 0, "the watching task ends with the socket");
    }

    #[test]
    fn a_task_that_waits_leaves_one_waker_and_the_last_one() {
        block_on(async {
            let readiness = Arc::new(WriteReadiness::default());
            readiness.block();
            let mut writer = Writer::new(readiness.clone());
            for _ in 0..10 {
                let mut cx = Context::from_waker(Waker::noop());
                assert!(Pin::new(&mut writer).poll_writable(&mut cx).is_pending());
            }
            let waits = spawn_local(async move { writable(&mut writer).await });
            yield_now().await;
            assert_eq!(readiness.lock().waiting.len(), 1);
            readiness.unblock();
            waits.await.unwrap().unwrap();
        });
    }

    #[test]
    fn those_that_wait_are_told_when_the_poller_ends() {
        let (readiness, held) = thread::spawn(|| block_on(async { of_socket() })).join().unwrap();
        readiness.block();
        let error = block_on(writable(&mut Writer::new(readiness))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        drop(held);
    }
}

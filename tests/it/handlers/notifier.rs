//! Notifier: a call from any thread, once for all notifications before it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use crate::common::{PATIENCE, Server, connect, eventually, read_to_end};
use corepoll::{Action, EvContext, EvHandler, Notifier};

/// Lends its notifier, and tells what it finds in the counter when it is called.
struct Counts {
    lend: Sender<Notifier>,
    count: Arc<AtomicUsize>,
    told: Sender<usize>,
}

impl EvHandler for Counts {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let _ = self.lend.send(cx.notifier());
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let mut data = cx.read()?;
        data.make_ascii_uppercase();
        cx.write(&data)?;
        Ok(if data.is_empty() { Action::Close } else { Action::Keep })
    }
    fn on_notify(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        let _ = self.told.send(self.count.load(SeqCst));
        Ok(Action::Keep)
    }
}

/// A server whose connections share a counter.
fn server() -> (Server, std::net::SocketAddr, Receiver<Notifier>, Arc<AtomicUsize>, Receiver<usize>)
{
    let ((lend, lent), (tell, told)) = (channel(), channel());
    let count = Arc::new(AtomicUsize::new(0));
    let shared = count.clone();
    let (server, addr) = Server::of_handlers(move || Counts {
        lend: lend.clone(),
        count: shared.clone(),
        told: tell.clone(),
    });
    (server, addr, lent, count, told)
}

#[test]
fn each_notification_is_followed_by_a_call_that_sees_what_came_before() {
    const EACH: usize = 1000;
    let (_server, addr, lent, count, told) = server();
    let _client = connect(addr);
    let notifier = lent.recv_timeout(PATIENCE).expect("on_open is called");
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (notifier, count) = (notifier.clone(), count.clone());
            thread::spawn(move || {
                for _ in 0..EACH {
                    count.fetch_add(1, SeqCst);
                    notifier.notify().expect("the poller runs");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("it notifies"));
    let mut calls = 0;
    loop {
        calls += 1;
        if told.recv_timeout(PATIENCE).expect("the last one is followed by a call") == 4 * EACH {
            break;
        }
    }
    assert!(calls <= 4 * EACH);
}

#[test]
fn a_connection_that_has_ended_is_not_called_and_its_poller_neither() {
    let (server, addr, lent, _count, told) = server();
    let client = connect(addr);
    let notifier = lent.recv_timeout(PATIENCE).expect("on_open is called");
    client.shutdown(std::net::Shutdown::Write).expect("it is connected");
    assert_eq!(read_to_end(&client), b"");
    // The next connection may have the same place, and is not taken for the one before.
    let _other = connect(addr);
    let other = lent.recv_timeout(PATIENCE).expect("on_open is called");
    notifier.notify().expect("the poller runs");
    other.notify().expect("the poller runs");
    assert_eq!(told.recv_timeout(PATIENCE), Ok(0));
    assert!(told.try_recv().is_err(), "one was called for the other");
    drop(server);
    eventually("the notifier fails", || notifier.notify().is_err());
}

#[test]
fn a_chunk_may_be_changed_in_place() {
    let (_server, addr, _lent, _count, _told) = server();
    let mut client = connect(addr);
    io::Write::write_all(&mut client, b"in place").expect("it is sent");
    client.shutdown(std::net::Shutdown::Write).expect("it is connected");
    assert_eq!(read_to_end(&client), b"IN PLACE");
}

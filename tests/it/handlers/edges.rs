//! What a handler leaves unread is its own until it reads it: with edges, without an interest in
//! reading, and behind an urgent byte.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use crate::common::{PATIENCE, Server, connect, hold, reset_after_arrival, tcp_pair};
use corepoll::{Action, CloseReason, EvContext, EvHandler, Interest, TimerId};

fn next(told: &Receiver<String>) -> String {
    told.recv_timeout(PATIENCE).expect("it is told")
}

/// Reads only when its timer comes, once, to the end.
struct Later {
    tell: Sender<String>,
    timer: Option<TimerId>,
}

impl EvHandler for Later {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        // With the peer's end both directions have ended. After a reset they have already.
        let _ = socket2::SockRef::from(&cx.fd()).shutdown(Shutdown::Write);
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.timer.get_or_insert_with(|| cx.set_timer(Duration::from_millis(1)));
        Ok(Action::Keep)
    }
    fn on_timeout(&mut self, cx: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        loop {
            let data = cx.read()?;
            let _ = self.tell.send(String::from_utf8_lossy(&data).into());
            if data.is_empty() {
                return Ok(Action::Keep);
            }
        }
    }
    fn on_close(&mut self, _: &mut EvContext<'_>, reason: CloseReason) {
        let kind = match reason {
            CloseReason::Error(error) => format!("{:?}", error.kind()),
            reason => format!("{reason:?}"),
        };
        let _ = self.tell.send(kind);
    }
}

/// An urgent byte, which is left out of what is read, and at which FIONREAD says that there is
/// nothing.
fn send_urgent(stream: &TcpStream) {
    assert_eq!(socket2::SockRef::from(stream).send_out_of_band(b"!").unwrap(), 1);
}

fn reads_everything_later(is_urgent: bool, end: fn(TcpStream), expected: &[&str]) {
    let server = Server::start(1);
    let (tell, told) = mpsc::channel();
    let (near, mut far) = tcp_pair();
    let held = hold(server.poller());
    let edge = Interest::READABLE.edge();
    server.poller().register(near.into(), edge, || Later { tell, timer: None }).unwrap();
    if is_urgent {
        send_urgent(&far);
    }
    far.write_all(b"the last words").unwrap();
    end(far);
    drop(held);
    assert_eq!(next(&told), "the last words");
    for expected in expected {
        assert_eq!(next(&told), *expected);
    }
}

#[test]
fn what_came_before_a_hang_up_may_be_read_later() {
    for is_urgent in [false, true] {
        reads_everything_later(is_urgent, drop, &["", "PeerClosed"]);
        reads_everything_later(is_urgent, reset_after_arrival, &["ConnectionReset"]);
    }
}

/// Wants to read when its timer comes, and not before.
struct Resumes(Sender<String>);

impl EvHandler for Resumes {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        // With the peer's end both directions have ended: that is told to every interest.
        let _ = socket2::SockRef::from(&cx.fd()).shutdown(Shutdown::Write);
        cx.set_timer(Duration::from_millis(1));
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let data = cx.read()?;
        let _ = self.0.send(String::from_utf8_lossy(&data).into());
        Ok(if data.is_empty() { Action::Close } else { Action::Keep })
    }
    fn on_timeout(&mut self, cx: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        cx.set_interest(Interest::READABLE)?;
        Ok(Action::Keep)
    }
    fn on_close(&mut self, _: &mut EvContext<'_>, reason: CloseReason) {
        let kind = match reason {
            CloseReason::Error(error) => format!("{:?}", error.kind()),
            reason => format!("{reason:?}"),
        };
        let _ = self.0.send(kind);
    }
}

#[test]
fn what_came_before_a_hang_up_waits_for_a_handler_that_does_not_read() {
    type End = (fn(TcpStream), &'static [&'static str]);
    let ends: [End; 2] = [
        (drop, &["a request", "", "Requested"]),
        (reset_after_arrival, &["a request", "ConnectionReset"]),
    ];
    for is_urgent in [false, true] {
        for (end, expected) in ends {
            let server = Server::start(1);
            let (tell, told) = mpsc::channel();
            let (near, mut far) = tcp_pair();
            let held = hold(server.poller());
            server.poller().register(near.into(), Interest::NONE, || Resumes(tell)).unwrap();
            if is_urgent {
                send_urgent(&far);
            }
            far.write_all(b"a request").unwrap();
            end(far);
            drop(held);
            for expected in expected {
                assert_eq!(next(&told), *expected, "urgent: {is_urgent}");
            }
        }
    }
}

/// Answers a request that it doesn't read, and closes later.
struct AnswersUnread;

impl EvHandler for AnswersUnread {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_interest(Interest::NONE)?;
        cx.write(b"the answer")?;
        cx.set_timer(Duration::from_millis(1));
        Ok(Action::Keep)
    }
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        unreachable!("no interest in reading")
    }
    fn on_timeout(&mut self, _: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        Ok(Action::Close)
    }
}

#[test]
fn a_close_that_leaves_bytes_unread_is_no_reset() {
    for is_urgent in [false, true] {
        let (server, addr) = Server::of_handlers(|| AnswersUnread);
        let held = hold(server.poller());
        let mut client = connect(addr);
        if is_urgent {
            send_urgent(&client);
        }
        client.write_all(b"a request").unwrap();
        drop(held);
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("a plain end");
        assert_eq!(answer, "the answer");
    }
}

/// Reads two bytes, and asks to be told of the rest.
struct Bite(Sender<String>);

impl EvHandler for Bite {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let mut bite = [0; 2];
        let count = cx.read_into(&mut bite)?;
        let _ = self.0.send(String::from_utf8_lossy(&bite[..count]).into());
        cx.set_interest(Interest::READABLE.edge())?;
        Ok(if count == 0 { Action::Close } else { Action::Keep })
    }
}

#[test]
fn setting_an_edge_again_tells_of_what_was_left() {
    let server = Server::start(1);
    let (tell, told) = mpsc::channel();
    let (near, mut far) = tcp_pair();
    let edge = Interest::READABLE.edge();
    server.poller().register(near.into(), edge, || Bite(tell)).unwrap();
    far.write_all(b"abcde").unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    assert_eq!([(); 4].map(|()| next(&told)), ["ab", "cd", "e", ""]);
}

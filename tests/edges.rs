//! Edge-triggered handlers: what they leave unread is theirs until they read it.

mod common;

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use common::{PATIENCE, Server, hold, reset, tcp_pair};
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
            self.tell.send(String::from_utf8_lossy(&data).into()).expect("the test waits");
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
        self.tell.send(kind).expect("the test waits");
    }
}

fn reads_everything_later(end: fn(TcpStream), expected: &[&str]) {
    let server = Server::start(1);
    let (tell, told) = mpsc::channel();
    let (near, mut far) = tcp_pair();
    let held = hold(server.poller());
    let edge = Interest::READABLE.edge();
    server.poller().register(near.into(), edge, || Later { tell, timer: None }).unwrap();
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
    reads_everything_later(drop, &["", "PeerClosed"]);
    reads_everything_later(reset, &["ConnectionReset"]);
}

/// Reads two bytes, and asks to be told of the rest.
struct Bite(Sender<String>);

impl EvHandler for Bite {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let mut bite = [0; 2];
        let count = cx.read_into(&mut bite)?;
        self.0.send(String::from_utf8_lossy(&bite[..count]).into()).expect("the test waits");
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

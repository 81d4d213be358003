//! A connection that is closed, or registered, at an odd moment still hears of everything.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::common::{PATIENCE, Server};
use corepoll::{Action, CloseReason, EvContext, EvHandler, Interest};

/// Says what is called. It holds its peer, so that nothing ends by itself.
struct Says(Sender<String>, #[allow(dead_code)] UnixStream);

impl EvHandler for Says {
    fn on_open(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        let _ = self.0.send("open".into());
        Ok(Action::Keep)
    }
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        let _ = self.0.send("read".into());
        Ok(Action::Close)
    }
    fn on_shutdown(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        let _ = self.0.send("shutdown".into());
        Ok(Action::Close)
    }
    fn on_close(&mut self, _: &mut EvContext<'_>, reason: CloseReason) {
        let _ = self.0.send(format!("close {reason:?}"));
    }
}

/// Registers a handler of its own where it is told to.
struct Registers {
    says: Sender<String>,
    closes_at_once: bool,
    in_shutdown: bool,
}

impl Registers {
    fn register(&self, cx: &mut EvContext<'_>) {
        let (fd, peer) = UnixStream::pair().expect("a socket pair");
        let says = Says(self.says.clone(), peer);
        let token = cx.register(fd.into(), Interest::READABLE, says).expect("it is registered");
        if self.closes_at_once {
            assert!(cx.close(token));
            assert!(!cx.close(token), "it is ending already");
        }
    }
}

impl EvHandler for Registers {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        if !self.in_shutdown {
            self.register(cx);
        }
        Ok(Action::Keep)
    }
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
    fn on_shutdown(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        if self.in_shutdown {
            self.register(cx);
        }
        Ok(Action::Close)
    }
}

fn run(closes_at_once: bool, in_shutdown: bool) -> (Server, Receiver<String>, UnixStream) {
    let server = Server::start(1);
    let (says, said) = channel();
    let (fd, peer) = UnixStream::pair().expect("a socket pair");
    let factory = move || Registers { says, closes_at_once, in_shutdown };
    server.poller().register(fd.into(), Interest::READABLE, factory).expect("the poller runs");
    server.on_poller(|| ());
    (server, said, peer)
}

#[test]
fn one_that_is_closed_before_its_on_open_has_both_calls() {
    let (_server, said, _peer) = run(true, false);
    assert_eq!(said.recv_timeout(PATIENCE).expect("it opens"), "open");
    assert_eq!(said.recv_timeout(PATIENCE).expect("it closes"), "close Requested");
}

#[test]
fn one_that_opens_in_the_grace_is_told_of_the_shutdown() {
    let (server, said, _peer) = run(false, true);
    let ended = server.stop(3 * PATIENCE);
    assert_eq!((ended.drained, ended.cancelled), (2, 0));
    assert_eq!(said.into_iter().collect::<Vec<_>>(), ["open", "shutdown", "close Requested"]);
}

#[test]
fn one_that_is_open_is_told_once() {
    let (server, said, _peer) = run(false, false);
    server.handle().shutdown(3 * PATIENCE);
    server.handle().shutdown(2 * PATIENCE);
    let ended = server.stop(PATIENCE);
    assert_eq!((ended.drained, ended.cancelled), (2, 0));
    let all: Vec<_> = said.into_iter().collect();
    assert_eq!(all.iter().filter(|said| *said == "shutdown").count(), 1, "{all:?}");
}

//! A callback connects on its own poller, with the options that it gives.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use crate::common::{ANY, PATIENCE, Server, connect, full_listener, patient};
use corepoll::net::ConnectOptions;
use corepoll::{Acceptor, Action, EvContext, EvHandler, Interest, Writer};

/// The side of a client: connects to the upstream, and reads nothing.
struct Front {
    upstream: SocketAddr,
    options: ConnectOptions,
}

impl EvHandler for Front {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_interest(Interest::NONE)?;
        let back = Back(cx.writer());
        cx.connect_with(self.upstream, self.options.clone(), back)?;
        Ok(Action::Keep)
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
}

/// The side of the upstream: tells the client how connecting went.
struct Back(Writer);

impl Back {
    fn tell(&self, text: String) {
        self.0.write(text).expect("the client is there");
        self.0.close();
    }
}

impl EvHandler for Back {
    fn on_open(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        self.tell("connected".to_owned());
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
    }

    fn on_connect_fail(&mut self, error: io::Error) {
        self.tell(format!("{:?}", error.kind()));
    }
}

/// What a client hears of an attempt to connect to `upstream`.
fn outcome(server: &Server, upstream: SocketAddr, options: ConnectOptions) -> String {
    let front = move || Front { upstream, options: options.clone() };
    let listening = Acceptor::new(ANY).listen(server.handle(), front).expect("a free port");
    let mut client = patient(connect(listening.local_addr().expect("it listens")));
    let mut text = String::new();
    client.read_to_string(&mut text).expect("it is told");
    text
}

#[test]
fn an_attempt_of_a_callback_has_the_time_limit_that_it_is_given() {
    let (_listener, _filler, addr) = full_listener();
    let options = ConnectOptions::new().timeout(Duration::from_millis(50));
    assert_eq!(outcome(&Server::start(1), addr, options), "TimedOut");
}

#[test]
fn an_attempt_of_a_callback_comes_from_the_address_that_it_is_given() {
    let listener = TcpListener::bind(ANY).expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let options = ConnectOptions::new().timeout(PATIENCE).bind_local(([127, 0, 0, 2], 0).into());
    assert_eq!(outcome(&Server::start(1), addr, options), "connected");
    let (_stream, peer) = listener.accept().expect("it has connected");
    assert_eq!(peer.ip().to_string(), "127.0.0.2");
}

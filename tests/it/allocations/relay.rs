//! After warm-up a relay allocates nothing, of tasks or of handlers.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};

use crate::common::counting::allocations;
use crate::common::{ANY, Server, connect, patient, read_exactly};
use corepoll::io::relay;
use corepoll::{Action, EvContext, EvHandler, Interest, Token, net};

/// Sends much and little both ways through a relay, and says what that allocated on its poller.
fn allocated(server: &Server, proxy: SocketAddr, upstream: &TcpListener) -> u64 {
    let near = connect(proxy);
    let far = patient(upstream.accept().expect("the proxy connects").0);
    let round = |length: usize| {
        for (mut from, to) in [(&near, &far), (&far, &near)] {
            from.write_all(&vec![7; length]).expect("it is read");
            assert_eq!(read_exactly(to, length).len(), length);
        }
    };
    (0..100).for_each(|length| round(length * 300 + 1));
    let before = server.on_poller(allocations);
    let of_question = server.on_poller(allocations) - before;
    (0..300).for_each(|length| round(length * 100 + 1));
    server.on_poller(allocations) - before - 2 * of_question
}

#[test]
fn a_relay_of_tasks_allocates_nothing() {
    let upstream = TcpListener::bind(ANY).expect("a free port");
    let to = upstream.local_addr().expect("it is bound");
    let (server, addr) = Server::of_tasks(move |near, _| async move {
        relay(near, net::TcpStream::connect(to).await?).await
    });
    assert_eq!(allocated(&server, addr, &upstream), 0);
}

struct Front(SocketAddr);

impl EvHandler for Front {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_interest(Interest::NONE)?;
        cx.connect(self.0, Back(cx.token()))?;
        Ok(Action::Keep)
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
}

struct Back(Token);

impl EvHandler for Back {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.relay(self.0)?;
        Ok(Action::Keep)
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
}

#[test]
fn a_relay_of_handlers_allocates_nothing() {
    let upstream = TcpListener::bind(ANY).expect("a free port");
    let to = upstream.local_addr().expect("it is bound");
    let (server, addr) = Server::of_handlers(move || Front(to));
    assert_eq!(allocated(&server, addr, &upstream), 0);
}

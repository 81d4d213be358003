//! corepoll: a `Writer` for each connection.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};

use corepoll::{Acceptor, Action, EvContext, EvHandler, Reactor, Writer};

use super::Say;

pub(super) fn open(
    listeners: usize,
    announce: impl FnOnce(SocketAddr) -> io::Result<()>,
) -> io::Result<Say> {
    let reactor = Reactor::builder().pollers(1).build()?;
    let (enter, entered) = channel();
    let listening = Acceptor::new("127.0.0.1:0")
        .backlog(4096)
        .listen(&reactor.handle(), move || Listener(enter.clone()))?;
    announce(listening.local_addr()?)?;
    let running = reactor.start()?;
    let writers: Vec<Writer> = entered.iter().take(listeners).collect();
    Ok(Box::new(move |message| {
        // The reactor lives as long as the room.
        let _ = &running;
        writers.iter().try_for_each(|writer| writer.write(message.clone()))
    }))
}

/// One connection. It gives its writer to the room, and waits for the end.
struct Listener(Sender<Writer>);

impl EvHandler for Listener {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let sent = self.0.send(cx.writer());
        Ok(if sent.is_ok() { Action::Keep } else { Action::Close })
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
    }
}

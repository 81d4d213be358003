//! TCP_NODELAY reaches the connections for which it was asked.

use std::io::{self, Read};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::mpsc;

use corepoll::{Acceptor, Action, EvContext, EvHandler, Reactor};
use socket2::SockRef;

/// Tells whether its connection has the option, before and after it turns it round.
struct Tell(mpsc::Sender<(bool, bool)>);

impl EvHandler for Tell {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let is_on = |cx: &EvContext<'_>| SockRef::from(&cx.fd().as_fd()).tcp_nodelay();
        let before = is_on(cx)?;
        cx.set_nodelay(!before)?;
        let _ = self.0.send((before, is_on(cx)?));
        Ok(Action::Close)
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Close)
    }
}

#[test]
fn connections_inherit_nodelay_and_may_change_it() -> io::Result<()> {
    for asked in [false, true] {
        let reactor = Reactor::builder().pollers(1).build()?;
        let (sender, told) = mpsc::channel();
        let listening = Acceptor::new("127.0.0.1:0")
            .nodelay(asked)
            .listen(&reactor.handle(), move || Tell(sender.clone()))?;
        let running = reactor.start()?;
        let mut client = TcpStream::connect(listening.local_addr()?)?;
        client.read_to_end(&mut Vec::new())?;
        assert_eq!(told.recv().unwrap(), (asked, !asked));
        running.handle().shutdown(std::time::Duration::ZERO);
        running.join()?;
    }
    Ok(())
}

//! corepoll by callbacks: a handler a connection, the poller's buffer lent to every read.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use corepoll::{Acceptor, Action, EvContext, EvHandler, Interest, Reactor};

use super::{BACKLOG, Options, announce};
use crate::protocol::{Protocol, SMALL_READ};
use crate::sys;

pub(super) fn run<P: Protocol>(options: &Options) -> io::Result<()> {
    let reactor =
        Reactor::builder().pollers(options.threads).read_buffer_size(P::BUFFER).build()?;
    let listening = Acceptor::new(options.addr.to_string())
        .backlog(BACKLOG as u32)
        .listen(&reactor.handle(), Answering::<P>::default)?;
    announce(listening.local_addr()?)?;
    let running = reactor.start()?;
    sys::wait_readable(options.stop.as_fd(), None)?;
    running.handle().shutdown(Duration::ZERO);
    running.join()?;
    Ok(())
}

/// One connection.
#[derive(Default)]
struct Answering<P> {
    protocol: P,
}

impl<P: Protocol> EvHandler for Answering<P> {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        // One read an event: level-triggered, so what is left over brings the next event, and a
        // request costs no recv that would block.
        if self.protocol.read_size() == SMALL_READ {
            return drain(cx);
        }
        let read = cx.read()?;
        if read.is_empty() {
            return Ok(Action::Close);
        }
        let answer = self.protocol.answer(&read);
        if !answer.is_empty() {
            cx.write(answer)?;
            // What the socket did not take is queued. Until that is out nothing more is read, as
            // in every other peer: the peer's own window then holds it back.
            if cx.pending_output() > 0 {
                cx.set_interest(Interest::NONE)?;
            }
        }
        Ok(Action::Keep)
    }

    /// The queue is out.
    fn on_write(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_interest(Interest::READABLE)?;
        Ok(Action::Keep)
    }
}

/// Reads of a flood that is thrown away. It has a budget at each event, as all reads.
fn drain(cx: &mut EvContext<'_>) -> io::Result<Action> {
    let read = cx.read_into(&mut [0; SMALL_READ])?;
    Ok(if read == 0 { Action::Close } else { Action::Keep })
}

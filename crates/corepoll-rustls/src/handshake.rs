//! The handshake of a connection, from its first message to `on_open`.

use std::io;

use corepoll::EvContext;

use crate::engine::{Found, Send};
use crate::failure::{Failure, tls_error};
use crate::input::Input;
use crate::reading::Looked;
use crate::scratch::{Output, Plaintext};
use crate::server_name;
use crate::session::Session;

impl Session {
    /// Sends what rustls begins with: the first message of a client.
    pub(crate) fn begin(&mut self, output: &mut Output) -> io::Result<()> {
        let mut none = Plaintext::end();
        loop {
            match self.engine.step(&mut [], &mut none, &mut output.records, Send::Nothing).1 {
                Found::Progress => {}
                Found::Failed(error) => return Err(tls_error(*error)),
                _ => return Ok(()),
            }
        }
    }

    /// Goes on with the handshake, as far as the input goes. Returns `true` once it is done.
    pub(crate) fn shake_hands<'b>(
        &mut self,
        cx: &mut EvContext<'b>,
        input: &mut Input<'b>,
        output: &mut Output,
    ) -> io::Result<bool> {
        let mut may_read = true;
        while self.engine.state().is_handshaking() {
            let looked = self.look(input, output);
            // Taken each time: the next ClientHello may be another connection's.
            if let Some(name) = server_name::take() {
                self.server_name = Some(name);
            }
            match looked? {
                Looked::NeedsMore if may_read => self.receive(cx, input)?,
                Looked::NeedsMore => return Ok(false),
                Looked::Plaintext(plaintext) => self.ready = Some(plaintext),
                Looked::Other if self.has_peer_closed => {
                    return Err(self.fail(Failure::Truncated { is_open: false }));
                }
                Looked::Other => {}
            }
            // One read an event: a flight seldom fills the poller's buffer.
            may_read = may_read && input.rest().is_empty() && self.carry.is_empty();
        }
        Ok(true)
    }
}

//! From plaintext to the connection's output.

use std::io;

use corepoll::EvContext;

use crate::engine::{Found, Send};
use crate::failure::{Failure, closing_error};
use crate::scratch::{Output, Plaintext, RECORD, Records};
use crate::session::Session;

impl Session {
    /// Sends `bytes` in their order: small pieces are gathered into one record, which goes at the
    /// end of the callback.
    #[inline]
    pub(crate) fn write(
        &mut self,
        cx: &mut EvContext<'_>,
        output: &mut Output,
        bytes: &[u8],
    ) -> io::Result<()> {
        if output.gathered.len() + bytes.len() <= RECORD {
            output.gathered.extend_from_slice(bytes);
            return Ok(());
        }
        self.write_records(cx, output, bytes)
    }

    /// Sends what doesn't fit into the record that is gathered.
    #[inline(never)]
    fn write_records(
        &mut self,
        cx: &mut EvContext<'_>,
        output: &mut Output,
        bytes: &[u8],
    ) -> io::Result<()> {
        self.encrypt_gathered(output)?;
        for piece in bytes.chunks(RECORD) {
            self.encrypt(&mut output.records, piece)?;
            if output.records.is_large() {
                send(cx, output)?;
            }
        }
        Ok(())
    }

    /// As `flush`, where that is not a part of its caller.
    #[inline(never)]
    pub(crate) fn flush_rest(
        &mut self,
        cx: &mut EvContext<'_>,
        output: &mut Output,
    ) -> io::Result<()> {
        self.flush(cx, output)
    }

    /// Encrypts and sends everything that waits.
    #[inline(always)]
    pub(crate) fn flush(&mut self, cx: &mut EvContext<'_>, output: &mut Output) -> io::Result<()> {
        self.encrypt_gathered(output)?;
        output.records.send(cx)
    }

    /// Makes a record of what small writes have left.
    #[inline(always)]
    fn encrypt_gathered(&mut self, output: &mut Output) -> io::Result<()> {
        if output.gathered.is_empty() {
            return Ok(());
        }
        let result = self.encrypt(&mut output.records, &output.gathered);
        output.gathered.clear();
        result
    }

    /// Encrypts one record, behind whatever rustls has to send before it.
    #[inline(always)]
    fn encrypt(&mut self, records: &mut Records, bytes: &[u8]) -> io::Result<()> {
        // What rustls needs again must be in its input with every step.
        let first = if self.carry.is_empty() {
            self.engine.encrypt(bytes, records)
        } else {
            Err(Found::Progress)
        };
        first.or_else(|found| self.send_on(records, Send::Bytes(bytes), found))
    }

    /// Encrypts the close_notify, behind whatever rustls has to send before it.
    pub(crate) fn encrypt_close_notify(&mut self, records: &mut Records) -> io::Result<()> {
        self.send_on(records, Send::CloseNotify, Found::Progress)
    }

    /// Steps on, from `found`, until what is to be sent is encrypted.
    #[cold]
    fn send_on(
        &mut self,
        records: &mut Records,
        send: Send<'_>,
        mut found: Found,
    ) -> io::Result<()> {
        let mut none = Plaintext::end();
        loop {
            match found {
                Found::Progress => {}
                Found::Sent => return Ok(()),
                Found::Failed(error) => return Err(self.fail(Failure::Tls(*error))),
                _ => return Err(closing_error()),
            }
            found = self.engine.step(self.carry.window(0), &mut none, records, send).1;
        }
    }
}

/// Sends the records, where that is not a part of its caller.
#[inline(never)]
pub(crate) fn send(cx: &mut EvContext<'_>, output: &mut Output) -> io::Result<()> {
    output.records.send(cx)
}

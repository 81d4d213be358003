//! From bytes of the peer to plaintext.
//!
//! Input is given to rustls a record at a time, where it lies: in the chunk that the poller has
//! lent. Only what has come in part is copied, into [`Carry`]. While rustls holds a part of a
//! handshake message it needs the same bytes again, at the front of the next input; these are
//! always in the carry, and `Carry::seen` counts them.
//!
//! Nearly every event brings one whole record of data. [`Session::receive_record`] is its way.

use std::io;

use corepoll::{Chunk, EvContext};

use crate::engine::{Engine, Found, Send};
use crate::failure::Failure;
use crate::input::{Carry, Input, Next, is_record_of_data, next_record};
use crate::scratch::{Output, Plaintext, Records};
use crate::session::{Session, Stage};

/// The most bytes of one handshake message that are kept while the rest is awaited. rustls allows
/// 64 KiB to a message; the rest is for the headers of its pieces.
const MOST_SEEN: usize = 128 * 1024;

/// What a look at the input has come to.
pub(crate) enum Looked {
    /// Plaintext.
    Plaintext(Plaintext<'static>),
    /// A record without plaintext, or the peer's close_notify.
    Other,
    /// More bytes are needed.
    NeedsMore,
}

impl Session {
    /// Returns `true` if the next thing to do is to receive a record.
    #[inline(always)]
    pub(crate) fn awaits_record(&self) -> bool {
        self.stage == Stage::Open
            && self.wants_read
            && self.ready.is_none()
            && self.carry.is_empty()
            && !self.has_peer_closed
    }

    /// Returns `true` if a callback has nothing left to be done but to send what it has written.
    #[inline(always)]
    pub(crate) fn is_at_rest(&self, input: &Input<'_>) -> bool {
        self.stage == Stage::Open
            && self.ready.is_none()
            && input.is_empty()
            && self.carry.is_empty()
            && self.writer.is_none()
            && self.failure.is_none()
    }

    /// Receives the next bytes, before which there are none. Returns `true` if they are one record
    /// of data, which is ready then. Anything else becomes the input.
    #[inline(always)]
    pub(crate) fn receive_record<'b>(
        &mut self,
        cx: &mut EvContext<'b>,
        input: &mut Input<'b>,
        output: &mut Output,
    ) -> io::Result<bool> {
        let mut chunk = cx.read()?;
        if !is_record_of_data(&chunk) {
            self.accept(chunk, input)?;
            return Ok(false);
        }
        let mut plaintext = self.scratch.lend();
        match self.engine.decrypt(&mut chunk, &mut plaintext, &mut output.records) {
            Ok(()) => {
                // Nothing is ready before: there is nothing to be dropped.
                self.ready.get_or_insert(plaintext);
                Ok(true)
            }
            Err(step) => self.finish_chunk(chunk, input, output, step, plaintext),
        }
    }

    /// Goes on with a chunk that is one record, after its first step. Returns `true` if plaintext is
    /// ready.
    #[cold]
    fn finish_chunk<'b>(
        &mut self,
        chunk: Chunk<'b>,
        input: &mut Input<'b>,
        output: &mut Output,
        step: (usize, Found),
        plaintext: Plaintext<'static>,
    ) -> io::Result<bool> {
        let length = chunk.len();
        input.set(chunk);
        match self.finish_record(input, output, length, step, plaintext)? {
            Looked::Plaintext(plaintext) => self.ready = Some(plaintext),
            Looked::Other | Looked::NeedsMore => {}
        }
        Ok(self.ready.is_some())
    }

    /// Makes plaintext ready for the handler, or the end of the data. Returns `false` if there is
    /// neither now. The socket is read if `may_read`, which is turned off then.
    pub(crate) fn prepare<'b>(
        &mut self,
        cx: &mut EvContext<'b>,
        input: &mut Input<'b>,
        output: &mut Output,
        may_read: &mut bool,
    ) -> io::Result<bool> {
        while self.ready.is_none() {
            if self.has_peer_closed {
                if self.is_end_read {
                    return self.discard(cx, *may_read);
                }
                self.ready = Some(Plaintext::end());
                break;
            }
            match self.look(input, output)? {
                Looked::Plaintext(plaintext) => self.ready = Some(plaintext),
                Looked::Other => {}
                Looked::NeedsMore if *may_read => {
                    *may_read = false;
                    self.receive(cx, input)?;
                }
                Looked::NeedsMore => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Reads and drops what comes after the peer's close_notify.
    fn discard(&mut self, cx: &mut EvContext<'_>, may_read: bool) -> io::Result<bool> {
        if may_read {
            drop(cx.read()?);
        }
        Ok(false)
    }

    /// Takes the plaintext that is ready.
    #[inline(always)]
    pub(crate) fn take_ready(&mut self) -> Option<Plaintext<'static>> {
        let plaintext = self.ready.take()?;
        if plaintext.is_empty() {
            self.is_end_read = self.has_peer_closed;
        }
        Some(plaintext)
    }

    /// Returns the next plaintext: what is ready, or what the input or the socket has. It is empty
    /// at the end of the data.
    #[inline(never)]
    pub(crate) fn read<'b>(
        &mut self,
        cx: &mut EvContext<'b>,
        input: &mut Input<'b>,
        output: &mut Output,
    ) -> io::Result<Plaintext<'b>> {
        loop {
            let mut may_read = true;
            if self.has_peer_closed && self.is_end_read {
                return Ok(Plaintext::end());
            }
            if self.prepare(cx, input, output, &mut may_read)?
                && let Some(plaintext) = self.take_ready()
            {
                return Ok(plaintext);
            }
        }
    }

    /// Returns `true` if there is something to read without the socket.
    pub(crate) fn has_backlog(&self) -> bool {
        self.ready.is_some() || matches!(next_record(self.carry.unseen()), Next::Whole(_))
    }

    /// Receives the next bytes.
    pub(crate) fn receive<'b>(
        &mut self,
        cx: &mut EvContext<'b>,
        input: &mut Input<'b>,
    ) -> io::Result<()> {
        let chunk = cx.read()?;
        self.accept(chunk, input)
    }

    /// Makes `chunk` the input. The end of the bytes, without a close_notify before, is a failure.
    fn accept<'b>(&mut self, chunk: Chunk<'b>, input: &mut Input<'b>) -> io::Result<()> {
        if chunk.is_empty() {
            let is_open = self.stage != Stage::Handshaking;
            return Err(self.fail(Failure::Truncated { is_open }));
        }
        input.set(chunk);
        Ok(())
    }

    /// Gives rustls the next record, if all of it is there. What is left of the chunk otherwise is
    /// carried over.
    pub(crate) fn look(
        &mut self,
        input: &mut Input<'_>,
        output: &mut Output,
    ) -> io::Result<Looked> {
        if !self.carry.is_empty() {
            return self.look_at_carry(input, output);
        }
        let rest = input.rest();
        if rest.is_empty() {
            return Ok(Looked::NeedsMore);
        }
        let Next::Whole(length) = next_record(rest) else {
            self.carry.extend(rest);
            input.clear();
            return Ok(Looked::NeedsMore);
        };
        let plaintext = self.scratch.lend();
        self.finish_record(input, output, length, (0, Found::Progress), plaintext)
    }

    /// Steps through the first `length` bytes of the input, a record. `step` is what has been done.
    fn finish_record(
        &mut self,
        input: &mut Input<'_>,
        output: &mut Output,
        length: usize,
        step: (usize, Found),
        mut plaintext: Plaintext<'static>,
    ) -> io::Result<Looked> {
        let record = &mut input.rest()[..length];
        let (used, found) =
            run(&mut self.engine, record, step, &mut plaintext, &mut output.records);
        if used < length {
            // rustls needs what it has not used again, with the record that follows.
            self.carry.extend(&record[used..]);
            self.carry.seen = length - used;
        }
        input.advance(length);
        match found {
            Found::Plaintext => Ok(Looked::Plaintext(plaintext)),
            found => self.looked(found, input),
        }
    }

    /// Gives rustls the record that is carried over, if the chunk completes it.
    #[cold]
    fn look_at_carry(&mut self, input: &mut Input<'_>, output: &mut Output) -> io::Result<Looked> {
        let Some(length) = self.complete(input) else { return Ok(Looked::NeedsMore) };
        let mut plaintext = self.scratch.lend();
        let window = self.carry.window(length);
        let size = window.len();
        let step = (0, Found::Progress);
        let (used, found) =
            run(&mut self.engine, window, step, &mut plaintext, &mut output.records);
        self.carry.advance(used, size - used);
        match found {
            Found::Plaintext => Ok(Looked::Plaintext(plaintext)),
            found => self.looked(found, input),
        }
    }

    /// Notes what a record without plaintext has brought.
    #[cold]
    fn looked(&mut self, found: Found, input: &mut Input<'_>) -> io::Result<Looked> {
        match found {
            Found::Failed(error) => Err(self.fail(Failure::Tls(*error))),
            _ if self.carry.seen > MOST_SEEN => Err(self.fail(Failure::TooManyPieces)),
            Found::PeerClosed => {
                // What follows is no data of this connection.
                self.has_peer_closed = true;
                self.carry = Carry::default();
                input.clear();
                Ok(Looked::Other)
            }
            _ => Ok(Looked::Other),
        }
    }

    /// Completes the record that is carried over with bytes of the chunk. Returns its length, or
    /// `None` if there are too few.
    fn complete(&mut self, input: &mut Input<'_>) -> Option<usize> {
        loop {
            match next_record(self.carry.unseen()) {
                Next::Whole(length) => return Some(length),
                Next::Missing(count) => {
                    let rest = input.rest();
                    let count = count.min(rest.len());
                    if count == 0 {
                        return None;
                    }
                    self.carry.extend(&rest[..count]);
                    input.advance(count);
                }
            }
        }
    }
}

/// Steps on through `window`, from `step`, until there is plaintext or nothing more to be done.
/// Returns how many of its bytes are used.
fn run(
    engine: &mut Engine,
    window: &mut [u8],
    step: (usize, Found),
    plaintext: &mut Plaintext<'_>,
    records: &mut Records,
) -> (usize, Found) {
    let (mut used, mut found) = step;
    loop {
        used = used.min(window.len());
        match found {
            Found::Progress => {}
            Found::Failed(_) => {
                encode_alert(engine, records);
                return (used, found);
            }
            found => return (used, found),
        }
        let more;
        (more, found) = engine.step(&mut window[used..], plaintext, records, Send::Nothing);
        used += more;
    }
}

/// Encodes the alert that tells the peer why the connection has failed.
#[cold]
fn encode_alert(engine: &mut Engine, records: &mut Records) {
    // rustls hands it out before it looks at any input, and must not be given input after a failure.
    let mut none = Plaintext::end();
    while engine.state().wants_write() {
        engine.step(&mut [], &mut none, records, Send::Nothing);
    }
}

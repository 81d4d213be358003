//! What holds the bytes that are on their way through a relay: a pipe, or a buffer.

use std::io;

use crate::connection::relay::endpoint::Endpoint;
use crate::connection::relay::pipes;
use crate::local::state::Local;
use crate::parts::readiness::Direction;
use crate::sys::sigpipe::NoSigpipe;
use crate::sys::splice::{Pipe, is_refusal};
use crate::sys::stream;

#[derive(Debug)]
pub(crate) enum Carrier {
    /// Splice.
    Pipe(Pipe),
    /// A buffer, for what can't be spliced, and where the bytes begin in it.
    Buffer(Box<[u8]>, usize),
}

impl Carrier {
    /// Gives some of the `count` bytes that it holds to the target.
    pub(crate) fn give(
        &mut self,
        count: usize,
        to: &impl Endpoint,
        quiet: &NoSigpipe,
    ) -> io::Result<usize> {
        match self {
            Carrier::Pipe(pipe) => to.try_io(Direction::Write, |fd| pipe.drain(fd, count, quiet)),
            Carrier::Buffer(buffer, start) => {
                let bytes = &buffer[*start..*start + count];
                let sent = to.try_io(Direction::Write, |fd| stream::send_uncounted(fd, bytes))?;
                *start += sent;
                Ok(sent)
            }
        }
    }

    /// Whether that came to nothing because the kernel doesn't splice to this target.
    pub(crate) fn is_refused(&self, given: &io::Result<usize>) -> bool {
        matches!(self, Carrier::Pipe(_))
            && match given {
                // Its bytes are in the pipe, so this is no end.
                Ok(count) => *count == 0,
                Err(error) => is_refusal(error),
            }
    }

    /// Copies the `count` bytes that it holds.
    pub(crate) fn copy_out(&self, count: usize) -> io::Result<Vec<u8>> {
        let pipe = match self {
            Carrier::Buffer(buffer, start) => return Ok(buffer[*start..*start + count].to_vec()),
            Carrier::Pipe(pipe) => pipe,
        };
        let mut bytes = vec![0; count];
        let mut done = 0;
        while done < count {
            match pipe.read(&mut bytes[done..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => done += read,
            }
        }
        Ok(bytes)
    }

    /// It holds nothing: others may have it.
    pub(crate) fn give_back(self, local: &Local) {
        match self {
            Carrier::Pipe(pipe) => pipes::keep(local, pipe),
            // What was poured out of a pipe has a buffer of its own.
            Carrier::Buffer(buffer, _) if buffer.len() == local.buffers.size() => {
                local.buffers.take_back(buffer);
            }
            Carrier::Buffer(..) => {}
        }
    }
}

//! What holds the bytes that are on their way through a relay: a pipe, or a buffer.
//!
//! A pipe is what splice(2) needs between two sockets: it moves pages by reference from the one
//! into the pipe, and from there into the other.

use std::io;

use crate::connection::relay::endpoint::Endpoint;
use crate::connection::relay::pipes;
use crate::local::state::Local;
use crate::parts::readiness::Direction;
use crate::sys::sigpipe::NoSigpipe;
use crate::sys::splice::{Pipe, is_refusal};
use crate::sys::stream;

/// The place of the bytes that have left the source and not reached the target.
#[derive(Debug)]
pub(crate) enum Carrier {
    /// A pipe: the bytes are spliced into it and out of it, and never copied.
    Pipe(Pipe),
    /// A buffer, for descriptors that can't be spliced, and where the bytes begin in it.
    Buffer(Box<[u8]>, usize),
}

impl Carrier {
    /// Writes some of the `count` bytes that it holds to the target, and returns how many.
    pub(crate) fn write_to(
        &mut self,
        count: usize,
        to: &impl Endpoint,
        no_sigpipe: &NoSigpipe,
    ) -> io::Result<usize> {
        match self {
            Carrier::Pipe(pipe) => {
                to.try_io(Direction::Write, |fd| pipe.drain(fd, count, no_sigpipe))
            }
            Carrier::Buffer(buffer, start) => {
                let bytes = &buffer[*start..*start + count];
                let sent = to.try_io(Direction::Write, |fd| stream::send_uncounted(fd, bytes))?;
                *start += sent;
                Ok(sent)
            }
        }
    }

    /// Returns `true` if a write has come to nothing because the kernel doesn't splice to this
    /// target.
    pub(crate) fn is_refused(&self, written: &io::Result<usize>) -> bool {
        matches!(self, Carrier::Pipe(_))
            && match written {
                // The pipe holds bytes, so zero is no end: the kernel has declined.
                Ok(count) => *count == 0,
                Err(error) => is_refusal(error),
            }
    }

    /// Returns a copy of the `count` bytes that it holds. A pipe is empty afterwards.
    pub(crate) fn copy_out(&self, count: usize) -> io::Result<Vec<u8>> {
        let pipe = match self {
            Carrier::Buffer(buffer, start) => return Ok(buffer[*start..*start + count].to_vec()),
            Carrier::Pipe(pipe) => pipe,
        };
        let mut bytes = vec![0; count];
        let mut done = 0;
        while done < count {
            match pipe.read(&mut bytes[done..])? {
                // The pipe holds `count` bytes and its writer is open, so a kernel that says 0 is
                // wrong about one of the two.
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => done += read,
            }
        }
        Ok(bytes)
    }

    /// Gives the pipe or the buffer back to the poller. It must be empty.
    pub(crate) fn give_back(self, local: &Local) {
        match self {
            Carrier::Pipe(pipe) => pipes::keep(local, pipe),
            // One that was spilled out of a pipe has another size, and is dropped.
            Carrier::Buffer(buffer, _) => local.buffers.take_back(buffer),
        }
    }
}

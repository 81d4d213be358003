//! Where output goes: one step of sending from an outbox to a descriptor.
//!
//! `flush` says how much is sent and until when, and a sink how: by send(2), sendmsg(2), write(2) or
//! sendfile(2), and whether there may be room for more.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};

use crate::parts::outbox::{MOST_SLICES, Next, Outbox, SLICES};
use crate::sys::buffers::Buffers;
use crate::sys::splice::is_refusal;
use crate::sys::{file, stream};

/// What kind of descriptor output goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SinkKind {
    /// A socket for a stream of bytes: pieces may be sent together.
    Stream,
    /// A socket on which each piece is a record. Records arrive in order.
    Records,
    /// A socket on which each piece is a datagram.
    Datagrams,
    /// Anything but a socket.
    Other,
}

/// What became of one attempt to send.
pub(crate) enum Sent {
    /// So many bytes were sent, and there may be room for more.
    Some(usize),
    /// So many bytes were sent, and there is no more room.
    AllThatFits(usize),
    /// The kernel can't send from this file: from now on it is read and sent.
    NotFromThisFile,
}

/// A descriptor that output goes to.
pub(crate) struct Sink<'a> {
    /// The descriptor, which is non-blocking.
    pub(crate) fd: BorrowedFd<'a>,
    /// What kind of descriptor it is.
    pub(crate) kind: SinkKind,
    /// How many bytes may still be sent for this event. The last attempt may exceed it.
    pub(crate) budget: usize,
    /// The poller's buffers, for files from which the kernel can't send.
    pub(crate) buffers: &'a Buffers,
}

impl Sink<'_> {
    /// Sends the first pieces of `outbox`, or some of the file that is first, and takes what was
    /// sent out of it.
    pub(crate) fn send_next(&self, outbox: &mut Outbox) -> io::Result<Sent> {
        // Pieces of a stream go together; each record and each datagram goes alone.
        let sent = if self.kind != SinkKind::Stream || outbox.segments() == 1 {
            let mut slice = [IoSlice::new(&[])];
            self.send(outbox.next(&mut slice), &slice)
        } else if outbox.segments() <= SLICES {
            let mut slices = [IoSlice::new(&[]); SLICES];
            self.send(outbox.next(&mut slices), &slices)
        } else {
            self.send_many(outbox)
        }?;
        match sent {
            Sent::Some(count) | Sent::AllThatFits(count) => outbox.advance(count),
            Sent::NotFromThisFile => outbox.copy_first_file(),
        }
        Ok(sent)
    }

    /// Sends as many pieces as the kernel takes in one call. A function of its own, since the
    /// slices need 16 KiB of stack.
    #[cold]
    #[inline(never)]
    fn send_many(&self, outbox: &Outbox) -> io::Result<Sent> {
        let mut slices = [IoSlice::new(&[]); MOST_SLICES];
        self.send(outbox.next(&mut slices), &slices)
    }

    /// Sends what is next: the first of `slices`, or some of a file.
    fn send(&self, next: Next<'_, File>, slices: &[IoSlice<'_>]) -> io::Result<Sent> {
        match next {
            Next::Nothing => Ok(Sent::AllThatFits(0)),
            Next::Slices(1) => self.send_bytes(&slices[0]),
            Next::Slices(count) => self.send_slices(&slices[..count]),
            Next::File { file, offset, length, by_copy } => {
                let most = usize::try_from(length).unwrap_or(usize::MAX).min(self.budget);
                if by_copy {
                    self.copy_file(file, offset, most)
                } else {
                    self.send_file(file, offset, most)
                }
            }
        }
    }

    /// Sends one piece.
    fn send_bytes(&self, bytes: &[u8]) -> io::Result<Sent> {
        let send = if self.kind == SinkKind::Other { stream::write } else { stream::send };
        let sent = send(self.fd, bytes)?;
        // A call that comes back short has filled the send buffer: another one would only say so.
        Ok(if sent < bytes.len() { Sent::AllThatFits(sent) } else { Sent::Some(sent) })
    }

    /// Sends several pieces in one call.
    fn send_slices(&self, slices: &[IoSlice<'_>]) -> io::Result<Sent> {
        let sent = stream::send_vectored(self.fd, slices)?;
        // Cheaper than one more system call that says EAGAIN.
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        Ok(if sent < total { Sent::AllThatFits(sent) } else { Sent::Some(sent) })
    }

    /// Sends up to `most` bytes of a file by sendfile(2).
    fn send_file(&self, file: &File, offset: u64, most: usize) -> io::Result<Sent> {
        match file::send_file(self.fd, file.as_fd(), offset, most) {
            // The file is too short, or the kernel can't read it this way. A read finds out which.
            Ok(0) => Ok(Sent::NotFromThisFile),
            // A short count says nothing of room: the page cache may have been the reason.
            Ok(sent) => Ok(Sent::Some(sent)),
            Err(error) if is_refusal(&error) => Ok(Sent::NotFromThisFile),
            Err(error) => Err(error),
        }
    }

    /// Reads up to `most` bytes of a file into the poller's buffer, and sends them. What isn't sent
    /// is not kept: it is read again when there is room.
    fn copy_file(&self, file: &File, offset: u64, most: usize) -> io::Result<Sent> {
        // pread(2), whose offset is given: a piece that is sent in parts begins anew where it
        // ended.
        let chunk = self.buffers.lend(|space| {
            let most = most.min(space.len());
            file::read_at(file.as_fd(), offset, &mut space[..most])
        })?;
        if chunk.is_empty() { Err(file_too_short(offset)) } else { self.send_bytes(&chunk) }
    }
}

/// Returns the error of a file that ends at `offset`, before what was promised of it.
fn file_too_short(offset: u64) -> io::Error {
    let message = format!("the file to be sent ends at {offset}, before what was promised of it");
    io::Error::new(io::ErrorKind::UnexpectedEof, message)
}

//! The calls of pipes, and those that move bytes without showing them: splice(2) and sendfile(2).

use std::io::{self, IoSlice};
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use super::errors::errno;
use super::id::Id;
use super::instance::ANY;
use super::mark::Reading;
use super::object::Kind;
use super::pipe::{PipeReader, PipeWriter, SLOT};
use super::world::World;
use crate::sys::file;

/// How many bytes sendfile(2) reads at once: what the pipe holds that it has inside.
const FILE_CHUNK: usize = 16 * SLOT;

impl World {
    /// Makes a pipe, and asks for a capacity: pipe2(2), F_SETPIPE_SZ of fcntl(2). Returns the end
    /// that bytes come out of, the one that they go into, and the capacity that it has.
    pub(crate) fn pipe_create(&mut self, capacity: usize) -> io::Result<([OwnedFd; 2], usize)> {
        self.pass_a_call();
        self.refuse_descriptor()?;
        self.refuse_call()?;
        let host = self.host();
        let pipe = PipeReader::new(capacity);
        let given = pipe.room();
        let reader = self.add(host, Kind::PipeReader(pipe));
        let end = PipeWriter { reader: Some(reader), was_full: false };
        let writer = self.add(host, Kind::PipeWriter(end));
        if let Kind::PipeReader(end) = &mut self.object(reader)?.kind {
            end.writer = Some(writer);
        }
        Ok(([self.open(reader)?, self.open(writer)?], given))
    }

    /// Reads from a pipe: read(2).
    pub(crate) fn pipe_read(&mut self, fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
        self.pass_a_call();
        let (_, pipe) = self.reader_of(fd)?;
        if pipe.is_empty() && !buffer.is_empty() {
            return if pipe.writer.is_some() { errno(libc::EAGAIN) } else { Ok(0) };
        }
        let bytes = pipe.front(buffer.len());
        buffer[..bytes.len()].copy_from_slice(&bytes);
        let (was_full, writer) = (pipe.is_full(), pipe.writer);
        if pipe.take(bytes.len()) > 0
            && was_full
            && let Some(writer) = writer
        {
            self.wake(writer, libc::EPOLLOUT as u32);
        }
        Ok(bytes.len())
    }

    /// Writes to a pipe: write(2).
    pub(crate) fn pipe_write(&mut self, fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
        self.pass_a_call();
        if bytes.is_empty() {
            return Ok(0);
        }
        let (reader, pipe) = self.behind_writer(fd)?;
        let count = pipe.push(bytes, false);
        // Whether it has changed anything or not: anon_pipe_write.
        self.wake(reader, libc::EPOLLIN as u32);
        if count > 0 { Ok(count) } else { errno(libc::EAGAIN) }
    }

    /// Moves up to `most` bytes from a socket into a pipe or from a pipe into a socket: splice(2).
    pub(crate) fn splice(&mut self, from: RawFd, to: RawFd, most: usize) -> io::Result<usize> {
        self.pass_a_call();
        self.run_due();
        self.refuse_call()?;
        let kind = |fd: RawFd| {
            let id = self.find(fd)?;
            self.objects.get(&id).map(|object| &object.kind)
        };
        match (kind(from), kind(to)) {
            (Some(Kind::Tcp(_) | Kind::UnixStream(_)), Some(Kind::PipeWriter(_))) => {
                self.splice_in(from, to, most)
            }
            (Some(Kind::PipeReader(_)), Some(Kind::Tcp(_) | Kind::UnixStream(_))) => {
                self.splice_out(from, to, most)
            }
            _ => errno(libc::EINVAL),
        }
    }

    /// Moves bytes from a socket into a pipe.
    fn splice_in(&mut self, from: RawFd, to: RawFd, most: usize) -> io::Result<usize> {
        let (reader, pipe) = self.behind_writer(to)?;
        if pipe.is_full() {
            return errno(libc::EAGAIN);
        }
        let most = most.min(pipe.room());
        // Each packet takes a slot, however little it brings: small ones leave room for few bytes.
        let most = self.shortened(most);
        let mut bytes = Vec::new();
        let count = self.receive(from, &mut |part| bytes.extend(part), most, Reading::Splice)?;
        if let Kind::PipeReader(pipe) = &mut self.object(reader)?.kind {
            pipe.push(&bytes, true);
        }
        if count > 0 {
            self.wake(reader, ANY);
        }
        Ok(count)
    }

    /// Moves bytes from a pipe into a socket.
    fn splice_out(&mut self, from: RawFd, to: RawFd, most: usize) -> io::Result<usize> {
        let (_, pipe) = self.reader_of(from)?;
        if pipe.is_empty() {
            return if pipe.writer.is_some() { errno(libc::EAGAIN) } else { Ok(0) };
        }
        let bytes = pipe.front(most);
        let count = self.send_with_signal(to, &[IoSlice::new(&bytes)])?;
        let (_, pipe) = self.reader_of(from)?;
        let writer = pipe.writer;
        if pipe.take(count) > 0
            && let Some(writer) = writer
        {
            self.wake(writer, ANY);
        }
        Ok(count)
    }

    /// Sends up to `most` bytes of a file of the machine to a socket: sendfile(2).
    pub(crate) fn send_file(
        &mut self,
        to: RawFd,
        file: BorrowedFd<'_>,
        offset: u64,
        most: usize,
    ) -> io::Result<usize> {
        self.pass_a_call();
        self.run_due();
        self.refuse_call()?;
        let mut sent = 0;
        let mut chunk = vec![0; most.min(FILE_CHUNK)];
        while sent < most {
            let wanted = chunk.len().min(most - sent);
            let read = file::read_at(file, offset + sent as u64, &mut chunk[..wanted])?;
            if read == 0 {
                break;
            }
            match self.send_with_signal(to, &[IoSlice::new(&chunk[..read])]) {
                Ok(count) => sent += count,
                // It is told by the next call, as what went before was sent.
                Err(_) if sent > 0 => break,
                Err(error) => return Err(error),
            }
        }
        let (host, id) = (self.host(), self.find(to));
        if let Some(id) = id.filter(|_| sent > 0) {
            self.log(host, format_args!("{id} is sent {sent} of a file"));
        }
        Ok(sent)
    }

    /// Fails now and then as a kernel does that has no such call, if that is a fault of this
    /// simulation.
    fn refuse_call(&mut self) -> io::Result<()> {
        if self.chance(self.settings.refuse_splice) {
            return errno(libc::EINVAL);
        }
        Ok(())
    }

    /// Returns the pipe whose end for reading `fd` is.
    fn reader_of(&mut self, fd: RawFd) -> io::Result<(Id, &mut PipeReader)> {
        let Some(id) = self.find(fd) else { return errno(libc::EBADF) };
        match &mut self.object(id)?.kind {
            Kind::PipeReader(pipe) => Ok((id, pipe)),
            _ => errno(libc::EBADF),
        }
    }

    /// Returns the pipe whose end for writing `fd` is, unless nothing can read from it any more.
    fn behind_writer(&mut self, fd: RawFd) -> io::Result<(Id, &mut PipeReader)> {
        let Some(id) = self.find(fd) else { return errno(libc::EBADF) };
        let Kind::PipeWriter(end) = &self.object(id)?.kind else { return errno(libc::EBADF) };
        let Some(reader) = end.reader else {
            self.raise_sigpipe();
            return errno(libc::EPIPE);
        };
        match &mut self.object(reader)?.kind {
            Kind::PipeReader(pipe) => Ok((reader, pipe)),
            _ => errno(libc::EPIPE),
        }
    }

    /// Tells the other end of a pipe that one is closed: pipe_release.
    pub(super) fn pipe_close(&mut self, id: Id) {
        let (other, was_full) = match self.objects.get(&id).map(|object| &object.kind) {
            Some(Kind::PipeReader(end)) => (end.writer, end.is_full()),
            Some(Kind::PipeWriter(end)) => (end.reader, false),
            _ => return,
        };
        let Some(other) = other else { return };
        match self.objects.get_mut(&other).map(|object| &mut object.kind) {
            Some(Kind::PipeReader(end)) => end.writer = None,
            Some(Kind::PipeWriter(end)) => *end = PipeWriter { reader: None, was_full },
            _ => {}
        }
        self.wake(other, ANY);
    }
}

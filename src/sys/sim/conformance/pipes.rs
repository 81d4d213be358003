//! A pipe beside a connection of TCP, and what moves bytes between them and out of a file.

use std::fs::File;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use super::{Machine, compare, show, take_events, urgent};
use crate::base::token::Token;
use crate::sys::epoll::{self, Epoll, Mask};
use crate::sys::fd::OwnedFd;
use crate::sys::{accept, file, socket, splice, stream};

/// The file that is sent: any whose contents stay.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

/// The places of the two sockets, and of the ends of the pipe.
const SOCKETS: usize = 2;
const READER: usize = 2;
const WRITER: usize = 3;

/// A call. Descriptors are named by their places.
#[derive(Debug, Clone, Copy)]
enum Call {
    /// Makes the pipe anew.
    Pipe,
    /// Sends so many bytes from a socket.
    Send(usize, usize),
    /// Sends so many bytes from a socket, the last of them urgent.
    SendUrgent(usize, usize),
    /// Receives at most so many bytes at a socket.
    Receive(usize, usize),
    /// Ends the input of a socket.
    ShutdownRead(usize),
    /// Writes so many bytes to the pipe.
    Write(usize),
    /// Reads at most so many bytes from the pipe.
    Read(usize),
    /// Moves at most so many bytes from a socket into the pipe.
    SpliceIn(usize, usize),
    /// Moves at most so many bytes from the pipe into a socket.
    SpliceOut(usize, usize),
    /// Sends so many bytes of the file from an offset on.
    SendFile(usize, u64, usize),
    /// Closes a descriptor.
    Close(usize),
    /// Registers a descriptor with epoll.
    Watch(usize, u32),
    /// Changes the registration of a descriptor.
    Change(usize, u32),
    /// Asks which conditions of a descriptor hold.
    Look(usize),
    /// Takes at most so many events.
    Wait(usize),
}

/// The masks that registrations ask for.
const MASKS: [u32; 5] = [
    libc::EPOLLIN as u32,
    libc::EPOLLOUT as u32,
    (libc::EPOLLIN | libc::EPOLLOUT) as u32,
    (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLET) as u32,
    (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET) as u32,
];

/// Chooses the calls of a program.
fn program(seed: u64) -> Vec<Call> {
    let mut random = fastrand::Rng::with_seed(seed);
    // Either the pipe is filled up by writes, or bytes of a socket get into it: how many slots
    // those take is up to Linux.
    let fills_up = random.bool();
    let mut calls = vec![Call::Watch(READER, MASKS[3]), Call::Watch(WRITER, MASKS[3])];
    for _ in 0..random.usize(10..60) {
        let (end, any) = (random.usize(..SOCKETS), random.usize(..4));
        let mask = MASKS[random.usize(..MASKS.len())];
        calls.push(match random.u32(..100) {
            0..3 => Call::Pipe,
            3..10 => Call::Send(end, random.usize(1..300)),
            10..12 => Call::SendUrgent(end, random.usize(1..4)),
            12..22 => Call::Receive(end, random.usize(1..400)),
            // The end of the output is by a close: a socket that lives hears of the receipt of its
            // end, which Linux sends when it likes.
            22..23 => Call::ShutdownRead(end),
            23..38 if fills_up => Call::Write(random.usize(..20_000)),
            23..30 => Call::Write(random.usize(..300)),
            30..38 => Call::SpliceIn(end, random.usize(1..400)),
            38..46 => Call::Read(random.usize(..if fills_up { 20_000 } else { 400 })),
            46..56 if fills_up => Call::SpliceOut(end, random.usize(1..400)),
            // All that there is: which part of it frees a slot is up to Linux as well.
            46..56 => Call::SpliceOut(end, 60_000),
            56..58 => Call::SendFile(end, random.u64(..500), random.usize(1..500)),
            58..59 => Call::SendFile(end, 1 << 40, 1),
            59..62 => Call::Close(any),
            62..74 => Call::Watch(any, mask),
            74..80 => Call::Change(any, mask),
            80..86 => Call::Look(any),
            _ => Call::Wait(random.usize(1..6)),
        });
    }
    calls.push(Call::Wait(16));
    calls
}

/// What a program works with.
struct Pipes {
    /// The epoll instance.
    epoll: Epoll,
    /// The sockets and the ends of the pipe; `None` for those that are closed.
    ends: [Option<OwnedFd>; 4],
    /// The file that is sent.
    file: File,
}

/// Makes a pipe with the usual capacity.
fn new_pipe() -> io::Result<[Option<OwnedFd>; 2]> {
    splice::pipe(64 * 1024).map(|(ends, _)| ends.map(Some))
}

/// Makes a connection of two sockets.
fn connection() -> io::Result<[OwnedFd; 2]> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    // Nagle's algorithm holds bytes back until others are confirmed.
    let settings = socket::Listen { nodelay: true, ..socket::Listen::new(16) };
    let listener = socket::listen(&any.into(), &settings)?;
    let settings = socket::Connect { nodelay: true, ..socket::Connect::default() };
    let one = socket::connect(&socket::local_addr(listener.as_fd())?.into(), &settings)?;
    loop {
        match accept::accept_from_any(listener.as_fd()) {
            Ok((other, _)) => return Ok([one, other]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(error) => return Err(error),
        }
    }
}

impl Machine for Pipes {
    type Call = Call;

    fn new() -> io::Result<Pipes> {
        let [[one, other], [reader, writer]] = [connection()?.map(Some), new_pipe()?];
        let ends = [one, other, reader, writer];
        Ok(Pipes { epoll: Epoll::new()?, ends, file: File::open(FILE)? })
    }

    fn make(&mut self, call: Call) -> String {
        let place = match call {
            Call::Wait(most) => return take_events(&self.epoll, most),
            Call::Pipe => {
                // The old ends are closed when the new ones are there, reader first.
                let [reader, writer] = new_pipe().expect("a pipe");
                (self.ends[READER], self.ends[WRITER]) = (reader, writer);
                return "made".to_owned();
            }
            Call::Write(_) => WRITER,
            Call::Read(_) => READER,
            Call::Send(place, _)
            | Call::SendUrgent(place, _)
            | Call::Receive(place, _)
            | Call::ShutdownRead(place)
            | Call::SpliceIn(place, _)
            | Call::SpliceOut(place, _)
            | Call::SendFile(place, ..)
            | Call::Close(place)
            | Call::Watch(place, _)
            | Call::Change(place, _)
            | Call::Look(place) => place,
        };
        let Some(end) = &self.ends[place] else { return "no such end".to_owned() };
        self.call_end(call, place, end.as_fd()).unwrap_or_else(|| {
            self.ends[place] = None;
            "closed".to_owned()
        })
    }

    fn is_look(call: Call) -> bool {
        matches!(call, Call::Look(_))
    }
}

impl Pipes {
    /// Makes a call on a descriptor; `None` closes it.
    fn call_end(&self, call: Call, place: usize, fd: BorrowedFd<'_>) -> Option<String> {
        let token = Token::from_bits(place as u64);
        let other = |place: usize| self.ends[place].as_ref().map(AsFd::as_fd);
        Some(match call {
            Call::Send(_, count) => show(stream::send(fd, &vec![place as u8; count])),
            Call::SendUrgent(_, count) => show(urgent::send(fd, &vec![b'!'; count])),
            Call::Receive(_, most) => {
                let mut buffer = vec![0; most];
                show(stream::recv(fd, &mut buffer).map(|count| buffer[..count].to_vec()))
            }
            Call::ShutdownRead(_) => show(socket::shutdown(fd, Shutdown::Read)),
            Call::Write(count) => show(stream::write(fd, &vec![b'w'; count])),
            Call::Read(most) => {
                let mut buffer = vec![0; most];
                show(stream::read(fd, &mut buffer).map(|count| buffer[..count].to_vec()))
            }
            Call::SpliceIn(_, most) => match other(WRITER) {
                Some(writer) => show(splice::splice(fd, writer, most)),
                None => "no such end".to_owned(),
            },
            Call::SpliceOut(_, most) => match other(READER) {
                Some(reader) => show(splice::splice(reader, fd, most)),
                None => "no such end".to_owned(),
            },
            Call::SendFile(_, offset, count) => {
                show(file::send_file(fd, self.file.as_fd(), offset, count))
            }
            Call::Watch(_, mask) => show(self.epoll.add(fd, token, Mask::from_bits(mask))),
            Call::Change(_, mask) => show(self.epoll.modify(fd, token, Mask::from_bits(mask))),
            Call::Look(_) => {
                let event = epoll::poll_now(fd, Mask::from_bits(MASKS[4]));
                format!("{event:?}")
            }
            _ => return None,
        })
    }
}

#[test]
fn pipes_answer_as_linux_does() {
    compare::<Pipes>(300, program);
}

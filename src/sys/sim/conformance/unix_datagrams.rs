//! Unix sockets for datagrams: their names, full queues, errors, and epoll.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use socket2::{Domain, SockAddr};

use super::unix_streams::{abstract_name, fresh_path};
use super::{MASKS, Machine, compare, show, take_events};
use crate::base::token::Token;
use crate::sys::epoll::{self, Epoll, Mask};
use crate::sys::fd::OwnedFd;
use crate::sys::{datagram, socket, socket_file, stream};

/// A call. Sockets are named by their places in the list of all sockets so far.
#[derive(Debug, Clone, Copy)]
enum Call {
    /// Binds a socket to a name of its own: `true` for one without a file.
    Bind(bool),
    /// Binds a socket to the name that another one has or had.
    BindAgain(usize),
    /// Makes a socket without a name.
    Unbound,
    /// Makes a pair.
    Pair,
    /// Removes the file of a socket.
    RemoveFile(usize),
    /// Connects a stream to the name of a socket for datagrams.
    ConnectStream(usize),
    /// Takes at most so many events.
    Wait(usize),
    /// Makes a call on a socket.
    At(usize, Act),
}

/// A call on a socket.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// Connects a socket to the name of another one.
    Connect(usize),
    /// Connects a socket to a name that none has.
    ConnectToNothing,
    /// Sends so many bytes to the peer, so often.
    Send(usize, usize),
    /// Sends so many bytes to the name of another socket, so often.
    SendTo(usize, usize, usize),
    /// Receives at most so many bytes.
    Receive(usize),
    /// Receives at most so many bytes, and the name of the sender.
    ReceiveFrom(usize),
    /// Looks at the first datagram.
    Peek,
    /// Ends directions of a socket.
    Shutdown(Shutdown),
    /// Closes a socket.
    Close,
    /// Takes the pending error.
    TakeError,
    /// Asks for both names.
    Names,
    /// Asks how long the first datagram is.
    Unread,
    /// Registers a socket with epoll.
    Watch(u32),
    /// Changes the registration of a socket.
    Change(u32),
    /// Removes the registration of a socket.
    Forget,
    /// Asks which conditions hold.
    Look,
}

/// Chooses the calls of a program.
fn program(seed: u64) -> Vec<Call> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut calls = vec![Call::Bind(random.bool()), Call::Bind(random.bool()), Call::Unbound];
    calls.extend([Call::Pair, Call::At(0, Act::Connect(1)), Call::At(2, Act::Connect(1))]);
    for _ in 0..random.usize(10..70) {
        let (one, other) = (random.usize(..6), random.usize(..6));
        let mask = MASKS[random.usize(..MASKS.len())];
        // Empty ones as well, and now and then one that is too long, or a full queue of them.
        let length = if random.usize(..40) == 0 { 213_000 } else { random.usize(..300) };
        let times = if random.usize(..5) == 0 { random.usize(..14) } else { 1 };
        let how = [Shutdown::Read, Shutdown::Write, Shutdown::Both][random.usize(..3)];
        calls.push(match random.u32(..100) {
            0..4 => Call::Bind(random.bool()),
            4..6 => Call::BindAgain(one),
            6..8 => Call::Unbound,
            8..9 => Call::Pair,
            9..10 => Call::RemoveFile(one),
            10..17 => Call::At(one, Act::Connect(other)),
            17..18 => Call::At(one, Act::ConnectToNothing),
            18..19 => Call::ConnectStream(one),
            19..33 => Call::At(one, Act::Send(length, times)),
            33..42 => Call::At(one, Act::SendTo(other, length, times)),
            42..51 => Call::At(one, Act::Receive(random.usize(..400))),
            51..57 => Call::At(one, Act::ReceiveFrom(random.usize(1..400))),
            57..59 => Call::At(one, Act::Peek),
            59..61 => Call::At(one, Act::Shutdown(how)),
            61..65 => Call::At(one, Act::Close),
            65..67 => Call::At(one, Act::TakeError),
            67..69 => Call::At(one, Act::Names),
            69..70 => Call::At(one, Act::Unread),
            70..79 => Call::At(one, Act::Watch(mask)),
            79..83 => Call::At(one, Act::Change(mask)),
            83..84 => Call::At(one, Act::Forget),
            84..88 => Call::At(one, Act::Look),
            _ => Call::Wait(random.usize(1..6)),
        });
    }
    calls.push(Call::Wait(16));
    calls
}

/// What a program works with.
struct Sockets {
    /// The epoll instance.
    epoll: Epoll,
    /// What the names of this program begin with.
    base: PathBuf,
    /// The names of all sockets so far. Those without one have one that nothing has.
    names: Vec<SockAddr>,
    /// All sockets so far; `None` for those that are closed.
    list: Vec<Option<OwnedFd>>,
}

impl Drop for Sockets {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = name.as_pathname().map(socket_file::remove_file);
        }
    }
}

impl Sockets {
    /// Returns a name that no socket has had.
    fn fresh_name(&self, without_file: bool) -> SockAddr {
        let path = self.base.with_extension(self.names.len().to_string());
        let name = if without_file { abstract_name(&path) } else { SockAddr::unix(path) };
        name.expect("it fits")
    }

    /// Returns the name of a socket.
    fn name_of(&self, index: usize) -> SockAddr {
        self.names.get(index).cloned().unwrap_or_else(|| self.fresh_name(true))
    }

    /// Shows an address: by the number of the first socket that was bound to it.
    fn shown(&self, address: &SockAddr) -> String {
        let known = |name: &SockAddr| {
            let path = name.as_pathname().is_some() && name.as_pathname() == address.as_pathname();
            let other = name.as_abstract_namespace();
            path || other.is_some() && other == address.as_abstract_namespace()
        };
        format!("{:?}", self.names.iter().position(known))
    }

    fn add(&mut self, name: SockAddr, made: io::Result<OwnedFd>) -> String {
        let said = match &made {
            Ok(_) => "made".to_owned(),
            Err(error) => format!("error {:?}", error.raw_os_error()),
        };
        if let Ok(fd) = made {
            self.names.push(name);
            self.list.push(Some(fd));
        }
        said
    }

    /// Makes a call that moves nothing; `None` closes the socket.
    fn look_at(&self, act: Act, index: usize, fd: BorrowedFd<'_>) -> Option<String> {
        let token = Token::from_bits(index as u64);
        Some(match act {
            Act::TakeError => {
                show(socket::take_error(fd).map(|error| error.map(|error| error.raw_os_error())))
            }
            Act::Unread => show(stream::unread(fd)),
            Act::Watch(mask) => show(self.epoll.add(fd, token, Mask::from_bits(mask))),
            Act::Change(mask) => show(self.epoll.modify(fd, token, Mask::from_bits(mask))),
            Act::Forget => show(self.epoll.remove(fd)),
            Act::Look => format!("{:?}", epoll::poll_now(fd, Mask::from_bits(MASKS[3]))),
            _ => return None,
        })
    }

    /// Makes a call on a socket; `None` closes it.
    fn call_socket(&self, act: Act, index: usize, fd: BorrowedFd<'_>) -> Option<String> {
        let bytes = |count: usize| vec![index as u8; count];
        Some(match act {
            Act::Connect(other) => show(datagram::connect(fd, &self.name_of(other))),
            Act::ConnectToNothing => show(datagram::connect(fd, &self.fresh_name(false))),
            // Newer kernels take the room for it first, and give it back by an event.
            Act::Send(..) if !socket::is_connected(fd) => "no peer".to_owned(),
            Act::Send(count, times) => {
                let sends = (0..times).map(|_| show(stream::send(fd, &bytes(count))));
                sends.collect::<Vec<String>>().join(" ")
            }
            Act::SendTo(other, count, times) => {
                let to = self.name_of(other);
                let send = |_| show(datagram::send_to_any(fd, &bytes(count), &to));
                (0..times).map(send).collect::<Vec<String>>().join(" ")
            }
            Act::Receive(most) => {
                let mut buffer = vec![0; most];
                show(stream::recv(fd, &mut buffer).map(|count| buffer[..count].to_vec()))
            }
            Act::ReceiveFrom(most) => {
                let mut buffer = vec![0; most];
                let received = datagram::recv_from_any(fd, &mut buffer);
                show(received.map(|(count, from)| (buffer[..count].to_vec(), self.shown(&from))))
            }
            Act::Peek => {
                let mut buffer = [0; 8];
                let seen = datagram::peek_from_any(fd, &mut buffer);
                show(seen.map(|(count, from)| (buffer[..count].to_vec(), self.shown(&from))))
            }
            Act::Shutdown(how) => show(socket::shutdown(fd, how)),
            Act::Names => {
                let local = show(socket::local_name(fd).map(|name| self.shown(&name)));
                format!("{local} {}", show(socket::peer_name(fd).map(|name| self.shown(&name))))
            }
            other => return self.look_at(other, index, fd),
        })
    }
}

impl Machine for Sockets {
    type Call = Call;

    fn new() -> io::Result<Sockets> {
        let (names, list) = (Vec::new(), Vec::new());
        Ok(Sockets { epoll: Epoll::new()?, base: fresh_path(), names, list })
    }

    fn make(&mut self, call: Call) -> String {
        let (index, act) = match call {
            Call::Bind(without_file) => {
                let name = self.fresh_name(without_file);
                let made = datagram::bind(&name);
                return self.add(name, made);
            }
            Call::BindAgain(index) => {
                let name = self.name_of(index);
                let made = datagram::bind(&name);
                return self.add(name, made);
            }
            Call::Unbound => {
                return self.add(self.fresh_name(true), datagram::unbound(Domain::UNIX));
            }
            Call::Pair => {
                let (one, other) = datagram::pair().expect("there are descriptors");
                self.add(self.fresh_name(true), Ok(one));
                return self.add(self.fresh_name(true), Ok(other));
            }
            Call::RemoveFile(index) => {
                let name = self.name_of(index);
                return show(name.as_pathname().map_or(Ok(()), socket_file::remove_file));
            }
            Call::ConnectStream(index) => {
                let made = socket::connect(&self.name_of(index), &socket::Connect::default());
                return show(made.map(drop));
            }
            Call::Wait(most) => return take_events(&self.epoll, most),
            Call::At(index, act) => (index, act),
        };
        let Some(fd) = self.list.get(index).and_then(Option::as_ref) else {
            return "no such socket".to_owned();
        };
        self.call_socket(act, index, fd.as_fd()).unwrap_or_else(|| {
            self.list[index] = None;
            "closed".to_owned()
        })
    }
}

#[test]
fn unix_datagrams_answer_as_linux_does() {
    compare::<Sockets>(300, program);
}

//! UDP on the loopback interface: single datagrams and batches, segments, errors, and epoll.

use std::fmt::Write as _;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use super::{MASKS, Machine, compare, show, take_events};
use crate::base::message::Message;
use crate::base::token::Token;
use crate::sys::epoll::{self, Epoll, Mask};
use crate::sys::fd::OwnedFd;
use crate::sys::recv_batch::Slots;
use crate::sys::{datagram, send_batch, socket, stream};

/// A call. Sockets are named by their places in the list of all sockets so far.
#[derive(Debug, Clone, Copy)]
enum Call {
    /// Binds a socket: to an address of this machine, or to all.
    Open(bool),
    /// Binds a socket to the port that another one has.
    OpenAgain(usize),
    /// Connects a socket to the address of another one, which may be closed.
    Connect(usize, usize),
    /// Connects a socket to a port that nothing receives at.
    ConnectToNothing(usize),
    /// Sends so many bytes to the peer.
    Send(usize, usize),
    /// Sends so many bytes to the address of another socket.
    SendTo(usize, usize, usize),
    /// Sends to a port that nothing receives at.
    SendToNothing(usize),
    /// Sends by one call: to which socket, how many messages, their lengths, and the segments.
    SendBatch(usize, usize, usize, usize, usize),
    /// Receives at most so many bytes.
    Receive(usize, usize),
    /// Receives at most so many bytes, and the address of the sender.
    ReceiveFrom(usize, usize),
    /// Receives by one call at most so many messages of at most so many bytes.
    ReceiveBatch(usize, usize, usize),
    /// Looks at the first datagram.
    Peek(usize),
    /// Sets UDP_GRO.
    Join(usize, bool),
    /// Ends directions of a socket.
    Shutdown(usize, Shutdown),
    /// Closes a socket.
    Close(usize),
    /// Takes the pending error.
    TakeError(usize),
    /// Asks for both addresses.
    Names(usize),
    /// Asks how long the first datagram is.
    Unread(usize),
    /// Registers a socket with epoll.
    Watch(usize, u32),
    /// Changes the registration of a socket.
    Change(usize, u32),
    /// Removes the registration of a socket.
    Forget(usize),
    /// Asks which conditions hold.
    Look(usize),
    /// Takes at most so many events.
    Wait(usize),
}

/// Chooses the calls of a program.
fn program(seed: u64) -> Vec<Call> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut calls = vec![Call::Open(false), Call::Open(random.bool()), Call::Open(random.bool())];
    calls.extend([Call::Open(false), Call::Connect(0, 1), Call::Connect(1, 0)]);
    for _ in 0..random.usize(10..60) {
        let (one, other) = (random.usize(..5), random.usize(..5));
        let mask = MASKS[random.usize(..MASKS.len())];
        // Empty ones as well, and now and then one that is too long.
        let length = if random.usize(..40) == 0 { 65_600 } else { random.usize(..300) };
        calls.push(match random.u32(..100) {
            0..6 => Call::Open(random.bool()),
            6..7 => Call::OpenAgain(one),
            7..13 => Call::Connect(one, other),
            13..15 => Call::ConnectToNothing(one),
            15..26 => Call::Send(one, length),
            26..36 => Call::SendTo(one, other, length),
            36..38 => Call::SendToNothing(one),
            38..44 => {
                let (count, segment) =
                    (random.usize(1..4), [0, random.usize(10..200)][random.usize(..2)]);
                Call::SendBatch(one, other, count, random.usize(..600), segment)
            }
            44..52 => Call::Receive(one, random.usize(..400)),
            52..58 => Call::ReceiveFrom(one, random.usize(1..400)),
            58..64 => Call::ReceiveBatch(one, random.usize(1..5), random.usize(1..700)),
            64..66 => Call::Peek(one),
            66..69 => Call::Join(one, random.usize(..4) > 0),
            69..71 => {
                let how = [Shutdown::Read, Shutdown::Write, Shutdown::Both];
                Call::Shutdown(one, how[random.usize(..3)])
            }
            71..74 => Call::Close(one),
            74..76 => Call::TakeError(one),
            76..78 => Call::Names(one),
            78..79 => Call::Unread(one),
            79..85 => Call::Watch(one, mask),
            85..88 => Call::Change(one, mask),
            88..89 => Call::Forget(one),
            89..92 => Call::Look(one),
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
    /// Where nothing receives.
    nothing: SocketAddr,
    /// The addresses of all sockets so far.
    addresses: Vec<SocketAddr>,
    /// All sockets so far; `None` for those that are closed.
    list: Vec<Option<OwnedFd>>,
}

/// The loopback interface.
const LOCALHOST: [u8; 4] = [127, 0, 0, 1];

impl Sockets {
    /// Shows an address: its port by the number of the socket that has it.
    fn name(&self, address: SocketAddr) -> String {
        let port = address.port();
        let place = self.addresses.iter().rposition(|known| known.port() == port);
        format!("{} {place:?}", address.ip())
    }

    /// Returns the address at which others reach a socket.
    fn address(&self, index: usize) -> SocketAddr {
        let known = self.addresses.get(index).copied().unwrap_or(self.nothing);
        (LOCALHOST, known.port()).into()
    }

    fn open(&mut self, address: SocketAddr) -> String {
        match datagram::bind(&address.into()) {
            Ok(fd) => {
                self.addresses.push(socket::local_addr(fd.as_fd()).expect("it is bound"));
                self.list.push(Some(fd));
                "bound".to_owned()
            }
            Err(error) => show::<()>(Err(error)),
        }
    }

    fn send_batch(&self, fd: BorrowedFd<'_>, call: Call) -> String {
        let Call::SendBatch(one, other, count, length, segment) = call else {
            unreachable!("it is asked of batches only")
        };
        let bytes: Vec<u8> = (0..length).map(|place| (one + place) as u8).collect();
        let message = Message::new(&bytes, self.address(other)).with_segment_size(segment);
        show(send_batch::send(fd, std::iter::repeat_n(message, count), usize::MAX))
    }

    fn receive_batch(&self, fd: BorrowedFd<'_>, count: usize, size: usize) -> String {
        let mut slots = Slots::new(count, size);
        if let Err(error) = slots.receive(fd, count) {
            return show::<()>(Err(error));
        }
        let mut said = String::new();
        for index in 0..slots.len() {
            let message = slots.message(index).expect("it was received");
            let from = message.peer().map(|peer| self.name(peer));
            let (segments, is_cut) = (message.segment_size(), message.is_truncated());
            let _ = write!(said, "{:?} {from:?} {segments:?} {is_cut} ", message.bytes());
        }
        said
    }

    /// Makes a call on a socket; `None` closes it.
    fn call_socket(&self, call: Call, index: usize, fd: BorrowedFd<'_>) -> Option<String> {
        let token = Token::from_bits(index as u64);
        let bytes = |count: usize| vec![index as u8; count];
        Some(match call {
            Call::Connect(_, other) => show(datagram::connect(fd, &self.address(other).into())),
            Call::ConnectToNothing(_) => show(datagram::connect(fd, &self.nothing.into())),
            Call::Send(_, count) => show(stream::send(fd, &bytes(count))),
            Call::SendTo(_, other, count) => {
                show(datagram::send_to(fd, &bytes(count), &self.address(other)))
            }
            Call::SendToNothing(_) => show(datagram::send_to(fd, b"lost", &self.nothing)),
            Call::SendBatch(..) => self.send_batch(fd, call),
            Call::Receive(_, most) => {
                let mut buffer = vec![0; most];
                show(stream::recv(fd, &mut buffer).map(|count| buffer[..count].to_vec()))
            }
            Call::ReceiveFrom(_, most) => {
                let mut buffer = vec![0; most];
                let received = datagram::recv_from(fd, &mut buffer);
                show(received.map(|(count, from)| (buffer[..count].to_vec(), self.name(from))))
            }
            Call::ReceiveBatch(_, count, size) => self.receive_batch(fd, count, size),
            Call::Peek(_) => {
                let mut buffer = [0; 8];
                let seen = datagram::peek_from(fd, &mut buffer);
                show(seen.map(|(count, from)| (buffer[..count].to_vec(), self.name(from))))
            }
            Call::Join(_, on) => show(send_batch::set_gro(fd, on)),
            Call::Shutdown(_, how) => show(socket::shutdown(fd, how)),
            Call::TakeError(_) => {
                show(socket::take_error(fd).map(|error| error.map(|error| error.raw_os_error())))
            }
            Call::Names(_) => {
                let local = show(socket::local_addr(fd).map(|local| self.name(local)));
                format!("{local} {}", show(socket::peer_addr(fd).map(|peer| self.name(peer))))
            }
            Call::Unread(_) => show(stream::unread(fd)),
            Call::Watch(_, mask) => show(self.epoll.add(fd, token, Mask::from_bits(mask))),
            Call::Change(_, mask) => show(self.epoll.modify(fd, token, Mask::from_bits(mask))),
            Call::Forget(_) => show(self.epoll.remove(fd)),
            Call::Look(_) => format!("{:?}", epoll::poll_now(fd, Mask::from_bits(MASKS[3]))),
            _ => return None,
        })
    }
}

impl Machine for Sockets {
    type Call = Call;

    fn new() -> io::Result<Sockets> {
        // A port that was free a moment ago, and is closed again.
        let free = datagram::bind(&SocketAddr::from((LOCALHOST, 0)).into())?;
        let nothing = socket::local_addr(free.as_fd())?;
        drop(free);
        Ok(Sockets { epoll: Epoll::new()?, nothing, addresses: Vec::new(), list: Vec::new() })
    }

    fn make(&mut self, call: Call) -> String {
        let index = match call {
            Call::Open(to_all) => {
                let ip = if to_all { [0, 0, 0, 0] } else { LOCALHOST };
                return self.open((ip, 0).into());
            }
            Call::OpenAgain(other) => return self.open(self.address(other)),
            Call::Wait(most) => return take_events(&self.epoll, most),
            Call::Connect(index, _)
            | Call::ConnectToNothing(index)
            | Call::Send(index, _)
            | Call::SendTo(index, ..)
            | Call::SendToNothing(index)
            | Call::SendBatch(index, ..)
            | Call::Receive(index, _)
            | Call::ReceiveFrom(index, _)
            | Call::ReceiveBatch(index, ..)
            | Call::Peek(index)
            | Call::Join(index, _)
            | Call::Shutdown(index, _)
            | Call::Close(index)
            | Call::TakeError(index)
            | Call::Names(index)
            | Call::Unread(index)
            | Call::Watch(index, _)
            | Call::Change(index, _)
            | Call::Forget(index)
            | Call::Look(index) => index,
        };
        let Some(fd) = self.list.get(index).and_then(Option::as_ref) else {
            return "no such socket".to_owned();
        };
        self.call_socket(call, index, fd.as_fd()).unwrap_or_else(|| {
            self.list[index] = None;
            "closed".to_owned()
        })
    }

    fn is_look(call: Call) -> bool {
        matches!(call, Call::Look(_) | Call::Names(_) | Call::Unread(_))
    }
}

#[test]
fn udp_answers_as_linux_does() {
    compare::<Sockets>(300, program);
}

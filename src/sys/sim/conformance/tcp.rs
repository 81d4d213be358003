//! Connections of TCP on the loopback interface, and epoll.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use super::{MASKS, Machine, compare, show, take_events, urgent};
use crate::base::token::Token;
use crate::sys::epoll::{self, Epoll, Mask};
use crate::sys::fd::OwnedFd;
use crate::sys::{accept, options, socket, stream};

/// A call. Ends are named by their places in the list of all ends so far.
#[derive(Debug, Clone, Copy)]
enum Call {
    /// Connects to the listener.
    Connect,
    /// Connects to a port that nothing listens at.
    ConnectToNothing,
    /// Accepts a connection.
    Accept,
    /// Sends so many bytes from an end.
    Send(usize, usize),
    /// Receives at most so many bytes at an end.
    Receive(usize, usize),
    /// Looks at the first bytes of an end.
    Peek(usize),
    /// Ends directions of an end.
    Shutdown(usize, Shutdown),
    /// Closes an end.
    Close(usize),
    /// Makes another descriptor of an end.
    Duplicate(usize),
    /// Sends so many bytes from an end, the last of them urgent.
    SendUrgent(usize, usize),
    /// Takes the urgent byte of an end.
    ReceiveUrgent(usize),
    /// Asks whether the next byte of an end is the urgent one.
    IsAtMark(usize),
    /// Lets urgent bytes of an end stay in the stream.
    SetInline(usize),
    /// Asks how many bytes there are at an end.
    Unread(usize),
    /// Makes the close of an end a reset.
    ResetOnClose(usize),
    /// Takes the pending error of an end.
    TakeError(usize),
    /// Asks whether an end has a peer.
    PeerAddress(usize),
    /// Asks whether an end has input.
    HasInput(usize),
    /// Registers an end with epoll.
    Watch(usize, u32),
    /// Changes the registration of an end.
    Change(usize, u32),
    /// Removes the registration of an end.
    Forget(usize),
    /// Registers the listener, edge-triggered or not.
    WatchListener(bool),
    /// Asks which conditions of an end hold.
    Look(usize),
    /// Takes at most so many events.
    Wait(usize),
}

/// Chooses the calls of a program.
fn program(seed: u64) -> Vec<Call> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut calls = vec![Call::WatchListener(random.bool()), Call::Connect, Call::Accept];
    for _ in 0..random.usize(10..60) {
        let end = random.usize(..6);
        calls.push(match random.u32(..118) {
            0..7 => Call::Connect,
            7..9 => Call::ConnectToNothing,
            9..17 => Call::Accept,
            17..32 => Call::Send(end, random.usize(1..300)),
            32..47 => Call::Receive(end, random.usize(1..400)),
            47..49 => Call::Peek(end),
            49..55 => {
                let how = [Shutdown::Read, Shutdown::Write, Shutdown::Both];
                Call::Shutdown(end, how[random.usize(..3)])
            }
            55..60 => Call::Close(end),
            60..62 => Call::ResetOnClose(end),
            62..65 => Call::TakeError(end),
            65..67 => Call::PeerAddress(end),
            67..69 => Call::HasInput(end),
            69..78 => Call::Watch(end, MASKS[random.usize(..MASKS.len())]),
            78..82 => Call::Change(end, MASKS[random.usize(..MASKS.len())]),
            82..83 => Call::Forget(end),
            83..88 => Call::Look(end),
            88..100 => Call::Wait(random.usize(1..6)),
            100..102 => Call::Duplicate(end),
            102..107 => Call::SendUrgent(end, random.usize(1..4)),
            107..110 => Call::ReceiveUrgent(end),
            110..113 => Call::IsAtMark(end),
            113..114 => Call::SetInline(end),
            _ => Call::Unread(end),
        });
    }
    calls.push(Call::Wait(16));
    calls
}

/// What a program works with.
struct Sockets {
    /// The epoll instance.
    epoll: Epoll,
    /// The socket that listens.
    listener: OwnedFd,
    /// Where it listens.
    address: SocketAddr,
    /// Where nothing listens.
    nothing: SocketAddr,
    /// All ends so far; `None` for those that are closed.
    ends: Vec<Option<OwnedFd>>,
}

impl Machine for Sockets {
    type Call = Call;

    fn new() -> io::Result<Sockets> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        // Nagle's algorithm holds bytes back until the peer has confirmed others, which the kernel
        // does when it likes.
        let settings = socket::Listen { nodelay: true, ..socket::Listen::new(16) };
        let listener = socket::listen(&any.into(), &settings)?;
        let address = socket::local_addr(listener.as_fd())?;
        // A port that was free a moment ago, and is closed again.
        let other = socket::listen(&any.into(), &socket::Listen::new(16))?;
        let nothing = socket::local_addr(other.as_fd())?;
        drop(other);
        Ok(Sockets { epoll: Epoll::new()?, listener, address, nothing, ends: Vec::new() })
    }

    fn make(&mut self, call: Call) -> String {
        let index = match call {
            Call::Connect => return self.connect(self.address),
            Call::ConnectToNothing => return self.connect(self.nothing),
            Call::Accept => {
                let accepted = accept::accept_from_any(self.listener.as_fd());
                return show(accepted.map(|(end, _)| self.ends.push(Some(end))));
            }
            Call::WatchListener(is_edge) => {
                let mask = if is_edge { MASKS[4] } else { MASKS[0] };
                let token = Token::from_bits(1000);
                return show(self.epoll.add(self.listener.as_fd(), token, Mask::from_bits(mask)));
            }
            Call::Wait(most) => return take_events(&self.epoll, most),
            Call::Duplicate(end) => {
                let end = self.ends.get(end).and_then(Option::as_ref);
                let copy = end.map(|end| end.try_clone().map(Some));
                return show(copy.transpose().map(|copy| self.ends.extend(copy)));
            }
            Call::Send(end, _)
            | Call::Receive(end, _)
            | Call::Peek(end)
            | Call::Shutdown(end, _)
            | Call::Close(end)
            | Call::SendUrgent(end, _)
            | Call::ReceiveUrgent(end)
            | Call::IsAtMark(end)
            | Call::SetInline(end)
            | Call::Unread(end)
            | Call::ResetOnClose(end)
            | Call::TakeError(end)
            | Call::PeerAddress(end)
            | Call::HasInput(end)
            | Call::Watch(end, _)
            | Call::Change(end, _)
            | Call::Forget(end)
            | Call::Look(end) => end,
        };
        let Some(end) = self.ends.get(index).and_then(Option::as_ref) else {
            return "no such end".to_owned();
        };
        self.call_end(call, index, end.as_fd()).unwrap_or_else(|| {
            self.ends[index] = None;
            "closed".to_owned()
        })
    }

    fn is_look(call: Call) -> bool {
        matches!(
            call,
            Call::Look(_)
                | Call::Peek(_)
                | Call::PeerAddress(_)
                | Call::IsAtMark(_)
                | Call::Unread(_)
        )
    }
}

impl Sockets {
    fn connect(&mut self, to: SocketAddr) -> String {
        let settings = socket::Connect { nodelay: true, ..socket::Connect::default() };
        let end = socket::connect(&to.into(), &settings);
        let said = show(
            end.as_ref()
                .map(|_| ())
                .map_err(|error| io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(0))),
        );
        self.ends.push(end.ok());
        said
    }

    /// Makes a call on an end; `None` closes it.
    fn call_end(
        &self,
        call: Call,
        index: usize,
        fd: std::os::fd::BorrowedFd<'_>,
    ) -> Option<String> {
        let token = Token::from_bits(index as u64);
        Some(match call {
            Call::Send(_, count) => show(stream::send(fd, &vec![index as u8; count])),
            Call::Receive(_, most) => {
                let mut buffer = vec![0; most];
                show(stream::recv(fd, &mut buffer).map(|count| buffer[..count].to_vec()))
            }
            Call::Peek(_) => {
                let mut buffer = [0; 8];
                show(stream::peek(fd, &mut buffer).map(|count| buffer[..count].to_vec()))
            }
            Call::SendUrgent(_, count) => show(urgent::send(fd, &vec![b'!'; count])),
            Call::ReceiveUrgent(_) => show(urgent::recv(fd)),
            Call::IsAtMark(_) => show(urgent::is_at_mark(fd)),
            Call::SetInline(_) => show(urgent::set_inline(fd)),
            Call::Unread(_) => show(stream::unread(fd)),
            Call::Shutdown(_, how) => show(socket::shutdown(fd, how)),
            Call::ResetOnClose(_) => show(options::set_linger(fd, Some(Duration::ZERO))),
            Call::TakeError(_) => {
                show(socket::take_error(fd).map(|error| error.map(|error| error.raw_os_error())))
            }
            Call::PeerAddress(_) => show(Ok(socket::is_connected(fd))),
            Call::HasInput(_) => show(stream::has_input(fd)),
            Call::Watch(_, mask) => show(self.epoll.add(fd, token, Mask::from_bits(mask))),
            Call::Change(_, mask) => show(self.epoll.modify(fd, token, Mask::from_bits(mask))),
            Call::Forget(_) => show(self.epoll.remove(fd)),
            Call::Look(_) => {
                let event = epoll::poll_now(fd, Mask::from_bits(MASKS[3]));
                format!("{event:?}")
            }
            _ => return None,
        })
    }
}

#[test]
fn tcp_answers_as_linux_does() {
    compare::<Sockets>(300, program);
}

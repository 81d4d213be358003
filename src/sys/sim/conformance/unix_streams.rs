//! Unix sockets for bytes, of names and of pairs, and epoll.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use socket2::SockAddr;

use super::{MASKS, Machine, compare, show, take_events};
use crate::base::token::Token;
use crate::sys::epoll::{self, Epoll, Mask};
use crate::sys::fd::OwnedFd;
use crate::sys::{accept, options, socket, socket_file, stream};

/// How many connections may wait, and one more.
const BACKLOG: u32 = 2;

/// A call. Ends are named by their places in the list of all ends so far.
#[derive(Debug, Clone, Copy)]
enum Call {
    /// Connects to the listener.
    Connect,
    /// Connects to a path without a file.
    ConnectToNothing,
    /// Connects to a name that no socket has.
    ConnectToNoName,
    /// Accepts a connection.
    Accept,
    /// Makes a pair.
    Pair,
    /// Closes the listener, and listens anew: `true` for a name without a file.
    Listen(bool),
    /// Listens at the path that the listener has had, whose file may be there.
    ListenAgain,
    /// Ends directions of the listener.
    ShutdownListener(Shutdown),
    /// Registers the listener.
    WatchListener(u32),
    /// Asks which conditions of the listener hold.
    LookAtListener,
    /// Takes at most so many events.
    Wait(usize),
    /// Makes a call on an end.
    At(usize, Act),
}

/// A call on an end.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// Sends so many bytes from an end.
    Send(usize),
    /// Receives at most so many bytes at an end.
    Receive(usize),
    /// Looks at the first bytes of an end.
    Peek(usize),
    /// Ends directions of an end.
    Shutdown(Shutdown),
    /// Closes an end.
    Close,
    /// Sets SO_LINGER, which has no effect.
    Linger,
    /// Takes the pending error of an end.
    TakeError,
    /// Asks for both addresses of an end.
    Names,
    /// Asks for the process at the other end.
    Credentials,
    /// Asks how many bytes there are to read.
    Unread,
    /// Registers an end with epoll.
    Watch(u32),
    /// Changes the registration of an end.
    Change(u32),
    /// Removes the registration of an end.
    Forget,
    /// Asks which conditions of an end hold.
    Look,
}

/// Chooses the calls of a program.
fn program(seed: u64) -> Vec<Call> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut calls = vec![Call::Listen(random.bool()), Call::WatchListener(MASKS[4])];
    calls.extend([Call::Connect, Call::Accept, Call::Pair]);
    for _ in 0..random.usize(10..70) {
        let end = random.usize(..7);
        let mask = MASKS[random.usize(..MASKS.len())];
        let how = [Shutdown::Read, Shutdown::Write, Shutdown::Both][random.usize(..3)];
        calls.push(match random.u32(..100) {
            0..8 => Call::Connect,
            8..9 => Call::ConnectToNothing,
            9..10 => Call::ConnectToNoName,
            10..15 => Call::Accept,
            15..17 => Call::Pair,
            17..18 => Call::Listen(random.bool()),
            18..19 => Call::ListenAgain,
            19..20 => Call::ShutdownListener(how),
            20..36 => Call::At(end, Act::Send(random.usize(..300))),
            36..49 => Call::At(end, Act::Receive(random.usize(..400))),
            49..52 => Call::At(end, Act::Peek(random.usize(..400))),
            52..57 => Call::At(end, Act::Shutdown(how)),
            57..63 => Call::At(end, Act::Close),
            63..64 => Call::At(end, Act::Linger),
            64..66 => Call::At(end, Act::TakeError),
            66..68 => Call::At(end, Act::Names),
            68..69 => Call::At(end, Act::Credentials),
            69..71 => Call::At(end, Act::Unread),
            71..79 => Call::At(end, Act::Watch(mask)),
            79..83 => Call::At(end, Act::Change(mask)),
            83..84 => Call::At(end, Act::Forget),
            84..85 => Call::WatchListener(mask),
            85..89 => Call::At(end, Act::Look),
            89..90 => Call::LookAtListener,
            _ => Call::Wait(random.usize(1..6)),
        });
    }
    calls.push(Call::Wait(16));
    calls
}

/// What a program works with.
struct Ends {
    /// The epoll instance.
    epoll: Epoll,
    /// What the names of this program begin with.
    base: PathBuf,
    /// The socket that listens.
    listener: Option<OwnedFd>,
    /// Where it listens, or did last.
    address: SockAddr,
    /// All ends so far; `None` for those that are closed.
    list: Vec<Option<OwnedFd>>,
}

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = socket_file::remove_file(&self.base);
    }
}

impl Ends {
    fn connect(&mut self, to: io::Result<SockAddr>) -> String {
        let made = to.and_then(|to| socket::connect(&to, &socket::Connect::default()));
        let said = show(made.as_ref().map(|_| ()).map_err(copy));
        self.list.push(made.ok());
        said
    }

    fn listen(&mut self) -> String {
        match socket::listen(&self.address, &socket::Listen::new(BACKLOG)) {
            Ok(listener) => {
                self.listener = Some(listener);
                "listens".to_owned()
            }
            Err(error) => show::<()>(Err(error)),
        }
    }

    /// Shows an address without what differs between two programs.
    fn name(&self, address: &SockAddr) -> &'static str {
        match (address.as_pathname(), address.as_abstract_namespace()) {
            (Some(path), _) if path == self.base => "the path",
            (None, Some(_)) => "the name",
            (None, None) => "unnamed",
            _ => "another path",
        }
    }

    /// Makes a call on an end; `None` closes it.
    fn call_end(&self, act: Act, index: usize, fd: BorrowedFd<'_>) -> Option<String> {
        let token = Token::from_bits(index as u64);
        Some(match act {
            Act::Send(count) => show(stream::send(fd, &vec![index as u8; count])),
            Act::Receive(most) => {
                let mut buffer = vec![0; most];
                show(stream::recv(fd, &mut buffer).map(|count| buffer[..count].to_vec()))
            }
            Act::Peek(most) => {
                let mut buffer = vec![0; most];
                show(stream::peek(fd, &mut buffer).map(|count| buffer[..count].to_vec()))
            }
            Act::Shutdown(how) => show(socket::shutdown(fd, how)),
            Act::Linger => show(options::set_linger(fd, Some(std::time::Duration::ZERO))),
            Act::TakeError => {
                show(socket::take_error(fd).map(|error| error.map(|error| error.raw_os_error())))
            }
            Act::Names => {
                let local = show(socket::local_name(fd).map(|name| self.name(&name)));
                format!("{local} {}", show(socket::peer_name(fd).map(|name| self.name(&name))))
            }
            Act::Credentials => show(socket::peer_credentials(fd)),
            Act::Unread => show(stream::unread(fd)),
            Act::Watch(mask) => show(self.epoll.add(fd, token, Mask::from_bits(mask))),
            Act::Change(mask) => show(self.epoll.modify(fd, token, Mask::from_bits(mask))),
            Act::Forget => show(self.epoll.remove(fd)),
            Act::Look => format!("{:?}", epoll::poll_now(fd, Mask::from_bits(MASKS[3]))),
            _ => return None,
        })
    }

    /// Makes a call on the listener.
    fn call_listener(&mut self, call: Call) -> String {
        let Some(listener) = &self.listener else { return "no listener".to_owned() };
        match call {
            Call::Accept => {
                let accepted = accept::accept_from_any(listener.as_fd());
                let said = show(accepted.as_ref().map(|it| self.name(&it.1)).map_err(copy));
                self.list.extend(accepted.ok().map(|(end, _)| Some(end)));
                said
            }
            Call::ShutdownListener(how) => show(socket::shutdown(listener.as_fd(), how)),
            Call::WatchListener(mask) => {
                let (token, mask) = (Token::from_bits(1000), Mask::from_bits(mask));
                show(self.epoll.add(listener.as_fd(), token, mask))
            }
            _ => {
                let mask = Mask::from_bits(MASKS[3]);
                format!("{:?}", epoll::poll_now(listener.as_fd(), mask))
            }
        }
    }
}

/// Makes an error of the same number.
fn copy(error: &io::Error) -> io::Error {
    io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(0))
}

/// Returns a path that no other program has.
pub(super) fn fresh_path() -> PathBuf {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("corepoll-conformance-{}-{number}", std::process::id()))
}

/// Returns the name without a file that belongs to a path.
pub(super) fn abstract_name(path: &std::path::Path) -> io::Result<SockAddr> {
    SockAddr::unix(format!("\0{}", path.display()))
}

impl Machine for Ends {
    type Call = Call;

    fn new() -> io::Result<Ends> {
        let base = fresh_path();
        let address = SockAddr::unix(&base)?;
        Ok(Ends { epoll: Epoll::new()?, base, listener: None, address, list: Vec::new() })
    }

    fn make(&mut self, call: Call) -> String {
        let (index, act) = match call {
            Call::Connect => return self.connect(Ok(self.address.clone())),
            Call::ConnectToNothing => {
                return self.connect(SockAddr::unix(self.base.with_extension("nothing")));
            }
            Call::ConnectToNoName => {
                return self.connect(abstract_name(&self.base.with_extension("nothing")));
            }
            Call::Pair => {
                let (one, other) = socket::pair().expect("there are descriptors");
                self.list.extend([Some(one), Some(other)]);
                return "a pair".to_owned();
            }
            Call::Listen(without_file) => {
                self.listener = None;
                let _ = socket_file::remove_file(&self.base);
                self.address = if without_file {
                    abstract_name(&self.base).expect("it fits")
                } else {
                    SockAddr::unix(&self.base).expect("it fits")
                };
                return self.listen();
            }
            Call::ListenAgain => {
                self.listener = None;
                return self.listen();
            }
            Call::Wait(most) => return take_events(&self.epoll, most),
            Call::Accept
            | Call::ShutdownListener(_)
            | Call::WatchListener(_)
            | Call::LookAtListener => return self.call_listener(call),
            Call::At(index, act) => (index, act),
        };
        let Some(end) = self.list.get(index).and_then(Option::as_ref) else {
            return "no such end".to_owned();
        };
        self.call_end(act, index, end.as_fd()).unwrap_or_else(|| {
            self.list[index] = None;
            "closed".to_owned()
        })
    }
}

#[test]
fn unix_streams_answer_as_linux_does() {
    compare::<Ends>(300, program);
}

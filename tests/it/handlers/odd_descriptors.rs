//! Descriptors that are no streams of sockets: refused by epoll, pipes, eventfds, datagrams, records.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::sync::mpsc::{self, Receiver, Sender};

use crate::common::{
    ANY, Echo, PATIENCE, Server, in_own_process, is_ended, open_descriptors, tcp_pair,
};
use corepoll::{Action, CloseReason, EvContext, EvHandler, Interest, PollerHandle};
use socket2::{Domain, Socket, Type};

/// Does what it is told in `on_open` and `on_read`, and tells of its end.
struct Scripted<O, R> {
    open: O,
    read: R,
    ended: Sender<String>,
}

impl<O, R> EvHandler for Scripted<O, R>
where
    O: FnMut(&mut EvContext<'_>) -> io::Result<Action> + 'static,
    R: FnMut(&mut EvContext<'_>) -> io::Result<Action> + 'static,
{
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        (self.open)(cx)
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        (self.read)(cx)
    }
    fn on_close(&mut self, _: &mut EvContext<'_>, reason: CloseReason) {
        // The test may be over.
        let _ = self.ended.send(format!("{reason:?}"));
    }
}

fn keep(_: &mut EvContext<'_>) -> io::Result<Action> {
    Ok(Action::Keep)
}

/// Registers `fd`; its end comes out of the channel.
fn register<O, R>(
    poller: &PollerHandle,
    fd: impl Into<OwnedFd>,
    interest: Interest,
    open: O,
    read: R,
) -> Receiver<String>
where
    O: FnMut(&mut EvContext<'_>) -> io::Result<Action> + Send + 'static,
    R: FnMut(&mut EvContext<'_>) -> io::Result<Action> + Send + 'static,
{
    let (ended, ends) = mpsc::channel();
    let factory = move || Scripted { open, read, ended };
    poller.register(fd.into(), interest, factory).expect("epoll takes it");
    ends
}

fn next<T>(told: &Receiver<T>) -> T {
    told.recv_timeout(PATIENCE).expect("it is told")
}

// ---- what epoll refuses ----

#[test]
fn what_epoll_refuses_is_an_error_at_once_and_is_closed() {
    in_own_process(|| {
        const REFUSED: [&str; 3] = ["Cargo.toml", "src", "/dev/null"];
        let server = Server::start(1);
        server.on_poller(|| ());
        let before = open_descriptors();
        for path in REFUSED {
            let file = File::open(path).unwrap();
            let refused = server.poller().register(file.into(), Interest::READABLE, || -> Echo {
                unreachable!("there is nothing to handle")
            });
            assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EPERM), "{path}");
        }
        assert_eq!(open_descriptors(), before);

        let (tell, told) = mpsc::channel();
        let (near, far) = tcp_pair();
        let open = move |cx: &mut EvContext<'_>| {
            for path in REFUSED {
                let refused = cx.register(File::open(path)?.into(), Interest::READABLE, Echo);
                let _ = tell.send(refused.unwrap_err().raw_os_error());
            }
            Ok(Action::Close)
        };
        register(server.poller(), near, Interest::READABLE, open, keep);
        assert_eq!(REFUSED.map(|_| next(&told)), [Some(libc::EPERM); 3]);
        assert!(is_ended(&far));
    });
}

// ---- eventfds ----

#[test]
fn an_error_of_one_read_is_not_the_end() {
    let server = Server::start(1);
    let (tell, told) = mpsc::channel();
    let eventfd = eventfd();
    let mut other = File::from(eventfd.try_clone().unwrap());
    let mut too_small = true;
    let read = move |cx: &mut EvContext<'_>| {
        if std::mem::take(&mut too_small) {
            let refused = cx.read_into(&mut [0; 4]);
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        } else {
            let count = <[u8; 8]>::try_from(&*cx.read()?).map_err(io::Error::other)?;
            let _ = tell.send(u64::from_ne_bytes(count));
        }
        Ok(Action::Keep)
    };
    let _ends = register(server.poller(), eventfd, Interest::READABLE, keep, read);
    for count in [5u64, 6] {
        other.write_all(&count.to_ne_bytes()).unwrap();
        assert_eq!(next(&told), count);
    }
}

#[allow(unsafe_code)]
fn eventfd() -> OwnedFd {
    use std::os::fd::FromRawFd;
    // SAFETY: takes no pointers.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    assert!(fd >= 0);
    // SAFETY: it is ours alone.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

// ---- pipes ----

/// Bytes that can never be read are no reason to keep it.
#[test]
fn the_writing_end_of_a_pipe_ends_with_its_reader() {
    let server = Server::start(1);
    for interest in [Interest::NONE, Interest::WRITABLE, Interest::WRITABLE.edge()] {
        let (reader, writer) = io::pipe().unwrap();
        let (tell, told) = mpsc::channel();
        let open = move |cx: &mut EvContext<'_>| {
            cx.write(b"never read")?;
            let _ = tell.send(cx.pending_output());
            Ok(Action::Keep)
        };
        let ends = register(server.poller(), writer, interest, open, keep);
        assert_eq!(next(&told), 0);
        drop(reader);
        assert_eq!(next(&ends), "PeerClosed", "{interest:?}");
    }
}

#[test]
fn slices_go_into_a_pipe_at_once() {
    let server = Server::start(1);
    let (reader, writer) = io::pipe().unwrap();
    let (tell, told) = mpsc::channel();
    let open = move |cx: &mut EvContext<'_>| {
        cx.write_vectored(&[b"", &b"one "[..], b"", b"two"].map(IoSlice::new))?;
        let _ = tell.send(cx.pending_output());
        Ok(Action::Close)
    };
    register(server.poller(), writer, Interest::NONE, open, keep);
    assert_eq!(next(&told), 0);
    assert_eq!(io::read_to_string(reader).unwrap(), "one two");
}

// ---- datagrams ----

/// More than any datagram takes.
static TOO_MUCH: [u8; 1 << 20] = [0; 1 << 20];

#[test]
fn an_error_of_one_datagram_is_not_the_end() {
    let server = Server::start(1);
    let (ours, theirs) = (UdpSocket::bind(ANY).unwrap(), UdpSocket::bind(ANY).unwrap());
    theirs.set_read_timeout(Some(PATIENCE)).unwrap();
    ours.connect(theirs.local_addr().unwrap()).unwrap();
    let open = move |cx: &mut EvContext<'_>| {
        let error = cx.write(&TOO_MUCH).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
        let slices = [IoSlice::new(&TOO_MUCH), IoSlice::new(b"more")];
        assert!(cx.write_vectored(&slices).is_err());
        cx.write(b"it goes on")?;
        Ok(Action::Keep)
    };
    let ends = register(server.poller(), ours, Interest::READABLE, open, keep);
    let mut bytes = [0; 32];
    let count = theirs.recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..count], b"it goes on");
    assert!(ends.try_recv().is_err());
}

#[test]
fn a_datagram_that_fails_while_it_waits_takes_no_other_along() {
    let server = Server::start(1);
    // The queue between them is short.
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    theirs.set_read_timeout(Some(PATIENCE)).unwrap();
    let (tell, told) = mpsc::channel();
    let open = move |cx: &mut EvContext<'_>| {
        let mut sent = 0u64;
        while cx.pending_output() == 0 {
            cx.write(&sent.to_ne_bytes())?;
            sent += 1;
        }
        cx.write(&TOO_MUCH)?;
        cx.write(b"the last")?;
        let _ = tell.send(sent);
        Ok(Action::Keep)
    };
    let ends = register(server.poller(), ours, Interest::READABLE, open, keep);
    let mut expected: Vec<[u8; 8]> = (0..next(&told)).map(u64::to_ne_bytes).collect();
    expected.push(*b"the last");
    for datagram in expected {
        let mut bytes = [0; 32];
        let count = theirs.recv(&mut bytes).unwrap();
        assert_eq!(bytes[..count], datagram);
    }
    assert!(ends.try_recv().is_err());
}

/// The peer's port is closed, of which an event tells; the handler makes nothing of it.
#[test]
fn an_error_of_a_datagram_that_was_sent_is_not_the_end() {
    let server = Server::start(1);
    // An address that no other test has, so that its port is free again afterwards.
    let (ours, theirs) =
        (UdpSocket::bind("127.11.5.1:0").unwrap(), UdpSocket::bind("127.11.5.2:0").unwrap());
    let (here, there) = (ours.local_addr().unwrap(), theirs.local_addr().unwrap());
    ours.connect(there).unwrap();
    drop(theirs);
    let (tell, told) = mpsc::channel();
    let mut is_first = true;
    let read = move |cx: &mut EvContext<'_>| {
        if std::mem::take(&mut is_first) {
            let _ = tell.send(b"an error".to_vec());
        } else {
            let _ = tell.send(cx.read()?.to_vec());
        }
        Ok(Action::Keep)
    };
    let open = |cx: &mut EvContext<'_>| cx.write(b"to a closed pipe").map(|()| Action::Keep);
    let ends = register(server.poller(), ours, Interest::READABLE, open, read);
    assert_eq!(next(&told), b"an error");
    UdpSocket::bind(there).unwrap().send_to(b"it goes on", here).unwrap();
    assert_eq!(next(&told), b"it goes on");
    assert!(ends.try_recv().is_err());
}

// ---- records ----

#[test]
fn records_that_wait_stay_apart_and_come_to_an_end() {
    let server = Server::start(1);
    let (ours, theirs) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    theirs.set_read_timeout(Some(PATIENCE)).unwrap();
    let (tell, told) = mpsc::channel();
    let open = move |cx: &mut EvContext<'_>| {
        let (mut sent, writer) = (0u64, cx.writer());
        while cx.pending_output() < 10_000 {
            cx.write(&sent.to_ne_bytes())?;
            writer.write((sent + 1).to_ne_bytes().to_vec())?;
            sent += 2;
        }
        let _ = tell.send(sent);
        Ok(Action::Keep)
    };
    let read = |cx: &mut EvContext<'_>| {
        Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
    };
    let ends = register(server.poller(), ours, Interest::READABLE, open, read);
    for number in 0..next(&told) {
        let mut bytes = [0; 32];
        let count = io::Read::read(&mut &theirs, &mut bytes).unwrap();
        assert_eq!(bytes[..count], number.to_ne_bytes());
    }
    theirs.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(next(&ends), "Requested");
}

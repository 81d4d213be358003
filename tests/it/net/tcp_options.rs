//! The options of TCP sockets reach the kernel, and do there what they promise.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::TcpStream as StdStream;
use std::sync::mpsc;
use std::time::Duration;

use crate::common::{self, ANY, PATIENCE, Server, closed_port_of, within_patience};
use corepoll::net::{ListenOptions, TcpKeepalive, TcpListener, TcpStream};
use corepoll::{Acceptor, Action, EvContext, EvHandler, block_on, yield_now};
use socket2::SockRef;

fn in_a_poller<T: Send + 'static, F: Future<Output = io::Result<T>>>(
    make: impl FnOnce() -> F + Send + 'static,
) -> T {
    within_patience(|| block_on(make()).unwrap())
}

fn ours_and_peer() -> io::Result<(TcpStream, StdStream)> {
    let (ours, peer) = common::tcp_pair();
    Ok((TcpStream::from_std(ours)?, peer))
}

#[test]
fn options_come_back_as_they_were_set() {
    in_a_poller(|| async {
        let (stream, _peer) = ours_and_peer()?;
        stream.set_nodelay(true)?;
        assert!(stream.nodelay()?);
        let seconds = Duration::from_secs(7);
        assert_eq!(stream.linger()?, None);
        stream.set_linger(Some(seconds))?;
        assert_eq!(stream.linger()?, Some(seconds));
        assert_eq!(stream.user_timeout()?, None);
        stream.set_user_timeout(Some(Duration::from_millis(1234)))?;
        assert_eq!(stream.user_timeout()?, Some(Duration::from_millis(1234)));
        stream.set_ttl(9)?;
        assert_eq!((stream.ttl()?, SockRef::from(&stream).ttl_v4()?), (9, 9));
        let keepalive = TcpKeepalive::new().with_time(seconds).with_interval(2 * seconds);
        stream.set_keepalive(&keepalive.with_retries(4))?;
        let seen = SockRef::from(&stream);
        assert_eq!((seen.tcp_keepalive_time()?, seen.tcp_keepalive_retries()?), (seconds, 4));
        assert!(stream.keepalive()?);
        stream.set_keepalive(None)?;
        assert!(!stream.keepalive()?);
        Ok(())
    });
}

#[test]
fn ttl_works_for_ipv6() {
    in_a_poller(|| async {
        let Ok(listener) = TcpListener::bind("[::1]:0").await else {
            return Ok(()); // A machine without IPv6.
        };
        let stream = TcpStream::connect(listener.local_addr()?).await?;
        stream.set_ttl(9)?;
        assert_eq!((stream.ttl()?, SockRef::from(&stream).unicast_hops_v6()?), (9, 9));
        Ok(())
    });
}

/// Without the privilege the kernel takes no more than the system's own time.
#[test]
fn busy_poll_is_set_or_refused_for_want_of_privilege() {
    in_a_poller(|| async {
        let (stream, _peer) = ours_and_peer()?;
        let time = Duration::from_micros(50);
        match stream.set_busy_poll(time) {
            Ok(()) => assert_eq!(stream.busy_poll()?, time),
            Err(error) => assert_eq!(error.kind(), ErrorKind::PermissionDenied),
        }
        stream.set_busy_poll(Duration::ZERO)?;
        assert_eq!(stream.busy_poll()?, Duration::ZERO);
        Ok(())
    });
}

/// Linux blocks in close for that long, non-blocking or not: that would be the poller.
#[test]
fn a_lingering_stream_does_not_block_the_poller_when_it_is_dropped() {
    let (peer, filled) = in_a_poller(|| async {
        let (stream, peer) = ours_and_peer()?;
        stream.set_linger(Some(Duration::from_secs(3600)))?;
        let mut filled = 0;
        // More than the peer's side takes: there is something to wait for.
        while let Ok(count) = stream.try_write(&[5; 4096]) {
            filled += count;
        }
        drop(stream);
        yield_now().await;
        Ok((peer, filled))
    });
    // Nothing of it is lost.
    assert_eq!(common::read_to_end(&peer).len(), filled);
}

/// Fills the connection, lets it linger, and fails.
struct Lingers(mpsc::Sender<usize>);

impl EvHandler for Lingers {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        SockRef::from(&cx.fd()).set_linger(Some(Duration::from_secs(3600)))?;
        let socket = cx.fd().try_clone_to_owned()?;
        let mut socket = StdStream::from(socket);
        let mut filled = 0;
        while let Ok(count) = socket.write(&[5; 4096]) {
            filled += count;
        }
        self.0.send(filled).map_err(io::Error::other)?;
        Err(io::Error::other("closed at once"))
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
}

#[test]
fn nor_does_a_handlers_connection() {
    let (sender, filled) = mpsc::channel();
    let (server, addr) = Server::of_handlers(move || Lingers(sender.clone()));
    let peer = common::connect(addr);
    let filled = filled.recv_timeout(PATIENCE).unwrap();
    // The poller goes on.
    let handle = server.handle().clone();
    within_patience(move || block_on(handle.pollers()[0].spawn_on(|| async {})).unwrap());
    assert_eq!(common::read_to_end(&peer).len(), filled);
}

#[test]
fn a_linger_of_zero_resets() {
    in_a_poller(|| async {
        let (stream, mut peer) = ours_and_peer()?;
        stream.set_linger(Some(Duration::ZERO))?;
        drop(stream);
        assert_eq!(peer.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        Ok(())
    });
}

#[test]
fn tries_take_several_buffers() {
    in_a_poller(|| async {
        let (stream, mut peer) = ours_and_peer()?;
        let (mut one, mut two) = ([0; 2], [0; 10]);
        let mut bufs = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        assert_eq!(stream.try_read_vectored(&mut bufs).unwrap_err().kind(), ErrorKind::WouldBlock);
        peer.write_all(b"hello")?;
        stream.readable().await?;
        assert_eq!(stream.try_read_vectored(&mut bufs)?, 5);
        assert_eq!((&one, &two[..3]), (b"he", &b"llo"[..]));
        assert_eq!(stream.try_write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"c")])?, 3);
        assert_eq!(common::read_exactly(&peer, 3), b"abc");
        while stream.try_write_vectored(&[IoSlice::new(&[0; 4096])]).is_ok() {}
        let error = stream.try_write_vectored(&[IoSlice::new(b"x")]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        Ok(())
    });
}

// ---- connecting ----

#[test]
fn connect_tries_every_address_and_tells_of_every_failure() {
    in_a_poller(|| async {
        let listener = TcpListener::bind(ANY).await?;
        let (one, _one) = closed_port_of([127, 0, 0, 2].into());
        let (other, _other) = closed_port_of([127, 0, 0, 3].into());
        let stream = TcpStream::connect(&[one, other, listener.local_addr()?][..]).await?;
        assert_eq!(stream.peer_addr()?, listener.local_addr()?);
        let error = TcpStream::connect(&[one, other][..]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        for address in [one, other] {
            assert!(error.to_string().contains(&address.to_string()), "{error}");
        }
        let error = TcpStream::connect(Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        Ok(())
    });
}

#[test]
fn bind_tells_of_every_failure() {
    in_a_poller(|| async {
        let taken = [std::net::TcpListener::bind(ANY)?, std::net::TcpListener::bind(ANY)?];
        let addresses = [taken[0].local_addr()?, taken[1].local_addr()?];
        let error = TcpListener::bind(addresses).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        for address in addresses {
            assert!(error.to_string().contains(&address.to_string()), "{error}");
        }
        Ok(())
    });
}

// ---- listening ----

/// A connection that says nothing is not accepted, although it came first.
#[test]
fn defer_accept_keeps_silent_connections_back() {
    in_a_poller(|| async {
        let options = ListenOptions::new().defer_accept(Duration::from_secs(60));
        let listener = TcpListener::bind_with(ANY, options).await?;
        let silent = common::connect(listener.local_addr()?);
        let mut talker = common::connect(listener.local_addr()?);
        talker.write_all(b"hello")?;
        let (stream, peer) = listener.accept().await?;
        assert_eq!(peer, talker.local_addr()?);
        assert_eq!(&*stream.read_chunk().await?, b"hello");
        drop(silent);
        Ok(())
    });
}

/// Tells that it has been opened.
struct Tells(mpsc::Sender<()>);

impl EvHandler for Tells {
    fn on_open(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        // The test may be over.
        let _ = self.0.send(());
        Ok(Action::Close)
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Close)
    }
}

#[test]
fn defer_accept_works_for_handlers() {
    let server = Server::start(1);
    let (sender, opened) = mpsc::channel();
    let listening = Acceptor::new(ANY)
        .defer_accept(Duration::from_millis(59_001))
        .listen(server.handle(), move || Tells(sender.clone()))
        .unwrap();
    let _silent = common::connect(listening.local_addr().unwrap());
    let mut talker = common::connect(listening.local_addr().unwrap());
    talker.write_all(b"hello").unwrap();
    opened.recv_timeout(PATIENCE).unwrap();
    assert!(common::is_ended(&talker));
    assert!(opened.try_recv().is_err(), "the silent one is not there yet");
}

#[test]
fn a_listener_goes_to_std_and_back() {
    in_a_poller(|| async {
        let listener = TcpListener::bind(ANY).await?;
        let addr = listener.local_addr()?;
        let listener = listener.into_std()?;
        let listener = TcpListener::from_std(listener)?;
        let client = common::connect(addr);
        assert_eq!(listener.accept().await?.1, client.local_addr()?);
        Ok(())
    });
}

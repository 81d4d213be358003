//! UDP: datagrams stay whole, empty ones are datagrams, and any number of tasks may receive.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, UdpSocket as StdSocket};
use std::pin::pin;
use std::rc::Rc;

use crate::common::{ANY, PATIENCE, within_patience};
use corepoll::net::{UdpSocket, lookup_host};
use corepoll::{block_on, spawn_local, yield_now};
use futures::{FutureExt, future, poll};

/// A socket of std's that cannot hang.
fn peer() -> StdSocket {
    let socket = StdSocket::bind(ANY).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn in_a_poller<T: Send + 'static, F: Future<Output = io::Result<T>>>(
    make: impl FnOnce() -> F + Send + 'static,
) -> T {
    within_patience(|| block_on(make()).unwrap())
}

/// tokio's example "one to many (bind)", and async-net's of `recv_from`.
#[test]
fn an_echo_server_answers_each_peer() {
    in_a_poller(|| async {
        let server = UdpSocket::bind(ANY).await?;
        let addr = server.local_addr()?;
        let echo = spawn_local(async move {
            let mut bytes = [0; 1500];
            loop {
                let (count, from) = server.recv_from(&mut bytes).await?;
                assert_eq!(server.send_to(&bytes[..count], from).await?, count);
                if &bytes[..count] == b"end" {
                    return io::Result::Ok(());
                }
            }
        });
        let asking = std::thread::spawn(move || {
            for text in [&b"one"[..], b"two", b"end"] {
                let peer = peer();
                peer.send_to(text, addr).unwrap();
                let mut bytes = [0; 100];
                let (count, from) = peer.recv_from(&mut bytes).unwrap();
                assert_eq!((&bytes[..count], from), (text, addr));
            }
        });
        echo.await??;
        asking.join().unwrap();
        Ok(())
    });
}

/// tokio's example "one to one (connect)".
#[test]
fn a_connected_socket_hears_its_peer_alone() {
    in_a_poller(|| async {
        let (friend, stranger) = (peer(), peer());
        let socket = UdpSocket::bind(ANY).await?;
        socket.connect(friend.local_addr()?).await?;
        assert_eq!(socket.peer_addr()?, friend.local_addr()?);
        stranger.send_to(b"spam", socket.local_addr()?)?;
        friend.send_to(b"hello", socket.local_addr()?)?;
        let mut bytes = [0; 100];
        assert_eq!(socket.peek(&mut bytes).await?, 5);
        let count = socket.recv(&mut bytes).await?;
        assert_eq!(&bytes[..count], b"hello");
        assert_eq!(socket.send(b"and you?").await?, 8);
        assert_eq!(friend.recv(&mut bytes)?, 8);
        Ok(())
    });
}

#[test]
fn a_datagram_is_cut_at_the_end_of_the_buffer_and_its_rest_is_gone() {
    in_a_poller(|| async {
        let socket = UdpSocket::bind(ANY).await?;
        let (from, to) = (peer(), socket.local_addr()?);
        from.send_to(b"0123456789", to)?;
        from.send_to(b"next", to)?;
        let mut four = [0; 4];
        assert_eq!(socket.peek_from(&mut four).await?, (4, from.local_addr()?));
        assert_eq!(socket.recv_from(&mut four).await?, (4, from.local_addr()?));
        assert_eq!(&four, b"0123");
        let mut bytes = [0; 100];
        assert_eq!(socket.recv(&mut bytes).await?, 4);
        assert_eq!(&bytes[..4], b"next");
        Ok(())
    });
}

/// A short receive says nothing about what is left: a socket that believed so would wait.
#[test]
fn many_datagrams_that_came_at_once_are_all_received() {
    in_a_poller(|| async {
        let socket = UdpSocket::bind(ANY).await?;
        let (from, to) = (peer(), socket.local_addr()?);
        for number in 0..100u8 {
            from.send_to(&[number], to)?;
        }
        let mut bytes = [0; 1500];
        for number in 0..100u8 {
            assert_eq!(socket.recv(&mut bytes).await?, 1);
            assert_eq!(bytes[0], number);
        }
        Ok(())
    });
}

#[test]
fn an_empty_datagram_is_a_datagram_and_no_end() {
    in_a_poller(|| async {
        let socket = UdpSocket::bind(ANY).await?;
        let (from, to) = (peer(), socket.local_addr()?);
        from.send_to(b"", to)?;
        from.send_to(b"", to)?;
        from.send_to(b"after", to)?;
        let mut bytes = [0; 100];
        assert_eq!(socket.recv_from(&mut bytes).await?, (0, from.local_addr()?));
        assert_eq!(socket.recv(&mut bytes).await?, 0);
        assert_eq!(socket.recv(&mut bytes).await?, 5);
        // And the other way.
        assert_eq!(socket.send_to(b"", from.local_addr()?).await?, 0);
        assert_eq!(from.recv(&mut bytes)?, 0);
        Ok(())
    });
}

#[test]
fn a_datagram_that_is_too_long_is_an_error_and_the_socket_goes_on() {
    in_a_poller(|| async {
        let socket = UdpSocket::bind(ANY).await?;
        let to = peer();
        let error = socket.send_to(&[0; 70_000], to.local_addr()?).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
        socket.send_to(b"short", to.local_addr()?).await?;
        assert_eq!(to.recv(&mut [0; 10])?, 5);
        Ok(())
    });
}

/// ICMP says "port unreachable": the next call tells, and the one after that works again.
#[test]
fn a_peer_that_is_gone_is_told_once() {
    in_a_poller(|| async {
        // An address that no other test has, so that its port stays free.
        let gone = StdSocket::bind("127.11.6.1:0")?.local_addr()?;
        let socket = UdpSocket::bind(ANY).await?;
        socket.connect(gone).await?;
        socket.send(b"hello?").await?;
        let error = socket.recv(&mut [0; 10]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let back = StdSocket::bind(gone)?;
        back.set_read_timeout(Some(PATIENCE))?;
        socket.send(b"hello!").await?;
        assert_eq!(back.recv(&mut [0; 10])?, 6);
        Ok(())
    });
}

#[test]
fn each_of_many_waiting_tasks_gets_a_datagram() {
    in_a_poller(|| async {
        let socket = Rc::new(UdpSocket::bind(ANY).await?);
        let seen = Rc::new(RefCell::new(Vec::new()));
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (socket, seen) = (socket.clone(), seen.clone());
                spawn_local(async move {
                    let mut bytes = [0; 10];
                    let (count, _) = socket.recv_from(&mut bytes).await?;
                    assert_eq!(count, 1);
                    seen.borrow_mut().push(bytes[0]);
                    io::Result::Ok(())
                })
            })
            .collect();
        // All of them wait.
        yield_now().await;
        let from = peer();
        for number in 0..8u8 {
            from.send_to(&[number], socket.local_addr()?)?;
        }
        for task in future::join_all(tasks).await {
            task??;
        }
        seen.borrow_mut().sort_unstable();
        assert_eq!(*seen.borrow(), (0..8).collect::<Vec<u8>>());
        Ok(())
    });
}

#[test]
fn a_receive_that_is_dropped_loses_no_datagram() {
    in_a_poller(|| async {
        let socket = UdpSocket::bind(ANY).await?;
        let from = peer();
        let mut bytes = [0; 10];
        {
            let mut receive = pin!(socket.recv(&mut bytes));
            assert!(poll!(receive.as_mut()).is_pending());
            from.send_to(b"kept", socket.local_addr()?)?;
            socket.readable().await?;
        }
        assert_eq!(socket.recv(&mut bytes).await?, 4);
        Ok(())
    });
}

#[test]
fn what_would_block_is_said_to_a_call_that_only_tries() {
    in_a_poller(|| async {
        let socket = UdpSocket::bind(ANY).await?;
        let mut bytes = [0; 10];
        for _ in 0..2 {
            let error = socket.try_recv(&mut bytes).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        }
        let from = peer();
        socket.writable().await?;
        assert_eq!(socket.try_send_to(b"to you", from.local_addr()?)?, 6);
        assert_eq!(from.recv(&mut bytes)?, 6);
        from.send_to(b"to me", socket.local_addr()?)?;
        socket.readable().await?;
        assert_eq!(socket.try_recv_from(&mut bytes)?, (5, from.local_addr()?));
        assert!(socket.try_recv(&mut bytes).is_err());
        socket.connect(from.local_addr()?).await?;
        assert_eq!(socket.try_send(b"again")?, 5);
        assert_eq!(from.recv(&mut bytes)?, 5);
        Ok(())
    });
}

#[test]
fn a_blocking_socket_of_stds_does_not_block_the_poller() {
    in_a_poller(|| async {
        let socket = UdpSocket::from_std(StdSocket::bind(ANY)?)?;
        let mut bytes = [0; 10];
        assert!(socket.recv(&mut bytes).now_or_never().is_none());
        let addr = socket.local_addr()?;
        let socket = socket.into_std()?;
        assert_eq!(socket.local_addr()?, addr);
        // And it is free to be taken over again.
        let socket = UdpSocket::from_std(socket)?;
        peer().send_to(b"hello", addr)?;
        assert_eq!(socket.recv(&mut bytes).await?, 5);
        Ok(())
    });
}

#[test]
fn the_first_address_that_can_be_had_is_taken() {
    in_a_poller(|| async {
        let ours: SocketAddr = ANY.parse().unwrap();
        let (one, other) = (peer(), peer());
        let taken = [one.local_addr()?, other.local_addr()?];
        let socket = UdpSocket::bind(&[taken[0], ours][..]).await?;
        assert!(socket.local_addr()?.ip().is_loopback());
        let error = UdpSocket::bind(taken).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        for address in taken {
            assert!(error.to_string().contains(&address.to_string()), "{error}");
        }
        let nothing: &[SocketAddr] = &[];
        for error in [
            UdpSocket::bind(nothing).await.map(drop),
            socket.connect(nothing).await,
            socket.send_to(b"x", nothing).await.map(drop),
            lookup_host(nothing).await.map(drop),
        ] {
            assert_eq!(error.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        Ok(())
    });
}

/// The two families have forms of different lengths, and a scope is a part of one.
#[test]
fn an_address_of_ipv6_comes_back_as_it_went() {
    in_a_poller(|| async {
        let from = StdSocket::bind("[::1]:0")?;
        from.set_read_timeout(Some(PATIENCE))?;
        let here = from.local_addr()?;
        let socket = UdpSocket::bind("[::1]:0").await?;
        from.send_to(b"six", socket.local_addr()?)?;
        let mut bytes = [0; 10];
        assert_eq!(socket.peek_from(&mut bytes).await?, (3, here));
        assert_eq!(socket.recv_from(&mut bytes).await?, (3, here));
        assert_eq!(socket.send_to(&bytes[..3], here).await?, 3);
        assert_eq!(from.recv_from(&mut bytes)?, (3, socket.local_addr()?));
        // A socket for both families names a peer of the older one in the newer form.
        let both = UdpSocket::bind("[::]:0").await?;
        let port = both.local_addr()?.port();
        let four = peer();
        four.send_to(b"four", ("127.0.0.1", port))?;
        let (count, mapped) = both.recv_from(&mut bytes).await?;
        assert_eq!((count, mapped.port()), (4, four.local_addr()?.port()));
        assert_eq!(mapped.ip().to_canonical(), four.local_addr()?.ip());
        assert_eq!(both.send_to(b"back", mapped).await?, 4);
        assert_eq!(four.recv(&mut bytes)?, 4);
        Ok(())
    });
}

#[test]
fn a_busy_socket_leaves_the_others_their_turn() {
    in_a_poller(|| async {
        let socket = UdpSocket::bind(ANY).await?;
        let addr = socket.local_addr()?;
        // It is never without a datagram: each that it takes is sent again.
        socket.send_to(b"round", addr).await?;
        let busy = spawn_local(async move {
            let mut bytes = [0; 10];
            while socket.recv(&mut bytes).await.is_ok() {
                socket.send_to(b"round", addr).await.unwrap();
            }
        });
        for _ in 0..10 {
            yield_now().await;
        }
        busy.abort();
        Ok(())
    });
}

#[test]
fn outside_of_a_poller_there_is_an_error() {
    let bound = UdpSocket::bind(ANY);
    let error = futures::executor::block_on(bound).unwrap_err();
    assert!(error.to_string().contains("block_on"), "{error}");
}

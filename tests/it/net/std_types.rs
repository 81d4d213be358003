//! Sockets go over from std's types and back, and show their descriptors.

use std::io::{self, Read, Write};
use std::net as std_net;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net as std_unix;

use crate::common::{ANY, PATIENCE, within_patience};
use corepoll::block_on;
use corepoll::net::{
    AsyncFd, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream,
};

/// The number of the descriptor, which both traits tell alike.
fn number(socket: &(impl AsFd + AsRawFd)) -> i32 {
    assert_eq!(socket.as_raw_fd(), socket.as_fd().as_raw_fd());
    socket.as_raw_fd()
}

#[test]
fn tcp_sockets_go_over_and_back() {
    within_patience(|| {
        block_on(async {
            let listener = std_net::TcpListener::bind(ANY)?;
            let mut client = std_net::TcpStream::connect(listener.local_addr()?)?;
            client.set_read_timeout(Some(PATIENCE))?;
            let listener = TcpListener::try_from(listener)?;
            let (server, _peer) = listener.accept().await?;
            assert_ne!(number(&listener), number(&server));
            server.try_write(b"hello")?;
            let server: std_net::TcpStream = OwnedFd::try_from(server)?.into();
            let server = TcpStream::try_from(server)?;
            server.try_write(b" again")?;
            drop(server);
            let mut text = String::new();
            client.read_to_string(&mut text)?;
            assert_eq!(text, "hello again");
            let listener: std_net::TcpListener = OwnedFd::from(listener).into();
            assert!(listener.local_addr()?.ip().is_loopback());
            io::Result::Ok(())
        })
        .unwrap();
    });
}

#[test]
fn udp_and_unix_sockets_go_over_and_back() {
    within_patience(|| {
        block_on(async {
            let udp = UdpSocket::try_from(std_net::UdpSocket::bind(ANY)?)?;
            udp.send_to(b"ping", udp.local_addr()?).await?;
            let raw = number(&udp);
            let udp: std_net::UdpSocket = OwnedFd::from(udp).into();
            assert_eq!((udp.as_raw_fd(), udp.recv(&mut [0; 16])?), (raw, 4));

            let (one, mut other) = std_unix::UnixStream::pair()?;
            let one = UnixStream::try_from(one)?;
            other.write_all(b"hello")?;
            assert_eq!(&*one.read_chunk().await?, b"hello");
            let raw = number(&one);
            let mut one: std_unix::UnixStream = OwnedFd::from(one).into();
            one.write_all(b"hello")?;
            assert_eq!((one.as_raw_fd(), other.read(&mut [0; 16])?), (raw, 5));

            let (one, other) = std_unix::UnixDatagram::pair()?;
            let one = UnixDatagram::try_from(one)?;
            other.send(b"hello")?;
            assert_eq!(one.recv(&mut [0; 16]).await?, 5);
            let raw = number(&one);
            assert_eq!(OwnedFd::from(one).as_raw_fd(), raw);

            let (reader, _writer) = io::pipe()?;
            let raw = reader.as_raw_fd();
            assert_eq!(number(&AsyncFd::new(reader)?), raw);
            io::Result::Ok(())
        })
        .unwrap();
    });
}

#[test]
fn a_listener_of_unix_goes_over_and_back() {
    use std::os::linux::net::SocketAddrExt;
    within_patience(|| {
        block_on(async {
            let name = format!("corepoll-test-std-types-{}", std::process::id());
            let address = std_unix::SocketAddr::from_abstract_name(name)?;
            let listener = UnixListener::try_from(std_unix::UnixListener::bind_addr(&address)?)?;
            let client = UnixStream::connect_addr(&address).await?;
            let (server, _peer) = listener.accept().await?;
            assert_ne!(number(&listener), number(&server));
            let listener: std_unix::UnixListener = OwnedFd::from(listener).into();
            assert!(listener.local_addr()?.as_abstract_name().is_some());
            drop((client, server));
            io::Result::Ok(())
        })
        .unwrap();
    });
}

/// Without a poller the registration fails, and the conversion says so.
#[test]
fn a_conversion_without_a_poller_is_an_error() {
    let socket = std_net::UdpSocket::bind(ANY).unwrap();
    let error = UdpSocket::try_from(socket).unwrap_err();
    assert!(error.to_string().contains("UdpSocket::from_std"), "{error}");
}

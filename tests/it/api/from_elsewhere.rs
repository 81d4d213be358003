//! What the documentation of tokio, smol and async-net shows, said here: their users find what they
//! know. Each test names the page; the peer is a socket of std.

use std::future::Future;
use std::io::{self, ErrorKind, Read, Write};
use std::net as std_net;
use std::os::unix::net as std_unix;
use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{self, ANY, ask, connect, patient, read_to_end, within_patience};
use corepoll::net::{AsyncFd, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener};
use corepoll::{Interest, TaskGroup, block_on, spawn_local, time};
use futures::io::BufReader;
use futures::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, FutureExt, StreamExt};

fn in_a_poller<F: Future<Output = io::Result<()>>>(make: impl FnOnce() -> F + Send + 'static) {
    within_patience(|| block_on(make()).unwrap());
}

/// A path that has not been used, which goes with its folder.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("corepoll-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

// ---- tokio::net ----

/// `TcpListener`: a loop that accepts, and a task for each connection.
#[test]
fn tokios_accept_loop() {
    in_a_poller(|| async {
        let listener = TcpListener::bind(ANY).await?;
        let addr = listener.local_addr()?;
        let clients = thread::spawn(move || {
            let clients: Vec<_> = (0..3).map(|_| connect(addr)).collect();
            clients.iter().for_each(|client| assert_eq!(ask(client, b"hello"), b"hello"));
        });
        let mut group = TaskGroup::new();
        for _ in 0..3 {
            let (mut socket, _) = listener.accept().await?;
            group.spawn(async move {
                let mut buffer = [0; 1024];
                loop {
                    match socket.read(&mut buffer).await? {
                        0 => return io::Result::Ok(()),
                        count => socket.write_all(&buffer[..count]).await?,
                    }
                }
            });
        }
        for ended in group.join_all().await {
            ended.unwrap()?;
        }
        clients.join().unwrap();
        Ok(())
    });
}

/// `TcpStream::readable` and `writable`: loops around `try_read` and `try_write`, where a
/// `WouldBlock` is a reason to wait again.
#[test]
fn tokios_loops_around_tries() {
    in_a_poller(|| async {
        let (ours, mut peer) = common::tcp_pair();
        let stream = TcpStream::from_std(ours)?;
        let peer = thread::spawn(move || {
            peer.write_all(b"hello world").unwrap();
            peer.shutdown(std_net::Shutdown::Write).unwrap();
            read_to_end(&peer)
        });
        let mut message = Vec::new();
        loop {
            stream.readable().await?;
            let mut buffer = [0; 4];
            match stream.try_read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => message.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            }
        }
        assert_eq!(message, b"hello world");
        let mut rest = &message[..];
        while !rest.is_empty() {
            stream.writable().await?;
            match stream.try_write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            }
        }
        drop(stream);
        assert_eq!(peer.join().unwrap(), b"hello world");
        Ok(())
    });
}

/// `UdpSocket`: one to many by `bind`, one to one by `connect`, and one socket that two tasks share.
#[test]
fn tokios_udp_sockets() {
    in_a_poller(|| async {
        let server = Rc::new(UdpSocket::bind(ANY).await?);
        let addr = server.local_addr()?;
        let (give, mut take) =
            futures::channel::mpsc::unbounded::<(Vec<u8>, std_net::SocketAddr)>();
        let sends = server.clone();
        let answering = spawn_local(async move {
            while let Some((bytes, peer)) = take.next().await {
                assert_eq!(sends.send_to(&bytes, peer).await.unwrap(), bytes.len());
            }
        });
        let receiving = spawn_local(async move {
            let mut buffer = [0; 1024];
            for _ in 0..2 {
                let (count, peer) = server.recv_from(&mut buffer).await.unwrap();
                give.unbounded_send((buffer[..count].to_vec(), peer)).unwrap();
            }
        });
        let client = thread::spawn(move || {
            let socket = std_net::UdpSocket::bind(ANY).unwrap();
            socket.set_read_timeout(Some(common::PATIENCE)).unwrap();
            socket.send_to(b"by std", addr).unwrap();
            let mut buffer = [0; 1024];
            let (count, from) = socket.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..count], from), (&b"by std"[..], addr));
        });
        let socket = UdpSocket::bind(ANY).await?;
        socket.connect(addr).await?;
        socket.send(b"connected").await?;
        let mut buffer = [0; 1024];
        let count = socket.recv(&mut buffer).await?;
        assert_eq!(&buffer[..count], b"connected");
        receiving.await.unwrap();
        answering.await.unwrap();
        client.join().unwrap();
        Ok(())
    });
}

/// `UnixDatagram`: named sockets, one without a name, and a pair.
#[test]
fn tokios_unix_datagrams() {
    in_a_poller(|| async {
        let folder = Folder::new("datagrams");
        let (tx_path, rx_path) = (folder.path("tx"), folder.path("rx"));
        let tx = UnixDatagram::bind(&tx_path)?;
        let rx = std_unix::UnixDatagram::bind(&rx_path)?;
        tx.send_to(b"hello world", &rx_path).await?;
        let mut buffer = [0; 24];
        let (count, from) = rx.recv_from(&mut buffer)?;
        assert_eq!(&buffer[..count], b"hello world");
        assert_eq!(from.as_pathname(), Some(&*tx_path));

        let nameless = UnixDatagram::unbound()?;
        nameless.send_to(b"to you", &tx_path).await?;
        let (count, from) = tx.recv_from(&mut buffer).await?;
        assert_eq!(&buffer[..count], b"to you");
        assert!(from.is_unnamed());

        let (one, other) = UnixDatagram::pair()?;
        one.send(b"hello").await?;
        let count = other.recv(&mut buffer).await?;
        assert_eq!(&buffer[..count], b"hello");
        Ok(())
    });
}

/// `UnixListener`: accepts at a path.
#[test]
fn tokios_unix_listener() {
    in_a_poller(|| async {
        let folder = Folder::new("listener");
        let path = folder.path("socket");
        let listener = UnixListener::bind(&path)?;
        let client = thread::spawn(move || {
            let mut client = std_unix::UnixStream::connect(path).unwrap();
            client.set_read_timeout(Some(common::PATIENCE)).unwrap();
            client.write_all(b"one\ntwo\n").unwrap();
            client.shutdown(std_net::Shutdown::Write).unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            answer
        });
        let (stream, peer) = listener.accept().await?;
        assert!(peer.is_unnamed());
        let (reader, mut writer) = stream.into_split();
        let mut lines = BufReader::new(reader).lines();
        while let Some(line) = lines.next().await.transpose()? {
            writer.write_all(format!("{line}!").as_bytes()).await?;
        }
        writer.close().await?;
        assert_eq!(client.join().unwrap(), "one!two!");
        Ok(())
    });
}

/// `AsyncFd`: a type of one's own around a socket that tokio knows nothing of.
#[test]
fn tokios_type_around_an_async_fd() {
    struct AsyncTcpStream {
        inner: AsyncFd<std_net::TcpStream>,
    }

    impl AsyncTcpStream {
        fn new(tcp: std_net::TcpStream) -> io::Result<Self> {
            tcp.set_nonblocking(true)?;
            Ok(AsyncTcpStream { inner: AsyncFd::new(tcp)? })
        }
        async fn read(&self, out: &mut [u8]) -> io::Result<usize> {
            loop {
                self.inner.readable().await?;
                match self.inner.try_io(Interest::READABLE, |mut tcp| tcp.read(out)) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                    result => return result,
                }
            }
        }
        async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
            self.inner.async_io(Interest::WRITABLE, |mut tcp| tcp.write(bytes)).await
        }
    }

    in_a_poller(|| async {
        let (ours, peer) = common::tcp_pair();
        let peer = thread::spawn(move || ask(&peer, b"ping"));
        let stream = AsyncTcpStream::new(ours)?;
        let mut buffer = [0; 16];
        let mut got = 0;
        while got < 4 {
            got += stream.read(&mut buffer[got..]).await?;
        }
        assert_eq!(stream.write(&buffer[..got]).await?, 4);
        assert_eq!(peer.join().unwrap(), b"ping");
        Ok(())
    });
}

// ---- tokio::task and tokio::time ----

/// `JoinSet`: ten tasks, whose results come in any order, each once.
#[test]
fn tokios_join_set() {
    in_a_poller(|| async {
        let mut set = TaskGroup::new();
        for i in 0..10 {
            set.spawn(async move { i });
        }
        let mut seen = [false; 10];
        while let Some(result) = set.next().await {
            assert!(!std::mem::replace(&mut seen[result.unwrap()], true));
        }
        assert!(seen.iter().all(|seen| *seen));
        Ok(())
    });
}

/// `Sleep::reset`: a pinned sleep in a `select!` loop, which work postpones.
#[test]
fn tokios_select_loop_with_a_sleep_that_is_reset() {
    in_a_poller(|| async {
        let (give, mut take) = futures::channel::mpsc::unbounded();
        let idle = Duration::from_millis(5);
        let work = spawn_local(async move {
            for n in 0..3 {
                give.unbounded_send(n).unwrap();
                corepoll::yield_now().await;
            }
            // The sender stays: what ends the loop is the sleep.
            std::future::pending::<()>().await;
            drop(give);
        });
        let mut sleep = pin!(time::sleep(idle).fuse());
        let (mut sum, mut last) = (0, Instant::now());
        loop {
            futures::select! {
                () = sleep.as_mut() => break,
                n = take.next() => {
                    sum += n.expect("the sender stays");
                    last = Instant::now();
                    sleep.set(time::sleep(idle).fuse());
                }
            }
        }
        assert!(last.elapsed() >= idle && sum == 3);
        work.abort();

        let mut sleep = pin!(time::sleep(Duration::from_secs(3600)));
        sleep.as_mut().reset(Instant::now() + idle);
        sleep.await;
        assert!(last.elapsed() >= 2 * idle);
        Ok(())
    });
}

/// `timeout`: of a channel without an answer; `interval`: whose first tick is there at once.
#[test]
fn tokios_timeout_and_interval() {
    in_a_poller(|| async {
        let (_give, take) = futures::channel::oneshot::channel::<()>();
        let late = time::timeout(Duration::from_millis(2), take).await;
        let error = io::Error::from(late.unwrap_err());
        assert_eq!(error.kind(), ErrorKind::TimedOut);

        let start = Instant::now();
        let mut interval = time::interval(Duration::from_millis(2));
        interval.tick().await;
        interval.tick().await;
        interval.tick().await;
        assert!(start.elapsed() >= Duration::from_millis(4));
        Ok(())
    });
}

/// `copy_bidirectional`: the proxy of tokio's tutorial.
#[test]
fn tokios_proxy() {
    in_a_poller(|| async {
        let (client, near) = common::tcp_pair();
        let (far, upstream) = common::tcp_pair();
        let ends = thread::spawn(move || {
            let (client, mut upstream) = (patient(client), patient(upstream));
            (&client).write_all(b"hello").unwrap();
            client.shutdown(std_net::Shutdown::Write).unwrap();
            assert_eq!(read_to_end(&upstream), b"hello");
            upstream.write_all(b"good-bye").unwrap();
            drop(upstream);
            assert_eq!(read_to_end(&client), b"good-bye");
        });
        let (near, far) = (TcpStream::from_std(near)?, TcpStream::from_std(far)?);
        let relayed = corepoll::io::relay(near, far).await?;
        assert_eq!((relayed.a_to_b, relayed.b_to_a), (5, 8));
        ends.join().unwrap();
        Ok(())
    });
}

// ---- smol and async-net ----

/// smol's first example: a request by hand, and the answer copied to a writer.
#[test]
fn smols_http_client() {
    in_a_poller(|| async {
        let listener = std_net::TcpListener::bind(ANY)?;
        let addr = listener.local_addr()?;
        let server = thread::spawn(move || {
            let client = patient(listener.accept().unwrap().0);
            let mut request = io::BufReader::new(&client);
            let mut line = String::new();
            while io::BufRead::read_line(&mut request, &mut line).unwrap() > 2 {}
            (&client).write_all(b"HTTP/1.0 200 OK\r\n\r\nhello").unwrap();
            line
        });
        let mut stream = TcpStream::connect(addr).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").await?;
        let mut answer = futures::io::Cursor::new(Vec::new());
        futures::io::copy(stream, &mut answer).await?;
        assert_eq!(answer.into_inner(), b"HTTP/1.0 200 OK\r\n\r\nhello");
        assert!(server.join().unwrap().starts_with("GET / HTTP/1.1\r\n"));
        Ok(())
    });
}

/// `Async::read_with`: an operation of std's type, tried again when there may be more.
#[test]
fn smols_async_around_types_of_std() {
    in_a_poller(|| async {
        let listener = AsyncFd::new(std_net::TcpListener::bind(ANY)?)?;
        let addr = listener.get_ref().local_addr()?;
        let client = thread::spawn(move || ask(&connect(addr), b"x"));
        let (stream, _) = listener.async_io(Interest::READABLE, |it| it.accept()).await?;
        // It blocks as yet, and needn't be told otherwise.
        let stream = TcpStream::from_std(stream)?;
        futures::io::copy(&stream, &mut &stream).await?;
        assert_eq!(client.join().unwrap(), b"x");
        Ok(())
    });
}

/// `Timer::after` in a race against work, and `future::or` of the two.
#[test]
fn smols_timer_in_a_race() {
    in_a_poller(|| async {
        let work = pin!(std::future::pending::<io::Result<()>>());
        let timer = pin!(
            time::sleep(Duration::from_millis(1))
                .map(|()| { io::Result::<()>::Err(ErrorKind::TimedOut.into()) })
        );
        let first = futures::future::select(work, timer).await.factor_first().0;
        assert_eq!(first.unwrap_err().kind(), ErrorKind::TimedOut);
        Ok(())
    });
}

/// async-net's `incoming`, and a stream that is read and written by two tasks: a clone there, a
/// shared reference here.
#[test]
fn async_nets_incoming_streams() {
    in_a_poller(|| async {
        let listener = TcpListener::bind(ANY).await?;
        let addr = listener.local_addr()?;
        let client = thread::spawn(move || {
            let client = connect(addr);
            (&client).write_all(b"to be echoed").unwrap();
            client.shutdown(std_net::Shutdown::Write).unwrap();
            read_to_end(&client)
        });
        let mut incoming = listener.incoming();
        let stream = Rc::new(incoming.next().await.expect("it never ends")?);
        let reads = stream.clone();
        let reading = spawn_local(async move {
            let mut bytes = Vec::new();
            (&*reads).read_to_end(&mut bytes).await.map(|_| bytes)
        });
        let bytes = reading.await.unwrap()?;
        (&*stream).write_all(&bytes).await?;
        stream.shutdown(std_net::Shutdown::Write)?;
        assert_eq!(client.join().unwrap(), b"to be echoed");
        Ok(())
    });
}

/// async-net's `peek_from`: looks at a datagram and leaves it there.
#[test]
fn async_nets_peek_from() {
    in_a_poller(|| async {
        let socket = UdpSocket::bind(ANY).await?;
        let peer = std_net::UdpSocket::bind(ANY)?;
        peer.send_to(b"hello", socket.local_addr()?)?;
        let mut buffer = [0; 16];
        assert_eq!(socket.peek_from(&mut buffer).await?, (5, peer.local_addr()?));
        assert_eq!(socket.recv_from(&mut buffer).await?, (5, peer.local_addr()?));
        assert_eq!(&buffer[..5], b"hello");
        Ok(())
    });
}

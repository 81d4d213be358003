//! A reactor that ends with its test, and a client of plain bytes.

use std::convert::Infallible;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use corepoll::{Listening, Reactor, ReactorHandle, Running, spawn_local};
use corepoll_hyper::{Server, UpgradedIo};
use futures::{AsyncReadExt, AsyncWriteExt};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use socket2::{Domain, Socket, Type};

/// When a test gives up on what it waits for. None waits this long unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A body of one piece.
pub type Text = Full<Bytes>;

/// A reactor that runs until it is dropped.
#[derive(Debug)]
pub struct Site(Option<Running>);

impl Site {
    pub fn start(pollers: usize) -> Site {
        let reactor = Reactor::builder().pollers(pollers).build().expect("pollers");
        Site(Some(reactor.start().expect("threads")))
    }

    pub fn handle(&self) -> ReactorHandle {
        self.0.as_ref().expect("it runs").handle()
    }

    /// Shuts down with time for what is under way. Returns what was left.
    pub fn stop(self) -> corepoll::Shutdown {
        self.stop_within(PATIENCE)
    }

    /// Shuts down with this time for what is under way. Returns what was left.
    pub fn stop_within(mut self, grace: Duration) -> corepoll::Shutdown {
        let running = self.0.take().expect("it runs");
        running.handle().shutdown(grace);
        running.join().expect("no poller is stuck")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(running) = self.0.take() {
            running.handle().shutdown(Duration::ZERO);
            let _ = running.join();
        }
    }
}

/// Answers with the method and the path.
pub async fn hello(request: Request<Incoming>) -> Result<Response<Text>, Infallible> {
    Ok(Response::new(format!("{} {}", request.method(), request.uri().path()).into()))
}

/// Serves [`hello`].
pub fn serve_hello(site: &Site, server: Server) -> (Listening, SocketAddr) {
    let service = hyper::service::service_fn(hello);
    let listening = server.serve(&site.handle(), "127.0.0.1:0", service).expect("it listens");
    let addr = listening.local_addr().expect("an address");
    (listening, addr)
}

/// A client of HTTP/1 that sends what it is told.
#[derive(Debug)]
pub struct Client(BufReader<TcpStream>);

/// A response.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Client {
    pub fn connect(addr: SocketAddr) -> Client {
        Client::of(TcpStream::connect(addr).expect("it listens"))
    }

    /// Connects with so small a receive buffer that what it does not read stays with the server.
    pub fn connect_with_little_room(addr: SocketAddr) -> Client {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(1).expect("the smallest");
        socket.connect(&addr.into()).expect("it listens");
        Client::of(socket.into())
    }

    fn of(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Client(BufReader::new(stream))
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).expect("it is read");
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
        self.answer()
    }

    pub fn answer(&mut self) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.0.read_line(&mut head).expect("a head") > 0, "the end after {head:?}");
        }
        let status = head[9..12].parse().expect("a status");
        let lower = head.to_lowercase();
        let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let mut body = vec![0; length.map_or(0, |text| text.parse().expect("a length"))];
        self.0.read_exact(&mut body).expect("a body");
        Answer { status, head, body: String::from_utf8(body).expect("text") }
    }

    /// Reads until the end, which may be a reset.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("no end: {error}"),
        }
        bytes
    }
}

/// Runs `future` on a runtime of tokio, with hyper's client as an independent peer.
pub fn on_tokio<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

/// Answers with the method, the path and the body.
pub async fn echo(request: Request<Incoming>) -> hyper::Result<Response<Text>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let head = format!("{} {} ", parts.method, parts.uri.path());
    Ok(Response::new([head.as_bytes(), &body].concat().into()))
}

/// Serves [`echo`] by one poller. Returns what hears of the server's errors.
pub fn serve_echo(server: Server) -> (Site, SocketAddr, mpsc::Receiver<io::Error>) {
    let site = Site::start(1);
    let (tell, errors) = mpsc::channel();
    let server = server.on_error(move |error| {
        let _ = tell.send(error);
    });
    let service = hyper::service::service_fn(echo);
    let listening = server.serve(&site.handle(), "127.0.0.1:0", service).expect("it listens");
    (site, listening.local_addr().expect("an address"), errors)
}

/// Sends everything, ends the direction, and returns what comes until the end.
pub fn exchange(addr: SocketAddr, requests: impl AsRef<[u8]>) -> String {
    let mut client = Client::connect(addr);
    client.send(requests);
    client.0.get_ref().shutdown(Shutdown::Write).expect("its direction ends");
    client.until_the_end()
}

impl Client {
    /// Reads until the end, which is no reset.
    pub fn until_the_end(&mut self) -> String {
        String::from_utf8_lossy(&self.bytes_until_the_end()).into_owned()
    }

    /// Reads bytes until the end, which is no reset.
    pub fn bytes_until_the_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).expect("an end without a reset");
        bytes
    }

    /// The connection.
    pub fn stream(&self) -> &TcpStream {
        self.0.get_ref()
    }
}

/// The statuses of all answers, in order.
pub fn statuses(answers: &str) -> Vec<&str> {
    answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect()
}

/// Upgrades a connection, on which the next ten bytes are then sent back before its end.
pub async fn give_ten_back(
    mut request: Request<Incoming>,
) -> Result<Response<Text>, hyper::http::Error> {
    let upgrade = hyper::upgrade::on(&mut request);
    drop(spawn_local(async move {
        let mut io = UpgradedIo::new(upgrade.await.expect("it is upgraded"));
        let mut bytes = [0; 10];
        io.read_exact(&mut bytes).await.expect("it sends ten");
        io.write_all(&bytes).await.expect("it reads");
        io.close().await.expect("it ends");
    }));
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header("Connection", "upgrade")
        .header("Upgrade", "ten");
    response.body(Text::default())
}

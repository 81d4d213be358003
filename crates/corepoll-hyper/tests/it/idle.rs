//! Connections of HTTP/1 that hyper is taken off while they are idle: nothing that a client sees tells them from
//! others.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use corepoll::net::UnixStream;
use corepoll::{PollerBound, spawn_local, time};
use corepoll_hyper::{FuturesIo, HyperIo, LocalService, Server};
use futures::stream::unfold;
use futures::{AsyncReadExt, AsyncWriteExt, Stream};
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::CONTENT_LENGTH;
use hyper::service::service_fn;
use hyper::{Request, Response};

use crate::common::give_ten_back;
use crate::counting::live_here;

/// How long a head may take.
const LIMIT: Duration = Duration::from_secs(10);

/// What has happened, and when: an answer or the end as the client hears it, or the body of a request as its reader
/// does.
type Log = Rc<RefCell<Vec<(Duration, String)>>>;

/// A body that comes at once, or in pieces.
type Answer = Either<Full<Bytes>, StreamBody<Pieces>>;
type Pieces = std::pin::Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Infallible>>>>;

/// A server in whose answers the time does not stand. hyper may gather the answers of pipelined requests: then it
/// holds some of them while it waits for the rest of a head.
fn server(release_after: Option<Duration>, gathers: bool) -> Server {
    Server::new().header_timeout(LIMIT).release_idle_after(release_after).http1(|http1| {
        http1.auto_date_header(false).pipeline_flush(gathers);
    })
}

/// What a client does.
#[derive(Debug, Clone)]
enum Step {
    Send(String),
    Pause(Duration),
    End,
}

/// Notes `what` in `log`, with the time since `begun`.
fn note(log: &Log, begun: std::time::Instant, what: String) {
    log.borrow_mut().push((time::now() - begun, what));
}

/// Three pieces with pauses between them.
fn pieces() -> Pieces {
    Box::pin(unfold(0_u8, |number| async move {
        if number == 3 {
            return None;
        }
        time::sleep(Duration::from_millis(1_700)).await;
        let text = format!("piece {number}, ").repeat(10);
        Some((Ok(Frame::data(text.into())), number + 1))
    }))
}

/// Answers by the path: the request itself, something that ignores its body, or slowly.
async fn answer(
    request: Request<Incoming>,
    log: Log,
    begun: std::time::Instant,
) -> Result<Response<Answer>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let text = |text: String| Ok(Response::new(Either::Left(text.into())));
    match parts.uri.path() {
        "/ignore" => text(format!("{} is ignored", parts.method)),
        "/later" => {
            drop(spawn_local(async move {
                let read = body.collect().await.map(|body| body.to_bytes());
                note(&log, begun, format!("{:?}", read.map_err(|error| error.to_string())));
            }));
            text("at once".repeat(20))
        }
        "/pieces" => Ok(Response::new(Either::Right(StreamBody::new(pieces())))),
        "/known" => {
            let response = Response::new(Either::Right(StreamBody::new(pieces())));
            let (mut parts, body) = response.into_parts();
            parts.headers.insert(CONTENT_LENGTH, (3 * 10 * "piece 0, ".len()).into());
            Ok(Response::from_parts(parts, body))
        }
        "/slow" => {
            time::sleep(Duration::from_millis(2_300)).await;
            text("late".into())
        }
        path => {
            let body = body.collect().await?.to_bytes();
            text(format!("{} {path} {}", parts.method, String::from_utf8_lossy(&body)))
        }
    }
}

/// Runs `steps` against a server on a paused clock. Returns all that is heard, and how the connection has ended.
async fn run(server: Server, is_adapted: bool, steps: &[Step]) -> Vec<(Duration, String)> {
    let (log, heard, begun) = (Log::default(), Log::default(), time::now());
    let (near, far) = UnixStream::pair().expect("a pair");
    let service = service_fn({
        let log = log.clone();
        move |request| answer(request, log.clone(), begun)
    });
    let served = spawn_local(async move {
        match is_adapted {
            true => server.serve_connection(FuturesIo::new(near), service).await,
            false => {
                let io = HyperIo::new(PollerBound::new(near));
                server.serve_connection_with_upgrades(io, service).await
            }
        }
    });
    let far = Rc::new(far);
    let hears = spawn_local({
        let (far, log) = (far.clone(), heard.clone());
        async move {
            let mut room = vec![0; 64 << 10];
            loop {
                let count = (&*far).read(&mut room).await.unwrap_or(0);
                let text = String::from_utf8_lossy(&room[..count]).replace("HTTP/1.0", "HTTP/1.1");
                note(&log, begun, text);
                if count == 0 {
                    return;
                }
            }
        }
    });
    for step in steps {
        match step {
            // It may have been closed.
            Step::Send(bytes) => drop((&*far).write_all(bytes.as_bytes()).await),
            Step::Pause(pause) => time::sleep(*pause).await,
            Step::End => drop((&*far).close().await),
        }
    }
    hears.await.expect("no panic");
    drop(far);
    let ended = served.await.expect("no panic").map_err(|error| error.to_string());
    note(&log, begun, format!("{ended:?}"));
    // In what order both sides run at one time is nothing that either relies on.
    [merged(&heard.borrow()), log.take()].concat()
}

/// Puts what was heard at the same time together: how it is cut into reads is nothing that a client relies on.
fn merged(log: &[(Duration, String)]) -> Vec<(Duration, String)> {
    let mut merged: Vec<(Duration, String)> = Vec::new();
    for (at, text) in log {
        match merged.last_mut() {
            Some(last) if last.0 == *at => last.1.push_str(text),
            _ => merged.push((*at, text.clone())),
        }
    }
    merged
}

/// Numbers that a seed draws.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// A request, and whether the connection goes on after it. What is no request is refused by the version
    /// that the request before had, which a new connection of hyper does not know: so `is_old` clients send none.
    fn request(&mut self, number: usize, is_old: bool) -> (String, bool) {
        let path = *self.of(&["/a", "/b", "/ignore", "/later", "/pieces", "/known", "/slow"]);
        let length = *self.of(&[0, 1, 10, 3_000]);
        let body = format!("{number}").repeat(length).into_bytes();
        let body = String::from_utf8_lossy(&body[..length.min(body.len())]).into_owned();
        let length = body.len();
        let head = |method: &str, more: String| {
            format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{more}\r\n")
        };
        match self.below(24) {
            0..9 => (head("GET", String::new()), true),
            9..11 => (head("HEAD", String::new()), true),
            11..15 => (head("POST", format!("Content-Length: {length}\r\n")) + &body, true),
            15..17 => {
                let chunked = head("PUT", "Transfer-Encoding: chunked\r\n".into());
                let chunk =
                    if length == 0 { String::new() } else { format!("{length:x}\r\n{body}\r\n") };
                (format!("{chunked}{chunk}0\r\n\r\n"), true)
            }
            17..19 => {
                let more = format!("Content-Length: {length}\r\nExpect: 100-continue\r\n");
                (head("POST", more) + &body, true)
            }
            19 => (head("GET", "Connection: upgrade\r\nUpgrade: ten\r\n".into()), true),
            20..22 if is_old => {
                (format!("GET {path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), true)
            }
            22 if self.below(3) == 0 => (head("GET", "Connection: close\r\n".into()), false),
            22 => ("\r\n".into(), true),
            23 if !is_old && self.below(6) == 0 => ("nonsense\r\n\r\n".into(), false),
            _ => (head("GET", "A: b\r\n".into()), true),
        }
    }

    /// What a client does: requests, cut anywhere, with pauses between the pieces.
    fn steps(&mut self) -> Vec<Step> {
        let (mut steps, is_old) = (Vec::new(), self.below(2) == 0);
        for number in 0..2 + self.below(14) {
            let (request, goes_on) = self.request(number, is_old);
            let mut rest = &request[..];
            while !rest.is_empty() {
                let cut = if self.below(3) == 0 { 1 + self.below(rest.len()) } else { rest.len() };
                let (now, later) = rest.split_at(cut);
                steps.push(Step::Send(now.into()));
                rest = later;
                let pause = *self.of(&[0, 0, 1, 2, 3, 400, 1_500, 2_500, 7_000]);
                if pause > 0 {
                    steps.push(Step::Pause(Duration::from_millis(pause)));
                }
            }
            if !goes_on {
                break;
            }
        }
        if self.below(3) == 0 {
            steps.push(Step::End);
        }
        steps
    }
}

/// The same requests with and without hyper being taken off, at the least and at the usual time: each byte, each
/// error and each end comes at the same time.
#[test]
fn a_client_hears_the_same_at_the_same_time() {
    corepoll::block_on(async {
        time::pause();
        let (mut answers, mut lates) = (0, 0);
        for seed in 1..400_u64 {
            let mut draw = Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let (steps, is_adapted) = (draw.steps(), draw.below(4) == 0);
            let gathers = draw.below(4) == 0;
            let kept = run(server(None, gathers), is_adapted, &steps).await;
            for after in [Duration::ZERO, Duration::from_secs(1)] {
                let released = run(server(Some(after), gathers), is_adapted, &steps).await;
                for (now, before) in released.iter().zip(&kept) {
                    assert_eq!(now, before, "seed {seed}, after {after:?}: {steps:?}");
                }
                assert_eq!(released.len(), kept.len(), "seed {seed}, after {after:?}: {steps:?}");
            }
            let all: String = kept.iter().map(|(_, text)| &text[..]).collect();
            answers += all.matches("HTTP/1.1 200").count();
            lates += all.matches("HTTP/1.1 408").count();
        }
        assert!(answers > 2_000, "{answers} answers");
        assert!(lates > 10, "{lates} clients were late");
    });
}

/// The bytes that are allocated beyond `before`.
fn bytes_since(before: isize) -> isize {
    live_here().1 - before
}

/// Serves a connection by `server` on this thread, and returns the client's end of it.
fn connect<S: LocalService>(server: Server, service: S) -> UnixStream {
    let (near, far) = UnixStream::pair().expect("a pair");
    drop(spawn_local(async move {
        let io = HyperIo::new(PollerBound::new(near));
        server.serve_connection_with_upgrades(io, service).await
    }));
    far
}

/// Reads a head, and a body of `length` bytes.
async fn hear(stream: &mut UnixStream, length: usize) -> String {
    let mut heard = Vec::new();
    while !heard.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.expect("a head");
        heard.push(byte[0]);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.expect("a body");
    String::from_utf8_lossy(&[heard, body].concat()).into_owned()
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// By default, and not before a second has passed.
#[test]
fn hyper_is_there_from_the_first_byte_until_a_second_after_the_answer() {
    corepoll::block_on(async {
        time::pause();
        let hello = service_fn(|_: Request<Incoming>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("hello")))
        });
        let before = live_here().1;
        let mut client = connect(Server::new(), hello);
        time::sleep(Duration::from_secs(5)).await;
        assert!(bytes_since(before) < 2_000, "{} bytes", bytes_since(before));
        for _ in 0..5 {
            client.write_all(GET).await.expect("it is read");
            assert!(hear(&mut client, 5).await.ends_with("\r\n\r\nhello"));
            time::sleep(Duration::from_millis(900)).await;
            assert!(bytes_since(before) > 8_000, "{} bytes", bytes_since(before));
            time::sleep(Duration::from_millis(200)).await;
            assert!(bytes_since(before) < 2_000, "{} bytes", bytes_since(before));
        }
        // Asked often, hyper is not taken off at all.
        for _ in 0..5 {
            client.write_all(GET).await.expect("it is read");
            hear(&mut client, 5).await;
            time::sleep(Duration::from_millis(700)).await;
            assert!(bytes_since(before) > 8_000, "{} bytes", bytes_since(before));
        }
    });
}

/// A body that its reader has not seen the end of is no idle connection: its end is told with the next head.
#[test]
fn a_body_that_is_read_after_its_answer_is_read_to_its_end() {
    corepoll::block_on(async {
        time::pause();
        let result = Rc::new(Cell::new(None));
        let service = service_fn({
            let result = result.clone();
            move |request: Request<Incoming>| {
                let result = result.clone();
                drop(spawn_local(async move {
                    result.set(Some(request.into_body().collect().await.is_ok()));
                }));
                async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("hello"))) }
            }
        });
        let mut client = connect(server(Some(Duration::ZERO), false), service);
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n";
        client.write_all(head).await.expect("it is read");
        hear(&mut client, 5).await;
        client.write_all(b"body").await.expect("it is read");
        time::sleep(Duration::from_secs(5)).await;
        assert_ne!(result.get(), Some(false), "it has broken off");
        client.write_all(GET).await.expect("it is read");
        hear(&mut client, 5).await;
        assert_eq!(result.get(), Some(true));
    });
}

#[test]
fn a_connection_that_was_idle_is_upgraded() {
    corepoll::block_on(async {
        time::pause();
        let service = service_fn(|request: Request<Incoming>| async move {
            if request.uri().path() == "/" {
                return Ok(Response::new(Full::<Bytes>::from("hello")));
            }
            give_ten_back(request).await
        });
        let mut client = connect(Server::new(), service);
        client.write_all(GET).await.expect("it is read");
        hear(&mut client, 5).await;
        time::sleep(Duration::from_secs(5)).await;
        let head =
            b"GET /up HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: ten\r\n\r\nearly";
        client.write_all(head).await.expect("it is read");
        assert!(hear(&mut client, 0).await.starts_with("HTTP/1.1 101"));
        time::sleep(Duration::from_secs(5)).await;
        client.write_all(b"later").await.expect("it is read");
        let mut rest = String::new();
        client.read_to_string(&mut rest).await.expect("the end");
        assert_eq!(rest, "earlylater");
    });
}

//! HTTP whose requests are answered by worker threads, for work that would hold a poller up.
//!
//! ```text
//! cargo run --example async_http
//! curl http://127.0.0.1:8080/sleep/500 http://127.0.0.1:8080/quick
//! ```
//!
//! A handler collects what a client sends, and a worker answers through the connection's `Writer`, which
//! takes bytes from any thread. A client may send many requests at once (pipelining) and knows the
//! answers by their order alone, so one worker at a time serves a connection. After each answer the
//! connection goes to the end of the queue: however much a client asks for, the others have their turn.

use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread::{self, available_parallelism};
use std::time::Duration;
use std::{io, mem};

use clap::Parser;
use corepoll::{
    Acceptor, Action, CloseReason, Deadlines, EvContext, EvHandler, Interest, Reactor, TimerId,
    Writer,
};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The most bytes that wait for the workers, and that wait for the client.
const MOST_INPUT: usize = 64 * 1024;
const MOST_OUTPUT: usize = 256 * 1024;
/// The time until a connection that waits for either looks again.
const PAUSE: Duration = Duration::from_millis(10);
/// The longest head of a request.
const LONGEST_HEAD: usize = 8 * 1024;

/// Answers HTTP by worker threads; /sleep/N takes N milliseconds
#[derive(Parser)]
struct Options {
    /// The address to listen on; port 0 takes a free port
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// The number of pollers, each a thread
    #[arg(long, default_value_t = available_parallelism().unwrap_or(NonZeroUsize::MIN))]
    pollers: NonZeroUsize,
    /// The number of threads that answer
    #[arg(long, default_value = "4")]
    workers: NonZeroUsize,
    /// The milliseconds that a client may take for a request, and to read some of what it is sent
    #[arg(long, value_name = "MS", default_value = "60000")]
    patience: NonZeroU64,
}

fn main() -> io::Result<()> {
    let Options { addr, pollers, workers, patience } = Options::parse();
    let patience = Duration::from_millis(patience.get());
    let reactor = Reactor::builder().pollers(pollers.get()).build()?;
    let handle = reactor.handle();

    // The first signal gives the connections five seconds to end, a second one no time at all.
    let (stop, mut signals) = (reactor.handle(), Signals::new([SIGINT, SIGTERM])?);
    thread::spawn(move || {
        for (_signal, grace) in signals.forever().zip([Duration::from_secs(5), Duration::ZERO]) {
            stop.shutdown(grace);
        }
    });

    // The connections that wait for a worker. The workers end with the process.
    let (queue, waiting) = mpsc::channel::<Arc<Client>>();
    let waiting = Arc::new(Mutex::new(waiting));
    for number in 0..workers.get() {
        let (queue, waiting) = (queue.clone(), waiting.clone());
        let work = move || loop {
            let client = waiting.lock().expect("no worker panics").recv().expect("never closed");
            if client.answer_next() {
                queue.send(client).expect("never closed");
            }
        };
        thread::Builder::new().name(format!("worker {number}")).spawn(work)?;
    }

    let listening = Acceptor::new(addr.to_string()).listen(&handle, move || Session {
        queue: queue.clone(),
        client: None,
        patience,
        look: TimerId::NONE,
        answers: 0,
    })?;
    println!("listening on {}", listening.local_addr()?);
    reactor.run()
}

/// A connection, as its poller and the workers share it.
struct Client {
    writer: Writer,
    input: Mutex<Input>,
}

#[derive(Default)]
struct Input {
    /// What has come of the requests that no worker has taken yet.
    bytes: Vec<u8>,
    /// Nothing more comes: the connection ends when these are answered.
    is_last: bool,
    /// The client is with a worker, or in the queue.
    is_busy: bool,
    /// The number of answers so far.
    answers: u64,
}

impl Client {
    fn input(&self) -> MutexGuard<'_, Input> {
        self.input.lock().expect("no thread panics with it")
    }

    /// Answers the next request. Returns `false` if the client leaves the queue.
    fn answer_next(&self) -> bool {
        let mut input = self.input();
        let Some(request) = Request::parse(&input.bytes) else {
            input.is_busy = false;
            if input.is_last {
                self.writer.close();
            }
            return false;
        };
        input.bytes.drain(..request.length);
        drop(input); // the poller must not wait for the work
        let is_gone = self.writer.write(request.answer()).is_err();
        if request.is_last {
            self.writer.close(); // after what has been written
        }
        self.input().answers += 1;
        !request.is_last && !is_gone
    }
}

/// The poller's side of a connection.
struct Session {
    queue: mpsc::Sender<Arc<Client>>,
    client: Option<Arc<Client>>,
    patience: Duration,
    /// The timer that looks whether the client has been answered since the last look.
    look: TimerId,
    answers: u64,
}

impl Session {
    fn client(&self) -> &Arc<Client> {
        self.client.as_ref().expect("on_open comes first")
    }

    /// Takes no more requests. The connection ends when those before are answered.
    fn end(&self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_interest(Interest::NONE)?;
        let mut input = self.client().input();
        input.is_last = true;
        Ok(if input.is_busy { Action::Keep } else { Action::Close })
    }

    /// Reads on as soon as the workers and the client have room. Until then what comes stays in the kernel.
    fn read_on(&self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let input = self.client().input();
        let has_room = input.bytes.len() < MOST_INPUT && cx.pending_output() < MOST_OUTPUT;
        cx.set_interest(if has_room && !input.is_last {
            Interest::READABLE
        } else {
            Interest::NONE
        })?;
        if !has_room {
            cx.set_timer(PAUSE);
        }
        Ok(Action::Keep)
    }
}

impl EvHandler for Session {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_deadlines(Deadlines { write: Some(self.patience), ..Deadlines::default() })?;
        self.client = Some(Arc::new(Client { writer: cx.writer(), input: Mutex::default() }));
        self.look = cx.set_interval(self.patience);
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let chunk = cx.read()?;
        if chunk.is_empty() {
            return self.end(cx);
        }
        let mut input = self.client().input();
        input.bytes.extend_from_slice(&chunk);
        if !mem::replace(&mut input.is_busy, true) {
            self.queue.send(self.client().clone()).expect("the workers never end");
        }
        drop(input);
        self.read_on(cx)
    }

    fn on_timeout(&mut self, cx: &mut EvContext<'_>, timer: TimerId) -> io::Result<Action> {
        if timer != self.look {
            return self.read_on(cx);
        }
        let input = self.client().input();
        let (is_answered, answers) = (input.answers > self.answers, input.answers);
        if is_answered || input.is_busy {
            drop(input);
            self.answers = answers;
            return Ok(Action::Keep);
        }
        if !input.bytes.is_empty() {
            cx.write(Request::refused("408 Request Timeout").answer().as_bytes())?;
        }
        Ok(Action::Close)
    }

    fn on_shutdown(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.end(cx)
    }

    fn on_close(&mut self, _: &mut EvContext<'_>, _: CloseReason) {
        self.client().input().bytes.clear(); // no work for a client that has gone
    }
}

/// A request, as far as this server looks at it.
struct Request {
    /// Its bytes.
    length: usize,
    /// What is asked for, or the status that refuses it.
    path: Result<String, &'static str>,
    is_head: bool,
    /// The connection ends after the answer.
    is_last: bool,
}

impl Request {
    fn refused(status: &'static str) -> Request {
        Request { length: 0, path: Err(status), is_head: false, is_last: true }
    }

    /// Parses the request that `bytes` begin with. Returns `None` if it is not whole.
    fn parse(bytes: &[u8]) -> Option<Request> {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut fields);
        let length = match request.parse(bytes) {
            Ok(httparse::Status::Complete(length)) if length <= LONGEST_HEAD => length,
            Ok(httparse::Status::Partial) if bytes.len() < LONGEST_HEAD => return None,
            Ok(_) => return Some(Request::refused("431 Request Header Fields Too Large")),
            Err(_) => return Some(Request::refused("400 Bad Request")),
        };
        let values = |name: &'static str| {
            let named =
                request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
            named.map(|field| field.value.trim_ascii())
        };
        let is_http_1_0 = request.version == Some(0);
        if !is_http_1_0 && values("Host").count() != 1 {
            return Some(Request::refused("400 Bad Request"));
        }
        // Bodies are not taken: where one may follow, the next request cannot be told from it.
        if values("Content-Length").any(|value| value != b"0")
            || values("Transfer-Encoding").next().is_some()
        {
            return Some(Request::refused("413 Content Too Large"));
        }
        let is_close = |option: &[u8]| option.trim_ascii().eq_ignore_ascii_case(b"close");
        let closes =
            values("Connection").any(|value| value.split(|&byte| byte == b',').any(is_close));
        let path = match request.method {
            Some("GET" | "HEAD") => Ok(request.path.unwrap_or_default().to_owned()),
            _ => Err("405 Method Not Allowed\r\nAllow: GET, HEAD"),
        };
        let is_head = request.method == Some("HEAD");
        Some(Request { length, path, is_head, is_last: is_http_1_0 || closes })
    }

    /// Does the work: here it is to sleep, in place of a database or of much arithmetic.
    fn answer(&self) -> String {
        let (status, content) = match &self.path {
            Err(status) => (*status, String::new()),
            Ok(path) => {
                if let Some(Ok(millis)) = path.strip_prefix("/sleep/").map(str::parse) {
                    thread::sleep(Duration::from_millis(millis).min(Duration::from_secs(10)));
                }
                let thread = thread::current();
                ("200 OK", format!("{path} by {}\n", thread.name().unwrap_or_default()))
            }
        };
        let close = if self.is_last { "Connection: close\r\n" } else { "" };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{close}\r\n", content.len());
        if self.is_head { head } else { head + &content }
    }
}

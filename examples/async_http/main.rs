//! HTTP whose requests are answered by a pool of worker threads, for work that would hold a poller up.
//!
//! ```text
//! cargo run --release --example async_http
//! curl http://127.0.0.1:8080/ http://127.0.0.1:8080/sleep/500
//! ```
//!
//! A connection may send many requests at once (pipelining). Several workers take them, and the last
//! one may be done first; yet a client matches answers with requests by their order alone. So each
//! request has a number, and an answer that is early waits for those before it.

mod answers;
#[path = "../common/mod.rs"]
mod common;
mod workers;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use corepoll::{
    Acceptor, Action, EvContext, EvHandler, Interest, Listening, ReactorHandle, TimerId,
};

use answers::{Answers, response};
use common::{Arguments, Own};
use workers::Job;

/// How many workers there are unless told otherwise.
const WORKERS: usize = 4;

/// How many requests of one connection may be with the workers. Past it nothing more is read, so that
/// one client can't fill the queue of all.
const MOST_ASKED: u64 = 64;

/// How soon a connection that waits for its workers looks again whether it may go on reading.
const PAUSE: Duration = Duration::from_millis(1);

/// The longest head of a request.
const LONGEST_HEAD: usize = 16 * 1024;

/// One connection.
struct Session {
    /// To the workers.
    jobs: Sender<Job>,
    /// From the workers; there is a writer once the connection is open.
    answers: Option<Arc<Answers>>,
    /// What was read and is no whole request yet.
    input: Vec<u8>,
    /// How many requests there have been.
    asked: u64,
    /// No more requests are taken.
    is_ending: bool,
}

impl Session {
    fn new(jobs: Sender<Job>) -> Session {
        Session { jobs, answers: None, input: Vec::new(), asked: 0, is_ending: false }
    }

    /// Hands whole requests to the workers, as many as may be with them.
    fn take_requests(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let Some(answers) = self.answers.clone() else { return Ok(Action::Close) };
        let mut start = 0;
        while !self.is_ending && self.asked - answers.written() < MOST_ASKED {
            match parse(&self.input[start..]) {
                Ok(Some((length, path))) => {
                    start += length;
                    let job = Job { path, number: self.asked, answers: answers.clone() };
                    self.asked += 1;
                    self.jobs.send(job).map_err(io::Error::other)?;
                }
                Ok(None) => {
                    self.input.drain(..start);
                    cx.set_interest(Interest::READABLE)?;
                    return Ok(Action::Keep);
                }
                Err(status) => {
                    answers.put(self.asked, response(status, ""));
                    self.asked += 1;
                    return self.end(cx);
                }
            }
        }
        self.input.drain(..start);
        if !self.is_ending {
            // The workers have enough from us. What else the peer sends stays in the kernel.
            cx.set_interest(Interest::NONE)?;
            cx.set_timer(PAUSE);
        }
        Ok(Action::Keep)
    }

    /// Takes no more requests; the connection ends when the workers have answered those before.
    fn end(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.is_ending = true;
        cx.set_interest(Interest::NONE)?;
        let Some(answers) = &self.answers else { return Ok(Action::Close) };
        answers.end_after(self.asked);
        Ok(Action::Keep)
    }
}

impl EvHandler for Session {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.answers = Some(Arc::new(Answers::new(cx.writer())));
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let chunk = cx.read()?;
        if chunk.is_empty() {
            return self.end(cx);
        }
        self.input.extend_from_slice(&chunk);
        self.take_requests(cx)
    }

    fn on_timeout(&mut self, cx: &mut EvContext<'_>, _pause: TimerId) -> io::Result<Action> {
        self.take_requests(cx)
    }

    fn on_shutdown(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.end(cx)
    }
}

/// The length of the first request and its path, or `None` as long as it isn't whole; or the status that
/// refuses it.
fn parse(input: &[u8]) -> Result<Option<(usize, String)>, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(input) {
        Ok(httparse::Status::Complete(length)) => {
            let mut names = request.headers.iter().map(|header| header.name);
            let has_body = |name: &str| {
                let of_body = ["Content-Length", "Transfer-Encoding"];
                of_body.iter().any(|of_body| name.eq_ignore_ascii_case(of_body))
            };
            if names.any(has_body) {
                return Err("501 Not Implemented");
            }
            Ok(Some((length, request.path.unwrap_or("/").to_owned())))
        }
        Ok(httparse::Status::Partial) if input.len() > LONGEST_HEAD => {
            Err("431 Request Header Fields Too Large")
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(_) => Err("400 Bad Request"),
    }
}

fn main() -> ExitCode {
    let workers =
        Own { name: "workers", value: Some("N"), help: "How many threads answer [default: 4]" };
    let about = "Answers HTTP by worker threads, in order. /sleep/MILLISECONDS takes that long.";
    common::run("async_http", about, &[workers], false, listen)
}

/// Opens the listener.
fn listen(reactor: &ReactorHandle, arguments: &Arguments) -> io::Result<Listening> {
    let workers = match arguments.value("workers") {
        None => WORKERS,
        Some(text) => match text.parse() {
            Ok(workers) if workers > 0 => workers,
            _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "--workers: at least 1")),
        },
    };
    let jobs = workers::start(workers)?;
    Acceptor::new(&arguments.address.to_string())
        .listen(reactor, move || Session::new(jobs.clone()))
}

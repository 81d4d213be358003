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
#[path = "../common/request/mod.rs"]
mod request;
mod workers;

use std::io;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use corepoll::{
    Acceptor, Action, EvContext, EvHandler, Interest, Listening, ReactorHandle, TimerId,
};

use answers::Answers;
use common::{Arguments, Own};
use request::Requests;
use workers::Job;

/// How many workers there are unless told otherwise.
const WORKERS: usize = 4;

/// How many requests of one connection may be with the workers. Past it nothing more is read, so that
/// one client can't fill the queue of all.
const MOST_ASKED: u64 = 64;

/// How soon a connection that waits for its workers or its client looks again whether it may go on:
/// each time it is twice as long, up to the longest. Many that wait for long then cost little.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// With more than this queued for a client, none of its requests is taken until it has read. Far below
/// the library's cap on queued output, which ends the connection.
const OUTPUT_LIMIT: usize = 256 * 1024;

/// One connection.
struct Session {
    /// To the workers.
    jobs: Sender<Job>,
    /// From the workers; there is a writer once the connection is open.
    answers: Option<Arc<Answers>>,
    /// What was read and is not with the workers yet.
    requests: Requests,
    /// How many requests there have been.
    asked: u64,
    /// How long the next pause is.
    pause: Duration,
    /// No more requests are taken.
    is_ending: bool,
}

impl Session {
    fn new(jobs: Sender<Job>) -> Session {
        Session {
            jobs,
            answers: None,
            requests: Requests::default(),
            asked: 0,
            pause: SHORTEST_PAUSE,
            is_ending: false,
        }
    }

    /// Hands whole requests to the workers, as many as may be with them.
    fn take_requests(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let Some(answers) = self.answers.clone() else { return Ok(Action::Close) };
        while self.may_ask(&answers) {
            match self.requests.pop() {
                Ok(Some(request)) => {
                    let is_last = request.is_last();
                    let job = Job { request, number: self.asked, answers: answers.clone() };
                    self.asked += 1;
                    self.pause = SHORTEST_PAUSE;
                    self.jobs.send(job).map_err(io::Error::other)?;
                    if is_last {
                        return self.end(cx);
                    }
                }
                Ok(None) => {
                    cx.set_interest(Interest::READABLE)?;
                    return Ok(Action::Keep);
                }
                Err(refusal) => {
                    answers.put(self.asked, refusal.answer());
                    self.asked += 1;
                    return self.end(cx);
                }
            }
        }
        if !self.is_ending {
            // There is enough from us for now. What else the peer sends stays in the kernel.
            cx.set_interest(Interest::NONE)?;
            cx.set_timer(self.pause);
            self.pause = (2 * self.pause).min(LONGEST_PAUSE);
        }
        Ok(Action::Keep)
    }

    /// Whether the workers and the client have room for another request.
    fn may_ask(&self, answers: &Answers) -> bool {
        let is_behind = answers.pending() > OUTPUT_LIMIT;
        !self.is_ending && !is_behind && self.asked - answers.written() < MOST_ASKED
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
        self.requests.feed(&chunk);
        self.take_requests(cx)
    }

    fn on_timeout(&mut self, cx: &mut EvContext<'_>, _pause: TimerId) -> io::Result<Action> {
        self.take_requests(cx)
    }

    fn on_shutdown(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.end(cx)
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
    let workers = arguments.number("workers")?.map_or(WORKERS, NonZeroUsize::get);
    let jobs = workers::start(workers)?;
    Acceptor::new(&arguments.address.to_string())
        .listen(reactor, move || Session::new(jobs.clone()))
}

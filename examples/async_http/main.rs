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
//!
//! The workers take the connections in turns, and no connection has more than its share of them: one client
//! that asks for much work keeps none of the others waiting for all of it.

mod answers;
#[path = "../common/mod.rs"]
mod common;
#[path = "../techempower/http/request/mod.rs"]
mod request;
mod workers;

use std::io;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use corepoll::{
    Acceptor, Action, CloseReason, EvContext, EvHandler, Interest, Listening, ReactorHandle,
    TimerId,
};

use answers::Answers;
use common::{Arguments, Own};
use request::{Refusal, Requests};
use workers::{Job, Workers};

/// How many workers there are unless told otherwise.
const WORKERS: usize = 4;

/// How many requests of one connection may be with the workers, most of them waiting for their turn.
/// Past it nothing more is read, so that one client can't fill the memory.
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
    /// Those who answer.
    workers: Arc<Workers>,
    /// What they call this connection, once it is open.
    client: u64,
    /// From the workers; there is a writer once the connection is open.
    answers: Option<Arc<Answers>>,
    /// What was read and is not with the workers yet.
    requests: Requests,
    /// How many requests there have been.
    asked: u64,
    /// How long the next pause is.
    pause: Duration,
    /// How long the client may take for a request.
    patience: Duration,
    /// The timer that looks whether it has, each time that the patience is over.
    looks: Option<TimerId>,
    /// A whole request has come since it looked last.
    has_asked: bool,
    /// No more requests are taken.
    is_ending: bool,
}

impl Session {
    fn new(workers: Arc<Workers>, patience: Duration) -> Session {
        Session {
            client: 0,
            workers,
            patience,
            looks: None,
            has_asked: false,
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
                    self.has_asked = true;
                    self.pause = SHORTEST_PAUSE;
                    self.workers.give(self.client, job);
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

    /// Ends the connection if the client has let its time pass: it has sent no whole request, while there
    /// was nothing that it could be waiting for.
    fn look(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let has_asked = std::mem::take(&mut self.has_asked);
        let Some(answers) = &self.answers else { return Ok(Action::Close) };
        if has_asked || self.asked > answers.written() {
            return Ok(Action::Keep);
        }
        if self.requests.is_amid() {
            cx.write(&Refusal::TimedOut.answer())?;
        }
        Ok(Action::Close)
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
        self.client = self.workers.join();
        self.answers = Some(Arc::new(Answers::new(cx.writer())));
        self.looks = Some(cx.set_interval(self.patience));
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

    fn on_timeout(&mut self, cx: &mut EvContext<'_>, timer: TimerId) -> io::Result<Action> {
        if self.looks == Some(timer) { self.look(cx) } else { self.take_requests(cx) }
    }

    fn on_shutdown(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.end(cx)
    }

    fn on_close(&mut self, _: &mut EvContext<'_>, _: CloseReason) {
        // No work for a client that has gone.
        self.workers.leave(self.client);
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
    let (workers, patience) = (Workers::start(workers)?, arguments.patience);
    Acceptor::new(&arguments.address.to_string())
        .listen(reactor, move || Session::new(workers.clone(), patience))
}

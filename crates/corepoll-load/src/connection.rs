//! A connection of the load, on any wire: sends requests, and measures how long their answers take.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use corepoll::{Action, CloseReason, TimerId};
use futures::channel::oneshot;

use crate::options::{Mode, Protocol};
use crate::response::Responses;
use crate::schedule::Schedule;
use crate::statistics::Statistics;
use crate::wire::Wire;

/// What each connection sends, and how it goes on.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is said.
    pub protocol: Protocol,
    /// When a connection ends.
    pub mode: Mode,
    /// As many requests in a row as may be unanswered.
    pub requests: Vec<u8>,
    /// The length of one of them.
    pub length: usize,
    /// How many requests may be unanswered.
    pub pipeline: usize,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How many requests the connections of a poller may send together.
    pub most: u64,
}

/// A connection, which its poller calls.
#[derive(Debug)]
pub struct Connection {
    /// What to send.
    plan: Rc<Plan>,
    /// Where its poller counts.
    statistics: Rc<RefCell<Statistics>>,
    /// What has come of the answers.
    answers: Answers,
    /// When each request that is unanswered was sent, or was to be sent.
    sent: VecDeque<Instant>,
    /// When to send the next one; at once if there is none.
    schedule: Option<Schedule>,
    /// How many requests may still be sent.
    left: u64,
    /// When the load ends: no request is sent after that.
    end: Instant,
    /// The timer of the schedule, if it is armed.
    pace: Option<TimerId>,
    /// The timer that ends a wait for an answer.
    patience: Option<TimerId>,
    /// Hears of the end, and goes on with the schedule.
    ended: Option<oneshot::Sender<Option<Schedule>>>,
}

/// The answers of a connection, as far as they have come.
#[derive(Debug)]
enum Answers {
    /// By HTTP.
    Http(Responses),
    /// By an echo server: so many bytes of the first unanswered message are still to come.
    Echo(usize),
}

impl Connection {
    /// Makes a connection that sends until `end`. `ended` hears of its own end.
    pub fn new(
        plan: Rc<Plan>,
        statistics: Rc<RefCell<Statistics>>,
        schedule: Option<Schedule>,
        end: Instant,
        ended: oneshot::Sender<Option<Schedule>>,
    ) -> Connection {
        let answers = match plan.protocol {
            Protocol::Http => Answers::Http(Responses::default()),
            Protocol::Echo => Answers::Echo(plan.length),
        };
        let left = match plan.mode {
            Mode::Churn | Mode::Idle => 1,
            Mode::Http | Mode::Echo => u64::MAX,
        };
        Connection {
            plan,
            statistics,
            answers,
            sent: VecDeque::new(),
            schedule,
            left,
            end,
            pace: None,
            patience: None,
            ended: Some(ended),
        }
    }

    /// Lets the first request count from `begun`, before the connection was made.
    pub fn begun_at(mut self, begun: Instant) -> Connection {
        self.sent.push_back(begun);
        self.left -= 1;
        self.statistics.borrow_mut().sent += 1;
        self
    }

    /// Sends what is due, and arms the timers for what comes next.
    fn send(&mut self, cx: &mut impl Wire) -> io::Result<()> {
        let now = Instant::now();
        let before = self.sent.len();
        self.left = self.left.min(self.plan.most - self.statistics.borrow().sent);
        while self.sent.len() < self.plan.pipeline && self.left > 0 && now < self.end {
            let at = match &mut self.schedule {
                None => now,
                Some(schedule) if schedule.next() <= now => {
                    let at = schedule.next();
                    schedule.advance();
                    at
                }
                Some(schedule) => {
                    if self.pace.is_none() {
                        self.pace = Some(cx.set_timer(schedule.next() - now));
                    }
                    break;
                }
            };
            self.sent.push_back(at);
            self.left -= 1;
        }
        let count = self.sent.len() - before;
        if count > 0 {
            self.statistics.borrow_mut().sent += count as u64;
            cx.write(&self.plan.requests[..count * self.plan.length])?;
        }
        self.be_patient(cx);
        Ok(())
    }

    /// Gives the answer that is waited for its whole time. Postponing a timer costs a store.
    fn be_patient(&mut self, cx: &mut impl Wire) {
        let timeout = self.plan.timeout;
        if self.sent.is_empty() || self.patience.is_some_and(|timer| cx.reset_timer(timer, timeout))
        {
            return;
        }
        self.patience = Some(cx.set_timer(timeout));
    }

    /// Takes bytes that have come. Returns `true` if an answer has ended in them.
    // A part of both of its callers, the ways of plain connections and of TLS.
    #[inline(always)]
    fn receive(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let now = Instant::now();
        let mut statistics = self.statistics.borrow_mut();
        statistics.received += bytes.len() as u64;
        let before = self.sent.len();
        match &mut self.answers {
            Answers::Http(responses) => {
                let mut unasked = false;
                responses.feed(bytes, |status| match self.sent.pop_front() {
                    Some(at) => record(&mut statistics, status, now.saturating_duration_since(at)),
                    None => unasked = true,
                })?;
                if unasked {
                    return Err(invalid("a response that was not asked for"));
                }
            }
            Answers::Echo(left) => {
                let mut rest = bytes.len();
                while rest >= *left {
                    let at = self.sent.pop_front().ok_or_else(|| invalid("more than was sent"))?;
                    statistics.record(now.saturating_duration_since(at));
                    rest -= *left;
                    *left = self.plan.length;
                    if rest == 0 {
                        break;
                    }
                }
                *left -= rest;
            }
        }
        Ok(self.sent.len() < before)
    }

    /// Takes the end of what the peer sends.
    fn receive_end(&mut self) {
        if let Answers::Http(responses) = &mut self.answers
            && let Some(status) = responses.end()
            && let Some(at) = self.sent.pop_front()
        {
            record(&mut self.statistics.borrow_mut(), status, at.elapsed());
        }
    }

    /// Returns `true` if the connection has done its work.
    fn is_done(&self) -> bool {
        self.plan.mode == Mode::Churn && self.left == 0 && self.sent.is_empty()
    }

    /// Returns `true` if the peer has said that it closes the connection.
    fn is_to_be_closed(&self) -> bool {
        matches!(&self.answers, Answers::Http(responses) if responses.closes())
    }
}

/// What the handlers of both kinds of wires do.
impl Connection {
    /// Begins to send.
    pub fn begin(&mut self, cx: &mut impl Wire) -> io::Result<Action> {
        // The first request of a churned connection counts from before its connect.
        if !self.sent.is_empty() {
            cx.write(&self.plan.requests[..self.plan.length])?;
        }
        self.send(cx)?;
        Ok(Action::Keep)
    }

    /// Takes what has come, and sends what is due after it. No bytes are the end.
    #[inline(always)]
    pub fn take(&mut self, cx: &mut impl Wire, bytes: &[u8]) -> io::Result<Action> {
        if bytes.is_empty() {
            self.receive_end();
            return Ok(Action::Close);
        }
        if self.receive(bytes)? {
            if self.is_done() || self.is_to_be_closed() {
                return Ok(Action::Close);
            }
            self.send(cx)?;
        } else {
            self.be_patient(cx);
        }
        Ok(Action::Keep)
    }

    /// Does what a timer was armed for.
    pub fn fire(&mut self, cx: &mut impl Wire, timer: TimerId) -> io::Result<Action> {
        if self.pace == Some(timer) {
            self.pace = None;
            self.send(cx)?;
        } else if self.sent.is_empty() {
            self.patience = None;
        } else {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(Action::Keep)
    }

    /// Counts the end.
    pub fn end(&mut self, reason: CloseReason) {
        let mut statistics = self.statistics.borrow_mut();
        statistics.unanswered += self.sent.len() as u64;
        match reason {
            CloseReason::Error(error) if error.kind() == io::ErrorKind::TimedOut => {
                statistics.count_error("timeout");
            }
            CloseReason::Error(error) => statistics.count_io_error("connection", &error),
            // The load is over.
            CloseReason::Shutdown => {}
            _ if !self.sent.is_empty() => {
                statistics.count_error("closed before the answer");
            }
            _ if self.plan.mode == Mode::Idle => statistics.count_error("closed while idle"),
            _ => {}
        }
        if let Some(ended) = self.ended.take() {
            // The task that waits for it may have ended with the load.
            let _ = ended.send(self.schedule.take());
        }
    }
}

/// Counts an answer of HTTP.
fn record(statistics: &mut Statistics, status: u16, latency: Duration) {
    statistics.record(latency);
    if status >= 400 {
        statistics.count_error(format!("status {status}"));
    }
}

/// Makes the error of an answer that does not belong to a request.
pub fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

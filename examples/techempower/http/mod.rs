//! The server's half of HTTP/1.1 without any I/O: bytes in, bytes out, and a verdict.
//!
//! [`Connection::feed`] takes whatever one read brought, cut at any byte, and appends the answers to
//! all requests that it completes to one buffer, so that a pipeline is answered by one write. Both
//! APIs of the library drive this same code.
//!
//! A request that one chunk holds whole is parsed where it lies: nothing is copied and nothing is
//! allocated. Only a head that a chunk cuts is carried over to the next one. Bodies are skipped as
//! they pass. How a request is read is in `request/`.

mod answer;
mod date;
mod request;
mod target;

pub use date::DateField;

use answer::Reply;
use request::{Body, HEAD_LIMIT, Head, Refusal};

/// What the caller does with the connection once the output of [`Connection::feed`] is written.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// More requests may come.
    Keep,
    /// The last answer stands in the output: flush it, then close.
    Close,
}

/// One client's connection, as far as HTTP is concerned.
#[derive(Debug, Default)]
pub struct Connection {
    /// The beginning of a head that earlier chunks cut; shorter than [`HEAD_LIMIT`], and without
    /// memory of its own on a connection whose heads always came whole.
    carry: Vec<u8>,
    /// Which part of a request the next byte belongs to.
    stage: Stage,
    /// The next answer is the last one: set by [`Connection::wind_down`].
    is_winding_down: bool,
    /// A request has been answered since [`Connection::is_making_progress`] was asked last.
    has_answered: bool,
}

/// Which part of a request the next byte belongs to.
#[derive(Debug, Default)]
enum Stage {
    /// A head, or the start of one.
    #[default]
    Head,
    /// A body. Its request is answered when it has passed: a body that turns out to be malformed
    /// gets a 400 as its only answer, not as a second one.
    Body(Body, Reply),
    /// Nothing: the last answer is written, and whatever still comes is ignored.
    Closed,
}

/// A request whose head has been read.
#[derive(Clone, Copy, Debug)]
struct Begun {
    /// The bytes of its head.
    length: usize,
    /// The answer that it gets.
    reply: Reply,
    /// What follows the head; `None` also for a body without a byte.
    body: Option<Body>,
    /// The client waits for a `100 Continue` before it sends the body.
    expects_continue: bool,
}

impl Begun {
    /// The request whose head `bytes` begin with; `None` if they end before it does.
    fn parse(bytes: &[u8]) -> Result<Option<Begun>, Refusal> {
        let head = Head::parse(bytes)?;
        Ok(head.map(|head| Begun {
            length: head.length,
            reply: Reply::to(&head),
            body: head.body,
            expects_continue: head.expects_continue,
        }))
    }
}

impl Connection {
    /// A connection that nothing has been read from.
    pub fn new() -> Connection {
        Connection::default()
    }

    /// Takes what a read brought, and appends the answers to the requests that end in it.
    pub fn feed(&mut self, mut input: &[u8], date: &DateField, output: &mut Vec<u8>) -> Verdict {
        while !input.is_empty() {
            match self.step(input, date, output) {
                Ok(consumed) => input = &input[consumed..],
                Err(refusal) => {
                    answer::refuse(refusal, date, output);
                    self.stage = Stage::Closed;
                }
            }
        }
        self.verdict()
    }

    /// The server is about to end: a request of which nothing has come won't be waited for, and one
    /// that has begun gets the last answer.
    pub fn wind_down(&mut self) -> Verdict {
        self.is_winding_down = true;
        if matches!(self.stage, Stage::Head) && self.carry.is_empty() {
            self.stage = Stage::Closed;
        }
        self.verdict()
    }

    /// Whether a request has been answered since this was asked last.
    pub fn is_making_progress(&mut self) -> bool {
        std::mem::take(&mut self.has_answered)
    }

    /// The client's time is up: a request that has begun is refused, and nothing more is read.
    pub fn time_out(&mut self, date: &DateField, output: &mut Vec<u8>) -> Verdict {
        let is_amid = matches!(self.stage, Stage::Body(..)) || !self.carry.is_empty();
        if is_amid && self.verdict() == Verdict::Keep {
            answer::refuse(Refusal::TimedOut, date, output);
        }
        self.stage = Stage::Closed;
        self.verdict()
    }

    /// Consumes at least one byte: up to the end of this head or body, or all there is.
    fn step(
        &mut self,
        input: &[u8],
        date: &DateField,
        output: &mut Vec<u8>,
    ) -> Result<usize, Refusal> {
        match &mut self.stage {
            Stage::Head => match self.read_head(input)? {
                Some((head, consumed)) => {
                    self.begin(head, date, output);
                    Ok(consumed)
                }
                None => Ok(input.len()),
            },
            Stage::Body(body, reply) => match body.skip(input)? {
                Some(consumed) => {
                    let reply = *reply;
                    self.finish(reply, date, output);
                    Ok(consumed)
                }
                None => Ok(input.len()),
            },
            Stage::Closed => Ok(input.len()),
        }
    }

    /// The head that ends in `input`, and how much of `input` belongs to it. `None`: it goes on.
    fn read_head(&mut self, input: &[u8]) -> Result<Option<(Begun, usize)>, Refusal> {
        if !self.carry.is_empty() {
            return self.resume_head(input);
        }
        let head = Begun::parse(input)?;
        if head.is_none() {
            self.carry.extend_from_slice(input);
        }
        Ok(head.map(|head| (head, head.length)))
    }

    /// Like [`Connection::read_head`], for a head whose beginning is in `carry`.
    ///
    /// The carried bytes are parsed again from the start, which keeps no state of the parser. A peer
    /// that sends single bytes makes this quadratic, but [`HEAD_LIMIT`] keeps each round below the
    /// cost of the system call that brought the byte.
    fn resume_head(&mut self, input: &[u8]) -> Result<Option<(Begun, usize)>, Refusal> {
        let carried = self.carry.len();
        let room = HEAD_LIMIT - carried;
        self.carry.extend_from_slice(&input[..input.len().min(room)]);
        let head = Begun::parse(&self.carry)?;
        if head.is_some() {
            self.carry.clear();
        }
        Ok(head.map(|head| (head, head.length - carried)))
    }

    /// A head has been read: answers it now, or after its body.
    fn begin(&mut self, head: Begun, date: &DateField, output: &mut Vec<u8>) {
        let Some(body) = head.body else {
            return self.finish(head.reply, date, output);
        };
        if head.expects_continue && head.reply.is_refused() {
            // The client asked before sending its body, and the answer is no. Whether the body comes
            // all the same can't be known, so that nothing after this head could be told apart.
            return self.finish(head.reply.and_close(), date, output);
        }
        if head.expects_continue {
            output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        self.stage = Stage::Body(body, head.reply);
    }

    /// A request is complete.
    fn finish(&mut self, reply: Reply, date: &DateField, output: &mut Vec<u8>) {
        let reply = if self.is_winding_down { reply.and_close() } else { reply };
        reply.write(date, output);
        self.has_answered = true;
        self.stage = if reply.closes() { Stage::Closed } else { Stage::Head };
    }

    /// Whether more requests may come.
    fn verdict(&self) -> Verdict {
        match self.stage {
            Stage::Closed => Verdict::Close,
            Stage::Head | Stage::Body(..) => Verdict::Keep,
        }
    }
}

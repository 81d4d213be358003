//! The requests of a connection, one after the other, with what their answers need.

use super::body::Body;
use super::head::Head;
use super::persistence::Persistence;
use super::refusal::Refusal;

/// What a connection has sent, taken apart into requests.
#[derive(Debug, Default)]
pub struct Requests {
    /// What was read and not yet thrown away.
    input: Vec<u8>,
    /// How much of it has been taken.
    taken: usize,
    /// A request whose body is passing. It is handed out after it: a body that turns out to be
    /// malformed gets a refusal as its only answer, not as a second one.
    unfinished: Option<(Request, Body)>,
    /// There was a last one, or one that can't be read.
    has_ended: bool,
}

/// A request whose body has passed.
#[derive(Debug)]
pub struct Request {
    /// The path and the query; `None`: the target names neither.
    path: Option<String>,
    method: Method,
    /// What becomes of the connection.
    persistence: Persistence,
}

/// As much of a method as matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Get,
    /// As GET, and the answer is without its content.
    Head,
    Other,
}

impl Requests {
    /// Takes what a read has brought.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.has_ended {
            return;
        }
        self.input.drain(..self.taken);
        self.taken = 0;
        self.input.extend_from_slice(bytes);
    }

    /// The next request; `None` as long as it isn't whole. After a refusal, and after a request that
    /// is the last one, nothing more comes.
    pub fn pop(&mut self) -> Result<Option<Request>, Refusal> {
        if self.has_ended {
            return Ok(None);
        }
        let next = self.take();
        self.has_ended = match &next {
            Ok(request) => request.as_ref().is_some_and(Request::is_last),
            Err(_) => true,
        };
        next
    }

    /// Whether a request has begun and is not whole.
    pub fn is_amid(&self) -> bool {
        !self.has_ended && (self.unfinished.is_some() || self.taken < self.input.len())
    }

    /// The next request, whatever was before it.
    fn take(&mut self) -> Result<Option<Request>, Refusal> {
        let (request, body) = match self.unfinished.take() {
            Some((request, body)) => (request, Some(body)),
            None => match self.begin()? {
                Some(begun) => begun,
                None => return Ok(None),
            },
        };
        let Some(mut body) = body else { return Ok(Some(request)) };
        match body.skip(&self.input[self.taken..])? {
            Some(length) => {
                self.taken += length;
                Ok(Some(request))
            }
            None => {
                self.taken = self.input.len();
                self.unfinished = Some((request, body));
                Ok(None)
            }
        }
    }

    /// The next head, as a request, and the body to wait for.
    fn begin(&mut self) -> Result<Option<(Request, Option<Body>)>, Refusal> {
        let Some(head) = Head::parse(&self.input[self.taken..])? else { return Ok(None) };
        let mut request = Request::of(&head);
        let mut body = head.body;
        if head.expects_continue && body.is_some() {
            // The client asks whether to send the body. No answer depends on it, so the answer
            // comes at once. The body may follow all the same, so the connection ends after it.
            request.persistence = Persistence::Close;
            body = None;
        }
        self.taken += head.length;
        Ok(Some((request, body)))
    }
}

impl Request {
    fn of(head: &Head<'_>) -> Request {
        let method = match head.method {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            _ => Method::Other,
        };
        let path = head.path.map(str::to_owned);
        Request { path, method, persistence: head.persistence }
    }

    /// The path and the query that are asked for; or the answer to a request of another kind.
    pub fn path(&self) -> Result<&str, Vec<u8>> {
        match (&self.path, self.method) {
            (Some(path), Method::Get | Method::Head) => Ok(path),
            _ => Err(self.write("405 Method Not Allowed", "Allow: GET, HEAD\r\n", b"")),
        }
    }

    /// Whether the answer is without its content.
    pub fn omits_content(&self) -> bool {
        self.method == Method::Head
    }

    /// Whether the connection ends with the answer.
    pub fn is_last(&self) -> bool {
        self.persistence == Persistence::Close
    }

    /// A whole answer.
    pub fn answer(&self, status: &str, content: &[u8]) -> Vec<u8> {
        self.write(status, "", content)
    }

    /// The same with more fields, each with its line end.
    fn write(&self, status: &str, fields: &str, content: &[u8]) -> Vec<u8> {
        let (length, persistence) = (content.len(), self.persistence.field());
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{fields}{persistence}\r\n");
        let content = if self.omits_content() { b"" } else { content };
        [head.as_bytes(), content].concat()
    }
}

impl Refusal {
    /// The answer, which is the last one of its connection.
    pub fn answer(self) -> Vec<u8> {
        let close = Persistence::Close.field();
        format!("HTTP/1.1 {}\r\nContent-Length: 0\r\n{close}\r\n", self.status()).into_bytes()
    }
}

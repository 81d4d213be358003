//! The head of a request: parsed by httparse, then held to what RFC 9112 asks beyond the grammar.

use std::mem::MaybeUninit;

use super::answer::{Persistence, Refusal, Reply};
use super::body::Body;
use super::fields::Fields;
use super::target;

/// The longest head that is read, in bytes, from the first of its request line to its empty line.
pub const HEAD_LIMIT: usize = 8 * 1024;

/// The most header fields of one head: four times what browsers send.
const FIELD_COUNT_LIMIT: usize = 100;

/// What the rest of the server needs to know of a head.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// Its bytes, the empty line included.
    pub length: usize,
    /// The answer that its request gets.
    pub reply: Reply,
    /// What follows it; `None` also for a body without a byte.
    pub body: Option<Body>,
    /// The client waits for a `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

impl Head {
    /// The head that `bytes` begin with; `None` if they end before it does.
    ///
    /// Looks at no more than [`HEAD_LIMIT`] bytes, so that the outcome doesn't depend on how a read
    /// happened to cut the stream.
    pub fn parse(bytes: &[u8]) -> Result<Option<Head>, Refusal> {
        let window = &bytes[..bytes.len().min(HEAD_LIMIT)];
        let mut fields = [const { MaybeUninit::uninit() }; FIELD_COUNT_LIMIT];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(window, &mut fields) {
            Ok(httparse::Status::Complete(length)) => {
                refuse_bare_line_feeds(&window[..length])?;
                Head::examine(&request, length).map(Some)
            }
            Ok(httparse::Status::Partial) if window.len() == HEAD_LIMIT => Err(too_long(window)),
            Ok(httparse::Status::Partial) => Ok(None),
            Err(httparse::Error::TooManyHeaders) => Err(Refusal::HeaderFieldsTooLarge),
            Err(_) => Err(Refusal::BadRequest),
        }
    }

    /// Draws the conclusions from a head that fits the grammar.
    fn examine(request: &httparse::Request<'_, '_>, length: usize) -> Result<Head, Refusal> {
        let method = request.method.unwrap_or_default();
        let is_http_1_0 = request.version == Some(0);
        let fields = Fields::collect(request.headers)?;
        fields.check_host(is_http_1_0)?;
        let answer = target::answer(method, request.path.unwrap_or_default())?;
        let persistence = Persistence::of(&fields, is_http_1_0, method == "CONNECT");
        Ok(Head {
            length,
            reply: Reply::new(answer, method == "HEAD", persistence),
            body: fields.body(is_http_1_0)?,
            expects_continue: fields.expects_continue && !is_http_1_0,
        })
    }
}

/// Refuses a head with a line that ends in LF alone, which httparse would take.
///
/// Control characters can't stand inside a line, so that each LF here ends one. The pass has no
/// early exit, and the compiler makes vector instructions of it.
fn refuse_bare_line_feeds(head: &[u8]) -> Result<(), Refusal> {
    let pairs = head.iter().zip(&head[1..]);
    let bare = pairs.fold(head[0] == b'\n', |bare, (&before, &byte)| {
        bare | ((byte == b'\n') & (before != b'\r'))
    });
    if bare { Err(Refusal::BadRequest) } else { Ok(()) }
}

/// Why a head that fills the whole window without ending is refused.
fn too_long(window: &[u8]) -> Refusal {
    if window.contains(&b'\n') { Refusal::HeaderFieldsTooLarge } else { Refusal::UriTooLong }
}

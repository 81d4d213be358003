//! The head of a request: parsed by httparse, then held to what RFC 9112 asks beyond the grammar.

use std::mem::MaybeUninit;

use super::body::Body;
use super::fields::Fields;
use super::persistence::Persistence;
use super::refusal::Refusal;
use super::target;

/// The longest head that is read, in bytes, from the first of its request line to its empty line.
pub const HEAD_LIMIT: usize = 8 * 1024;

/// The most header fields of one head: four times what browsers send.
const FIELD_COUNT_LIMIT: usize = 100;

/// What a server needs to know of a head.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Its bytes, the empty line included.
    pub length: usize,
    /// The method, as it was sent: methods are told apart by case.
    pub method: &'a str,
    /// The path and its query; `None`: the target is an authority, or the server as a whole.
    pub path: Option<&'a str>,
    /// What becomes of the connection.
    pub persistence: Persistence,
    /// What follows it; `None` also for a body without a byte.
    pub body: Option<Body>,
    /// The client waits for a `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

impl<'a> Head<'a> {
    /// The head that `bytes` begin with; `None` if they end before it does.
    ///
    /// Looks at no more than [`HEAD_LIMIT`] bytes, so that the outcome doesn't depend on how a read
    /// happened to cut the stream.
    pub fn parse(bytes: &'a [u8]) -> Result<Option<Head<'a>>, Refusal> {
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
    fn examine(request: &httparse::Request<'_, 'a>, length: usize) -> Result<Head<'a>, Refusal> {
        let method = request.method.unwrap_or_default();
        let is_http_1_0 = request.version == Some(0);
        let fields = Fields::collect(request.headers)?;
        fields.check_host(is_http_1_0)?;
        Ok(Head {
            length,
            method,
            path: target::path(method, request.path.unwrap_or_default())?,
            persistence: Persistence::of(&fields, is_http_1_0, method == "CONNECT"),
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

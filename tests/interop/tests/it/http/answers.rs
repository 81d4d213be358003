//! What the servers of these tests answer. Bodies hold an `Rc`: nothing of this is `Send`.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::{Request, Response, StatusCode};
use interop::Pattern;

/// The body of an answer: a few bytes, a stretch of the pattern, or what the request brings.
pub type Answer = Either<Full<Bytes>, Either<PatternBody, Incoming>>;

/// The first bytes of the pattern, made as they are sent.
pub struct PatternBody {
    pattern: Rc<RefCell<Pattern>>,
    length: u64,
}

impl PatternBody {
    /// A body of that length.
    pub fn new(length: u64) -> PatternBody {
        PatternBody { pattern: Rc::default(), length }
    }
}

impl Body for PatternBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut pattern = self.pattern.borrow_mut();
        let left = self.length - pattern.done();
        if left == 0 {
            return Poll::Ready(None);
        }
        let next = Bytes::copy_from_slice(pattern.next(left));
        Poll::Ready(Some(Ok(Frame::data(next))))
    }

    fn is_end_stream(&self) -> bool {
        self.pattern.borrow().done() == self.length
    }
}

/// Answers a request:
///
/// | path | answer |
/// |---|---|
/// | `/` | `hello` |
/// | `/pattern/N` | the first N bytes of the pattern, in chunks |
/// | `/echo` | the body of the request, as it comes |
/// | `/hang` | nothing, ever; meanwhile it is counted in [`HANGING`] |
/// | `/slow` | `at last`, once a shutdown is requested; counted in [`SLOW`] |
/// | `/check` | how long the body of the request is, if it is the pattern |
pub async fn answer(request: Request<Incoming>) -> Result<Response<Answer>, hyper::Error> {
    let path = request.uri().path().to_owned();
    if let Some(length) = path.strip_prefix("/pattern/").and_then(|number| number.parse().ok()) {
        return Ok(Response::new(Either::Right(Either::Left(PatternBody::new(length)))));
    }
    Ok(match path.as_str() {
        "/" => text(StatusCode::OK, "hello"),
        "/echo" => Response::new(Either::Right(Either::Right(request.into_body()))),
        "/hang" => hang().await,
        "/slow" => slow().await,
        "/check" => check(request.into_body()).await?,
        _ => text(StatusCode::NOT_FOUND, "no such path"),
    })
}

/// How many requests of `/hang` there are.
pub static HANGING: AtomicUsize = AtomicUsize::new(0);

/// Never answers.
async fn hang() -> Response<Answer> {
    struct Leaves;
    impl Drop for Leaves {
        fn drop(&mut self) {
            HANGING.fetch_sub(1, Ordering::SeqCst);
        }
    }
    HANGING.fetch_add(1, Ordering::SeqCst);
    let _leaves = Leaves;
    std::future::pending().await
}

/// How many requests of `/slow` have begun.
pub static SLOW: AtomicUsize = AtomicUsize::new(0);

/// Answers after the shutdown has begun.
async fn slow() -> Response<Answer> {
    SLOW.fetch_add(1, Ordering::SeqCst);
    corepoll::shutdown_requested().await;
    corepoll::time::sleep(Duration::from_millis(50)).await;
    text(StatusCode::OK, "at last")
}

/// Reads a body, and compares it with the pattern.
async fn check(mut body: Incoming) -> Result<Response<Answer>, hyper::Error> {
    let mut pattern = Pattern::new();
    while let Some(frame) = body.frame().await {
        let data = frame?.into_data().unwrap_or_default();
        if !pattern.goes_on_with(&data) {
            return Ok(text(StatusCode::BAD_REQUEST, "another byte"));
        }
    }
    Ok(text(StatusCode::OK, pattern.done().to_string()))
}

/// An answer of a few bytes.
fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Answer> {
    let mut response = Response::new(Either::Left(Full::new(text.into())));
    *response.status_mut() = status;
    response
}

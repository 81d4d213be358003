//! What is answered, the same on both: a small text.

use std::convert::Infallible;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;

/// The body of every answer.
pub(super) const TEXT: &str = "Hello, World!";

/// Answers a request of hyper.
pub(super) async fn answer(
    _request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(TEXT.as_bytes())));
    let text = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, text);
    Ok(response)
}

/// The Router whose one route says the same.
pub(super) fn router() -> Router {
    Router::new().route("/plaintext", get(async || TEXT))
}

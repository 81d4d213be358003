//! From method and request target to an answer: the site that this server serves.

use super::answer::{Answer, Refusal};

/// What a request gets. The forms of a target are those of RFC 9112, 3.2.
pub fn answer(method: &str, target: &str) -> Result<Answer, Refusal> {
    if target.starts_with('/') {
        return Ok(answer_path(method, target));
    }
    match method {
        // An authority, to which a tunnel is wanted, and the server as a whole: no path that we have.
        "CONNECT" => Ok(Answer::MethodNotAllowed),
        "OPTIONS" if target == "*" => Ok(Answer::MethodNotAllowed),
        _ => path_of_absolute(target).map(|path| answer_path(method, path)),
    }
}

/// The answer for a path that may carry a query.
fn answer_path(method: &str, target: &str) -> Answer {
    let path = target.bytes().position(|byte| byte == b'?').map_or(target, |end| &target[..end]);
    let found = match path {
        "/plaintext" => Answer::Plaintext,
        "/json" => Answer::Json,
        _ => return Answer::NotFound,
    };
    if matches!(method, "GET" | "HEAD") { found } else { Answer::MethodNotAllowed }
}

/// The path in `http://authority/path?query`, which a client sends to a proxy, and which every server
/// has to accept.
fn path_of_absolute(target: &str) -> Result<&str, Refusal> {
    let (scheme, rest) = target.split_once("://").ok_or(Refusal::BadRequest)?;
    let is_ours = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    if is_ours && authority_end > 0 { Ok(&rest[authority_end..]) } else { Err(Refusal::BadRequest) }
}

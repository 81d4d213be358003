//! From a method and a path to an answer: the site that this server serves.

use super::answer::Answer;

/// What a request gets. No path: an authority, or the server as a whole, for which we have nothing.
pub fn answer(method: &str, path: Option<&str>) -> Answer {
    path.map_or(Answer::MethodNotAllowed, |path| answer_path(method, path))
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

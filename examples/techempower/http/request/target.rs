//! What a request is for: the forms of a target are those of RFC 9112, 3.2.

use super::refusal::Refusal;

/// The path that a target names, and its query; `None` for what names none.
pub fn path<'a>(method: &str, target: &'a str) -> Result<Option<&'a str>, Refusal> {
    if target.starts_with('/') {
        return Ok(Some(target));
    }
    match method {
        // An authority, to which a tunnel is wanted, and the server as a whole.
        "CONNECT" => Ok(None),
        "OPTIONS" if target == "*" => Ok(None),
        _ => path_of_absolute(target).map(Some),
    }
}

/// The path in `http://authority/path?query`, which a client sends to a proxy, and which every server
/// has to accept.
fn path_of_absolute(target: &str) -> Result<&str, Refusal> {
    let (scheme, rest) = target.split_once("://").ok_or(Refusal::BadRequest)?;
    let is_ours = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    if is_ours && authority_end > 0 { Ok(&rest[authority_end..]) } else { Err(Refusal::BadRequest) }
}

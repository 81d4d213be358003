//! What changes in a head on its way.

use std::net::SocketAddr;

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri, Version, body::Incoming};

/// What belongs to one connection and is not passed on (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|it| it.to_str().ok());
    let named: Vec<String> =
        values.flat_map(|it| it.split(',')).map(|it| it.trim().to_ascii_lowercase()).collect();
    for name in named.iter().map(String::as_str).chain(HOP_BY_HOP.iter().map(HeaderName::as_str)) {
        headers.remove(name);
    }
}

/// The protocol that a client of HTTP/1.1 asks to switch to.
pub fn upgrade_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let connection = headers.get(header::CONNECTION)?.to_str().ok()?.to_ascii_lowercase();
    let is_asked = connection.split(',').any(|it| it.trim() == "upgrade");
    headers.get(header::UPGRADE).filter(|_| is_asked).cloned()
}

/// Makes of a client's request the one that an upstream gets.
pub fn adapt(
    request: &mut Request<Incoming>,
    peer: SocketAddr,
    protocol: Option<HeaderValue>,
) -> Result<(), StatusCode> {
    let uri = std::mem::take(request.uri_mut());
    let path = uri.path_and_query().filter(|_| request.method() != Method::CONNECT);
    *request.uri_mut() = Uri::from(path.ok_or(StatusCode::NOT_IMPLEMENTED)?.clone());
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    remove_hop_by_hop(headers);
    let mut set = |name, value: &str| {
        let value = HeaderValue::from_str(value).map_err(|_| StatusCode::BAD_REQUEST)?;
        headers.insert(HeaderName::from_static(name), value);
        Ok::<(), StatusCode>(())
    };
    if let Some(authority) = uri.authority() {
        set("host", authority.as_str())?; // HTTP/2 has it there
    }
    // What a client says about itself here is not believed.
    set("x-forwarded-for", &peer.ip().to_string())?;
    set("x-forwarded-proto", "https")?;
    if let Some(protocol) = protocol {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
    Ok(())
}

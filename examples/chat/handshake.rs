//! HTTP: the first request of a connection asks for the page, or for the upgrade to WebSocket.

use std::io;

use async_tungstenite::tungstenite::Error;
use async_tungstenite::tungstenite::error::ProtocolError;
use async_tungstenite::tungstenite::handshake::machine::TryParse;
use async_tungstenite::tungstenite::handshake::server::{Request, create_response, write_response};
use corepoll::net::TcpStream;
use futures::AsyncWriteExt;

/// What a browser shows.
const PAGE: &str = include_str!("page.html");

/// The longest head of a request.
const LONGEST_HEAD: usize = 16 * 1024;

/// Answers the first request of a connection. Returns what came behind the request, which are frames
/// already, if the connection is a WebSocket now, and `None` if it has had its answer.
pub async fn accept(mut stream: &TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut input = Vec::new();
    let (length, request) = loop {
        let chunk = stream.read_chunk().await?;
        if chunk.is_empty() {
            return Ok(None);
        }
        input.extend_from_slice(&chunk);
        match Request::try_parse(&input) {
            Ok(Some(parsed)) => break parsed,
            Ok(None) if input.len() <= LONGEST_HEAD => {}
            Ok(None) => return answer(stream, "431 Request Header Fields Too Large", "").await,
            Err(Error::Protocol(ProtocolError::WrongHttpMethod)) => {
                return answer(stream, "405 Method Not Allowed\r\nAllow: GET", "").await;
            }
            Err(_) => return answer(stream, "400 Bad Request", "").await,
        }
    };
    if !names_one_host(&request) {
        return answer(stream, "400 Bad Request", "").await;
    }
    if !request.headers().contains_key("Upgrade") {
        return match request.uri().path() {
            "/" => answer(stream, "200 OK", PAGE).await,
            _ => answer(stream, "404 Not Found", "").await,
        };
    }
    let Ok(response) = create_response(&request) else {
        return answer(stream, "400 Bad Request", "").await;
    };
    let mut head = Vec::new();
    write_response(&mut head, &response).map_err(io::Error::other)?;
    stream.write_all(&head).await?;
    input.drain(..length);
    Ok(Some(input))
}

/// Whether a request names its host exactly once (RFC 9112, section 3.2). Tungstenite does not look, and a
/// request that different servers on its way take for different hosts is one that can be smuggled.
fn names_one_host(request: &Request) -> bool {
    let mut hosts = request.headers().get_all("Host").iter();
    let is_host = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%:[]".contains(byte);
    hosts.next().is_some_and(|host| host.as_bytes().iter().all(is_host)) && hosts.next().is_none()
}

/// Answers by HTTP. The caller ends the connection.
async fn answer(
    mut stream: &TcpStream,
    status: &str,
    content: &str,
) -> io::Result<Option<Vec<u8>>> {
    let length = content.len();
    let fields = "Content-Type: text/html; charset=utf-8\r\nConnection: close";
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{fields}\r\n\r\n");
    stream.write_all((head + content).as_bytes()).await?;
    Ok(None)
}

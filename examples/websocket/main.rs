//! A chat: what one says by WebSocket, all hear, on every poller, the speaker as well.
//!
//! ```text
//! cargo run --release --example websocket
//! ```
//!
//! Then open <http://127.0.0.1:8080/> in two windows: the page is served on the same port. A connection
//! begins as HTTP; its first request asks for the page, or for the upgrade to WebSocket.

#[allow(dead_code)]
#[path = "../techempower/http/request/byte_set.rs"]
mod byte_set;
#[path = "../common/mod.rs"]
mod common;
mod incoming;
mod member;
mod room;

use std::io;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::Error;
use async_tungstenite::tungstenite::error::ProtocolError;
use async_tungstenite::tungstenite::handshake::machine::TryParse;
use async_tungstenite::tungstenite::handshake::server::{Request, create_response, write_response};
use async_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use corepoll::net::TcpStream;
use corepoll::{ReactorHandle, shutdown_requested, time};
use futures::{AsyncWriteExt, FutureExt};

use common::{Own, close_lingering};
use incoming::Incoming;

/// What a browser shows.
const PAGE: &str = include_str!("page.html");

/// The longest head of a request.
const LONGEST_HEAD: usize = 16 * 1024;

/// The longest message, whole or in one frame. Who sends a longer one is sent away; how much all may have
/// sent of messages that are not whole is in `incoming`.
const LONGEST_MESSAGE: usize = 4 * 1024 * 1024;

/// How much may wait to be sent to one peer: a message and the pongs behind it. Who asks for pongs and
/// doesn't read them gets the last one only.
const LONGEST_OUTPUT: usize = 2 * LONGEST_MESSAGE;

/// What is allocated for each connection to read into. The default is made for few busy ones.
const READ_BUFFER: usize = 4 * 1024;

/// Serves one connection, from its first request to its end.
async fn serve(stream: TcpStream, reactor: ReactorHandle, patience: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = Vec::new();
    let request = {
        let mut reading = pin!(time::timeout(patience, read_head(&stream, &mut input)).fuse());
        futures::select_biased! {
            request = reading => request??,
            () = shutdown_requested().fuse() => return Ok(()),
        }
    };
    let request = match request {
        Some(Ok(request)) => request,
        Some(Err(status)) => return answer(&stream, status, "").await,
        None => return Ok(()),
    };
    if request.headers().get("Upgrade").is_none() {
        let (status, content) = match request.uri().path() {
            "/" => ("200 OK", PAGE),
            _ => ("404 Not Found", ""),
        };
        return answer(&stream, status, content).await;
    }
    let Ok(response) = create_response(&request) else {
        return answer(&stream, "400 Bad Request", "").await;
    };
    let mut head = Vec::new();
    write_response(&mut head, &response).map_err(io::Error::other)?;
    (&stream).write_all(&head).await?;

    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_write_buffer_size(LONGEST_OUTPUT)
        .max_message_size(Some(LONGEST_MESSAGE))
        .max_frame_size(Some(LONGEST_MESSAGE));
    // What came behind the request are frames already.
    let incoming = Incoming::new(stream, patience);
    let socket =
        WebSocketStream::from_partially_read(incoming, input, Role::Server, Some(config)).await;
    close_lingering(&member::serve(socket, &reactor, patience).await).await
}

/// The head of the first request, or the status that refuses it; `None` if the peer ends before it is
/// whole. What comes behind it is left in `input`.
async fn read_head(
    stream: &TcpStream,
    input: &mut Vec<u8>,
) -> io::Result<Option<Result<Request, &'static str>>> {
    loop {
        let chunk = stream.read_chunk().await?;
        if chunk.is_empty() {
            return Ok(None);
        }
        input.extend_from_slice(&chunk);
        match Request::try_parse(input) {
            Ok(Some((length, request))) if names_one_host(&request) => {
                input.drain(..length);
                return Ok(Some(Ok(request)));
            }
            Ok(Some(_)) => return Ok(Some(Err("400 Bad Request"))),
            Ok(None) if input.len() <= LONGEST_HEAD => {}
            Ok(None) => return Ok(Some(Err("431 Request Header Fields Too Large"))),
            Err(Error::Protocol(ProtocolError::WrongHttpMethod)) => {
                return Ok(Some(Err("405 Method Not Allowed\r\nAllow: GET")));
            }
            Err(_) => return Ok(Some(Err("400 Bad Request"))),
        }
    }
}

/// Whether a request says whom it is for, once, as RFC 9112 asks in section 3.2. Tungstenite doesn't look,
/// and a request that is taken for different hosts on its way is one that can be smuggled.
fn names_one_host(request: &Request) -> bool {
    let mut hosts = request.headers().get_all("Host").iter();
    let is_host = |host: &[u8]| host.iter().all(|&byte| byte_set::HOST.contains(byte));
    hosts.next().is_some_and(|host| is_host(host.as_bytes())) && hosts.next().is_none()
}

/// Answers by HTTP, and ends the connection.
async fn answer(mut stream: &TcpStream, status: &str, content: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        content.len()
    );
    stream.write_all(&[head.as_bytes(), content.as_bytes()].concat()).await?;
    close_lingering(stream).await
}

fn main() -> ExitCode {
    let own: [Own; 0] = [];
    common::run(
        "websocket",
        "A chat by WebSocket, with its page.",
        &own,
        false,
        |reactor, given| {
            let (handle, patience) = (reactor.clone(), given.patience);
            reactor
                .serve(given.address, move |stream, _peer| serve(stream, handle.clone(), patience))
        },
    )
}

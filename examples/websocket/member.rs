//! One member of the chat.

use std::pin::pin;
use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::error::ProtocolError;
use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::{Error, Message};
use corepoll::net::TcpStream;
use corepoll::{ReactorHandle, shutdown_requested, time, with_local, yield_now};
use futures::{FutureExt, StreamExt};

use crate::room::{Room, tell_all};

/// How long a member may take to read one message. Who takes longer has probably vanished.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves a member until one side has said goodbye, and gives the stream back to be closed.
pub async fn serve(mut socket: WebSocketStream<TcpStream>, reactor: &ReactorHandle) -> TcpStream {
    if let Some(code) = talk(&mut socket, reactor).await {
        let goodbye = CloseFrame { code, reason: "".into() };
        send(&mut socket, Message::Close(Some(goodbye))).await;
    }
    socket.into_inner()
}

/// Hears and says, until the end; gives the code to close with, if there is anybody to be told.
async fn talk(
    socket: &mut WebSocketStream<TcpStream>,
    reactor: &ReactorHandle,
) -> Option<CloseCode> {
    let mut inbox = with_local(Room::join);
    let mut shutdown = pin!(shutdown_requested().fuse());
    loop {
        // What waits to be said to this member comes first: who doesn't listen isn't listened to.
        futures::select_biased! {
            () = shutdown => return Some(CloseCode::Away),
            heard = pin!(inbox.next().fuse()) => match heard {
                Some(message) => {
                    if !send(socket, message).await {
                        return None;
                    }
                }
                None => return Some(CloseCode::Again),
            },
            said = socket.next() => match said {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                    tell_all(reactor, message);
                    // Whoever says much at once lets it arrive in between.
                    yield_now().await;
                }
                // Tungstenite answers pings and goodbyes while it is asked for the next message.
                Some(Ok(_)) => {}
                Some(Err(error)) => return code(&error),
                None => return None,
            },
        }
    }
}

/// Sends a message; false: it can't be.
async fn send(socket: &mut WebSocketStream<TcpStream>, message: Message) -> bool {
    matches!(time::timeout(SEND_TIMEOUT, socket.send(message)).await, Ok(Ok(())))
}

/// What a peer is told that has sent what can't be taken: RFC 6455, section 7.4.1.
fn code(error: &Error) -> Option<CloseCode> {
    match error {
        // It has gone without a word.
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(_) => Some(CloseCode::Protocol),
        Error::Utf8(_) => Some(CloseCode::Invalid),
        Error::Capacity(_) => Some(CloseCode::Size),
        _ => None,
    }
}

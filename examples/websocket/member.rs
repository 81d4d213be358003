//! One member of the chat.

use std::io;
use std::pin::pin;
use std::time::{Duration, Instant};

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::error::ProtocolError;
use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::{Error, Message};
use corepoll::net::TcpStream;
use corepoll::{ReactorHandle, shutdown_requested, time, with_local, yield_now};
use futures::{FutureExt, StreamExt};

use crate::incoming::Incoming;
use crate::room::{Room, tell_all};

/// A connection that has become a member's.
type Socket = WebSocketStream<Incoming>;

/// Serves a member until one side has said goodbye, and gives the stream back to be closed. `patience`
/// is how long it may take to read one message, to send one, and to answer a ping. A member that takes
/// longer has probably vanished.
pub async fn serve(mut socket: Socket, reactor: &ReactorHandle, patience: Duration) -> TcpStream {
    if let Some(code) = talk(&mut socket, reactor, patience).await {
        let goodbye = CloseFrame { code, reason: "".into() };
        send(&mut socket, Message::Close(Some(goodbye)), patience).await;
    }
    socket.into_inner().into_stream()
}

/// Hears and says, until the end; gives the code to close with, if there is anybody to be told.
async fn talk(
    socket: &mut Socket,
    reactor: &ReactorHandle,
    patience: Duration,
) -> Option<CloseCode> {
    let mut inbox = with_local(Room::join);
    let mut looks = time::interval_at(Instant::now() + patience, patience);
    let mut is_silent = false;
    let mut shutdown = pin!(shutdown_requested().fuse());
    loop {
        // What waits to be said to this member comes first: who doesn't listen isn't listened to.
        futures::select_biased! {
            () = shutdown => return Some(CloseCode::Away),
            heard = pin!(inbox.next().fuse()) => match heard {
                Some(message) => {
                    if !send(socket, message, patience).await {
                        return None;
                    }
                }
                None => return Some(CloseCode::Again),
            },
            _look = pin!(looks.tick().fuse()) => {
                // A member that only listens answers pings: without them, one that has vanished would
                // stay for ever.
                if is_silent || !send(socket, Message::Ping("".into()), patience).await {
                    return None;
                }
                is_silent = true;
            }
            said = socket.next() => match said {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                    is_silent = false;
                    socket.get_mut().is_whole();
                    tell_all(reactor, message);
                    // Whoever says much at once lets it arrive in between.
                    yield_now().await;
                }
                // Tungstenite answers pings and goodbyes while it is asked for the next message.
                Some(Ok(control)) => {
                    is_silent = false;
                    socket.get_mut().was_control(control.len());
                }
                Some(Err(error)) => return code(&error),
                None => return None,
            },
        }
    }
}

/// Sends a message; false: it can't be.
async fn send(socket: &mut Socket, message: Message, patience: Duration) -> bool {
    matches!(time::timeout(patience, socket.send(message)).await, Ok(Ok(())))
}

/// What a peer is told that has sent what can't be taken: RFC 6455, section 7.4.1.
fn code(error: &Error) -> Option<CloseCode> {
    match error {
        // It has gone without a word.
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(_) => Some(CloseCode::Protocol),
        Error::Utf8(_) => Some(CloseCode::Invalid),
        Error::Capacity(_) => Some(CloseCode::Size),
        // What `incoming` says: it has taken too long, or there is too much of all.
        Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => Some(CloseCode::Policy),
        Error::Io(error) if error.kind() == io::ErrorKind::OutOfMemory => Some(CloseCode::Again),
        _ => None,
    }
}

//! async-tungstenite on corepoll's streams, with the websockets of Python.

use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::{Error, Message};
use async_tungstenite::{accept_async, client_async};
use corepoll::net::TcpStream;
use futures::StreamExt;
use interop::{Peer, Server, pattern, python, wait_for};

/// Sends every message back, until the close frame.
async fn echo(stream: TcpStream) -> Result<(), Error> {
    let mut socket = accept_async(stream).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

#[test]
fn a_server_is_talked_to_by_python() {
    let (_server, addr) = Server::of_tasks(|stream, _| echo(stream));
    let mut client = python("websocket_client.py");
    let printed = Peer::run(client.arg(format!("ws://{addr}/")), b"").success();
    assert_eq!(printed, "ok\n");
}

#[test]
fn a_client_talks_to_python() {
    let mut server = Peer::start(&mut python("websocket_server.py"));
    let addr = server.port();
    let talk = async {
        let stream = TcpStream::connect(addr).await?;
        let (mut socket, _) = client_async(format!("ws://{addr}/"), stream).await?;
        let messages =
            [Message::text("grüße"), Message::binary(pattern(1 << 20)), Message::text("")];
        for message in messages {
            socket.send(message.clone()).await?;
            assert_eq!(socket.next().await.expect("it goes on")?, message);
        }
        socket.send(Message::text("close")).await?;
        let last = socket.next().await.expect("a close frame")?;
        let reason = CloseFrame { code: CloseCode::Library(4002), reason: "as asked".into() };
        assert_eq!(last, Message::Close(Some(reason)));
        assert!(socket.next().await.is_none(), "it goes on after the end");
        Ok::<(), Error>(())
    };
    wait_for(talk).expect("a connection without an error");
}

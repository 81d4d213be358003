//! A chat by WebSocket: what one member says, all members hear, whichever poller they are on.
//!
//! ```text
//! cargo run --example chat
//! ```
//!
//! Then open <http://127.0.0.1:8080/> in two windows: the page comes from the same port.
//!
//! - `main.rs`: the server, and a member's life.
//! - `room.rs`: the members on one poller. Each poller has its own room, without a lock; a broadcast
//!   brings a message to all of them, in the same order everywhere.
//! - `handshake.rs`: HTTP, until a connection has become a WebSocket.
//! - `incoming.rs`: what members may hold of messages that are not whole.

mod handshake;
mod incoming;
mod room;

use std::io;
use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::pin::pin;
use std::thread::{self, available_parallelism};
use std::time::{Duration, Instant};

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};
use clap::Parser;
use corepoll::net::TcpStream;
use corepoll::{Reactor, ReactorHandle, shutdown_requested, time, with_local, yield_now};
use futures::future::{Either, select};
use futures::{AsyncWriteExt, FutureExt, StreamExt};
use incoming::Incoming;
use room::Room;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// A connection that has become a member's.
type Socket = WebSocketStream<Incoming>;

/// The longest message, whole or in one frame.
const LONGEST_MESSAGE: usize = 4 * 1024 * 1024;

/// A chat by WebSocket, with its page
#[derive(Parser)]
struct Options {
    /// The address to listen on; port 0 takes a free port
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// The number of pollers, each a thread
    #[arg(long, default_value_t = available_parallelism().unwrap_or(NonZeroUsize::MIN))]
    pollers: NonZeroUsize,
    /// The milliseconds that a peer may take for a message, to read one, and to answer a ping
    #[arg(long, value_name = "MS", default_value = "60000")]
    patience: NonZeroU64,
}

fn main() -> io::Result<()> {
    let Options { addr, pollers, patience } = Options::parse();
    let patience = Duration::from_millis(patience.get());
    let reactor = Reactor::builder().pollers(pollers.get()).build()?;

    // The first signal gives the members five seconds to say goodbye, a second one no time at all.
    let (stop, mut signals) = (reactor.handle(), Signals::new([SIGINT, SIGTERM])?);
    thread::spawn(move || {
        for (_signal, grace) in signals.forever().zip([Duration::from_secs(5), Duration::ZERO]) {
            stop.shutdown(grace);
        }
    });

    let listening = reactor.handle().serve(addr, move |stream, _peer| serve(stream, patience))?;
    println!("listening on {}", listening.local_addr()?);
    reactor.run()
}

/// Serves one connection from its first request to its end.
async fn serve(mut stream: TcpStream, patience: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let handshake = time::timeout(patience, handshake::accept(&stream));
    let accepted = match select(pin!(handshake), pin!(shutdown_requested())).await {
        Either::Left((accepted, _)) => accepted??,
        Either::Right(_) => return Ok(()),
    };
    if let Some(frames) = accepted {
        let config = WebSocketConfig::default()
            .read_buffer_size(4 * 1024) // for each member; the default is made for few busy ones
            .max_write_buffer_size(2 * LONGEST_MESSAGE) // a message, and the pongs behind it
            .max_message_size(Some(LONGEST_MESSAGE))
            .max_frame_size(Some(LONGEST_MESSAGE));
        let stream_in = Incoming::new(stream, patience);
        let mut socket =
            WebSocketStream::from_partially_read(stream_in, frames, Role::Server, Some(config))
                .await;
        if let Some(code) = talk(&mut socket, patience).await {
            let goodbye = CloseFrame { code, reason: "".into() };
            send(&mut socket, Message::Close(Some(goodbye)), patience).await;
        }
        stream = socket.into_inner().into_stream();
    }
    // Closing a socket that holds unread bytes resets the connection, which destroys the last words on
    // their way. So what the peer still sends is read, for a while.
    stream.close().await?;
    let rest = async { while stream.read_chunk().await.is_ok_and(|chunk| !chunk.is_empty()) {} };
    let _ = time::timeout(Duration::from_secs(2), rest).await;
    Ok(())
}

/// Listens and speaks for one member, until the end. Returns the code to say goodbye with, if the member
/// may still hear it.
async fn talk(socket: &mut Socket, patience: Duration) -> Option<CloseCode> {
    let mut inbox = with_local(Room::join);
    let mut pings = time::interval_at(Instant::now() + patience, patience);
    let mut is_silent = false;
    let mut shutdown = pin!(shutdown_requested().fuse());
    loop {
        // The order matters: what a member has to hear comes before what it says. A member that does
        // not read is not read from either.
        futures::select_biased! {
            () = shutdown => return Some(CloseCode::Away),
            heard = pin!(inbox.next().fuse()) => {
                let Some(message) = heard else { return Some(CloseCode::Again) }; // too far behind
                if !send(socket, message, patience).await {
                    return None;
                }
            }
            _tick = pin!(pings.tick().fuse()) => {
                // A member that has vanished does not answer, and would stay for ever.
                if is_silent || !send(socket, Message::Ping("".into()), patience).await {
                    return None;
                }
                is_silent = true;
            }
            said = socket.next() => {
                is_silent = false;
                match said? {
                    Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                        socket.get_mut().message_is_whole();
                        let tell = move || with_local(|room: &mut Room| room.tell(&message));
                        ReactorHandle::current().broadcast(tell);
                        yield_now().await; // lets it arrive before this member says more
                    }
                    // Tungstenite answers pings and goodbyes while it is asked for the next message.
                    Ok(control) => socket.get_mut().was_control(control.len()),
                    Err(error) => return incoming::close_code(&error),
                }
            }
        }
    }
}

/// Sends a message. Returns `false` if that fails, or takes too long.
async fn send(socket: &mut Socket, message: Message, patience: Duration) -> bool {
    matches!(time::timeout(patience, socket.send(message)).await, Ok(Ok(())))
}

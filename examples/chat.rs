//! A chat by WebSocket: what one member says, all members hear, whichever poller they are on.
//!
//! ```text
//! cargo run --example chat         # then open http://127.0.0.1:8080/ in two windows
//! ```
//!
//! Each poller has a room with its own members, which only its thread touches: no lock is needed. A
//! broadcast carries a message to all rooms, in the same order everywhere. The protocol is left to
//! tungstenite, which works on any stream of futures-io. A server on the internet also checks the
//! request's `Host` and `Origin`, limits what each member says a second, and speaks TLS.

use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::process::ExitCode;
use std::thread::{self, available_parallelism};
use std::time::{Duration, Instant};
use std::{io, pin::pin};

use async_tungstenite::tungstenite::error::{Error, ProtocolError};
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::protocol::{CloseFrame, Message, WebSocketConfig};
use async_tungstenite::{WebSocketStream as Socket, accept_async_with_config};
use clap::Parser;
use corepoll::{Deadlines, Reactor, ReactorHandle, net::TcpStream, time};
use corepoll::{shutdown_requested, with_local, yield_now};
use futures::{AsyncWriteExt, FutureExt, StreamExt, channel::mpsc, select_biased};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The longest message, and the most messages that wait for one member: 16 MiB together.
const LONGEST_MESSAGE: usize = 64 * 1024;
const MOST_WAITING: usize = 256;

fn main() -> ExitCode {
    let Err(error) = run(Options::parse()) else { return ExitCode::SUCCESS };
    eprintln!("chat: {error}");
    ExitCode::FAILURE
}

fn run(Options { addr, pollers, patience }: Options) -> io::Result<()> {
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

/// Serves a connection: a member of the chat, or a browser that asks for the page.
async fn serve(mut stream: TcpStream, patience: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // Members are pinged once in this time, so one that sends nothing for twice as long has vanished.
    stream.set_deadlines(Deadlines { read: Some(2 * patience), ..Deadlines::default() });
    let config = WebSocketConfig::default()
        .read_buffer_size(4 * 1024) // for each member; the default is made for few busy ones
        .max_write_buffer_size(4 * LONGEST_MESSAGE) // a message, and the pongs behind it
        .max_message_size(Some(LONGEST_MESSAGE))
        .max_frame_size(Some(LONGEST_MESSAGE));
    match time::timeout(patience, accept_async_with_config(&stream, Some(config))).await? {
        Ok(mut socket) => {
            let code = talk(&mut socket, patience).await.unwrap_or(CloseCode::Policy);
            let goodbye = Message::Close(Some(CloseFrame { code, reason: "".into() }));
            let _ = time::timeout(patience, socket.send(goodbye)).await;
        }
        // A request for anything else than a WebSocket.
        Err(Error::Protocol(ProtocolError::MissingConnectionUpgradeHeader)) => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n";
            stream.write_all([head, include_str!("chat.html")].concat().as_bytes()).await?;
        }
        Err(error) => return Err(io::Error::other(error)),
    }
    // Closing a socket that holds unread bytes resets the connection, which destroys the last words on
    // their way. So what the peer still sends is read, for a while.
    stream.close().await?;
    let rest = async { while stream.read_chunk().await.is_ok_and(|chunk| !chunk.is_empty()) {} };
    let _ = time::timeout(Duration::from_secs(2), rest).await;
    Ok(())
}

/// Listens and speaks for a member until the end. Returns the code to say goodbye with.
async fn talk(socket: &mut Socket<&TcpStream>, patience: Duration) -> Result<CloseCode, Error> {
    let mut inbox = with_local(Room::join);
    let mut pings = time::interval_at(Instant::now() + patience, patience);
    let mut shutdown = pin!(shutdown_requested().fuse());
    loop {
        // What a member has to hear comes first: one that does not read is not read from either.
        let message = select_biased! {
            () = shutdown => return Ok(CloseCode::Away),
            _tick = pin!(pings.tick().fuse()) => Message::Ping("".into()),
            heard = inbox.next() => match heard {
                Some(message) => message,
                None => return Ok(CloseCode::Again), // it was too slow: see `Room::tell`
            },
            said = socket.next() => {
                let Some(said) = said else { return Ok(CloseCode::Normal) };
                let said = said?; // tungstenite answers pings and goodbyes by itself
                if said.is_text() || said.is_binary() {
                    let tell = move || with_local(|room: &mut Room| room.tell(&said));
                    ReactorHandle::current().broadcast(tell);
                    yield_now().await; // lets it arrive before this member says more
                }
                continue;
            }
        };
        time::timeout(patience, socket.send(message)).await.map_err(io::Error::from)??;
    }
}

/// The members on one poller: a value in that poller's cache.
#[derive(Default)]
struct Room(Vec<mpsc::Sender<Message>>);

impl Room {
    /// Lets a member in. Returns its inbox, from which it takes what it has to hear.
    fn join(&mut self) -> mpsc::Receiver<Message> {
        self.0.retain(|member| !member.is_closed());
        let (member, inbox) = mpsc::channel(MOST_WAITING);
        self.0.push(member);
        inbox
    }

    /// Puts a message into each inbox. A member whose inbox is full is removed: one that reads slowly
    /// must neither hold up the others nor fill the memory.
    fn tell(&mut self, message: &Message) {
        self.0.retain_mut(|member| member.try_send(message.clone()).is_ok());
    }
}

/// A chat by WebSocket, with its page
#[derive(Parser)]
struct Options {
    /// The address to listen on; port 0 takes a free port
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// The number of pollers, each a thread; by default one for each processor
    #[arg(long, default_value_t = available_parallelism().unwrap_or(NonZeroUsize::MIN))]
    pollers: NonZeroUsize,
    /// The milliseconds that a peer may take to ask, to read a message, and to answer a ping
    #[arg(long, value_name = "MS", default_value = "60000")]
    patience: NonZeroU64,
}

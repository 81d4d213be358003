//! A chat by WebSocket: what one member says, all members hear, whichever poller they are on.
//!
//! ```text
//! cargo run -p corepoll-hyper --example chat        # then open http://127.0.0.1:8080/ in two windows
//! ```
//!
//! Each poller has a room, which only its thread touches: no lock is needed. A broadcast carries what
//! happens to all rooms, in the same order everywhere. So all rooms agree on who is here and whose
//! name it is, although none of them asks another. Page and socket come by one service of hyper; the
//! frames are left to tungstenite. A server on the internet also speaks TLS: see `https`.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::{self, available_parallelism};
use std::time::{Duration, Instant};
use std::{convert::Infallible, io, pin::pin};

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::error::Error;
use async_tungstenite::tungstenite::handshake::server::create_response_with_body;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};
use clap::Parser;
use corepoll::{Reactor, ReactorHandle, shutdown_requested, signal::Signal, spawn_local, time};
use corepoll::{with_local, yield_now};
use corepoll_hyper::{UpgradedIo, serve};
use futures::{FutureExt, StreamExt, channel::mpsc, select_biased};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderMap, ORIGIN};
use hyper::{Method, Request, Response, StatusCode, service::service_fn};
use serde::{Deserialize, Serialize};

/// The longest message of a member, and the most messages that wait for one: 2 MiB together.
const LONGEST_MESSAGE: usize = 8 * 1024;
const MOST_WAITING: usize = 256;
/// The most members, and the most characters of a name.
const MOST_MEMBERS: usize = 1000;
const LONGEST_NAME: usize = 24;

type Socket = WebSocketStream<UpgradedIo>;

fn main() -> ExitCode {
    let Err(error) = run(&Options::parse()) else { return ExitCode::SUCCESS };
    eprintln!("chat: {error}");
    ExitCode::FAILURE
}

fn run(options: &Options) -> io::Result<()> {
    let patience = Duration::from_millis(options.patience.get());
    let limits = Limits { patience, pace: Duration::from_secs(1) / options.rate.get() };
    let reactor = Reactor::builder().pollers(options.pollers.get()).build()?;

    // The first signal gives the members five seconds to say goodbye, a second one no time at all.
    let (handle, mut signals) = (reactor.handle(), Signal::new([libc::SIGINT, libc::SIGTERM])?);
    thread::spawn(move || {
        corepoll::block_on(async {
            for grace in [Duration::from_secs(5), Duration::ZERO] {
                let _ = signals.recv().await;
                handle.shutdown(grace);
            }
        });
    });

    let service =
        service_fn(move |request| async move { Ok::<_, Infallible>(answer(request, limits)) });
    let listening = serve(&reactor.handle(), options.addr, service)?;
    println!("listening on {}", listening.local_addr()?);
    reactor.run()
}

/// Answers a request: for the page, or to be a member.
fn answer(mut request: Request<Incoming>, limits: Limits) -> Response<Full<Bytes>> {
    let mut response = Response::default();
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => {
            *response.body_mut() = include_str!("chat.html").into();
            for (name, value) in [
                (CONTENT_TYPE, "text/html; charset=utf-8"),
                (CONTENT_SECURITY_POLICY, "default-src 'unsafe-inline'; connect-src 'self'"),
            ] {
                response.headers_mut().insert(name, value.parse().expect("a valid header"));
            }
        }
        (&Method::GET, "/socket") if !is_same_origin(request.headers()) => {
            *response.status_mut() = StatusCode::FORBIDDEN;
        }
        (&Method::GET, "/socket") => match create_response_with_body(&request, Full::default) {
            Ok(switches) => {
                let upgrading = hyper::upgrade::on(&mut request);
                drop(spawn_local(async move {
                    // An error is that of the connection, which has ended.
                    if let Ok(upgraded) = upgrading.await {
                        serve_member(UpgradedIo::new(upgraded), limits).await;
                    }
                }));
                return switches;
            }
            Err(_no_websocket) => *response.status_mut() = StatusCode::BAD_REQUEST,
        },
        _ => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    response
}

/// Whether a page of this server asks, or a program. Otherwise any page could speak for its visitor.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let host = origin.as_bytes().splitn(3, |byte| *byte == b'/').nth(2); // scheme://host
    host.is_some_and(|host| headers.get(HOST).is_some_and(|own| own.as_bytes() == host))
}

/// Serves a member until the end, and says goodbye.
async fn serve_member(stream: UpgradedIo, limits: Limits) {
    let config = WebSocketConfig::default()
        .read_buffer_size(4 * 1024) // for each member; the default is made for few busy ones
        .max_write_buffer_size(256 * 1024) // a message, and the pongs behind it
        .max_message_size(Some(LONGEST_MESSAGE))
        .max_frame_size(Some(LONGEST_MESSAGE));
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    let code = talk(&mut socket, limits).await.unwrap_or(CloseCode::Policy);
    let goodbye = async {
        let _ = socket.send(Message::Close(Some(CloseFrame { code, reason: "".into() }))).await;
        // The member answers. What it has said before that is read, so that closing resets nothing.
        while let Some(Ok(_)) = socket.next().await {}
    };
    let _ = time::timeout(Duration::from_secs(2), goodbye).await;
}

/// Listens and speaks for a member until the end. Returns the code to say goodbye with.
async fn talk(socket: &mut Socket, Limits { patience, pace }: Limits) -> Result<CloseCode, Error> {
    let (seat, mut inbox) = Seat::take();
    let mut pings = time::interval_at(Instant::now() + patience, patience);
    let mut shutdown = pin!(shutdown_requested().fuse());
    let (mut last_heard, mut turn) = (Instant::now(), Instant::now());
    loop {
        let hear = async {
            // What is said too fast is read later; meanwhile it waits in the socket, and then at the peer.
            time::sleep_until(turn).await;
            socket.next().await
        };
        // What a member has to hear comes first: one that does not read is not read from either.
        let message = select_biased! {
            () = shutdown => return Ok(CloseCode::Away),
            _tick = pin!(pings.tick().fuse()) => match last_heard.elapsed() > 2 * patience {
                true => return Ok(CloseCode::Policy), // it has vanished: members answer pings
                false => Message::Ping("".into()),
            },
            told = inbox.next() => match told {
                Some(message) => message,
                None => return Ok(CloseCode::Again), // it was too slow: see `Room::tell`
            },
            said = pin!(hear.fuse()) => {
                last_heard = Instant::now();
                match said {
                    None => return Ok(CloseCode::Normal),
                    Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                        Ok(Said::Join(name)) => seat.broadcast(move |room, id| room.join(id, &name)),
                        Ok(Said::Say(text)) => seat.broadcast(move |room, id| room.say(id, &text)),
                        Err(_) => return Ok(CloseCode::Invalid),
                    },
                    Some(Ok(Message::Binary(_))) => return Ok(CloseCode::Unsupported),
                    // tungstenite answers pings and goodbyes by itself.
                    Some(said) => { said?; continue }
                }
                // Ten messages may come at once.
                turn = turn.max(last_heard.checked_sub(10 * pace).unwrap_or(last_heard)) + pace;
                yield_now().await; // lets it arrive before this member says more
                continue;
            }
        };
        time::timeout(patience, socket.send(message)).await.map_err(io::Error::from)??;
    }
}

/// The place of a member, whether it has joined yet or not. It has left when this is dropped.
struct Seat(u64);

impl Seat {
    /// Takes a place in the room of this poller. Returns it with the inbox of what its member has to hear.
    fn take() -> (Seat, mpsc::Receiver<Message>) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (seat, (inbox, messages)) =
            (Seat(NEXT.fetch_add(1, Relaxed)), mpsc::channel(MOST_WAITING));
        with_local(|room: &mut Room| room.inboxes.insert(seat.0, inbox));
        (seat, messages)
    }

    /// Lets something happen to this member in all rooms.
    fn broadcast(&self, happen: impl Fn(&mut Room, u64) + Send + Sync + 'static) {
        let id = self.0;
        // There is none when the poller ends.
        if let Ok(reactor) = ReactorHandle::try_current() {
            reactor.broadcast(move || with_local(|room: &mut Room| happen(room, id)));
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.broadcast(Room::leave);
    }
}

/// The room of a poller, a value in its cache. The names are those of all members, and the inboxes
/// those of the members on this poller.
#[derive(Default)]
struct Room {
    names: BTreeMap<u64, String>,
    inboxes: HashMap<u64, mpsc::Sender<Message>>,
}

impl Room {
    /// Gives a member its name, if all rooms can.
    fn join(&mut self, id: u64, name: &str) {
        let name = name.trim();
        let is_long = name.chars().count() > LONGEST_NAME;
        let is_same = |other: &String| other.to_lowercase() == name.to_lowercase();
        let refusal = match &self.names {
            names if names.contains_key(&id) => return,
            _ if name.is_empty() || is_long || name.chars().any(char::is_control) => {
                "A name has 1 to 24 characters."
            }
            names if names.values().any(is_same) => "Another member has this name.",
            names if names.len() >= MOST_MEMBERS => "The chat is full.",
            _ => {
                self.tell(&Told::Joined(name));
                self.names.insert(id, name.to_owned());
                let members = self.names.values().map(String::as_str).collect();
                let welcome = Told::Welcome { name, members }.message();
                return self.tell_one(id, welcome);
            }
        };
        self.tell_one(id, Told::Refused(refusal).message());
    }

    /// Passes on what a member says.
    fn say(&mut self, id: u64, text: &str) {
        if let Some(name) = self.names.get(&id).cloned() {
            self.tell(&Told::Said { name: &name, text });
        }
    }

    /// Lets a member go.
    fn leave(&mut self, id: u64) {
        self.inboxes.remove(&id);
        if let Some(name) = self.names.remove(&id) {
            self.tell(&Told::Left(&name));
        }
    }

    /// Puts a message into the inbox of each member here. A member whose inbox is full is removed: one
    /// that reads slowly must neither hold up the others nor fill the memory.
    fn tell(&mut self, told: &Told<'_>) {
        let (message, names) = (told.message(), &self.names);
        self.inboxes
            .retain(|id, inbox| !names.contains_key(id) || inbox.try_send(message.clone()).is_ok());
    }

    /// Puts a message into the inbox of one member, if that is here.
    fn tell_one(&mut self, id: u64, message: Message) {
        if self.inboxes.get_mut(&id).is_some_and(|inbox| inbox.try_send(message).is_err()) {
            self.inboxes.remove(&id);
        }
    }
}

/// What a member sends: `{"join":"Ada"}`, `{"say":"Hello"}`.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Said {
    Join(String),
    Say(String),
}

/// What members are told: `{"joined":"Ada"}`, `{"said":{"name":"Ada","text":"Hello"}}`, ...
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Told<'a> {
    Welcome { name: &'a str, members: Vec<&'a str> },
    Refused(&'a str),
    Joined(&'a str),
    Left(&'a str),
    Said { name: &'a str, text: &'a str },
}

impl Told<'_> {
    fn message(&self) -> Message {
        Message::text(serde_json::to_string(self).expect("strings are JSON"))
    }
}

/// How long a peer may take, and how long a message keeps a member from saying the next one.
#[derive(Clone, Copy)]
struct Limits {
    patience: Duration,
    pace: Duration,
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
    /// The messages that a member may send in a second
    #[arg(long, default_value = "5")]
    rate: NonZeroU32,
    /// The milliseconds that a peer may take to read a message, and to answer a ping
    #[arg(long, value_name = "MS", default_value = "60000")]
    patience: NonZeroU64,
}

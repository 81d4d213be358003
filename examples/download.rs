//! Sends a file over HTTP at a speed that can be changed while it is being sent.
//!
//! ```text
//! cargo run --example download -- --file video.mp4 --sendfile
//! curl -o copy http://127.0.0.1:8080/ &
//! curl http://127.0.0.1:8080/speed/200000          # bytes a second, from now on
//! ```
//!
//! Each poller has the speed in a value of its own. A new speed comes to all pollers by a broadcast, and
//! every download sees it at its next tick, without a lock.

use std::fs::File;
use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::thread::{self, available_parallelism};
use std::time::Duration;
use std::{io, mem};

use clap::Parser;
use corepoll::{
    Acceptor, Action, Deadlines, EvContext, EvHandler, Reactor, ReactorHandle, TimerId, with_local,
};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The pieces a second. More of them are smoother, and cost more.
const TICKS: u32 = 100;
/// The most bytes of a piece, whatever the speed: other connections want to be served as well.
const LONGEST_PIECE: u64 = 1024 * 1024;

/// Sends a file over HTTP; a request of /speed/N sets the speed to N bytes a second
#[derive(Clone, Parser)]
struct Options {
    /// The address to listen on; port 0 takes a free port
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// The number of pollers, each a thread
    #[arg(long, default_value_t = available_parallelism().unwrap_or(NonZeroUsize::MIN))]
    pollers: NonZeroUsize,
    /// The file to send, by default this program itself
    #[arg(long, default_value = "/proc/self/exe", value_parser = |path: &str| File::open(path).map(Arc::new))]
    file: Arc<File>,
    /// The bytes a second at first, for each connection
    #[arg(long, default_value = "1048576")]
    speed: u64,
    /// Sends by sendfile(2): the bytes do not come to user space
    #[arg(long)]
    sendfile: bool,
    /// The milliseconds that a client may take to ask, and to read some of what it is sent
    #[arg(long, value_name = "MS", default_value = "60000")]
    patience: NonZeroU64,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let reactor = Reactor::builder().pollers(options.pollers.get()).build()?;
    let handle = reactor.handle();

    // The first signal gives the connections five seconds to end, a second one no time at all.
    let (stop, mut signals) = (reactor.handle(), Signals::new([SIGINT, SIGTERM])?);
    thread::spawn(move || {
        for (_signal, grace) in signals.forever().zip([Duration::from_secs(5), Duration::ZERO]) {
            stop.shutdown(grace);
        }
    });

    set_speed(&handle, options.speed);
    let addr = options.addr.to_string();
    let begin = move || Download { options: options.clone(), head: Vec::new(), rest: None };
    let listening = Acceptor::new(&addr).listen(&handle, begin)?;
    println!("listening on {}", listening.local_addr()?);
    reactor.run()
}

/// The bytes a second for each connection of this poller.
#[derive(Default)]
struct Speed(u64);

fn set_speed(reactor: &ReactorHandle, bytes_per_second: u64) {
    reactor.broadcast(move || with_local(|speed: &mut Speed| speed.0 = bytes_per_second));
}

/// A connection: one request, its answer, and the end.
struct Download {
    options: Options,
    /// What has come of the request.
    head: Vec<u8>,
    /// The part of the file that is still to be sent, once there is a request for it.
    rest: Option<Range<u64>>,
}

impl EvHandler for Download {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let patience = Duration::from_millis(self.options.patience.get());
        cx.set_timer(patience); // for the whole request, even if it comes byte by byte
        cx.set_deadlines(Deadlines { write: Some(patience), ..Deadlines::default() })?;
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let chunk = cx.read()?;
        if self.rest.is_some() {
            return Ok(Action::Keep); // the client may have ended its side, and reads on
        }
        let mut head = mem::take(&mut self.head);
        head.extend_from_slice(&chunk);
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(&head) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(_) if !chunk.is_empty() && head.len() < 8 * 1024 => {
                self.head = head; // the rest is on its way
                return Ok(Action::Keep);
            }
            _ => return answer(cx, "400 Bad Request", Some(0)),
        }
        let (path, length) = (request.path.unwrap_or(""), self.options.file.metadata()?.len());
        match (request.method.unwrap_or(""), path.strip_prefix("/speed/").map(str::parse)) {
            ("GET", Some(Ok(speed))) => {
                set_speed(&ReactorHandle::current(), speed);
                answer(cx, "204 No Content", None)
            }
            ("GET", Some(Err(_))) => answer(cx, "400 Bad Request", Some(0)),
            ("GET" | "HEAD", _) if path != "/" => answer(cx, "404 Not Found", Some(0)),
            ("HEAD", _) => answer(cx, "200 OK", Some(length)),
            ("GET", _) => {
                self.rest = Some(0..length);
                cx.set_interval(Duration::from_secs(1) / TICKS);
                answer(cx, "200 OK", Some(length)).map(|_close| Action::Keep)
            }
            _ => answer(cx, "405 Method Not Allowed\r\nAllow: GET, HEAD", Some(0)),
        }
    }

    fn on_timeout(&mut self, cx: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        let rest = match &mut self.rest {
            None => return answer(cx, "408 Request Timeout", Some(0)),
            // The client reads more slowly than that. Nothing is saved up for it.
            Some(_) if cx.pending_output() > 0 => return Ok(Action::Keep),
            Some(rest) if rest.is_empty() => return Ok(Action::Close),
            Some(rest) => rest,
        };
        let speed = cx.with_local(|speed: &mut Speed| speed.0);
        let length = speed.div_ceil(TICKS.into()).min(LONGEST_PIECE).min(rest.end - rest.start);
        let (file, offset) = (&self.options.file, rest.start);
        rest.start += length;
        if self.options.sendfile {
            cx.send_file(file.try_clone()?, offset, length)?;
        } else {
            let mut piece = vec![0; length as usize];
            file.read_exact_at(&mut piece, offset)?; // waits for the disk, as sendfile(2) does
            cx.write(&piece)?;
        }
        Ok(Action::Keep)
    }

    fn on_shutdown(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        // A download has until the end of the grace.
        Ok(if self.rest.is_some() { Action::Keep } else { Action::Close })
    }
}

/// Writes the head of an answer, and ends the connection after it unless there is more to do.
fn answer(cx: &mut EvContext<'_>, status: &str, length: Option<u64>) -> io::Result<Action> {
    let length = length.map_or(String::new(), |length| format!("Content-Length: {length}\r\n"));
    cx.write(format!("HTTP/1.1 {status}\r\n{length}Connection: close\r\n\r\n").as_bytes())?;
    Ok(Action::Close)
}

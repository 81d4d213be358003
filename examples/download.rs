//! Sends a file over HTTP at a speed that can be changed while it is being sent. Each poller has the
//! speed in a value of its own, which a broadcast changes: no lock is needed.
//!
//! ```text
//! cargo run --example download -- --file video.mp4 --sendfile
//! curl -o copy http://127.0.0.1:8080/ &
//! curl http://127.0.0.1:8080/speed/200000          # bytes a second, from now on
//! ```

use std::num::{NonZeroU64, NonZeroUsize};
use std::os::unix::fs::FileExt;
use std::thread::{self, available_parallelism};
use std::{
    fs::File, io, net::SocketAddr, ops::Range, process::ExitCode, sync::Arc, time::Duration,
};

use clap::Parser;
use corepoll::{
    Acceptor, Action, Deadlines, EvContext, EvHandler, Interest, Reactor, ReactorHandle,
};
use corepoll::{TimerId, with_local};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

fn main() -> ExitCode {
    let Err(error) = run(Options::parse()) else { return ExitCode::SUCCESS };
    eprintln!("download: {error}");
    ExitCode::FAILURE
}

fn run(options: Options) -> io::Result<()> {
    let reactor = Reactor::builder().pollers(options.pollers.get()).build()?;

    // The first signal gives the connections five seconds to end, a second one no time at all.
    let (stop, mut signals) = (reactor.handle(), Signals::new([SIGINT, SIGTERM])?);
    thread::spawn(move || {
        for (_signal, grace) in signals.forever().zip([Duration::from_secs(5), Duration::ZERO]) {
            stop.shutdown(grace);
        }
    });

    let acceptor = Acceptor::new(options.addr);
    let begin = move || Download { options: options.clone(), head: Vec::new(), rest: None };
    let listening = acceptor.listen(&reactor.handle(), begin)?;
    println!("listening on {}", listening.local_addr()?);
    reactor.run()
}

/// The bytes a second for each connection of this poller, once a request has set them.
#[derive(Default)]
struct Speed(Option<u64>);

/// A connection: one request, its answer, and the end.
struct Download {
    options: Options,
    head: Vec<u8>,            // what has come of the request
    rest: Option<Range<u64>>, // the part of the file that is still to be sent, once it is asked for
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
        self.head.extend_from_slice(&chunk);
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(&self.head) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(_) if !chunk.is_empty() && self.head.len() < 8 * 1024 => return Ok(Action::Keep),
            _ => return answer(cx, "400 Bad Request", 0),
        }
        let path = request.path.unwrap_or_default();
        match (request.method, path.strip_prefix("/speed/").map(str::parse)) {
            (Some("GET"), Some(Ok(speed))) => {
                let set = move || with_local(|own: &mut Speed| own.0 = Some(speed));
                ReactorHandle::current().broadcast(set);
                answer(cx, "200 OK", 0)
            }
            (Some("GET"), _) if path == "/" => {
                let length = self.options.file.metadata()?.len();
                self.rest = Some(0..length);
                cx.set_interest(Interest::NONE)?; // there is nothing more to ask
                cx.set_interval(Duration::from_millis(10)); // more ticks are smoother, and cost more
                answer(cx, "200 OK", length).map(|_close| Action::Keep)
            }
            _ => answer(cx, "404 Not Found", 0),
        }
    }

    fn on_timeout(&mut self, cx: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        let rest = match &mut self.rest {
            None => return answer(cx, "408 Request Timeout", 0),
            Some(_) if cx.pending_output() > 0 => return Ok(Action::Keep), // the client is slower
            Some(rest) if rest.is_empty() => return Ok(Action::Close),
            Some(rest) => rest,
        };
        let speed = cx.with_local(|own: &mut Speed| own.0).unwrap_or(self.options.speed);
        // At most 1 MiB at once: other connections want to be served as well.
        let length = speed.div_ceil(100).min(1024 * 1024).min(rest.end - rest.start);
        if self.options.sendfile {
            cx.send_file(self.options.file.try_clone()?, rest.start, length)?;
        } else {
            let mut piece = vec![0; length as usize];
            self.options.file.read_exact_at(&mut piece, rest.start)?; // may wait for the disk
            cx.write(&piece)?;
        }
        rest.start += length;
        Ok(Action::Keep)
    }

    fn on_shutdown(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(if self.rest.is_some() { Action::Keep } else { Action::Close }) // it has the grace
    }
}

/// Writes the head of an answer. The connection ends after it, unless the caller keeps it.
fn answer(cx: &mut EvContext<'_>, status: &str, length: u64) -> io::Result<Action> {
    let fields = format!("Content-Length: {length}\r\nConnection: close");
    cx.write(format!("HTTP/1.1 {status}\r\n{fields}\r\n\r\n").as_bytes())?;
    Ok(Action::Close)
}

/// Sends a file over HTTP; a request of /speed/N sets the speed to N bytes a second
#[derive(Clone, Parser)]
struct Options {
    /// The address to listen on; port 0 takes a free port
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// The number of pollers, each a thread; by default one for each processor
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

//! Sends a file at a speed that can be changed while it is being sent.
//!
//! ```text
//! cargo run --release --example download -- --file video.mp4 --sendfile
//! curl -o copy http://127.0.0.1:8080/ &
//! curl http://127.0.0.1:8080/speed/200000          # bytes a second
//! ```
//!
//! Each poller keeps the speed in its cache. A new one comes by a broadcast, and every download on every
//! poller sees it at its next tick, without a lock.

mod common;
#[path = "techempower/http/request/mod.rs"]
mod request;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Arguments, Own};
use corepoll::{
    Acceptor, Action, Deadlines, EvContext, EvHandler, Listening, ReactorHandle, TimerId,
};
use request::{Refusal, Request, Requests};

/// How often a download goes on. Shorter is smoother, and costs more.
const TICK: Duration = Duration::from_millis(10);

/// The most that a tick sends, whatever the speed: others want to be served as well.
const MOST_A_TICK: u64 = 1024 * 1024;

/// How long the file is that is made when none is given.
const MADE_LENGTH: usize = 4 * 1024 * 1024;

/// Bytes a second for each connection: the poller's cache has one.
#[derive(Debug)]
struct Speed(u64);

impl Default for Speed {
    fn default() -> Speed {
        Speed(1024 * 1024)
    }
}

/// What all connections share.
struct Site {
    file: File,
    length: u64,
    /// By sendfile(2), from the page cache to the socket; else read into memory and written.
    by_sendfile: bool,
    /// How long a client may take to ask, and to take some of what it is sent.
    patience: Duration,
    reactor: ReactorHandle,
}

/// One connection: a request, then its answer, then the end.
struct Download {
    site: Arc<Site>,
    /// What was read of the request.
    requests: Requests,
    /// The end of the time for the request.
    too_late: Option<TimerId>,
    /// The download, once it has begun.
    progress: Option<Progress>,
}

/// How far a download is.
struct Progress {
    /// What comes next of the file.
    offset: u64,
    /// How many bytes may be sent by now. It has a fraction: a slow speed is less than a byte a tick.
    credit: f64,
    /// Until when the credit is counted.
    counted: Instant,
}

impl Download {
    /// Answers the request.
    fn answer(&mut self, cx: &mut EvContext<'_>, request: &Request) -> io::Result<Action> {
        let path = match request.path() {
            Ok(path) => path,
            Err(answer) => return end_with(cx, &answer),
        };
        if path == "/" {
            write_head(cx, "200 OK", self.site.length)?;
            if request.omits_content() {
                return Ok(Action::Close);
            }
            self.progress = Some(Progress { offset: 0, credit: 0.0, counted: cx.now() });
            self.too_late.map(|timer| cx.cancel_timer(timer));
            cx.set_interval(TICK);
            return Ok(Action::Keep);
        }
        match path.strip_prefix("/speed/").map(str::parse) {
            Some(Ok(speed)) => {
                set_speed(&self.site.reactor, speed);
                write_head(cx, "204 No Content", 0)?;
            }
            Some(Err(_)) => write_head(cx, "400 Bad Request", 0)?,
            None => write_head(cx, "404 Not Found", 0)?,
        }
        Ok(Action::Close)
    }

    /// Sends bytes from `offset` on, after those before them.
    fn send(&self, cx: &mut EvContext<'_>, offset: u64, length: u64) -> io::Result<()> {
        if self.site.by_sendfile {
            return cx.send_file(self.site.file.try_clone()?, offset, length);
        }
        // It blocks the poller if the disk is slow; sendfile(2) has the same trouble.
        let mut piece = vec![0; length as usize];
        self.site.file.read_exact_at(&mut piece, offset)?;
        cx.write(&piece)
    }
}

impl EvHandler for Download {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.too_late = Some(cx.set_timer(self.site.patience));
        let write = Some(self.site.patience);
        cx.set_deadlines(Deadlines { write, ..Deadlines::default() })?;
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let chunk = cx.read()?;
        if self.progress.is_some() {
            // Nothing more is wanted of the peer, who may have ended its side and still reads.
            return Ok(Action::Keep);
        }
        if chunk.is_empty() {
            return Ok(Action::Close);
        }
        self.requests.feed(&chunk);
        match self.requests.pop() {
            Ok(Some(request)) => self.answer(cx, &request),
            Ok(None) => Ok(Action::Keep),
            Err(refusal) => end_with(cx, &refusal.answer()),
        }
    }

    fn on_timeout(&mut self, cx: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        let Some(progress) = &mut self.progress else {
            // No tick yet: the client has had its time.
            let refusal = Refusal::TimedOut.answer();
            return end_with(cx, if self.requests.is_amid() { &refusal } else { b"" });
        };
        let speed = cx.with_local(|speed: &mut Speed| speed.0);
        let passed = cx.now() - progress.counted;
        progress.counted = cx.now();
        progress.credit += speed as f64 * passed.as_secs_f64();
        if cx.pending_output() > 0 {
            // The network is slower than we may be: nothing is saved up for it.
            progress.credit = 0.0;
            return Ok(Action::Keep);
        }
        let rest = self.site.length - progress.offset;
        if rest == 0 {
            // All is in the kernel.
            return Ok(Action::Close);
        }
        let length = (progress.credit as u64).min(MOST_A_TICK).min(rest);
        let offset = progress.offset;
        progress.offset += length;
        progress.credit = (progress.credit - length as f64).min(MOST_A_TICK as f64);
        if length > 0 {
            self.send(cx, offset, length)?;
        }
        Ok(Action::Keep)
    }

    fn on_shutdown(&mut self, _cx: &mut EvContext<'_>) -> io::Result<Action> {
        // A download has until the end of the grace.
        Ok(if self.progress.is_some() { Action::Keep } else { Action::Close })
    }
}

/// Answers, and that is all.
fn end_with(cx: &mut EvContext<'_>, answer: &[u8]) -> io::Result<Action> {
    cx.write(answer)?;
    Ok(Action::Close)
}

/// Writes the head of an answer whose content is `length` bytes long.
fn write_head(cx: &mut EvContext<'_>, status: &str, length: u64) -> io::Result<()> {
    let length = match status {
        // It has no content, and then it may not tell a length: RFC 9110, section 8.6.
        "204 No Content" => String::new(),
        _ => format!("Content-Length: {length}\r\n"),
    };
    cx.write(format!("HTTP/1.1 {status}\r\n{length}Connection: close\r\n\r\n").as_bytes())
}

/// Tells every poller.
fn set_speed(reactor: &ReactorHandle, bytes_per_second: u64) {
    reactor.broadcast(move || corepoll::with_local(|speed: &mut Speed| speed.0 = bytes_per_second));
}

/// A file that is there until it is closed: numbered lines, so that what is missing can be seen.
fn make_file() -> io::Result<File> {
    let path = std::env::temp_dir().join(format!("corepoll-download-{}", std::process::id()));
    let mut options = File::options();
    let mut file = options.read(true).write(true).create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    let lines: String = (0..MADE_LENGTH / 16).map(|line| format!("line {line:10}\n")).collect();
    file.write_all(lines.as_bytes())?;
    Ok(file)
}

fn main() -> ExitCode {
    let own = [
        Own { name: "file", value: Some("PATH"), help: "What to send [default: 4 MiB of lines]" },
        Own { name: "speed", value: Some("N"), help: "Bytes a second at first [default: 1048576]" },
        Own { name: "sendfile", value: None, help: "Send by sendfile(2), without a copy" },
    ];
    let about = "Sends a file at a given speed; /speed/N changes it to N bytes a second, for all.";
    common::run("download", about, &own, false, listen)
}

/// Opens the listener.
fn listen(reactor: &ReactorHandle, arguments: &Arguments) -> io::Result<Listening> {
    let file = match arguments.value("file") {
        Some(path) => {
            let named =
                |error: io::Error| io::Error::new(error.kind(), format!("--file {path}: {error}"));
            File::open(path).map_err(named)?
        }
        None => make_file()?,
    };
    if let Some(speed) = arguments.number("speed")? {
        set_speed(reactor, speed);
    }
    let length = file.metadata()?.len();
    let by_sendfile = arguments.has("sendfile");
    let patience = arguments.patience;
    let site = Arc::new(Site { file, length, by_sendfile, patience, reactor: reactor.clone() });
    let begin = move || Download {
        site: site.clone(),
        requests: Requests::default(),
        too_late: None,
        progress: None,
    };
    Acceptor::new(&arguments.address.to_string()).listen(reactor, begin)
}

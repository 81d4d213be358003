//! A real program beside a test.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::{LONG, group};

/// A running program, with all that it has started. Dropping it kills them; if the test is
/// failing, what the program has printed is shown.
#[derive(Debug)]
pub struct Peer {
    /// How it was started, for messages.
    command: String,
    /// The process, the first of a group.
    child: Child,
    /// Its standard input, until it is ended.
    input: Option<ChildStdin>,
    /// What it has printed to standard output.
    stdout: Arc<Printed>,
    /// What it has printed to standard error.
    stderr: Arc<Printed>,
    /// The threads that read both.
    readers: Vec<JoinHandle<()>>,
}

/// What a program has printed so far.
#[derive(Debug, Default)]
struct Printed {
    /// The bytes.
    bytes: Mutex<Vec<u8>>,
    /// Told of more bytes.
    more: Condvar,
}

/// How a program has ended.
#[derive(Debug)]
pub struct Finished {
    /// How the program was started, for messages.
    command: String,
    /// What it returned.
    pub status: ExitStatus,
    /// What it printed to standard output.
    pub stdout: Vec<u8>,
    /// What it printed to standard error.
    pub stderr: Vec<u8>,
}

impl Finished {
    /// Returns the standard output as text, of a program that has succeeded.
    ///
    /// # Panics
    ///
    /// If the program has failed. The message has all that it printed.
    #[track_caller]
    pub fn success(self) -> String {
        assert!(self.status.success(), "{} has failed, {}\n{}", self.command, self.status, {
            self.text()
        });
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Returns all that the program printed, standard output first.
    pub fn text(&self) -> String {
        let stdout = String::from_utf8_lossy(&self.stdout);
        format!("{stdout}{}", String::from_utf8_lossy(&self.stderr))
    }
}

impl Peer {
    /// Starts a program.
    ///
    /// # Panics
    ///
    /// If the program cannot be started.
    pub fn start(command: &mut Command) -> Peer {
        let stdout = Arc::<Printed>::default();
        let printed = Arc::clone(&stdout);
        Peer::start_with(command, stdout, move |bytes| printed.append(bytes))
    }

    /// Starts a program that prints more than fits into memory: `take` gets what comes from its standard
    /// output, on a thread of its own, and none of it is kept.
    ///
    /// # Panics
    ///
    /// If the program cannot be started.
    pub fn start_large(command: &mut Command, take: impl FnMut(&[u8]) + Send + 'static) -> Peer {
        Peer::start_with(command, Arc::default(), take)
    }

    fn start_with(
        command: &mut Command,
        stdout: Arc<Printed>,
        take: impl FnMut(&[u8]) + Send + 'static,
    ) -> Peer {
        let text = format!("{command:?}");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = group::spawn(command);
        let mut child = child.unwrap_or_else(|error| panic!("{text} does not start: {error}"));
        let input = child.stdin.take();
        let stderr = Arc::<Printed>::default();
        let printed = Arc::clone(&stderr);
        let readers = vec![
            read(child.stdout.take().expect("it is piped"), take),
            read(child.stderr.take().expect("it is piped"), move |bytes| printed.append(bytes)),
        ];
        Peer { command: text, child, input, stdout, stderr, readers }
    }

    /// Runs a program that reads `input` to its end.
    ///
    /// # Panics
    ///
    /// If it takes longer than [`LONG`].
    #[track_caller]
    pub fn run(command: &mut Command, input: &[u8]) -> Finished {
        let mut peer = Peer::start(command);
        let mut pipe = peer.take_input();
        thread::scope(|scope| {
            // A program may end without having read all.
            scope.spawn(move || drop(pipe.write_all(input)));
            peer.finish()
        })
    }

    /// Waits until something listens at `addr`: the program is ready.
    #[track_caller]
    pub fn until_listens(mut self, addr: SocketAddr) -> Peer {
        let begun = Instant::now();
        while TcpStream::connect_timeout(&addr, LONG).is_err() {
            self.must_go_on(begun, &format!("listens at {addr}"));
            thread::sleep(Duration::from_millis(5));
        }
        self
    }

    /// Waits until the program has printed `text`, to standard output or error.
    #[track_caller]
    pub fn until_prints(mut self, text: &str) -> Peer {
        self.wait_for(text);
        self
    }

    /// As [`Peer::until_prints`], and keeps the value where it is.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        let begun = Instant::now();
        while !self.printed().contains(text) {
            self.must_go_on(begun, &format!("prints {text:?}"));
            self.stdout.wait(Duration::from_millis(20));
        }
    }

    /// Waits until the program has printed a line `port N`, and returns the address.
    #[track_caller]
    pub fn port(&mut self) -> SocketAddr {
        self.wait_for("\n");
        let printed = self.printed();
        let port = printed.lines().find_map(|line| line.strip_prefix("port "));
        let port = port.and_then(|number| number.parse().ok()).expect("the number of a port");
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// Returns all that the program has printed so far, standard output first.
    pub fn printed(&self) -> String {
        format!("{}{}", self.stdout.text(), self.stderr.text())
    }

    /// Writes to the program's standard input.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().expect("its input is not ended");
        input.write_all(bytes).and_then(|()| input.flush()).expect("the program reads");
    }

    /// Returns the program's standard input, which ends when it is dropped.
    ///
    /// # Panics
    ///
    /// If it is taken already, or has ended.
    pub fn take_input(&mut self) -> ChildStdin {
        self.input.take().expect("its input is not taken")
    }

    /// Ends the program's standard input.
    pub fn end_input(&mut self) {
        self.input = None;
    }

    /// Sends SIGTERM to the program and what it has started.
    pub fn terminate(&self) {
        group::signal(&self.child, libc::SIGTERM);
    }

    /// Returns the number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends the program's input, and waits until the program has ended.
    ///
    /// # Panics
    ///
    /// If that takes longer than [`LONG`].
    #[track_caller]
    pub fn finish(mut self) -> Finished {
        self.end_input();
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                break status;
            }
            assert!(begun.elapsed() < LONG, "{} goes on", self.command);
            self.stdout.wait(Duration::from_millis(5));
        };
        for reader in self.readers.drain(..) {
            reader.join().expect("it only reads");
        }
        Finished {
            command: self.command.clone(),
            status,
            stdout: std::mem::take(&mut self.stdout.lock()),
            stderr: std::mem::take(&mut self.stderr.lock()),
        }
    }

    /// Fails if the program has ended, or has taken too long since `begun`, and never did `what`.
    #[track_caller]
    fn must_go_on(&mut self, begun: Instant, what: &str) {
        if let Some(status) = self.child.try_wait().expect("it is our child") {
            panic!("{} has ended ({status}) and never {what}", self.command);
        }
        assert!(begun.elapsed() < LONG, "{} never {what}", self.command);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("-- {} printed:\n{}--", self.command, self.printed());
        }
        if let Ok(None) = self.child.try_wait() {
            group::signal(&self.child, libc::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

impl Printed {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().expect("what appends does not panic")
    }

    fn append(&self, bytes: &[u8]) {
        self.lock().extend_from_slice(bytes);
        self.more.notify_all();
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock()).into_owned()
    }

    /// Waits for more, for at most `span`.
    fn wait(&self, span: Duration) {
        drop(self.more.wait_timeout(self.lock(), span));
    }
}

/// Reads `from` to its end, on a thread of its own.
fn read(
    mut from: impl Read + Send + 'static,
    mut take: impl FnMut(&[u8]) + Send + 'static,
) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = [0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            take(&buffer[..count]);
        }
    })
}

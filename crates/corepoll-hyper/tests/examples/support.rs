//! Starts the example programs, which `cargo test` builds before it runs any test, and asks them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// When a test gives up on an answer. No test waits this long unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running example program; killed when dropped.
#[derive(Debug)]
pub struct Server {
    /// The process.
    child: Child,
    /// What it has announced.
    address: SocketAddr,
    /// The lines that it prints after that; closed when it has ended.
    output: mpsc::Receiver<String>,
    /// Returns what it has said on stderr, when it has ended.
    errors: Option<thread::JoinHandle<String>>,
}

impl Server {
    /// Starts `example` on a free port, and waits until it has named its address.
    pub fn start(example: &str, arguments: &[&str]) -> Server {
        let mut command = command(example);
        command.args(["--addr", "127.0.0.1:0"]).args(arguments);
        if !arguments.contains(&"--pollers") {
            command.args(["--pollers", "2"]);
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let mut errors = child.stderr.take().expect("its errors are piped");
        let errors = thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            eprint!("{text}");
            text
        });
        let mut output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("prints");
        let announced = line.strip_prefix("listening on ").expect("names its address first");
        let address = announced.trim_end().parse().expect("an address");
        let (sender, rest) = mpsc::channel();
        thread::spawn(move || {
            for line in output.lines() {
                // Read to the end, even if the lines are not used: the program must not wait.
                let _ = sender.send(line.expect("prints text"));
            }
        });
        Server { child, address, output: rest, errors: Some(errors) }
    }

    /// The address that it announced.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A connection to it.
    pub fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    /// Sends a request on a connection of its own, and returns the whole answer.
    pub fn ask(&self, request: &str) -> String {
        ask(self.connect(), request)
    }

    /// Sends it a signal, `TERM` or `INT`. The shell's own `kill` is always there.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("runs").success());
    }

    /// The next line that it prints.
    pub fn next_line(&self) -> String {
        self.output.recv_timeout(PATIENCE).expect("prints")
    }

    /// The most bytes of memory that it has had so far.
    pub fn peak_memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("procfs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
        peak.trim().strip_suffix(" kB").expect("a unit").parse::<usize>().expect("a number") * 1024
    }

    /// How it ends, without an error, and what it prints until then.
    pub fn wait(mut self) -> (ExitStatus, Vec<String>) {
        let mut lines = Vec::new();
        let ended = loop {
            match self.output.recv_timeout(PATIENCE) {
                Ok(line) => lines.push(line),
                Err(error) => break error,
            }
        };
        assert_eq!(ended, mpsc::RecvTimeoutError::Disconnected, "it goes on");
        let status = self.child.wait().expect("ends");
        let errors = self.errors.take().map(|it| it.join().expect("reads"));
        assert_eq!(errors.as_deref(), Some(""), "it has said nothing on stderr");
        (status, lines)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail if it has ended already, as it should have.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection, which gives up after a while where it would hang.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("no delay");
    stream
}

/// Sends a request without its last lines, and reads until the connection ends.
pub fn ask(mut stream: impl Read + Write, request: &str) -> String {
    let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
    let head = head.replace('\n', "\r\n");
    let length = body.len();
    let request = format!(
        "{head}\r\nHost: test\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("writes");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("answers, and ends");
    String::from_utf8(answer).expect("text")
}

/// The status of an answer.
pub fn status(answer: &str) -> u16 {
    let word = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    word.and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

/// The body of an answer.
pub fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("a head").1
}

/// The command that runs an example.
pub fn command(example: &str) -> Command {
    // `target/<profile>/examples/<name>`: this test's own program lies in `deps` beside it.
    let test = std::env::current_exe().expect("the test's path");
    let profile = test.ancestors().nth(2).expect("target/<profile>/deps/<test>");
    let path: PathBuf = profile.join("examples").join(example);
    assert!(path.exists(), "{} is missing: run `cargo build --examples`", path.display());
    Command::new(path)
}

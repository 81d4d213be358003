//! Starts the example programs, which `cargo test` builds before it runs any test.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// The two APIs that each program can serve with.
pub const APIS: [&str; 2] = ["handler", "async"];

/// When a test gives up on an answer. No test waits this long unless it fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running example program; killed when dropped.
#[derive(Debug)]
pub struct Server {
    /// The process.
    child: Child,
    /// What it has announced.
    address: SocketAddr,
    /// The lines that it prints after that; closed when it has ended.
    output: mpsc::Receiver<String>,
}

impl Server {
    /// Starts `example` on a free port, serving by `api`, and waits until it has named its address.
    pub fn start(example: &str, api: &str) -> Server {
        Server::start_with(example, &["--addr", "127.0.0.1:0", "--pollers", "2", "--api", api])
    }

    /// The same with these arguments.
    pub fn start_with(example: &str, arguments: &[&str]) -> Server {
        let mut command = command(example);
        let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().expect("starts");
        let mut output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("prints");
        let announced = line.strip_prefix("listening on ").expect("names its address first");
        let address = announced.trim_end().parse().expect("an address");
        let (sender, rest) = mpsc::channel();
        thread::spawn(move || {
            for line in output.lines() {
                // Read to the end, even if the lines are not used: the program must not wait for a full pipe.
                let _ = sender.send(line.expect("prints text"));
            }
        });
        Server { child, address, output: rest }
    }

    /// The address that it announced.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A connection to it, which gives up after a while where it would hang.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        stream
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

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        let directory = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(directory).expect("procfs").count()
    }

    /// Whether it has not ended yet.
    pub fn goes_on(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// How it ends, having printed nothing more.
    pub fn wait(self) -> ExitStatus {
        let printed = self.output.recv_timeout(PATIENCE);
        assert_eq!(printed, Err(mpsc::RecvTimeoutError::Disconnected));
        self.wait_printing()
    }

    /// How it ends, whatever it prints until then.
    pub fn wait_printing(mut self) -> ExitStatus {
        // A program that goes on may print for ever, and one that ends has printed many lines perhaps.
        let begun = Instant::now();
        let ended = loop {
            match self.output.recv_timeout(PATIENCE) {
                Ok(_line) => assert!(begun.elapsed() < PATIENCE, "it goes on"),
                Err(error) => break error,
            }
        };
        assert_eq!(ended, mpsc::RecvTimeoutError::Disconnected, "it goes on");
        self.child.wait().expect("ends")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail if it has ended already, as it should have.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Bytes that repeat late, and at no power of two: a block lost, doubled or moved shows.
pub fn pattern(length: usize) -> Vec<u8> {
    const PERIOD: usize = 65_521;
    let period: Vec<u8> = (0..PERIOD).map(|index| (index % 251) as u8).collect();
    let mut bytes = period.repeat(length.div_ceil(PERIOD));
    bytes.truncate(length);
    bytes
}

/// Returns a number of bytes that the kernel does not hold in `directions` of connections. The buffers
/// of each direction grow up to limits of the machine, the receiver's to 32 MiB on a usual one; pipes
/// between them hold up to 1 MiB each.
pub fn more_than_sockets_hold(directions: usize) -> usize {
    let largest = |name: &str| -> usize {
        let text = fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).expect("a limit");
        text.split_whitespace().last().and_then(|word| word.parse().ok()).expect("three numbers")
    };
    directions * (largest("tcp_rmem") + largest("tcp_wmem")) + (4 << 20)
}

/// Raises this process's limit of open descriptors as far as that is allowed; what it starts
/// inherits it.
#[allow(unsafe_code)]
pub fn allow_many_descriptors() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) }, 0);
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is readable.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
}

/// The command that runs an example.
pub fn command(example: &str) -> Command {
    Command::new(path(example))
}

/// `target/<profile>/examples/<name>`: this test's own program lies in `deps` beside it.
fn path(example: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test's path");
    let profile = test.ancestors().nth(2).expect("target/<profile>/deps/<test>");
    let path = profile.join("examples").join(example);
    assert!(path.exists(), "{} is missing: run `cargo build --examples`", path.display());
    path
}

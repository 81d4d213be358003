//! What the tests share: clients that cannot hang, reactors that end with their test, and looks at
//! the process from outside.
#![allow(dead_code)] // Each test binary uses its own part of this.

pub mod counting;
pub mod network;
pub mod pool;
pub mod refuse;

use std::fs;
use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use corepoll::{
    Acceptor, Action, Builder, EvContext, EvHandler, Listening, PollerHandle, Reactor,
    ReactorHandle, Running, Shutdown, net,
};

/// How long anything may take before a test gives up: far more than it ever takes.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Any free port of the loopback interface.
pub const ANY: &str = "127.0.0.1:0";

// ---- clients ----

/// A connection that gives up after [`PATIENCE`] instead of hanging.
pub fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, PATIENCE).expect("the server accepts");
    patient(stream)
}

/// Gives a blocking stream its timeouts. What it writes is sent at once.
pub fn patient(stream: TcpStream) -> TcpStream {
    stream.set_nodelay(true).expect("TCP_NODELAY");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
    stream
}

/// The next `count` bytes.
pub fn read_exactly(mut stream: &TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).expect("the bytes come");
    bytes
}

/// Reads as much as there is, up to the length of `buffer`. A read with a limit of time may be interrupted
/// without any handler, as signal(7) says: by a stop and a continuation.
#[track_caller]
pub fn read_some(mut stream: &TcpStream, buffer: &mut [u8]) -> usize {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.expect("bytes come, or the end"),
        }
    }
}

/// Everything until the peer's end.
pub fn read_to_end(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("the peer ends without an error");
    bytes
}

/// Sends `request` and takes an answer of the same length.
pub fn ask(mut stream: &TcpStream, request: &[u8]) -> Vec<u8> {
    stream.write_all(request).expect("the server reads");
    read_exactly(stream, request.len())
}

/// Whether the peer has ended the connection, by FIN or by RST. Waits for it, and reads what comes
/// before it.
pub fn is_ended(mut stream: &TcpStream) -> bool {
    loop {
        return match stream.read(&mut [0; 1024]) {
            Ok(0) => true,
            Ok(_) => continue,
            Err(error) => {
                !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
            }
        };
    }
}

/// Closes with a reset: SO_LINGER of zero, socket(7).
pub fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
    drop(stream);
}

/// Closes with a reset, once all that was sent has arrived: a reset leaves behind what has not.
pub fn reset_after_arrival(stream: TcpStream) {
    eventually("all has arrived", || unsent(&stream) == 0);
    reset(stream);
}

/// Two ends of one TCP connection, both std's.
pub fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = std::net::TcpListener::bind(ANY).expect("a free port");
    let client = connect(listener.local_addr().expect("it is bound"));
    let (server, _) = listener.accept().expect("the client has connected");
    (patient(server), client)
}

/// Bytes that the peer's kernel has not acknowledged: SIOCOUTQ of tcp(7).
#[allow(unsafe_code)]
pub fn unsent(stream: &TcpStream) -> libc::c_int {
    let mut count = 0;
    // SAFETY: SIOCOUTQ (TIOCOUTQ) writes one int.
    assert_eq!(unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &mut count) }, 0);
    count
}

/// An address at which no socket listens, and none will as long as the guard lives: a socket has
/// it that doesn't listen.
pub fn closed_port() -> (String, socket2::Socket) {
    let (addr, socket) = closed_port_of([127, 0, 0, 1].into());
    (addr.to_string(), socket)
}

/// As [`closed_port`], at an address of the loopback interface.
pub fn closed_port_of(ip: IpAddr) -> (SocketAddr, socket2::Socket) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.expect("a socket");
    // Code that knows the port may still bind to it.
    socket.set_reuse_address(true).expect("SO_REUSEADDR");
    socket.bind(&SocketAddr::new(ip, 0).into()).expect("a free port");
    let addr = socket.local_addr().expect("it is bound").as_socket().expect("an IP socket");
    (addr, socket)
}

/// Sends `bytes` and a descriptor with them: SCM_RIGHTS of unix(7).
#[allow(unsafe_code)]
pub fn send_with_descriptor(
    to: &impl AsFd,
    bytes: &[u8],
    descriptor: &impl AsFd,
) -> io::Result<()> {
    let size = size_of::<libc::c_int>();
    let mut control = [0u64; 8];
    let mut slice =
        libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: all zeros is a valid msghdr; `control` is aligned and has room for one descriptor,
    // and every pointer is to a local that outlives the call.
    let sent = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut slice;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size as u32) as _;
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size as u32) as _;
        let place = libc::CMSG_DATA(header).cast::<libc::c_int>();
        place.write_unaligned(descriptor.as_fd().as_raw_fd());
        libc::sendmsg(to.as_fd().as_raw_fd(), &message, libc::MSG_NOSIGNAL)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A listener whose backlog is full: what else connects gets no answer. What fills it comes along.
pub fn full_listener() -> (TcpListener, TcpStream, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.expect("a socket");
    let any: SocketAddr = ANY.parse().expect("an address");
    socket.bind(&any.into()).expect("a free port");
    socket.listen(0).expect("it is bound");
    let listener: TcpListener = socket.into();
    let addr = listener.local_addr().expect("it is bound");
    let filler = connect(addr);
    (listener, filler, addr)
}

// ---- reactors ----

/// A reactor that runs; dropping it shuts it down and waits for its threads.
pub struct Server {
    handle: ReactorHandle,
    running: Option<Running>,
}

impl Server {
    /// With `pollers` pollers, and the defaults besides.
    pub fn start(pollers: usize) -> Server {
        Server::build(Reactor::builder().pollers(pollers))
    }

    pub fn build(builder: Builder) -> Server {
        let running = builder.build().expect("a reactor").start().expect("its threads");
        Server { handle: running.handle(), running: Some(running) }
    }

    /// One poller that listens, with a handler of `factory` for each connection.
    pub fn of_handlers<H: EvHandler>(
        factory: impl Fn() -> H + Send + Sync + 'static,
    ) -> (Server, SocketAddr) {
        let server = Server::start(1);
        let addr = server.listen(factory);
        (server, addr)
    }

    /// One poller that listens, with a task of `service` for each connection.
    pub fn of_tasks<F, Fut>(service: F) -> (Server, SocketAddr)
    where
        F: Fn(net::TcpStream, SocketAddr) -> Fut + Clone + Send + 'static,
        Fut: Future + 'static,
    {
        let server = Server::start(1);
        let listening = server.handle.serve(ANY, service).expect("a free port");
        (server, listening.local_addr().expect("an IP socket"))
    }

    /// Listens, with a handler of `factory` for each connection.
    pub fn listen<H: EvHandler>(
        &self,
        factory: impl Fn() -> H + Send + Sync + 'static,
    ) -> SocketAddr {
        let listening: Listening =
            Acceptor::new(ANY).listen(&self.handle, factory).expect("a free port");
        listening.local_addr().expect("an IP socket")
    }

    pub fn handle(&self) -> &ReactorHandle {
        &self.handle
    }

    /// The first poller.
    pub fn poller(&self) -> &PollerHandle {
        &self.handle.pollers()[0]
    }

    /// Runs `f` on the first poller, and waits for what it gives.
    pub fn on_poller<R: Send + 'static>(&self, f: impl FnOnce() -> R + Send + 'static) -> R {
        on_poller(self.poller(), f)
    }

    /// Shuts down and waits.
    pub fn stop(mut self, grace: Duration) -> Shutdown {
        self.handle.shutdown(grace);
        self.running.take().expect("it is stopped once").join().expect("no poller has failed")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else { return };
        self.handle.shutdown(Duration::ZERO);
        let ended = running.join();
        if !thread::panicking() {
            ended.expect("no poller has failed");
        }
    }
}

/// Runs `f` on `poller`, and waits for what it gives.
pub fn on_poller<R: Send + 'static>(
    poller: &PollerHandle,
    f: impl FnOnce() -> R + Send + 'static,
) -> R {
    let (give, take) = mpsc::channel();
    let sent = poller.run_on(move || give.send(f()).expect("the test waits"));
    assert!(sent.is_ok(), "the poller has ended");
    take.recv_timeout(PATIENCE).expect("the poller runs what it is given")
}

// ---- conditions ----

/// Waits until `holds`, for at most [`PATIENCE`].
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "it never came to this: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Runs `f` on a thread of its own, and fails if that takes longer than [`PATIENCE`].
#[track_caller]
pub fn within_patience<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    let (give, take) = mpsc::channel();
    let thread = thread::spawn(move || drop(give.send(f())));
    match take.recv_timeout(PATIENCE) {
        Ok(result) => {
            thread.join().expect("it has given its result");
            result
        }
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(thread.join().expect_err("it gave no result"))
        }
    }
}

// ---- the process ----

/// How many descriptors this process has open.
pub fn open_descriptors() -> usize {
    // One of them is the directory that is being read.
    fs::read_dir("/proc/self/fd").expect("procfs").count() - 1
}

/// Allows this process 16,384 descriptors, if it may have so many: often it begins with 1024.
#[allow(unsafe_code)]
pub fn raise_descriptor_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is writable, and readable afterwards.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        limit.rlim_cur = limit.rlim_cur.max(limit.rlim_max.min(1 << 14));
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
    }
}

/// How much processor time the calling thread has used: needs no descriptor.
#[allow(unsafe_code)]
pub fn thread_cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable, and the clock is the calling thread's own.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(answer, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The share of a core that `poller` uses during `span`.
pub fn load_of(poller: &PollerHandle, span: Duration) -> f64 {
    let (start, before) = (Instant::now(), on_poller(poller, thread_cpu_time));
    thread::sleep(span);
    let used = on_poller(poller, thread_cpu_time) - before;
    used.as_secs_f64() / start.elapsed().as_secs_f64()
}

// ---- subprocesses ----

/// Names, in a child process, the test that the child was started for.
const CHILD: &str = "COREPOLL_TEST_CHILD";

/// Runs `test` in a process of its own: what it does to descriptors, limits and signals stays there, and
/// what other tests do stays outside. `test` is a closure that the test itself has made, by which the
/// child finds that test again.
#[track_caller]
pub fn in_own_process<F: FnOnce()>(test: F) {
    in_own_process_by(test_of(&test), test, |_| {});
}

/// As [`in_own_process`], for the test called `name`: `prepare` changes how its process begins.
#[track_caller]
pub fn in_own_process_by(name: &str, test: impl FnOnce(), prepare: impl FnOnce(&mut Command)) {
    if is_child_of(name) {
        return test();
    }
    let mut command = alone(name);
    prepare(&mut command);
    let output = run_to_end(command);
    assert!(
        output.status.success(),
        "{}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("1 passed"), "there is no test called {name}:\n{text}");
}

/// Returns the name of the test that has made the closure `_made`, as the test harness knows it.
pub fn test_of<F>(_made: &F) -> &'static str {
    // The path of a closure is that of the function which makes it: krate::module::test::{{closure}}.
    let path = std::any::type_name::<F>();
    let (_krate, path) = path.split_once("::").expect("a path");
    path.split("::{{closure}}").next().expect("a first part")
}

/// Returns `true` in the process that [`alone`] has started for the test `name`.
pub fn is_child_of(name: &str) -> bool {
    std::env::var(CHILD).is_ok_and(|child| child == name)
}

/// Returns the command that runs the test `name` in a process of its own.
pub fn alone(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a test binary"));
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(CHILD, name);
    command
}

/// How long a process of a test may take, however loaded the machine is.
const LONGEST: Duration = Duration::from_secs(600);

/// Waits for the end of `command`, and kills it if it hangs: while it works it may take as long as other
/// tests on the same cores make it take.
fn run_to_end(mut command: Command) -> Output {
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process");
    let (start, mut worked) = (Instant::now(), (Instant::now(), Duration::ZERO));
    while child.try_wait().expect("it is our child").is_none() {
        let used = cpu_time_of(child.id());
        if used >= worked.1 + Duration::from_secs(1) {
            worked = (Instant::now(), used);
        }
        if worked.0.elapsed() > 3 * PATIENCE || start.elapsed() > LONGEST {
            child.kill().expect("it is our child");
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().expect("it has ended")
}

/// How much processor time the child `pid` has used, as proc(5) says in ticks of 10 ms.
fn cpu_time_of(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it is not waited for yet");
    let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
    let ticks = fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>());
    Duration::from_millis(10 * ticks.map(|count| count.expect("a number")).sum::<u64>())
}

// ---- panics ----

/// Panics, without a message on the terminal: those are for what goes wrong.
pub fn panic_on_purpose() -> ! {
    static QUIET: std::sync::Once = std::sync::Once::new();
    QUIET.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&ON_PURPOSE) {
                loud(info);
            }
        }));
    });
    std::panic::panic_any(ON_PURPOSE)
}

/// What [`panic_on_purpose`] says.
pub const ON_PURPOSE: &str = "on purpose";

// ---- holding a poller ----

/// Keeps a poller busy until it is dropped: what happens meanwhile comes to it all at once.
pub struct Held {
    _release: mpsc::Sender<()>,
}

/// Returns when `poller` is held.
pub fn hold(poller: &PollerHandle) -> Held {
    let (release, wait) = mpsc::channel::<()>();
    let (held, is_held) = mpsc::channel();
    let sent = poller.run_on(move || {
        let _ = held.send(());
        let _ = wait.recv_timeout(PATIENCE);
    });
    assert!(sent.is_ok(), "the poller has ended");
    is_held.recv_timeout(PATIENCE).expect("the poller runs what it is given");
    Held { _release: release }
}

// ---- echo, by both APIs ----

/// Sends back what has come, and ends when the peer does: an `on_read`.
pub fn send_back(cx: &mut EvContext<'_>) -> io::Result<Action> {
    let data = cx.read()?;
    if data.is_empty() {
        return Ok(Action::Close);
    }
    cx.write(&data)?;
    Ok(Action::Keep)
}

/// Echoes, and ends when the peer does.
pub struct Echo;

impl EvHandler for Echo {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        send_back(cx)
    }
}

/// Echoes, and ends when the peer does.
pub async fn echo(stream: net::TcpStream, _: SocketAddr) -> io::Result<u64> {
    futures::io::copy(&stream, &mut &stream).await
}

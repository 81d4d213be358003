//! corepoll-rustls' handlers, with `openssl s_client` and `openssl s_server`; and many handshakes, with
//! rustls on std sockets.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;

use corepoll::{Acceptor, Action, CloseReason, Connector, EvContext, Interest};
use corepoll_rustls::{Tls, TlsContext, TlsHandler};
use interop::certificates::Certificates;
use interop::common::{connect, in_own_process, raise_descriptor_limit};
use interop::{
    Folder, PATIENCE, Pattern, Peer, Port, Server, eventually, memory, pattern, program,
};
use rustls::client::Resumption;
use rustls::{ClientConnection, ServerConfig, StreamOwned};

/// A body that is no multiple of any buffer.
const LARGE: usize = 26_500_001;

/// Sends back what comes, no faster than it is read, and closes after as many bytes as the first line
/// says.
struct Echo {
    /// How many bytes are still to come; `None` before the line is whole.
    left: Option<usize>,
    line: Vec<u8>,
    tell: mpsc::Sender<String>,
}

impl Echo {
    /// Sends `data` back. Returns what follows from what is left.
    fn answer(&mut self, cx: &mut TlsContext<'_, '_>, data: &[u8]) -> io::Result<Action> {
        let Some(left) = &mut self.left else { return Ok(Action::Keep) };
        let data = &data[..data.len().min(*left)];
        cx.write(data)?;
        *left -= data.len();
        Ok(if *left == 0 { Action::Close } else { Action::Keep })
    }
}

impl TlsHandler for Echo {
    fn on_open(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        cx.set_watermarks(256 << 10, 1 << 20);
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        let data = cx.read()?;
        if data.is_empty() {
            return Ok(Action::Close);
        }
        if self.left.is_some() {
            return self.answer(cx, &data);
        }
        self.line.extend_from_slice(&data);
        let Some(end) = self.line.iter().position(|byte| *byte == b'\n') else {
            return Ok(Action::Keep);
        };
        let line = std::mem::take(&mut self.line);
        let count = str::from_utf8(&line[..end]).map_err(io::Error::other)?;
        self.left = Some(count.parse().map_err(io::Error::other)?);
        self.answer(cx, &line[end + 1..])
    }
    fn on_write_high(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        cx.set_interest(Interest::NONE)?;
        Ok(Action::Keep)
    }
    fn on_write_low(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        cx.set_interest(Interest::READABLE)?;
        Ok(Action::Keep)
    }
    fn on_handshake_fail(&mut self, _: &mut EvContext<'_>, reason: CloseReason) {
        let _ = self.tell.send(format!("{reason:?}"));
    }
    fn on_close(&mut self, _: &mut TlsContext<'_, '_>, reason: CloseReason) {
        let _ = self.tell.send(format!("{reason:?}"));
    }
}

/// A server of `pollers` that echoes, and tells how each connection ends.
fn serve(
    pollers: usize,
    config: Arc<ServerConfig>,
) -> (Server, SocketAddr, mpsc::Receiver<String>) {
    let (tell, ends) = mpsc::channel();
    let server = Server::start(pollers);
    let factory =
        Tls::server(config, move || Echo { left: None, line: Vec::new(), tell: tell.clone() });
    let listening = Acceptor::new(interop::ANY).listen(server.handle(), factory);
    let addr = listening.expect("a free port").local_addr().expect("an IP socket");
    (server, addr, ends)
}

/// Returns s_client, which connects to `addr` and trusts `certificates`.
fn s_client(addr: SocketAddr, certificates: &Certificates) -> std::process::Command {
    let mut command = program("openssl");
    command.args(["s_client", "-quiet", "-connect", &addr.to_string()]);
    command.args(["-verify_return_error", "-verify_hostname", "localhost"]);
    command.args(["-servername", "localhost", "-CAfile"]).arg(certificates.authority_file());
    command
}

#[test]
fn s_client_gets_a_large_body_back_by_tls_1_2_and_1_3() {
    let certificates = Certificates::new();
    let (_server, addr, ends) = serve(1, certificates.server(&[]));
    let body = pattern(LARGE);
    let request = [format!("{LARGE}\n").as_bytes(), &body].concat();
    for version in ["-tls1_2", "-tls1_3"] {
        let answer = Peer::run(s_client(addr, &certificates).arg(version), &request);
        assert!(answer.stdout == body, "{version}: {} bytes", answer.stdout.len());
        assert_eq!(ends.recv_timeout(PATIENCE).expect("an end"), "Requested");
    }
}

#[test]
fn a_client_that_does_not_trust_the_certificate_is_told_as_a_failed_handshake() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let (_server, addr, ends) = serve(1, certificates.server(&[]));
    for version in ["-tls1_2", "-tls1_3"] {
        let refused = Peer::run(s_client(addr, &others).arg(version), b"5\nhello");
        assert!(!refused.status.success(), "{}", refused.text());
        let end = ends.recv_timeout(PATIENCE).expect("an end");
        assert!(end.contains("UnknownCA"), "{end}");
    }
}

#[test]
fn a_gibibyte_goes_there_and_back_in_bounded_memory() {
    const BYTES: u64 = 1 << 30;
    in_own_process(|| {
        let certificates = Certificates::new();
        let (_server, addr, _ends) = serve(1, certificates.server(&[]));
        memory::forget_peak();
        let before = memory::resident();
        let received = Arc::new(Mutex::new(Pattern::new()));
        let checked = Arc::clone(&received);
        let mut client = Peer::start_large(&mut s_client(addr, &certificates), move |bytes| {
            assert!(checked.lock().expect("exact so far").goes_on_with(bytes), "another byte");
        });
        let mut input = client.take_input();
        writeln!(input, "{BYTES}").expect("it is read");
        Pattern::new().write(BYTES, input).expect("it is read");
        client.finish().success();
        assert_eq!(received.lock().expect("exact").done(), BYTES);
        let growth = memory::peak() - before;
        assert!(growth < 32 << 20, "{growth} bytes");
    });
}

#[test]
fn ten_thousand_clients_shake_hands() {
    const HANDSHAKES: usize = 10_000;
    const THREADS: usize = 4;
    const OPEN: usize = 250;
    in_own_process(|| {
        raise_descriptor_limit();
        let certificates = Certificates::new();
        let (_server, addr, ends) = serve(2, certificates.server(&[]));
        let mut config = Arc::unwrap_or_clone(certificates.client(&[]));
        config.resumption = Resumption::disabled();
        let config = Arc::new(config);
        // Each round has as many connections open at once: what the first ones leave is enough.
        let all_open = Barrier::new(THREADS);
        let round = || {
            let open = (0..OPEN).map(|_| {
                let name = "localhost".try_into().expect("a name");
                let client = ClientConnection::new(Arc::clone(&config), name).expect("whole");
                let mut stream = StreamOwned::new(client, connect(addr));
                stream.conn.complete_io(&mut stream.sock).expect("a handshake");
                stream
            });
            let open: Vec<_> = open.collect();
            all_open.wait();
            for mut stream in open {
                stream.write_all(b"4\nping").expect("it is read");
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).expect("a clean end");
                assert_eq!(answer, b"ping");
            }
        };
        let ended = AtomicUsize::new(0);
        let all_threads = |rounds: usize| {
            thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| (0..rounds).for_each(|_| round()));
                }
            });
        };
        all_threads(2);
        let before = memory::resident();
        all_threads(HANDSHAKES / THREADS / OPEN - 2);
        eventually("all ended well", || {
            let well = ends.try_iter().filter(|end| end == "Requested").count();
            ended.fetch_add(well, Ordering::SeqCst) + well == HANDSHAKES
        });
        let growth = memory::resident().saturating_sub(before);
        assert!(growth < 16 << 20, "{growth} bytes");
    });
}

/// Asks s_server for a file, and gives the test all that comes.
struct Get {
    answer: Vec<u8>,
    tell: mpsc::Sender<Result<Vec<u8>, String>>,
}

impl TlsHandler for Get {
    fn on_open(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        cx.write(b"GET /large HTTP/1.0\r\n\r\n")?;
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        let data = cx.read()?;
        self.answer.extend_from_slice(&data);
        Ok(if data.is_empty() { Action::Close } else { Action::Keep })
    }
    fn on_handshake_fail(&mut self, _: &mut EvContext<'_>, reason: CloseReason) {
        let _ = self.tell.send(Err(format!("{reason:?}")));
    }
    fn on_close(&mut self, _: &mut TlsContext<'_, '_>, reason: CloseReason) {
        let answer = std::mem::take(&mut self.answer);
        let is_well = matches!(reason, CloseReason::Requested);
        let _ = self.tell.send(if is_well { Ok(answer) } else { Err(format!("{reason:?}")) });
    }
}

#[test]
fn s_server_sends_a_large_file_to_those_who_trust_it() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let (body, folder) = (pattern(LARGE), Folder::new());
    folder.write("large", &body);
    for version in ["-tls1_2", "-tls1_3"] {
        let port = Port::free();
        let mut command = program("openssl");
        command.args(["s_server", "-WWW", version, "-accept", &port.addr().to_string()]);
        command.arg("-cert").arg(certificates.certificate_file());
        command.arg("-key").arg(certificates.key_file()).current_dir(folder.path());
        let _peer = Peer::start(&mut command).until_prints("ACCEPT");
        let server = Server::start(1);
        let get = |config| {
            let (tell, told) = mpsc::channel();
            let handler = move || {
                let name = "localhost".try_into().expect("a name");
                Tls::client(config, name, Get { answer: Vec::new(), tell })
            };
            Connector::new(server.handle()).connect(port.addr(), handler).expect("an address");
            told.recv_timeout(PATIENCE).expect("an end")
        };
        let refused = get(others.client(&[])).expect_err("it is refused");
        assert!(refused.contains("UnknownIssuer"), "{refused}");
        let answer = get(certificates.client(&[])).expect("no error");
        assert!(answer.ends_with(&body), "{version}: {} bytes", answer.len());
    }
}

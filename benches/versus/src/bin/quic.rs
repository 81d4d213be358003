//! What a byte of a QUIC download costs the server: quinn on corepoll beside quinn on tokio, in one run.
//!
//! ```text
//! cargo run --release -p versus --features quic --bin quic -- [MEBIBYTES [ROUNDS]]
//! ```
//!
//! Both servers run all the time, each in a process of its own with one thread for QUIC, and each round
//! downloads from one and then from the other. The client is the same for both: quinn on tokio. CPU time is
//! that of all threads of a server, with the kernel's part. System calls are counted by strace in a run
//! after that, on new servers.

use std::error::Error as StdError;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::{env, fs, thread};

use bytes::Bytes;
use quinn::rustls::RootCertStore;
use quinn::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use quinn::{ClientConfig, Connection, Endpoint, ServerConfig};

type Error = Box<dyn StdError + Send + Sync>;

/// The runtimes, as the arguments of a server name them.
const PEERS: [&str; 2] = ["corepoll", "tokio"];

/// What a server writes at once.
static PIECE: [u8; 64 << 10] = [7; 64 << 10];

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [command, peer] = &arguments[..]
        && command == "serve"
    {
        return serve(peer);
    }
    let number = |index: usize, default| arguments.get(index).map_or(Ok(default), |n| n.parse());
    let (size, rounds): (u64, u64) = (number(0, 256)? << 20, number(1, 9)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(size, rounds as usize))
}

/// Runs a server until its standard input ends.
fn serve(peer: &str) -> Result<(), Error> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    let config = ServerConfig::with_single_cert(vec![certificate.clone()], key)?;
    thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let addr = "127.0.0.1:0".parse()?;
    let ready = move |endpoint: &Endpoint| -> Result<(), Error> {
        let hex: String = certificate.iter().map(|byte| format!("{byte:02x}")).collect();
        println!("{} {hex}", endpoint.local_addr()?);
        Ok(())
    };
    if peer == "corepoll" {
        return corepoll::block_on(async {
            let endpoint = corepoll_quinn::server(config, addr)?;
            ready(&endpoint)?;
            while let Some(incoming) = endpoint.accept().await {
                corepoll::spawn_local(send(incoming));
            }
            Ok(())
        });
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let endpoint = Endpoint::server(config, addr)?;
        ready(&endpoint)?;
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(send(incoming));
        }
        Ok(())
    })
}

/// Sends as many bytes on each stream as it asks for.
async fn send(incoming: quinn::Incoming) -> Result<(), Error> {
    let connection = incoming.await?;
    loop {
        let (mut send, mut receive) = connection.accept_bi().await?;
        let mut count = [0; 8];
        receive.read_exact(&mut count).await?;
        let mut left = u64::from_be_bytes(count);
        while left > 0 {
            let size = left.min(PIECE.len() as u64);
            send.write_chunk(Bytes::from_static(&PIECE[..size as usize])).await?;
            left -= size;
        }
        send.finish()?;
    }
}

/// A server in a process of its own, and a connection to it.
struct Server {
    child: Child,
    /// The server's process: the child itself, or the one that strace runs.
    id: u32,
    connection: Connection,
}

impl Server {
    /// Starts `command`, which is a server or runs one, and connects.
    async fn start(mut command: Command) -> Result<Server, Error> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("it is piped")?).read_line(&mut line)?;
        let (addr, hex) = line.trim().split_once(' ').ok_or("the server does not start")?;
        let digits = hex.as_bytes().chunks(2).map(|two| std::str::from_utf8(two));
        let bytes: Result<Vec<u8>, Error> =
            digits.map(|two| Ok(u8::from_str_radix(two?, 16)?)).collect();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(bytes?))?;
        let mut endpoint = Endpoint::client("127.0.0.1:0".parse()?)?;
        endpoint.set_default_client_config(ClientConfig::with_root_certificates(Arc::new(roots))?);
        let addr: SocketAddr = addr.parse()?;
        let connection = endpoint.connect(addr, "localhost")?.await?;
        Ok(Server { id: child.id(), child, connection })
    }

    /// Downloads `size` bytes.
    async fn download(&self, size: u64) -> Result<(), Error> {
        let (mut send, mut receive) = self.connection.open_bi().await?;
        send.write_all(&size.to_be_bytes()).await?;
        let mut received = 0;
        while let Some(chunk) = receive.read_chunk(usize::MAX, false).await? {
            received += chunk.bytes.len() as u64;
        }
        if received == size { Ok(()) } else { Err(format!("{received} bytes of {size}").into()) }
    }

    /// Returns the CPU time of the server's threads so far, in nanoseconds.
    fn cpu(&self) -> Result<u64, Error> {
        let mut sum = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.id))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            sum += text.split_whitespace().next().ok_or("no number")?.parse::<u64>()?;
        }
        Ok(sum)
    }

    /// Returns how many datagrams the connection has received and sent.
    fn datagrams(&self) -> u64 {
        let stats = self.connection.stats();
        stats.udp_rx.datagrams + stats.udp_tx.datagrams
    }
}

/// Returns the command that starts the server of `peer`.
fn command(peer: &str) -> Result<Command, Error> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["serve", peer]);
    Ok(command)
}

async fn measure(size: u64, rounds: usize) -> Result<(), Error> {
    let mut servers = Vec::new();
    for peer in PEERS {
        let server = Server::start(command(peer)?).await?;
        server.download(size).await?; // the window grows
        servers.push(server);
    }
    let mut costs = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        for turn in 0..2 {
            let peer = (round + turn) % 2;
            let before = servers[peer].cpu()?;
            servers[peer].download(size).await?;
            costs[peer].push((servers[peer].cpu()? - before) as f64 / size as f64);
        }
    }
    for server in &mut servers {
        server.child.kill()?;
        server.child.wait()?;
    }
    let mut ratios: Vec<f64> = (0..rounds).map(|round| costs[0][round] / costs[1][round]).collect();
    ratios.sort_by(f64::total_cmp);
    println!("| peer | CPU ns a byte | calls a datagram | of which |\n|---|---|---|---|");
    for (peer, mut cost) in PEERS.into_iter().zip(costs) {
        cost.sort_by(f64::total_cmp);
        let (calls, names) = calls(peer, size).await?;
        println!("| {peer} | {:.3} | {calls:.3} | {names} |", cost[rounds / 2]);
    }
    let (least, most) = (ratios[0], ratios[rounds - 1]);
    println!("\ncorepoll / tokio: {:.3} ({least:.3} to {most:.3})", ratios[rounds / 2]);
    Ok(())
}

/// Counts the system calls of a download, a datagram.
async fn calls(peer: &str, size: u64) -> Result<(f64, String), Error> {
    let file = env::temp_dir().join(format!("versus-quic-{}", std::process::id()));
    let mut strace = Command::new("strace");
    strace.args(["-f", "-c", "-U", "calls,name", "-o"]).arg(&file).arg("--");
    strace.arg(env::current_exe()?).args(["serve", peer]);
    let mut server = Server::start(strace).await?;
    server.download(size).await?;
    let datagrams = server.datagrams();
    drop(server.child.stdin.take()); // ends the server
    server.child.wait()?;
    let (mut sum, mut names) = (0.0, Vec::new());
    for line in fs::read_to_string(&file)?.lines() {
        let mut words = line.split_whitespace();
        if let (Some(Ok(count)), Some(name)) = (words.next().map(str::parse::<f64>), words.next())
            && name != "total"
        {
            let rate = count / datagrams as f64;
            sum += rate;
            if rate > 0.001 {
                names.push(format!("{name} {rate:.3}"));
            }
        }
    }
    fs::remove_file(&file)?;
    Ok((sum, names.join(", ")))
}

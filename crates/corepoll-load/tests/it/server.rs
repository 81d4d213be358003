//! Servers that count, each connection a thread.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;

/// A server that runs until the test's process ends.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it has counted.
    pub counts: Arc<Counts>,
}

/// What a server has counted.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections that were accepted.
    pub connections: AtomicU64,
    /// Requests that were answered.
    pub requests: AtomicU64,
}

impl Server {
    /// Starts a server; `serve` is called with each connection.
    pub fn start(serve: impl Fn(TcpStream, &Counts) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let counts = Arc::new(Counts::default());
        let (serve, counted) = (Arc::new(serve), counts.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counted.connections.fetch_add(1, SeqCst);
                let (serve, counts) = (serve.clone(), counted.clone());
                thread::spawn(move || serve(stream, &counts));
            }
        });
        Server { address, counts }
    }

    /// Starts a server that answers each request by what `answer` returns; `None` closes.
    pub fn http(answer: impl Fn(u64) -> Option<&'static str> + Send + Sync + 'static) -> Server {
        Server::start(move |mut stream, counts| {
            let mut reader = BufReader::new(stream.try_clone().expect("a clone"));
            while next_request(&mut reader) {
                let number = counts.requests.fetch_add(1, SeqCst);
                let Some(text) = answer(number) else { return };
                if stream.write_all(text.as_bytes()).is_err() || text.contains("Connection: close")
                {
                    return;
                }
            }
        })
    }

    /// Starts a server that sends back what it gets.
    pub fn echo() -> Server {
        Server::start(|mut stream, counts| {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut bytes) {
                counts.requests.fetch_add(1, SeqCst);
                if stream.write_all(&bytes[..length]).is_err() {
                    return;
                }
            }
        })
    }
}

/// Reads a request. Returns `false` at the end.
pub fn next_request(reader: &mut impl BufRead) -> bool {
    let mut line = String::new();
    loop {
        line.clear();
        match reader.read_line(&mut line) {
            Ok(0) | Err(_) => return false,
            Ok(_) if line == "\r\n" => return true,
            Ok(_) => {}
        }
    }
}

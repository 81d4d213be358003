//! Upstreams for the gateway: threads with blocking sockets, which behave as a test wants them to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A request as an upstream gets it.
#[derive(Debug)]
pub struct Request {
    /// The first line and the header lines, without ends of lines.
    pub head: Vec<String>,
    /// The body, whatever frames it.
    pub body: Vec<u8>,
}

impl Request {
    /// Reads a request, or `None` at the end.
    pub fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
        let head = Request::read_head(stream)?;
        let mut request = Request { head, body: Vec::new() };
        if let Some(length) = request.header("content-length") {
            request.body = vec![0; length.parse().expect("a length")];
            stream.read_exact(&mut request.body).ok()?;
        } else if request.header("transfer-encoding").is_some() {
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).ok()?;
                let length = usize::from_str_radix(line.trim_end(), 16).ok()?;
                let begin = request.body.len();
                request.body.resize(begin + length + 2, 0); // with the end of its line
                stream.read_exact(&mut request.body[begin..]).ok()?;
                request.body.truncate(begin + length);
                if length == 0 {
                    break;
                }
            }
        }
        Some(request)
    }

    /// Reads the lines of a head.
    pub fn read_head(stream: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end() {
                "" => return Some(head),
                line => head.push(line.to_owned()),
            }
        }
    }

    /// A header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.iter().skip(1).filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// A server that calls `answer` for each request. It ends with the process of the tests.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Upstream {
    /// Serves by `answer`, which returns whether the connection goes on.
    pub fn start(
        answer: impl Fn(&Request, &mut BufReader<TcpStream>) -> bool + Send + Sync + 'static,
    ) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("an address");
        let (connections, answer) = (Arc::new(AtomicUsize::new(0)), Arc::new(answer));
        let counted = connections.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::SeqCst);
                let answer = answer.clone();
                thread::spawn(move || {
                    let mut stream = BufReader::new(stream);
                    while Request::read(&mut stream).is_some_and(|it| answer(&it, &mut stream)) {}
                });
            }
        });
        Upstream { address, connections }
    }

    /// One that answers with `name`, and goes on.
    pub fn named(name: &'static str) -> Upstream {
        Upstream::start(move |_, stream| say(stream, name))
    }

    /// Its address, as an option of the gateway.
    pub fn option(&self) -> String {
        format!("--upstream={}", self.address)
    }

    /// How many connections it has had.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Answers with a body. Returns whether that was taken.
pub fn say(stream: &mut BufReader<TcpStream>, body: &str) -> bool {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.get_mut().write_all(answer.as_bytes()).is_ok()
}

//! The `download` example: whole files, at a speed that a broadcast changes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::Server;

/// A download begins with its head, and then nothing comes until the speed is another one.
const PAUSED: &str = "0";

/// More than it can be.
const FULL: &str = "/speed/1000000000";

/// A file of 4 MiB in numbered lines of 16 bytes, so that what is missing can be seen.
struct Lines(PathBuf);

impl Lines {
    fn new() -> Lines {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("corepoll-download-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let lines: String = (0..LENGTH / 16).map(|number| format!("line {number:10}\n")).collect();
        std::fs::write(&path, lines).expect("writes a file");
        Lines(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("text")
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

const LENGTH: usize = 4 * 1024 * 1024;

fn start(own: &[&str]) -> Server {
    let arguments = [&["--addr", "127.0.0.1:0", "--pollers", "2"], own].concat();
    Server::start_with("download", &arguments)
}

fn ask(server: &Server, path: &str) -> TcpStream {
    let mut stream = server.connect();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").expect("writes");
    stream
}

/// The first byte, which proves that the download has begun.
fn begin(stream: &mut TcpStream) {
    stream.read_exact(&mut [0]).expect("begins");
}

/// The content, after the head has been checked.
fn content(mut stream: TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("answers, and ends");
    let end = answer.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
    let content = answer.split_off(end);
    let head = String::from_utf8(answer).expect("text");
    assert!(head.contains(&format!("Content-Length: {}\r\n", content.len())), "{head}");
    content
}

#[test]
fn a_file_arrives_whole_by_either_way() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock");
    let expected = std::fs::read(path).expect("a file");
    for own in [&["--file", path][..], &["--file", path, "--sendfile"]] {
        assert!(content(ask(&start(own), "/")) == expected, "{own:?}");
    }
}

#[test]
fn the_program_itself_is_sent_where_no_file_is_named() {
    let path = std::env::current_exe().expect("this test");
    let example = path.ancestors().nth(2).expect("target/<profile>").join("examples/download");
    let expected = std::fs::read(example).expect("a program");
    let server = start(&["--speed", "1000000000"]);
    assert!(content(ask(&server, "/")) == expected);
}

#[test]
fn a_new_speed_reaches_the_downloads_of_every_poller() {
    let lines = Lines::new();
    let paused = ["--speed", PAUSED, "--file", lines.path()];
    for own in [&paused[..], &[&paused[..], &["--sendfile"]].concat()] {
        let server = start(own);
        let mut downloads: Vec<_> = (0..4).map(|_| ask(&server, "/")).collect();
        downloads.iter_mut().for_each(begin);
        let mut answer = String::new();
        ask(&server, FULL).read_to_string(&mut answer).expect("answers");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        for mut download in downloads {
            let mut rest = Vec::new();
            download.read_to_end(&mut rest).expect("ends");
            let end = rest.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
            assert_eq!(rest.len() - end, LENGTH);
            for (number, line) in rest[end..].chunks(16).enumerate() {
                assert_eq!(line, format!("line {number:10}\n").as_bytes());
            }
        }
    }
}

#[test]
fn a_download_goes_on_after_the_signal() {
    let lines = Lines::new();
    let server = start(&["--speed", PAUSED, "--file", lines.path()]);
    let mut download = ask(&server, "/");
    begin(&mut download);
    // Half a second of work is left when the signal comes, far less than the grace.
    ask(&server, "/speed/8000000").read_to_end(&mut Vec::new()).expect("answers");
    server.signal("TERM");
    let mut rest = Vec::new();
    download.read_to_end(&mut rest).expect("ends");
    assert!(rest.len() > LENGTH);
    assert!(server.wait().success());
}

#[test]
fn what_is_no_get_is_answered_without_the_file() {
    let server = start(&[]);
    let body = "Content-Length: 3\r\n\r\nabc";
    for (request, status) in [
        ("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n", "404"),
        (&format!("POST / HTTP/1.1\r\nHost: test\r\n{body}"), "404"),
        ("nonsense\r\n\r\n", "400"),
    ] {
        let mut stream = server.connect();
        stream.write_all(request.as_bytes()).expect("writes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answers, and ends");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("Content-Length: ") && answer.ends_with("\r\n\r\n"), "{answer}");
    }
}

#[test]
fn other_requests_are_refused() {
    let server = start(&[]);
    for (path, status) in [("/other", "404"), ("/speed/much", "404")] {
        let mut answer = String::new();
        ask(&server, path).read_to_string(&mut answer).expect("answers");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}

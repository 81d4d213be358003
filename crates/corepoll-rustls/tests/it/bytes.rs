use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

use corepoll::{Action, Interest};
use corepoll_rustls::{TlsContext, TlsHandler, TlsOptions, TlsWriter};
use rustls::Connection;

use crate::common::{Identity, PATIENCE, Server, VERSIONS, connect, exchange, finish, next};

/// Bytes whose order can be seen.
fn pattern(from: usize, buffer: &mut [u8]) {
    for (index, byte) in buffer.iter_mut().enumerate() {
        *byte = ((from + index) % 251) as u8;
    }
}

/// Reads no faster than its peer does, and tells the most that was queued.
#[derive(Default)]
struct Careful {
    most: usize,
    tell: Option<std::sync::mpsc::Sender<usize>>,
}

impl TlsHandler for Careful {
    fn on_open(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        cx.set_watermarks(64 * 1024, 256 * 1024);
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        let data = cx.read()?;
        cx.write(&data)?;
        self.most = self.most.max(cx.pending_output());
        Ok(if data.is_empty() { Action::Close } else { Action::Keep })
    }
    fn on_write_high(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        cx.set_interest(Interest::NONE)?;
        Ok(Action::Keep)
    }
    fn on_write_low(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        cx.set_interest(Interest::READABLE)?;
        Ok(Action::Keep)
    }
    fn on_close(&mut self, _: &mut TlsContext<'_, '_>, _: corepoll::CloseReason) {
        if let Some(tell) = &self.tell {
            let _ = tell.send(self.most);
        }
    }
}

/// Moves `total` bytes each way through an echo, with a reader and a writer at the client.
fn both_ways(client: crate::common::Client, total: usize) {
    let mut socket = client.sock.try_clone().expect("it is a socket");
    let connection = Arc::new(std::sync::Mutex::new(Connection::Client(client.conn)));
    let (sender_connection, mut sender_socket) = (connection.clone(), client.sock);
    let sender = thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        for from in (0..total).step_by(buffer.len()) {
            pattern(from, &mut buffer);
            let mut records = Vec::new();
            let mut connection = sender_connection.lock().expect("no panic");
            connection.writer().write_all(&buffer).expect("it is encrypted");
            while connection.wants_write() {
                connection.write_tls(&mut records).expect("a vector takes it");
            }
            drop(connection);
            sender_socket.write_all(&records).expect("it is sent");
        }
    });
    let (mut received, mut wanted) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let (mut raw, mut count) = (vec![0; 64 * 1024], 0);
    while count < total {
        let length = socket.read(&mut raw).expect("it comes");
        assert!(length > 0, "the connection has ended after {count} bytes");
        let mut rest = &raw[..length];
        while !rest.is_empty() {
            let mut connection = connection.lock().expect("no panic");
            connection.read_tls(&mut rest).expect("a slice is read");
            let state = connection.process_new_packets().expect("it is TLS");
            let mut left = state.plaintext_bytes_to_read();
            while left > 0 {
                let length = left.min(received.len());
                connection.reader().read_exact(&mut received[..length]).expect("it is there");
                pattern(count, &mut wanted[..length]);
                assert!(received[..length] == wanted[..length], "bytes differ after {count}");
                count += length;
                left -= length;
            }
        }
    }
    sender.join().expect("everything is sent");
}

#[test]
fn megabytes_go_both_ways_exactly_and_few_are_queued() {
    const TOTAL: usize = 16 << 20;
    let identity = Identity::new("localhost");
    for version in VERSIONS {
        let (tell, most) = channel();
        let server = Server::of(TlsOptions::new(), identity.server(), move || Careful {
            most: 0,
            tell: Some(tell.clone()),
        });
        let config = Arc::new(identity.client(&[version]));
        let mut client = connect(server.addr, config, "localhost");
        exchange(&mut client, b"the handshake is done");
        both_ways(client, TOTAL);
        let most = most.recv_timeout(PATIENCE).expect("it ends");
        assert!(most < 1 << 20, "{most} bytes were queued");
    }
}

#[test]
fn records_may_come_byte_by_byte_or_many_at_once() {
    let identity = Identity::new("localhost");
    let (server, heard) = Server::echo(identity.server());
    for version in VERSIONS {
        let config = Arc::new(identity.client(&[version]));
        let mut client = connect(server.addr, config, "localhost");
        client.sock.set_nodelay(true).expect("it is a socket");
        // The handshake too, in single bytes.
        while client.conn.is_handshaking() {
            let mut flight = Vec::new();
            while client.conn.wants_write() {
                client.conn.write_tls(&mut flight).expect("a vector takes it");
            }
            for byte in flight {
                client.sock.write_all(&[byte]).expect("it is sent");
            }
            if client.conn.is_handshaking() && client.conn.wants_read() {
                client.conn.read_tls(&mut client.sock).expect("it comes");
                client.conn.process_new_packets().expect("it is TLS");
            }
        }
        let mut records = Vec::new();
        client.conn.writer().write_all(b"in single bytes ").expect("it is encrypted");
        client.conn.write_tls(&mut records).expect("a vector takes it");
        for byte in records {
            client.sock.write_all(&[byte]).expect("it is sent");
        }
        let mut records = Vec::new();
        for _ in 0..500 {
            client.conn.writer().write_all(b"many").expect("it is encrypted");
            while client.conn.wants_write() {
                client.conn.write_tls(&mut records).expect("a vector takes it");
            }
        }
        client.sock.write_all(&records).expect("it is sent");
        let mut answer = vec![0; 16 + 2000];
        client.read_exact(&mut answer).expect("it is answered");
        assert_eq!(&answer[..16], b"in single bytes ");
        assert_eq!(&answer[16..], b"many".repeat(500));
        finish(&mut client);
        assert!(next(&heard).starts_with("open "));
        assert_eq!(next(&heard), "closed Requested");
    }
}

#[test]
fn small_writes_of_a_callback_share_a_record() {
    let identity = Identity::new("localhost");
    let (server, _heard) = Server::of_sessions(identity.server(), || {
        |cx: &mut TlsContext<'_, '_>, data: &[u8]| {
            for byte in data {
                cx.write(&[*byte])?;
            }
            assert!(cx.pending_output() >= data.len());
            Ok(if data.is_empty() { Action::Close } else { Action::Keep })
        }
    });
    let config = Arc::new(identity.client(&[&rustls::version::TLS12]));
    let mut client = connect(server.addr, config, "localhost");
    assert_eq!(exchange(&mut client, b"handshake"), b"handshake");
    client.write_all(&[b'x'; 100]).expect("it is sent");
    client.flush().expect("it is sent");
    let mut header = [0; 5];
    client.sock.read_exact(&mut header).expect("a record comes");
    // The explicit nonce and the tag of TLS 1.2 beside the hundred bytes.
    assert_eq!(header, [23, 3, 3, 0, 100 + 8 + 16]);
}

/// Leaves everything unread at first, and reads it after a timer.
struct Later {
    reads: bool,
}

impl TlsHandler for Later {
    fn on_open(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        cx.set_interest(Interest::NONE)?;
        cx.set_timer(std::time::Duration::from_millis(20));
        Ok(Action::Keep)
    }
    fn on_timeout(
        &mut self,
        cx: &mut TlsContext<'_, '_>,
        _: corepoll::TimerId,
    ) -> io::Result<Action> {
        self.reads = true;
        cx.set_interest(Interest::READABLE)?;
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        assert!(self.reads, "the handler isn't interested");
        loop {
            let data = cx.read()?;
            if data.is_empty() {
                return Ok(Action::Close);
            }
            cx.write(&data)?;
        }
    }
}

#[test]
fn records_that_are_left_unread_are_kept() {
    let identity = Identity::new("localhost");
    let server = Server::of(TlsOptions::new(), identity.server(), || Later { reads: false });
    let config = Arc::new(identity.client(&VERSIONS));
    let mut client = connect(server.addr, config, "localhost");
    for _ in 0..50 {
        client.write_all(b"a record ").expect("it is sent");
    }
    finish(&mut client);
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("it is answered");
    assert_eq!(answer, "a record ".repeat(50));
}

/// Gives its writer to the test.
struct Lend(std::sync::mpsc::Sender<TlsWriter>);

impl TlsHandler for Lend {
    fn on_open(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        cx.write(b"first ")?;
        let writer = cx.writer();
        writer.write("second ")?;
        cx.write(b"third ")?;
        let _ = self.0.send(writer);
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
    }
}

#[test]
fn writers_of_threads_keep_the_order_of_their_calls() {
    const THREADS: usize = 4;
    const EACH: usize = 2000;
    let identity = Identity::new("localhost");
    let (lend, writers) = channel();
    let server = Server::of(TlsOptions::new(), identity.server(), move || Lend(lend.clone()));
    let config = Arc::new(identity.client(&VERSIONS));
    let mut client = connect(server.addr, config, "localhost");
    client.flush().expect("the handshake begins");
    let mut begin = [0; 19];
    client.read_exact(&mut begin).expect("it is greeted");
    assert_eq!(&begin, b"first second third ");
    let writer = writers.recv_timeout(PATIENCE).expect("on_open is called");
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let writer = writer.clone();
            thread::spawn(move || {
                for number in 0..EACH {
                    let line = format!("{thread} {number}\n");
                    writer.write(line).expect("the connection is open");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("everything is accepted"));
    writer.close();
    assert_eq!(writer.write("late").expect_err("it is closed").kind(), io::ErrorKind::BrokenPipe);
    let mut text = String::new();
    client.read_to_string(&mut text).expect("it ends with a close_notify");
    let mut next = [0; THREADS];
    for line in text.lines() {
        let (thread, number) = line.split_once(' ').expect("two numbers");
        let thread: usize = thread.parse().expect("a number");
        assert_eq!(number, next[thread].to_string());
        next[thread] += 1;
    }
    assert_eq!(next, [EACH; THREADS]);
}

//! Sockets without corepoll send large pieces, by copying them into the kernel and by MSG_ZEROCOPY.
//! How much processor time does a megabyte take, on both sides together, and how many of the pieces
//! has the kernel copied all the same?
//!
//! corepoll has no option for it, since it loses where the peer is on the same machine: the kernel
//! copies what it delivers to a socket. The line of the device that drops everything shows the most
//! that a network card could gain.

use std::io::{self, Read};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Instant;

use crate::network::{self, ZeroCopy};

/// The sizes of the pieces: the kernel's documentation advises to copy below 10 KB.
const SIZES: [usize; 3] = [10_000, 65_536, 1_048_576];

/// How many bytes one measurement sends.
const TOTAL: usize = 400_000_000;

/// What a measurement has found.
#[derive(Default, Clone, Copy)]
struct Found {
    /// Bytes sent, seconds, processor seconds.
    bytes: f64,
    seconds: f64,
    used: f64,
    /// Pieces that were sent without a copy, and those of them that were copied later.
    pieces: u64,
    copied: u64,
}

impl Found {
    fn add(&mut self, other: Found) {
        self.bytes += other.bytes;
        self.seconds += other.seconds;
        self.used += other.used;
        self.pieces += other.pieces;
        self.copied += other.copied;
    }
}

/// Sends `total` bytes in pieces of `size`, and waits until none of them is in use any more.
fn send(socket: &impl AsFd, size: usize, total: usize, by_zero_copy: bool) -> io::Result<Found> {
    // They are never written again, so that it doesn't matter which of them is on its way.
    let piece = vec![7; size];
    let mut sender = ZeroCopy::new(socket, by_zero_copy)?;
    let (start, before) = (Instant::now(), network::processor_time());
    let mut bytes = 0;
    while bytes < total {
        let mut sent = 0;
        while sent < size {
            sent += sender.send(&piece[sent..])?;
        }
        bytes += sent;
    }
    let (pieces, copied) = sender.finish()?;
    let used = (network::processor_time() - before).as_secs_f64();
    let seconds = start.elapsed().as_secs_f64();
    Ok(Found { bytes: bytes as f64, seconds, used, pieces, copied })
}

/// Measures one stream, whose other end reads everything.
fn stream(address: &str, far: bool, size: usize, total: usize, zero: bool) -> io::Result<Found> {
    let listener = TcpListener::bind((address, 0))?;
    let address = listener.local_addr()?;
    let reader = thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        let mut buffer = vec![0; 1 << 20];
        while stream.read(&mut buffer)? > 0 {}
        io::Result::Ok(())
    });
    let sender = thread::spawn(move || {
        if far {
            network::enter_far_network()?;
        }
        let stream = TcpStream::connect(address)?;
        let found = send(&stream, size, total, zero)?;
        stream.shutdown(Shutdown::Write)?;
        io::Result::Ok(found)
    });
    let found = sender.join().expect("it doesn't panic");
    reader.join().expect("it doesn't panic")?;
    found
}

/// Measures datagrams to a device that drops them: as a network card that reads memory by itself,
/// and costs nothing. It is the most that there is to gain.
fn datagrams(size: usize, total: usize, zero: bool) -> io::Result<Found> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect((network::SINK, 9))?;
    network::segment(&socket, 1400)?;
    send(&socket, size, total, zero)
}

/// Measures both ways in turn, and prints their lines.
fn line(
    name: &str,
    size: usize,
    rounds: usize,
    measure: impl Fn(usize, bool) -> io::Result<Found>,
) -> io::Result<()> {
    let mut found = [Found::default(); 2];
    for round in 0..2 * rounds {
        found[round % 2].add(measure(TOTAL / rounds, round % 2 == 1)?);
    }
    for (found, way) in found.iter().zip(["copies", "MSG_ZEROCOPY"]) {
        let megabytes = found.bytes / 1e6;
        let copied = match found.pieces {
            0 => String::new(),
            pieces => format!("{:.0} %", found.copied as f64 * 100.0 / pieces as f64),
        };
        println!(
            "{name:<26}{size:>10}  {way:<16}{:>12.0}{:>14.1}{copied:>12}",
            megabytes / found.seconds,
            found.used * 1e6 / megabytes,
        );
    }
    Ok(())
}

pub fn ask(is_test: bool) -> io::Result<()> {
    println!(
        "{:<26}{:>10}  {:<16}{:>12}{:>14}{:>12}",
        "zero_copy", "bytes", "", "MB/s", "CPU, us a MB", "copied"
    );
    let (tell, told) = channel();
    let (end, ended) = channel::<()>();
    // The far network lives as long as this thread.
    let far = thread::spawn(move || {
        network::enter_network()?;
        let _ = tell.send(network::thread_number());
        let _ = ended.recv();
        io::Result::Ok(())
    });
    let Ok(thread) = told.recv() else { return far.join().expect("it doesn't panic") };
    network::make_pair(thread)?;
    network::remember_far_network(thread)?;
    network::make_sink()?;
    let rounds = if is_test { 1 } else { 10 };
    let total = |part: usize| if is_test { part / 100 } else { part };
    for size in SIZES {
        line("loopback", size, rounds, |part, zero| {
            stream("127.0.0.1", false, size, total(part), zero)
        })?;
        line("veth pair", size, rounds, |part, zero| {
            stream(network::NEAR, true, size, total(part), zero)
        })?;
    }
    for size in [7 * 1400, 20 * 1400, 44 * 1400] {
        line("a device that drops, UDP", size, rounds, |part, zero| {
            datagrams(size, total(part), zero)
        })?;
    }
    drop(end);
    far.join().expect("it doesn't panic")
}

//! The clients of `versus scale`: a process that opens many connections, asks once on each, and then
//! leaves them idle but for those that it is told to ask.
//!
//! It reads commands, a line each, and answers each with a line. One connection asks at a time, so a
//! latency is that of a request alone, on a connection whose state has not been touched for long.

use std::io::{self, BufRead, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use lexopt::prelude::*;

use crate::args::{Error, failure};
use crate::load::clients::open;
use crate::load::exchange::Exchange;
use crate::load::say;
use crate::protocol::Kind;
use crate::sys;

const HELP: &str = "\
crowd --addr ADDR [options]
  --addr ADDR       the server to ask
  --first N         the number of the first connection, by which its source is chosen: each
                    address of 127/8 gets 12000; default 0
  --cpu N           keep the process on one CPU
commands, on standard input
  open N            opens connections until there are N, and asks once on each; answers
                    \"opened NANOSECONDS\"
  ask N             asks on N connections at random; answers \"asked NANOSECONDS..\", one for each";

/// Opens and asks by the commands on standard input, until it ends.
pub fn main(mut parser: lexopt::Parser) -> Result<(), Error> {
    let (mut addr, mut first): (Option<SocketAddr>, usize) = (None, 0);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("addr") => addr = Some(parser.value()?.parse()?),
            Long("first") => first = parser.value()?.parse()?,
            Long("cpu") => sys::pin_to(parser.value()?.parse()?)?,
            Long("help") => {
                println!("{HELP}");
                return Ok(());
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let addr = addr.ok_or_else(|| failure("--addr is missing; see --help"))?;
    sys::raise_descriptor_limit()?;
    let mut crowd = Crowd::new(addr, first);
    for line in io::stdin().lock().lines() {
        let line = line?;
        match line.split_once(' ') {
            Some(("open", number)) => {
                let begin = Instant::now();
                crowd.open_to(number.parse()?)?;
                say(&format!("opened {}", begin.elapsed().as_nanos()))?;
            }
            Some(("ask", number)) => {
                let latencies = crowd.ask_at_random(number.parse()?)?;
                let words: Vec<String> = latencies.iter().map(u64::to_string).collect();
                say(&format!("asked {}", words.join(" ")))?;
            }
            _ => return Err(failure(format!("no command {line:?}; see --help"))),
        }
    }
    Ok(())
}

/// Connections that are idle most of the time.
struct Crowd {
    addr: SocketAddr,
    /// The number of the first connection.
    first: usize,
    connections: Vec<TcpStream>,
    exchange: Exchange,
    /// Room for an answer; empty until its length is known.
    answer: Vec<u8>,
    /// The state of the generator that chooses connections.
    random: u64,
}

impl Crowd {
    /// Makes a crowd without connections.
    fn new(addr: SocketAddr, first: usize) -> Crowd {
        let exchange = Exchange::new(Kind::Plaintext, 0, "/plaintext");
        // Any seed but zero; crowds beside each other choose differently.
        let random = 0x9E37_79B9_7F4A_7C15 ^ first as u64;
        Crowd { addr, first, connections: Vec::new(), exchange, answer: Vec::new(), random }
    }

    /// Opens connections until there are `number`, and asks once on each: the answer shows that it has
    /// been accepted, and a keep-alive connection has been used before it is idle.
    fn open_to(&mut self, number: usize) -> io::Result<()> {
        while self.connections.len() < number {
            let stream = open(self.addr, self.first + self.connections.len())?;
            self.connections.push(stream);
            self.ask(self.connections.len() - 1)?;
        }
        Ok(())
    }

    /// Asks on `number` connections at random, one after the other, and returns what each took, in
    /// nanoseconds.
    fn ask_at_random(&mut self, number: usize) -> io::Result<Vec<u64>> {
        (0..number)
            .map(|_| {
                let at = self.next_random() as usize % self.connections.len().max(1);
                let begin = Instant::now();
                self.ask(at)?;
                Ok(begin.elapsed().as_nanos() as u64)
            })
            .collect()
    }

    /// Asks on one connection, and waits for the answer.
    fn ask(&mut self, at: usize) -> io::Result<()> {
        let stream = self.connections.get_mut(at).ok_or(io::ErrorKind::NotConnected)?;
        if self.answer.is_empty() {
            self.answer = vec![0; self.exchange.learn_answer_len(stream)?];
            return Ok(());
        }
        stream.write_all(&self.exchange.request)?;
        stream.read_exact(&mut self.answer)
    }

    /// Returns a number at random: xorshift64, which is enough to choose by.
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

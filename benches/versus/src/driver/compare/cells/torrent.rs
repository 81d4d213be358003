//! A connection that asks a server to read it in a costly way, and always has bytes for it.

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::args::{Error, failure};
use crate::driver::compare::placement::{Placement, on_cpus};
use crate::load::read_http_answer;
use crate::protocol::Flood;
use crate::sys;

/// How long the server may take to answer the request by which the connection becomes a flood.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is sent at once.
static PIECE: [u8; 64 << 10] = [b'x'; 64 << 10];

/// The connection, and the threads that send and receive on it. They are nice: they share their CPU
/// with the load that measures.
#[derive(Debug)]
pub(super) struct Torrent {
    stream: TcpStream,
    threads: Vec<JoinHandle<()>>,
}

impl Torrent {
    /// Connects, and begins to send when the server has answered the request.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not answer it as all others.
    pub(super) fn start(addr: SocketAddr, flood: Flood) -> Result<Torrent, Error> {
        on_cpus(&Placement::new(1).load, || {
            sys::be_nice()?;
            let mut stream = TcpStream::connect(addr)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            // In one piece: what follows the first line is read as a flood if it comes later.
            let request = format!("{}Host: versus\r\n\r\n", flood.request_line());
            stream.write_all(request.as_bytes())?;
            read_http_answer(&mut stream)?;
            stream.set_read_timeout(None)?;
            let (mut sending, mut receiving) = (stream.try_clone()?, stream.try_clone()?);
            // They have the CPU and the niceness of this thread.
            let send = thread::spawn(move || while sending.write_all(&PIECE).is_ok() {});
            let receive = thread::spawn(move || {
                let _ = io::copy(&mut receiving, &mut io::sink());
            });
            Ok(Torrent { stream, threads: vec![send, receive] })
        })
    }

    /// It must have lasted as long as the work beside it.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.threads.iter().any(JoinHandle::is_finished) {
            return Err(failure("the server has closed the flood"));
        }
        Ok(())
    }
}

impl Drop for Torrent {
    fn drop(&mut self) {
        // Both threads end by it.
        let _ = self.stream.shutdown(Shutdown::Both);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

//! CPU time a byte of a proxy: user and system together, since what is compared is a copy in user
//! space with a move in the kernel.
//!
//! One connection through the proxy, on which both sides send at full speed at once, as `--bytes`
//! each. The proxies take turns, `--rounds` times, each turn in a process of its own; the time is
//! that of /proc/PID/schedstat, in nanoseconds. It has the proxy's part in TCP, which is the same
//! for all: what goes out is received in the sender's time on the loopback interface.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use super::process::{Server, pin_to_load_cpu};
use super::{PATIENCE, Plan, table};
use crate::args::{Error, failure};
use crate::proxies::Proxy;

/// What is sent and read at once at the ends.
const PIECE: usize = 256 * 1024;

/// Prints the table.
pub(super) fn measure(plan: &Plan) -> Result<(), Error> {
    pin_to_load_cpu()?;
    let mut rounds = vec![Vec::new(); Proxy::ALL.len()];
    for _ in 0..plan.rounds {
        for (proxy, figures) in Proxy::ALL.iter().zip(&mut rounds) {
            figures.push(nanoseconds_a_kib(*proxy, plan.bytes)?);
        }
    }
    let heading = format!("CPU of a proxy, {} MiB each way", plan.bytes >> 20);
    let columns = ["ns a KiB", "ratio", "lowest", "highest"].map(str::to_owned);
    let mut rows = vec![table::row(&heading, columns)];
    for (proxy, figures) in Proxy::ALL.iter().zip(&rounds) {
        let ratios = figures.iter().zip(&rounds[0]).map(|(this, first)| this / first).collect();
        let (lowest, ratio, highest) = spread(ratios);
        let (_, median, _) = spread(figures.clone());
        let cells = [median, ratio, lowest, highest].map(|figure| format!("{figure:.2}"));
        rows.push(table::row(proxy.name(), cells));
    }
    table::print(&rows);
    Ok(())
}

/// The lowest, the median and the highest.
fn spread(mut figures: Vec<f64>) -> (f64, f64, f64) {
    figures.sort_by(f64::total_cmp);
    (figures[0], figures[figures.len() / 2], figures[figures.len() - 1])
}

fn nanoseconds_a_kib(proxy: Proxy, bytes: u64) -> Result<f64, Error> {
    let upstream = TcpListener::bind("127.0.0.1:0")?;
    let server = Server::start_proxy(proxy, upstream.local_addr()?)?;
    let before = server.cpu_nanoseconds()?;
    pass_through(&server, &upstream, bytes)?;
    let used = server.cpu_nanoseconds()? - before;
    server.stop()?;
    Ok(used as f64 / (2 * bytes / 1024) as f64)
}

/// Sends so many bytes each way through a proxy to `upstream`, and reads them.
pub(super) fn pass_through(
    server: &Server,
    upstream: &TcpListener,
    bytes: u64,
) -> Result<(), Error> {
    let near = patient(TcpStream::connect(server.addr)?)?;
    let far = patient(upstream.accept()?.0)?;
    thread::scope(|scope| {
        let work = [
            scope.spawn(|| send(&near, bytes)),
            scope.spawn(|| send(&far, bytes)),
            scope.spawn(|| receive(&near, bytes)),
            scope.spawn(|| receive(&far, bytes)),
        ];
        work.into_iter().try_for_each(|thread| thread.join().expect("an end panicked"))
    })
}

fn patient(stream: TcpStream) -> Result<TcpStream, Error> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn send(mut stream: &TcpStream, bytes: u64) -> Result<(), Error> {
    let piece = vec![7; PIECE];
    let mut left = bytes;
    while left > 0 {
        let count = left.min(PIECE as u64);
        stream.write_all(&piece[..count as usize])?;
        left -= count;
    }
    Ok(stream.shutdown(Shutdown::Write)?)
}

fn receive(mut stream: &TcpStream, bytes: u64) -> Result<(), Error> {
    let mut piece = vec![0; PIECE];
    let mut received = 0;
    loop {
        match stream.read(&mut piece)? {
            0 if received == bytes => return Ok(()),
            0 => return Err(failure(format!("{received} bytes came, and not {bytes}"))),
            count => received += count as u64,
        }
    }
}

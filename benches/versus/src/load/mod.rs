//! The program that asks: an exact number of requests over connections that are all open before
//! the first, each asking again as soon as it is answered, or being replaced then by a new one.
//!
//! The count is exact so that what a server did can be divided by it, and so that two runs with
//! different counts differ by nothing but requests.

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::time::Instant;

use lexopt::prelude::*;

use crate::args::{Error, failure};
use crate::protocol::Kind;
use crate::sys;

pub(crate) mod clients;
pub(crate) mod exchange;

use clients::Clients;
use exchange::Exchange;
pub(crate) use exchange::read_http_answer;

const HELP: &str = "\
load --addr ADDR --requests N [options]
  --addr ADDR       the server to ask
  --requests N      exactly how many requests to measure
  --warmup N        requests before those; default 0
  --connections N   default 64
  --pipeline N      requests sent at once on a connection; default 1
  --protocol NAME   plaintext (default) | echo
  --churn           a connection for each batch of requests that are sent at once
  --size BYTES      of an echo request; default 64
  --path PATH       of a plaintext request; default /plaintext
  --cpu N           keep the process on one CPU
  --stepwise        print \"ready\" after the warm-up and wait for a line before the measured
                    requests; wait for another before the connections are closed";

/// What the arguments ask for.
#[derive(Debug)]
struct Options {
    addr: Option<SocketAddr>,
    requests: u64,
    warmup: u64,
    connections: usize,
    pipeline: u64,
    churn: bool,
    protocol: Kind,
    size: usize,
    path: String,
    stepwise: bool,
}

/// Asks by the arguments of a command line.
pub fn main(parser: lexopt::Parser) -> Result<(), Error> {
    let Some(options) = read_options(parser)? else {
        println!("{HELP}");
        return Ok(());
    };
    let addr = options.addr.ok_or_else(|| failure("--addr is missing; see --help"))?;
    if options.connections == 0 || options.pipeline == 0 || options.size == 0 {
        return Err(failure("--connections, --pipeline and --size must be at least 1"));
    }
    sys::raise_descriptor_limit()?;
    let exchange = Exchange::new(options.protocol, options.size, &options.path);
    let (connections, pipeline) = (options.connections, options.pipeline);
    let mut clients = Clients::connect(addr, connections, pipeline, options.churn, exchange)?;
    clients.ask(options.warmup)?;
    if options.stepwise {
        say("ready")?;
        wait_for_line()?;
    }
    let begin = Instant::now();
    clients.ask(options.requests)?;
    let seconds = begin.elapsed().as_secs_f64();
    let rate = options.requests as f64 / seconds;
    say(&format!("requests {} seconds {seconds:.6} per_second {rate:.0}", options.requests))?;
    if options.stepwise {
        wait_for_line()?;
    }
    Ok(())
}

/// None when the arguments ask for help.
fn read_options(mut parser: lexopt::Parser) -> Result<Option<Options>, Error> {
    let mut options = Options {
        addr: None,
        requests: 0,
        warmup: 0,
        connections: 64,
        pipeline: 1,
        churn: false,
        protocol: Kind::Plaintext,
        size: 64,
        path: "/plaintext".to_owned(),
        stepwise: false,
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Long("addr") => options.addr = Some(parser.value()?.parse()?),
            Long("requests") => options.requests = parser.value()?.parse()?,
            Long("warmup") => options.warmup = parser.value()?.parse()?,
            Long("connections") => options.connections = parser.value()?.parse()?,
            Long("pipeline") => options.pipeline = parser.value()?.parse()?,
            Long("protocol") => options.protocol = parser.value()?.parse()?,
            Long("size") => options.size = parser.value()?.parse()?,
            Long("path") => options.path = parser.value()?.string()?,
            Long("cpu") => sys::pin_to(parser.value()?.parse()?)?,
            Long("churn") => options.churn = true,
            Long("stepwise") => options.stepwise = true,
            Long("help") => return Ok(None),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Some(options))
}

/// Prints a line that another process may be waiting for.
pub(crate) fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Waits for a line; the end of the input counts as one, so that this program ends with its driver.
pub(crate) fn wait_for_line() -> io::Result<()> {
    io::stdin().lock().read_line(&mut String::new())?;
    Ok(())
}

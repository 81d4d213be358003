//! Requests as fast as they are answered: HTTP, echo, and a connection for each request.

use super::{Bench, Cell};
use crate::args::Error;
use crate::driver::compare::candidate::Service;
use crate::driver::compare::load::Load;
use crate::driver::compare::placement::Placement;
use crate::driver::compare::results::{Column, Sample, Unit};
use crate::driver::compare::server::Server;
use crate::driver::compare::watch::Watch;
use crate::protocol::Kind;

/// Requests as fast as they are answered, on a server with one loop.
#[derive(Debug)]
pub(super) struct Exchange {
    name: &'static str,
    title: &'static str,
    load: Load,
}

/// The cells of this kind.
pub(super) fn cells() -> Vec<Box<dyn Cell>> {
    let http = |connections| closed(Kind::Plaintext, connections);
    let echo = closed(Kind::Echo, 64);
    let cells = [
        ("http-1", "HTTP, 1 connection", http(1)),
        ("http-64", "HTTP, 64 connections", http(64)),
        ("http-512", "HTTP, 512 connections", http(512)),
        (
            "http-pipelined",
            "HTTP, 64 connections, 16 requests at once",
            Load { pipeline: 16, ..http(64) },
        ),
        ("echo-64", "Echo of 64 bytes, 64 connections", echo.clone()),
        ("echo-64k", "Echo of 64 KiB, 64 connections", Load { size: 64 << 10, ..echo }),
        ("churn", "HTTP, a connection for each request", Load { is_churn: true, ..http(64) }),
    ];
    let boxed = |(name, title, load)| -> Box<dyn Cell> { Box::new(Exchange { name, title, load }) };
    cells.into_iter().map(boxed).collect()
}

/// The closed loop of a cell; its duration is that of the turn.
fn closed(protocol: Kind, connections: usize) -> Load {
    Load::closed(protocol, connections, std::time::Duration::ZERO)
}

impl Cell for Exchange {
    fn name(&self) -> &'static str {
        self.name
    }

    fn title(&self) -> String {
        self.title.to_owned()
    }

    fn method(&self) -> String {
        "A server with one loop and corepoll-load with one poller, each on a CPU of its own. Each \
         connection asks again when it is answered. The CPU time is the kernel's account of the \
         server (schedstat), its part of accepting included; where the server is not busy all the \
         time, the load or the round trip is what limits the rate."
            .to_owned()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::new("requests/s", Unit::PerSecond, true),
            Column::new("server CPU a request", Unit::Nanoseconds, false).drawn(),
            Column::new("server busy", Unit::Share, false),
        ]
    }

    fn is_quick(&self) -> bool {
        matches!(self.name, "http-64" | "http-pipelined" | "echo-64" | "churn")
    }

    fn turn(&self, bench: &Bench, contestant: &str) -> Result<Sample, Error> {
        let service = Service { protocol: self.load.protocol, threads: 1 };
        let server = Server::start(bench, bench.candidate(contestant)?, service)?;
        let placement = Placement::new(1);
        let load = Load { duration: bench.turn, ..self.load.clone() };
        let watch = Watch::begin(&server.pids, placement.is_apart())?;
        let report = bench.load.run(&load, server.addr, &placement.load, &[])?;
        let window = watch.end()?;
        let cpu = window.cpu_ns();
        Ok(Sample {
            figures: vec![
                Some(report.per_second),
                Some(cpu / report.requests),
                Some(cpu / 1e9 / report.seconds),
            ],
            disturbance: window.disturbance,
            ..Sample::default()
        })
    }
}

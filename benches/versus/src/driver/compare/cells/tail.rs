//! Latencies at a constant rate, alone and beside something that takes the server's time.

use std::time::Duration;

use super::neighbour::{Neighbour, beside};
use super::{Bench, Cell, Cost, fewer};
use crate::args::{Error, failure};
use crate::driver::compare::candidate::Service;
use crate::driver::compare::load::Load;
use crate::driver::compare::placement::Placement;
use crate::driver::compare::results::{Column, Sample, Unit};
use crate::driver::compare::server::Server;
use crate::driver::compare::watch::Watch;
use crate::protocol::{Flood, Kind};

/// The connections that are measured.
const CONNECTIONS: usize = 64;

/// How often the full speed of a server is measured.
const CAPACITY_RUNS: usize = 3;

/// How long each of these takes.
const CAPACITY_TIME: Duration = Duration::from_millis(300);

/// How much longer than another turn: of a thousand requests, one counts.
const TURNS: f64 = 2.0;

/// With less time, the slowest of a thousand requests are a handful.
const SHORTEST: Duration = Duration::from_millis(300);

/// Latencies at a share of the server's own full speed.
#[derive(Debug)]
pub(super) struct Tail {
    name: &'static str,
    percent: u32,
    protocol: Kind,
    neighbour: Neighbour,
}

/// The cells of this kind.
pub(super) fn cells() -> Vec<Box<dyn Cell>> {
    let of = |name, percent, protocol, neighbour| -> Box<dyn Cell> {
        Box::new(Tail { name, percent, protocol, neighbour })
    };
    let http = |name, percent, neighbour| of(name, percent, Kind::Plaintext, neighbour);
    vec![
        http("tail-50", 50, Neighbour::Nothing),
        http("tail-50-callback", 50, Neighbour::Callback),
        http("tail-50-flood", 50, Neighbour::Flood),
        http("tail-80", 80, Neighbour::Nothing),
        http("tail-80-callback", 80, Neighbour::Callback),
        http("tail-80-flood", 80, Neighbour::Flood),
        of("tail-80-echo-flood", 80, Kind::Echo, Neighbour::Flood),
        of("tail-50-read-16", 50, Kind::Mixed, Neighbour::Torrent(Flood::Read16)),
        of("tail-50-echo-64k", 50, Kind::Mixed, Neighbour::Torrent(Flood::Echo64k)),
        of("tail-80-read-16", 80, Kind::Mixed, Neighbour::Torrent(Flood::Read16)),
        of("tail-80-echo-64k", 80, Kind::Mixed, Neighbour::Torrent(Flood::Echo64k)),
        // A server that always computes has no time for 80 %.
        http("tail-10-task", 10, Neighbour::Task),
    ]
}

impl Cell for Tail {
    fn name(&self) -> &'static str {
        self.name
    }

    fn title(&self) -> String {
        let protocol = if self.protocol == Kind::Echo { "echo of 64 bytes" } else { "HTTP" };
        let beside = match self.neighbour.words(self.protocol) {
            "" => String::new(),
            words => format!(", beside {words}"),
        };
        format!("Latency of {protocol} at {} % of capacity{beside}", self.percent)
    }

    fn method(&self) -> String {
        format!(
            "A server with one loop, 64 connections, and corepoll-load at a constant rate: {} % of \
             what this server does in a closed loop. A latency counts from the time at which its \
             request was to be sent, so that a server that stalls hides nothing. {}A latency is the \
             median of the turns. On a virtual machine pauses of the hypervisor are in it, for all \
             alike.",
            self.percent,
            self.neighbour.explanation(self.protocol)
        )
    }

    fn columns(&self) -> Vec<Column> {
        let latency = |name| Column::new(name, Unit::Nanoseconds, false);
        vec![
            latency("p99.9"),
            latency("p50"),
            latency("p99"),
            latency("p99.99"),
            Column::new("rate, requests/s", Unit::PerSecond, true),
            Column::new("not sent in time", Unit::Share, false),
        ]
    }

    fn is_quick(&self) -> bool {
        matches!(self.name, "tail-80" | "tail-80-flood")
    }

    fn rounds(&self, usual: usize) -> usize {
        fewer(usual)
    }

    fn cost(&self) -> Cost {
        match self.neighbour {
            Neighbour::Callback => Cost { seconds: 1.4, turns: 0.0 },
            _ => Cost { seconds: 0.4, turns: TURNS },
        }
    }

    fn turn(&self, bench: &Bench, contestant: &str) -> Result<Sample, Error> {
        let rate = capacity(bench, contestant, self.protocol)? * f64::from(self.percent) / 100.0;
        let service = Service { protocol: self.protocol, threads: 1 };
        let server = Server::start(bench, bench.candidate(contestant)?, service)?;
        let placement = Placement::new(1);
        let duration = match self.neighbour {
            // It comes once a second.
            Neighbour::Callback => Duration::from_secs(1),
            _ => bench.turn.mul_f64(TURNS).max(SHORTEST),
        };
        let load =
            Load { rate: Some(rate as u64), ..Load::closed(self.protocol, CONNECTIONS, duration) };
        let watch = Watch::begin(&server.pids, placement.is_apart())?;
        let report = beside(self.neighbour, bench, &server, self.protocol, || {
            bench.load.run(&load, server.addr, &placement.load, &[])
        })?;
        let window = watch.end()?;
        let percentile = |percent| report.percentile(percent);
        Ok(Sample {
            figures: vec![
                percentile(99.9),
                percentile(50.0),
                percentile(99.0),
                percentile(99.99),
                Some(rate),
                Some(report.late),
            ],
            percentiles: report.percentiles.clone(),
            disturbance: window.disturbance,
            ..Sample::default()
        })
    }
}

/// What a server does in a closed loop, in requests a second: measured once, and the same for all
/// cells.
fn capacity(bench: &Bench, contestant: &str, protocol: Kind) -> Result<f64, Error> {
    let key = (contestant.to_owned(), protocol.name());
    if let Some(&known) = bench.capacities.borrow().get(&key) {
        return Ok(known);
    }
    let service = Service { protocol, threads: 1 };
    let server = Server::start(bench, bench.candidate(contestant)?, service)?;
    let load = Load::closed(protocol, CONNECTIONS, CAPACITY_TIME);
    let mut rates = Vec::new();
    for _ in 0..CAPACITY_RUNS {
        let report = bench.load.run(&load, server.addr, &Placement::new(1).load, &[])?;
        rates.push(report.per_second);
    }
    rates.sort_by(f64::total_cmp);
    let median = rates[CAPACITY_RUNS / 2];
    if median < 100.0 {
        return Err(failure(format!("it answers {median:.0} requests a second")));
    }
    bench.capacities.borrow_mut().insert(key, median);
    Ok(median)
}

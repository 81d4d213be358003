//! Two connections on a server with two loops: does each loop get one?

use std::time::Duration;

use super::{Bench, Cell, Cost};
use crate::args::Error;
use crate::driver::compare::candidate::Service;
use crate::driver::compare::load::Load;
use crate::driver::compare::placement::Placement;
use crate::driver::compare::results::{Column, Sample, Sum, Unit};
use crate::driver::compare::server::Server;
use crate::driver::compare::watch::{Watch, Window};
use crate::protocol::Kind;

/// How many servers, of which each has other luck.
const SERVERS: usize = 20;

/// The part of a turn: the servers are many.
const TURNS: f64 = 0.4;

/// A thread that took less than this share of a server's CPU time served no connection.
const SERVING: f64 = 0.1;

/// Two connections on two loops, on a fresh server each time.
#[derive(Debug)]
pub(super) struct TwoLoops;

impl Cell for TwoLoops {
    fn name(&self) -> &'static str {
        "two-loops"
    }

    fn title(&self) -> String {
        format!("HTTP, 2 connections, 2 loops, {SERVERS} servers")
    }

    fn method(&self) -> String {
        "Each sample is a fresh server with two loops and a load with two pollers, one connection \
         each. Both are used where two threads took at least a tenth of the server's CPU time \
         each: that is the good half for servers whose connections the kernel spreads by chance."
            .to_owned()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::new("requests/s", Unit::PerSecond, true),
            Column::new("both loops used", Unit::YesOrNo, true).summed_by(Sum::Count),
            Column::new("requests/s where both are", Unit::PerSecond, true),
            Column::new("lowest requests/s", Unit::PerSecond, true).summed_by(Sum::Lowest),
        ]
    }

    fn is_quick(&self) -> bool {
        true
    }

    fn rounds(&self, usual: usize) -> usize {
        // Fewer only for a look at whether it runs.
        if usual == 1 { 1 } else { SERVERS }
    }

    fn cost(&self) -> Cost {
        Cost { seconds: 0.1, turns: TURNS }
    }

    fn turn(&self, bench: &Bench, contestant: &str) -> Result<Sample, Error> {
        let service = Service { protocol: Kind::Plaintext, threads: 2 };
        let server = Server::start(bench, bench.candidate(contestant)?, service)?;
        let placement = Placement::new(2);
        let duration = bench.turn.mul_f64(TURNS).max(Duration::from_millis(50));
        let load = Load { pollers: 2, ..Load::closed(Kind::Plaintext, 2, duration) };
        let watch = Watch::begin(&server.pids, placement.is_apart())?;
        let report = bench.load.run(&load, server.addr, &placement.load, &[])?;
        let window = watch.end()?;
        let both = serving_threads(&window) >= 2;
        let rate = Some(report.per_second);
        Ok(Sample {
            figures: vec![rate, Some(f64::from(u8::from(both))), rate.filter(|_| both), rate],
            disturbance: window.disturbance,
            ..Sample::default()
        })
    }
}

fn serving_threads(window: &Window) -> usize {
    let least = SERVING * window.cpu_ns();
    window.threads.iter().filter(|&&ran| ran as f64 >= least).count()
}
